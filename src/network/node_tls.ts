/**
 * Mutual TLS on `node:tls`: both ends show a certificate of one authority of their own, which counts in place of the public ones, and
 * the role stands in it, so that a machine's name and address need not. Not Deno's own TLS: its listener asks for no certificate and
 * cannot turn Nagle's algorithm off. (Over loopback, 70,000 bytes there and back took 43 ms with that, waiting for delayed
 * acknowledgements, and 0.9 ms without.)
 *
 * TLS runs over a stream of ours, never over a socket of Node's: that one reads on whether or not anybody takes what it has read, also
 * when it is paused (Deno 2.9.6: 196 MB in four seconds, which never came back), so whoever connects could fill this process's memory.
 */

import { Duplex } from "node:stream";
import tls from "node:tls";
import type { ByteStream } from "./byte_stream.ts";
import type { Caller, ConnectionSource, Opened } from "./connection_source.ts";

/** All PEM. */
export interface TlsIdentity {
  /** The certificate of this role, and its private key. */
  readonly cert: string;
  readonly key: string;
  /** The authority that has signed those of all roles; no other counts. */
  readonly ca: string;
}

/** The name in the certificate of a role. */
export const certifiedName = (role: string): string => `${role}.private-inference`;
const CERTIFIED = /^DNS:([a-z0-9-]+)\.private-inference$/;

/** Read from the network at a time, and written: what a peer accepts of it counts as progress. */
const PIECE_BYTES = 64 * 1024;
/** Read at a time from a peer that has never sent as much at once: the silent ones cost no more. */
const SMALL_BYTES = 4096;
/** Of a peer until TLS has agreed: hello, certificate and proof take less than 2 kB. */
const MOST_HANDSHAKE_BYTES = 32 * 1024;
/** What TLS has made of the last bytes of a connection is there by then. */
const LAST_WORDS_MS = 50;
/**
 * For as long Deno keeps what a handshake has held that came to nothing, 30 kB; 120 s unless told otherwise. More than the time that a
 * caller has, since it also ends handshakes.
 */
const KEPT_MS = 10_000;
const NOTHING = new Uint8Array(0);

/** What TLS says of a peer that it cannot agree with; another attempt would give the same. */
export class NotAgreed extends Error {}

const settings = ({ cert, key, ca }: TlsIdentity) =>
  ({ cert, key, ca, minVersion: "TLSv1.3", rejectUnauthorized: true }) as const;

/** Every caller of `source` must open a TLS session and show a certificate of a role. */
export function listenTls(source: ConnectionSource, identity: TlsIdentity): ConnectionSource {
  return {
    port: source.port,
    async next(): Promise<Caller> {
      const { address, opened, drop } = await source.next();
      return { address, opened: opened.then(({ stream }) => accept(stream, identity)), drop };
    },
    close: () => source.close(),
  };
}

async function accept(stream: ByteStream, identity: TlsIdentity): Promise<Opened> {
  const { promise, resolve, reject } = Promise.withResolvers<Opened>(), carrier = new Carrier(stream);
  // TLS costs 30 kB, of which those who say nothing get none.
  await carrier.advance();
  if (carrier.isAtEnd) return agreed(promise, carrier);
  // A server that listens nowhere: it checks the certificate, which a bare TLS socket does not.
  const options = { ...settings(identity), requestCert: true, handshakeTimeout: KEPT_MS };
  const server = tls.createServer(options, (socket) => {
    const certified = roleOf(socket);
    if (certified !== undefined) return resolve({ stream: new TlsStream(socket, carrier), certified });
    socket.destroy();
    reject(new Error("a certificate that names no role"));
  });
  server.on("tlsClientError", (_, socket) => {
    socket.destroy();
    reject(new Error("no TLS session with a certificate that this role accepts"));
  });
  server.emit("connection", carrier);
  return agreed(promise, carrier);
}

/** Opens a TLS session with whoever has the certificate of `role`; fails with the network's error, or as {@linkcode NotAgreed}. */
export function connectTls(stream: ByteStream, identity: TlsIdentity, role: string): Promise<ByteStream> {
  const { promise, resolve, reject } = Promise.withResolvers<ByteStream>(), carrier = new Carrier(stream);
  const socket = tls.connect({ ...settings(identity), socket: carrier, servername: certifiedName(role) });
  socket.once("secureConnect", () => resolve(new TlsStream(socket, carrier)));
  socket.on("error", (cause: Error & { code?: string }) => {
    // That the network ended is the carrier's to say.
    if (cause.code !== "ECONNRESET") reject(new NotAgreed(cause.message, { cause }));
  });
  return agreed(promise, carrier);
}

/** `session`, for which the network is read until it is there or cannot be any more. */
async function agreed<T>(session: Promise<T>, carrier: Carrier): Promise<T> {
  let isOver = false;
  const over = session.finally(() => isOver = true);
  const reading = async (): Promise<never> => {
    while (!isOver && !carrier.isAtEnd) {
      if (carrier.takenBytes > MOST_HANDSHAKE_BYTES) {
        throw new Error("no TLS session: more was sent than its handshake takes");
      }
      await Promise.race([carrier.advance(), over]);
    }
    if (carrier.failure === undefined) await Promise.race([over, pause(LAST_WORDS_MS)]);
    throw carrier.failure ?? new Error("no TLS session: the connection was closed before both ends agreed");
  };
  try {
    return await Promise.race([over, reading()]);
  } catch (error) {
    carrier.destroy();
    throw error;
  }
}

/** The one role that the certificate of a peer names, whose authority TLS has checked. */
function roleOf(socket: tls.TLSSocket): string | undefined {
  const { subjectaltname } = socket.getPeerCertificate();
  return socket.authorized ? CERTIFIED.exec(subjectaltname ?? "")?.[1] : undefined;
}

const pause = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));

/**
 * What TLS reads from and writes to. It reads from the network when it is told to. An error of the network is kept and not raised, which
 * would take the session down: a peer's last words may lie unread behind a failed write.
 */
class Carrier extends Duplex {
  /** Why the network carries nothing more. */
  failure: Error | undefined;
  isAtEnd = false;
  takenBytes = 0;
  #reading: Promise<void> | undefined;
  #buffer = new Uint8Array(SMALL_BYTES);

  constructor(private readonly stream: ByteStream) {
    super();
  }

  /** Hands one piece to TLS, or the end. One read is under way at a time. */
  advance(): Promise<void> {
    return this.#reading ??= this.#readPiece().finally(() => this.#reading = undefined);
  }

  async #readPiece(): Promise<void> {
    const count = await this.stream.read(this.#buffer).catch((error: Error) => this.#fail(error));
    this.isAtEnd = count === null || this.destroyed;
    if (this.destroyed) return;
    this.takenBytes += count ?? 0;
    this.push(count === null ? null : this.#buffer.slice(0, count));
    if (count === SMALL_BYTES) this.#buffer = new Uint8Array(PIECE_BYTES);
  }

  #fail(error: Error): null {
    // Once TLS has hung up, that is all that the network has to say.
    if (!this.destroyed) this.failure ??= error;
    return null;
  }

  override _read(): void {}

  override async _write(bytes: Uint8Array, _encoding: string, done: () => void): Promise<void> {
    try {
      for (let from = 0; from < bytes.length && this.failure === undefined;) {
        from += await this.stream.write(bytes.subarray(from));
      }
    } catch (error) {
      this.#fail(error as Error);
    }
    done();
  }

  override _destroy(_error: Error | null, done: () => void): void {
    this.#buffer = NOTHING;
    try {
      this.stream.close();
    } catch {
      // It is closed already.
    }
    done();
  }
}

/** A TLS session as a stream of bytes, which reads from the network while somebody waits for it. */
class TlsStream implements ByteStream {
  readonly #kept: Uint8Array[] = [];
  #isOver = false;
  #woken = Promise.withResolvers<void>();

  constructor(private readonly socket: tls.TLSSocket, private readonly carrier: Carrier) {
    const wake = () => {
      this.#woken.resolve();
      this.#woken = Promise.withResolvers();
    };
    const end = () => {
      this.#isOver = true;
      wake();
    };
    socket.on("data", (bytes: Uint8Array) => {
      this.#kept.push(bytes);
      wake();
    });
    // Reads and writes report what has happened.
    for (const event of ["end", "close", "error"]) socket.on(event, end);
  }

  async read(into: Uint8Array): Promise<number | null> {
    while (this.#kept.length === 0) {
      if (this.#isOver) return this.#end();
      if (this.carrier.isAtEnd) {
        await Promise.race([this.#woken.promise, pause(LAST_WORDS_MS)]);
        if (this.#kept.length === 0) return this.#end();
      } else await Promise.race([this.#woken.promise, this.carrier.advance()]);
    }
    const first = this.#kept[0], count = Math.min(into.length, first.length);
    into.set(first.subarray(0, count));
    if (count === first.length) this.#kept.shift();
    else this.#kept[0] = first.subarray(count);
    return count;
  }

  #end(): null {
    if (this.carrier.failure !== undefined) throw this.carrier.failure;
    return null;
  }

  write(bytes: Uint8Array): Promise<number> {
    const piece = bytes.subarray(0, PIECE_BYTES);
    return new Promise((resolve, reject) => {
      this.socket.write(piece, (error) => {
        const failure = error ?? this.carrier.failure;
        if (failure) reject(failure);
        else resolve(piece.length);
      });
    });
  }

  close(): void {
    this.socket.destroy();
    this.carrier.destroy();
  }
}
