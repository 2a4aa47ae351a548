/**
 * A TLS listener on `node:tls`, because that of Deno 2.9 cannot turn Nagle's algorithm off: over loopback,
 * 70,000 bytes there and back took 43 ms with it, waiting for delayed acknowledgements, and 0.9 ms with this.
 */

import tls from "node:tls";
import type { ByteStream } from "./byte_stream.ts";
import { ProtocolError } from "./channel.ts";
import { addressText, type ConnectionSource, LISTENER_CLOSED, portInUse } from "./connection_source.ts";

export interface TlsIdentity {
  /** Certificate chain, PEM. */
  readonly cert: string;
  /** Its private key, PEM. */
  readonly key: string;
  /** How long a peer may take to open a TLS session. */
  readonly timeoutMs: number;
}

export async function listenTls(
  host: string,
  port: number,
  identity: TlsIdentity,
): Promise<ConnectionSource> {
  const { cert, key, timeoutMs } = identity;
  const arrivals = new Arrivals();
  const server = tls.createServer({ cert, key, handshakeTimeout: timeoutMs }, (socket) => {
    socket.setNoDelay(true);
    arrivals.add({ socket });
  });
  server.on("tlsClientError", (cause, socket) => {
    socket.destroy();
    arrivals.add({
      failure: new ProtocolError(`a connection got no TLS session: ${cause.message}`, { cause }),
    });
  });
  await new Promise<void>((resolve, reject) => {
    server.once("listening", resolve);
    server.once("error", (error: Error & { code?: string }) => {
      reject(error.code === "EADDRINUSE" ? portInUse(host, port, error) : error);
    });
    server.listen(port, host);
  });
  return {
    port: (server.address() as { port: number }).port,
    async accept() {
      const socket = await arrivals.next();
      const address = addressText(socket.remoteAddress ?? "an unknown address", socket.remotePort ?? 0);
      return { stream: new SocketStream(socket), address };
    },
    close() {
      server.close();
      arrivals.close();
    },
  };
}

type Arrival = { readonly socket: tls.TLSSocket } | { readonly failure: Error };

/** Connections in the order in which they came, for callers that ask before or after. */
class Arrivals {
  readonly #unclaimed: Arrival[] = [];
  readonly #waiting: PromiseWithResolvers<tls.TLSSocket>[] = [];
  #closed = false;

  add(arrival: Arrival): void {
    this.#unclaimed.push(arrival);
    if (this.#closed) this.close();
    this.#match();
  }

  next(): Promise<tls.TLSSocket> {
    const caller = Promise.withResolvers<tls.TLSSocket>();
    this.#waiting.push(caller);
    this.#match();
    return caller.promise;
  }

  close(): void {
    this.#closed = true;
    for (const caller of this.#waiting.splice(0)) caller.reject(new Error(LISTENER_CLOSED));
    for (const arrival of this.#unclaimed.splice(0)) if ("socket" in arrival) arrival.socket.destroy();
  }

  #match(): void {
    if (this.#waiting.length === 0 || this.#unclaimed.length === 0) return;
    const caller = this.#waiting.shift()!;
    const arrival = this.#unclaimed.shift()!;
    if ("socket" in arrival) caller.resolve(arrival.socket);
    else caller.reject(arrival.failure);
  }
}

/** A socket of Node's kind as a stream of bytes. */
class SocketStream implements ByteStream {
  readonly #socket: tls.TLSSocket;
  readonly #chunks: AsyncIterator<Uint8Array>;
  #rest: Uint8Array = new Uint8Array(0);

  constructor(socket: tls.TLSSocket) {
    this.#socket = socket;
    this.#chunks = socket[Symbol.asyncIterator]();
    socket.on("error", () => {}); // reads and writes report it
  }

  async read(into: Uint8Array): Promise<number | null> {
    if (this.#rest.length === 0) {
      const { value, done } = await this.#chunks.next();
      if (done) return null;
      this.#rest = value;
    }
    const count = Math.min(into.length, this.#rest.length);
    into.set(this.#rest.subarray(0, count));
    this.#rest = this.#rest.subarray(count);
    return count;
  }

  write(bytes: Uint8Array): Promise<number> {
    return new Promise((resolve, reject) => {
      this.#socket.write(bytes, (error) => error ? reject(error) : resolve(bytes.length));
    });
  }

  close(): void {
    this.#socket.destroy();
  }
}
