/**
 * Mutual TLS on `node:tls`: both ends show a certificate of one authority of their own, which counts in place of the public ones, and
 * the role stands in it, so that a machine's name and address need not. Not Deno's own TLS: its listener asks for no certificate and
 * cannot turn Nagle's algorithm off. (Over loopback, 70,000 bytes there and back took 43 ms with that, waiting for delayed
 * acknowledgements, and 0.9 ms without.)
 */

import type net from "node:net";
import tls from "node:tls";
import { Arrivals } from "./arrivals.ts";
import type { ByteStream } from "./byte_stream.ts";
import {
  addressText,
  type Caller,
  type ConnectionSource,
  LISTENER_CLOSED,
  type Opened,
  portInUse,
} from "./connection_source.ts";

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

const settings = ({ cert, key, ca }: TlsIdentity) =>
  ({ cert, key, ca, minVersion: "TLSv1.3", rejectUnauthorized: true }) as const;

export async function listenTls(
  host: string,
  port: number,
  identity: TlsIdentity,
): Promise<ConnectionSource> {
  const callers = new Arrivals<Caller>(), handshakes = new Map<string, PromiseWithResolvers<Opened>>();
  const server = tls.createServer({ ...settings(identity), requestCert: true }, (socket) => {
    const handshake = handshakes.get(addressOf(socket)), certified = roleOf(socket);
    if (handshake === undefined || certified === undefined) return void socket.destroy();
    socket.setNoDelay(true);
    handshake.resolve({ stream: new SocketStream(socket), certified });
  });
  server.on("connection", (socket: net.Socket) => {
    const address = addressOf(socket), handshake = Promise.withResolvers<Opened>();
    handshake.promise.catch(() => {}); // heard by whoever takes the caller
    handshakes.set(address, handshake);
    socket.on("error", (error) => handshake.reject(error));
    socket.on("close", () => {
      handshakes.delete(address);
      handshake.reject(new Error("no TLS session with a certificate that this role accepts"));
    });
    const caller = { address, opened: handshake.promise, drop: () => void socket.destroy() };
    if (!callers.add(caller)) socket.destroy();
  });
  server.on("tlsClientError", (_, socket) => socket.destroy());
  await new Promise<void>((resolve, reject) => {
    server.once("listening", resolve);
    server.once("error", (error: Error & { code?: string }) => {
      reject(error.code === "EADDRINUSE" ? portInUse(host, port, error) : error);
    });
    server.listen(port, host);
  });
  return {
    port: (server.address() as { port: number }).port,
    next: () => callers.next(),
    close() {
      server.close();
      for (const caller of callers.end(new Error(LISTENER_CLOSED))) caller.drop();
    },
  };
}

/** Opens a TLS session with whoever has the certificate of `role`; fails with the system's or TLS's error. */
export function connectTls(
  host: string,
  port: number,
  identity: TlsIdentity,
  role: string,
  signal: AbortSignal,
): Promise<ByteStream> {
  const { promise, resolve, reject } = Promise.withResolvers<ByteStream>();
  const socket = tls.connect({ ...settings(identity), host, port, servername: certifiedName(role) });
  const hangUp = () => void socket.destroy(new Error("no answer in time"));
  signal.addEventListener("abort", hangUp);
  socket.once("secureConnect", () => {
    socket.setNoDelay(true);
    resolve(new SocketStream(socket));
  });
  socket.on("error", reject);
  socket.once("close", () => reject(new Error("the connection was closed")));
  return promise.finally(() => signal.removeEventListener("abort", hangUp));
}

const addressOf = (socket: net.Socket): string =>
  addressText(socket.remoteAddress ?? "an unknown address", socket.remotePort ?? 0);

/** The one role that the certificate of a peer names, whose authority TLS has checked. */
function roleOf(socket: tls.TLSSocket): string | undefined {
  const { subjectaltname } = socket.getPeerCertificate();
  return socket.authorized ? CERTIFIED.exec(subjectaltname ?? "")?.[1] : undefined;
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
