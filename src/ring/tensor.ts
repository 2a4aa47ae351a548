/** A tensor of ring words in WebAssembly memory, with the fixed-point scale that its values carry. */
import type { Ring } from "./ring.ts";

/** Bits of a ring word. */
export type Width = 32 | 64;

/**
 * `length` words modulo 2^width; as fixed point the integer v stands for v / 2^fractionBits. Owns its memory: dispose of
 * it (`using`) when done. Reshaping is free, so shapes live in the graph, not here.
 */
export class RingTensor<W extends Width = 64> implements Disposable {
  readonly address: number;
  /** Who must dispose of the words before they are given back; a view has none. */
  #owners: number;

  /** Fresh words, contents undefined; with `address` a view on words that another tensor owns. */
  constructor(
    readonly ring: Ring,
    readonly width: W,
    readonly length: number,
    readonly fractionBits = 0,
    address?: number,
  ) {
    this.#owners = address === undefined ? 1 : 0;
    this.address = address ?? ring.allocate(this.byteLength);
  }

  get byteLength(): number {
    return this.length * (this.width / 8);
  }

  /** The words as bytes, little-endian: what goes over the wire. */
  get bytes(): Uint8Array<ArrayBuffer> {
    return this.ring.bytes.subarray(this.address, this.address + this.byteLength) as Uint8Array<ArrayBuffer>;
  }

  /** The words as signed 64-bit integers (two's complement). */
  get int64(): BigInt64Array {
    return new BigInt64Array(this.ring.bytes.buffer, this.address, this.byteLength / 8);
  }

  /** The words as unsigned 32-bit integers: those of width 32, or low and high halves in turn. */
  get uint32(): Uint32Array {
    return new Uint32Array(this.ring.bytes.buffer, this.address, this.byteLength / 4);
  }

  /** `length` words from word `start` on, sharing this memory; `fractionBits` may be read anew. */
  view(start: number, length: number, fractionBits = this.fractionBits): RingTensor<W> {
    if (start < 0 || start + length > this.length) {
      throw new RangeError(`view of words ${start}...${start + length} of a tensor of ${this.length}`);
    }
    return new RingTensor(
      this.ring,
      this.width,
      length,
      fractionBits,
      this.address + start * (this.width / 8),
    );
  }

  /** The same words read at another scale; ownership moves to the result. */
  withFractionBits(fractionBits: number): RingTensor<W> {
    if (this.#owners > 1) throw new RangeError("words with several owners are not read at another scale");
    const moved = new RingTensor(this.ring, this.width, this.length, fractionBits, this.address);
    [moved.#owners, this.#owners] = [this.#owners, 0];
    return moved;
  }

  /** One more owner of the same words, who disposes of them too. */
  retain(): this {
    if (this.#owners === 0) {
      throw new RangeError("words that another tensor owns, or nobody any more, are not retained");
    }
    this.#owners++;
    return this;
  }

  [Symbol.dispose](): void {
    if (this.#owners === 0 || --this.#owners > 0) return;
    this.ring.release(this.address, this.byteLength);
  }
}

/** A fresh tensor of 64-bit words. */
export const words = (ring: Ring, length: number, fractionBits = 0): RingTensor =>
  new RingTensor(ring, 64, length, fractionBits);
