/**
 * A relay between two roles that reads the frames which pass, so that a test, or an attack, can act at an exact message: tell that it
 * came, hold it back, alter it, cut it short.
 */
import { decodeHeader, type FrameHeader, FrameKind, HEADER_BYTES } from "../network/frame.ts";
import { REQUEST_TAG } from "../correlations/request.ts";

export interface Frame extends FrameHeader {
  readonly from: "connecting" | "listening";
  /** Header and payload. */
  readonly bytes: Uint8Array<ArrayBuffer>;
}

/** What becomes of a frame, and of the connection after it. */
export interface Interference {
  /** Sent in place of the frame. */
  readonly send?: Uint8Array<ArrayBuffer>;
  /** Then: forward what follows (default), close both connections, or let nothing more through in either direction. */
  readonly then?: "forward" | "close" | "silence";
}

/** Sees every frame; without an answer the frame passes. */
export type Observe = (frame: Frame) => Interference | undefined | void;

/** Messages of a layer during a query carry tags from here on. */
const QUERY_TAGS = 4096;

/** Whether a frame between server and client belongs to a layer of a query: the session is in the middle of its work. */
export const isLayer = ({ kind, tag }: Frame): boolean =>
  kind === FrameKind.data && tag >= QUERY_TAGS && tag < REQUEST_TAG;

export class Relay implements AsyncDisposable {
  readonly #listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  readonly #connections: Deno.TcpConn[] = [];
  readonly #work: Promise<void>;
  #silent = false;

  constructor(private readonly target: number, private readonly observe: Observe) {
    this.#work = this.#serve();
  }

  /** Where to connect instead. */
  get address(): string {
    return `127.0.0.1:${this.port}`;
  }

  get port(): number {
    return this.#listener.addr.port;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#close();
    await this.#work;
  }

  async #serve(): Promise<void> {
    try {
      const connecting = await this.#listener.accept();
      this.#connections.push(connecting);
      const listening = await Deno.connect({ hostname: "127.0.0.1", port: this.target });
      this.#connections.push(listening);
      await Promise.all([
        this.#forward("connecting", connecting, listening),
        this.#forward("listening", listening, connecting),
      ]);
    } catch {
      // The test is over, or nobody listens.
    } finally {
      this.#close();
    }
  }

  async #forward(from: Frame["from"], source: Deno.TcpConn, sink: Deno.TcpConn): Promise<void> {
    try {
      for (;;) {
        const header = await read(source, HEADER_BYTES);
        if (header === null) break;
        const fields = decodeHeader(new DataView(header.buffer));
        if (typeof fields === "string") throw new Error(fields);
        const payload = await read(source, fields.length);
        if (payload === null) break;
        const bytes = new Uint8Array([...header, ...payload]);
        const { send = bytes, then = "forward" } = this.observe({ ...fields, from, bytes }) ?? {};
        if (then === "silence") this.#silent = true;
        if (this.#silent) continue;
        // A reader that is gone may have left its last words: the other direction goes on.
        await write(sink, send).catch(() => {});
        if (then === "close") this.#close();
      }
    } catch {
      // A role is gone, or the test is over.
    }
    // The other end sees that this one is gone, but may still be heard. Through a silent link not even that is seen.
    if (!this.#silent) await sink.closeWrite().catch(() => {});
  }

  #close(): void {
    for (const resource of [this.#listener, ...this.#connections]) {
      try {
        resource.close();
      } catch {
        // Closed already.
      }
    }
  }
}

async function read(source: Deno.Conn, length: number): Promise<Uint8Array<ArrayBuffer> | null> {
  const bytes = new Uint8Array(length);
  for (let done = 0; done < length;) {
    const count = await source.read(bytes.subarray(done));
    if (count === null) return null;
    done += count;
  }
  return bytes;
}

async function write(sink: Deno.Conn, bytes: Uint8Array): Promise<void> {
  for (let done = 0; done < bytes.length;) done += await sink.write(bytes.subarray(done));
}
