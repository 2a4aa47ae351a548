/**
 * Channels between processes over TCP, with or without TLS. The only file here that uses `Deno.*`. Plain TCP encrypts nothing and
 * knows its peer by a token at most, so it stays on loopback.
 */

import type { ByteStream } from "./byte_stream.ts";
import { type ChannelOptions, ProtocolError } from "./channel.ts";
import { addressText, type Caller, type ConnectionSource, portInUse } from "./connection_source.ts";
import { FrameLink } from "./frame_link.ts";
import { FramedChannel } from "./framed_channel.ts";
import { handshake, type HandshakeOptions, type Side } from "./handshake.ts";
import type { TlsIdentity } from "./node_tls.ts";
import { type NetworkProfile, networkProfile } from "./profiles.ts";
import { admit, type ChannelListener, type ReceptionOptions } from "./reception.ts";

export type { TlsIdentity } from "./node_tls.ts";
export type { ChannelListener } from "./reception.ts";

export interface TcpOptions extends ChannelOptions, Omit<HandshakeOptions, "profile"> {
  readonly host: string;
  readonly port: number;
  /** The network to imitate; both ends must name the same. Default `none`. */
  readonly profile?: NetworkProfile;
  /** Whom this end is by certificate; without it the address must be on loopback. */
  readonly tls?: TlsIdentity;
}

export type ListenOptions = TcpOptions & Pick<ReceptionOptions, "onDropped" | "handshakeMs">;

/** With TLS the role of the peer must be expected: it is what its certificate is checked for. */
export interface ConnectOptions extends TcpOptions {
  /** Ends the attempt. Later the channel is its owner's to close. */
  readonly signal?: AbortSignal;
  /** Told once, after a second in which nobody has answered. */
  readonly onWaiting?: (sentence: string) => void;
}

/** Listens; port 0 takes any free one. */
export async function listen(options: ListenOptions): Promise<ChannelListener> {
  checkPlaintext(options);
  const { host, port, tls } = options;
  const plain = listenPlain(host, port);
  // Loaded when needed: it costs each process 50 ms.
  const source = tls === undefined ? plain : (await import("./node_tls.ts")).listenTls(plain, tls);
  return admit(source, {
    ...options,
    open: ({ stream, certified }, address) => openChannel(stream, address, "listening", options, certified),
  });
}

/** Connects, and keeps trying while nobody listens yet, for at most `timeoutMs`. */
export async function connect(options: ConnectOptions): Promise<FramedChannel> {
  checkPlaintext(options);
  const { host, port, tls, expectedPeer, signal: given, timeoutMs = 60_000 } = options;
  const peer = `${expectedPeer ?? "the peer"} at ${addressText(host, port)}`;
  if (tls !== undefined && expectedPeer === undefined) {
    throw new RangeError("with TLS, say which role is expected to answer");
  }
  using _ = afterASecond(() =>
    options.onWaiting?.(`${peer} does not answer yet; waiting for up to ${timeoutMs / 1000} s`)
  );
  const stream = await dial(peer, timeoutMs, given, async (signal) => {
    const connection = await Deno.connect({ hostname: host, port, signal });
    connection.setNoDelay(true);
    return tls === undefined ? connection : await secure(connection, tls, expectedPeer!, peer, signal);
  });
  return openChannel(stream, addressText(host, port), "connecting", options, undefined, given);
}

/** A TLS session over a connection. That the network failed may pass, that the two ends do not agree does not. */
async function secure(
  connection: Deno.Conn,
  identity: TlsIdentity,
  role: string,
  peer: string,
  signal: AbortSignal,
): Promise<ByteStream> {
  const { connectTls, NotAgreed } = await import("./node_tls.ts");
  using _ = whenAborted(signal, () => closeOnce(connection));
  try {
    return await connectTls(connection, identity, role);
  } catch (cause) {
    const fail = (why: string, mayPass: boolean) =>
      new ProtocolError(`no TLS session with ${peer}: ${why}`, { cause, mayPass });
    if (signal.aborted) throw fail("no answer in time", true);
    throw cause instanceof NotAgreed ? fail(cause.message, false) : cause;
  }
}

async function openChannel(
  stream: ByteStream,
  address: string,
  side: Side,
  options: TcpOptions,
  certified?: string,
  signal?: AbortSignal,
): Promise<FramedChannel> {
  const link = new FrameLink(stream, options.role, address, options);
  using _ = whenAborted(signal, () => link.close());
  await handshake(link, side, { profile: networkProfile("none"), ...options }, certified);
  // Whoever listens is the one that waits between two pieces of work; see `receiveAfterPause`.
  if (side === "connecting") link.keepAlive(Math.min(LONGEST_SILENCE_MS, (options.timeoutMs ?? 60_000) / 4));
  return new FramedChannel(link);
}

/** Between two signs of life; several of them in every time-out that a role has unless told otherwise. */
const LONGEST_SILENCE_MS = 5000;
/** First and longest pause between attempts to reach a peer that does not listen yet. */
const RETRY_MS = [10, 200] as const;

/** Calls `act` after a second, unless the scope has ended. */
function afterASecond(act: () => void): Disposable {
  const timer = setTimeout(act, 1000);
  return { [Symbol.dispose]: () => clearTimeout(timer) };
}

/** Calls `act` when the signal is aborted, at once if it has been, until the end of the scope. */
function whenAborted(signal: AbortSignal | undefined, act: () => void): Disposable {
  if (signal?.aborted) act();
  signal?.addEventListener("abort", act);
  return { [Symbol.dispose]: () => signal?.removeEventListener("abort", act) };
}

async function dial<T>(
  peer: string,
  timeoutMs: number,
  signal: AbortSignal | undefined,
  attempt: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const giveUp = new AbortController(), deadlineMs = performance.now() + timeoutMs;
  const timer = setTimeout(() => giveUp.abort(), timeoutMs);
  using _ = whenAborted(signal, () => giveUp.abort());
  try {
    for (let pauseMs: number = RETRY_MS[0];; pauseMs = Math.min(2 * pauseMs, RETRY_MS[1])) {
      try {
        return await attempt(giveUp.signal);
      } catch (cause) {
        if (cause instanceof ProtocolError) throw cause;
        if (giveUp.signal.aborted || performance.now() + pauseMs > deadlineMs) {
          throw new ProtocolError(`${peer} does not accept connections`, { cause, mayPass: true });
        }
        if (!isRefusal(cause)) {
          throw new ProtocolError(`${peer} cannot be reached: ${(cause as Error).message}`, {
            cause,
            mayPass: true,
          });
        }
      }
      await new Promise<void>((resolve) => {
        setTimeout(resolve, pauseMs);
        giveUp.signal.addEventListener("abort", () => resolve(), { once: true });
      });
    }
  } finally {
    clearTimeout(timer);
  }
}

const isRefusal = (cause: unknown): boolean =>
  cause instanceof Deno.errors.ConnectionRefused || (cause as { code?: string }).code === "ECONNREFUSED";

function listenPlain(host: string, port: number): ConnectionSource {
  let listener: Deno.TcpListener;
  try {
    listener = Deno.listen({ hostname: host, port });
  } catch (error) {
    if (error instanceof Deno.errors.AddrInUse) throw portInUse(host, port, error);
    const why = (error as Error).message;
    throw new Error(
      `this machine cannot listen on ${addressText(host, port)}: ${why}; give an address of its own`,
    );
  }
  return {
    port: listener.addr.port,
    async next(): Promise<Caller> {
      const stream = await acceptOne(listener), { hostname, port } = stream.remoteAddr;
      return {
        address: addressText(hostname, port),
        opened: Promise.resolve({ stream }),
        drop: () => closeOnce(stream),
      };
    },
    close: () => listener.close(),
  };
}

/** Also where the channel or TLS has closed it: what the listener of a signal throws would end the process. */
function closeOnce(connection: Deno.Conn): void {
  try {
    connection.close();
  } catch {
    // It is closed.
  }
}

/** The next connection that is still there: of one that was reset while it waited the system says so in its place. */
async function acceptOne(listener: Deno.TcpListener): Promise<Deno.TcpConn> {
  const { NotConnected, ConnectionReset, ConnectionAborted } = Deno.errors;
  for (;;) {
    let stream: Deno.TcpConn | undefined;
    try {
      stream = await listener.accept();
      stream.setNoDelay(true);
      return stream;
    } catch (error) {
      stream?.close();
      if (![NotConnected, ConnectionReset, ConnectionAborted].some((kind) => error instanceof kind)) {
        throw error;
      }
    }
  }
}

function checkPlaintext({ host, tls }: TcpOptions): void {
  if (tls !== undefined || /^(localhost|127(\.\d+){3}|::1|\[::1\])$/.test(host)) return;
  throw new RangeError(
    `plain TCP to ${host} would leave this machine, unencrypted and with roles that nobody has proved; give --identity`,
  );
}
