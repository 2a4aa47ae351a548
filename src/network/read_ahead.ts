/** A stream that is read while nobody asks for it: a shaped link delivers what has arrived meanwhile, as a real one would. */
import type { ByteStream } from "./byte_stream.ts";

const PIECE_BYTES = 256 * 1024;
/** Together 256 MiB: what may be under way on a virtual link. */
const MOST_PIECES = 1024;
/** Reads of what is here already never leave the current turn of the event loop; let others in this often. */
const TURN_BYTES = 4 * 1024 * 1024;

interface Piece {
  readonly bytes: Uint8Array;
  from: number;
  to: number;
}

/**
 * Reads on while a shaped link holds frames back, as a link that long would carry them. Otherwise a sender of
 * many messages would stop at full sockets, and only a few MB would pass in each one-way delay.
 */
export class ReadAhead implements ByteStream {
  readonly #stream: ByteStream;
  /** Oldest first; the last one is being filled. */
  readonly #kept: Piece[] = [];
  /** Pieces are used again: the first touch of fresh memory can cost more than the bytes themselves. */
  readonly #free: Piece[] = [];
  #servedBytes = 0;
  #ended = false;
  #arrival = Promise.withResolvers<void>();
  #room = Promise.withResolvers<void>();

  constructor(stream: ByteStream) {
    this.#stream = stream;
    void this.#pump();
  }

  async read(into: Uint8Array): Promise<number | null> {
    if (this.#servedBytes > TURN_BYTES) {
      this.#servedBytes = 0;
      await new Promise((resolve) => setTimeout(resolve, 0));
    }
    for (;;) {
      const piece = this.#kept[0];
      if (piece !== undefined && piece.from < piece.to) {
        const count = Math.min(piece.to - piece.from, into.length);
        into.set(piece.bytes.subarray(piece.from, piece.from + count));
        piece.from += count;
        this.#servedBytes += count;
        if (piece.from === PIECE_BYTES) this.#recycle();
        return count;
      }
      if (this.#ended) return null;
      await this.#arrival.promise;
    }
  }

  write(bytes: Uint8Array): Promise<number> {
    return this.#stream.write(bytes);
  }

  close(): void {
    this.#stream.close();
  }

  async #pump(): Promise<void> {
    for (;;) {
      let piece = this.#kept.at(-1);
      if (piece === undefined || piece.to === PIECE_BYTES) {
        while (this.#kept.length >= MOST_PIECES) await this.#room.promise;
        piece = this.#free.pop() ?? { bytes: new Uint8Array(PIECE_BYTES), from: 0, to: 0 };
        this.#kept.push(piece);
      }
      // A connection that breaks ends like one that is closed: the frames tell whether something is missing.
      const count = await this.#stream.read(piece.bytes.subarray(piece.to)).catch(() => null);
      if (count === null) this.#ended = true;
      else piece.to += count;
      this.#arrival.resolve();
      this.#arrival = Promise.withResolvers();
      if (count === null) return;
    }
  }

  #recycle(): void {
    const piece = this.#kept.shift()!;
    piece.from = piece.to = 0;
    this.#free.push(piece);
    this.#room.resolve();
    this.#room = Promise.withResolvers();
  }
}
