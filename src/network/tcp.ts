/**
 * Channels between processes over TCP, with or without TLS. The only file here that uses `Deno.*`.
 * Without TLS nothing is encrypted and the peer's machine is not authenticated, so plain TCP stays on
 * loopback unless the caller says `allowPlaintext`.
 */

import type { ByteStream } from "./byte_stream.ts";
import { type ChannelOptions, ProtocolError } from "./channel.ts";
import { addressText, type ConnectionSource, LISTENER_CLOSED, portInUse } from "./connection_source.ts";
import { FrameLink } from "./frame_link.ts";
import { FramedChannel } from "./framed_channel.ts";
import { handshake, type HandshakeOptions, type Side } from "./handshake.ts";
import { type NetworkProfile, networkProfile } from "./profiles.ts";

export interface TcpOptions extends ChannelOptions, Omit<HandshakeOptions, "profile"> {
  readonly host: string;
  readonly port: number;
  /** The network to imitate; both ends must name the same. Default `none`. */
  readonly profile?: NetworkProfile;
  /** Lets plain TCP leave the machine. */
  readonly allowPlaintext?: boolean;
}

export interface ListenOptions extends TcpOptions {
  /** Certificate chain and private key, PEM. */
  readonly tls?: { readonly cert: string; readonly key: string };
}

export interface ConnectOptions extends TcpOptions {
  readonly tls?: {
    /** Authority to trust, PEM; the system's authorities by default. */
    readonly ca?: string;
    /** The name that the certificate must carry, if it is not `host`. */
    readonly hostName?: string;
  };
}

export interface ChannelListener {
  readonly port: number;
  /** The next peer's channel, ready to use. A peer that fails the handshake makes one call throw. */
  accept(): Promise<FramedChannel>;
  /** Ends pending and later calls of `accept`; channels live on. */
  close(): void;
}

/** Listens; port 0 takes any free one. */
export async function listen(options: ListenOptions): Promise<ChannelListener> {
  checkPlaintext(options);
  const { host, port, tls, timeoutMs = 60_000 } = options;
  // Loaded when needed: it costs each process 50 ms.
  const source = tls === undefined
    ? listenPlain(host, port)
    : await (await import("./node_tls.ts")).listenTls(host, port, { ...tls, timeoutMs });
  let closed = false;
  return {
    port: source.port,
    async accept() {
      if (closed) throw new Error(LISTENER_CLOSED);
      const { stream, address } = await source.accept().catch((error) => {
        throw closed ? new Error(LISTENER_CLOSED) : error;
      });
      return openChannel(stream, address, "listening", options);
    },
    close() {
      if (closed) return;
      closed = true;
      source.close();
    },
  };
}

/** Connects, and keeps trying while nobody listens yet, for at most `timeoutMs`. */
export async function connect(options: ConnectOptions): Promise<FramedChannel> {
  checkPlaintext(options);
  const { host, port, timeoutMs = 60_000 } = options;
  const peer = `${options.expectedPeer ?? "the peer"} at ${addressText(host, port)}`;
  const deadlineMs = performance.now() + timeoutMs;
  const tcp = await dial(options, peer, deadlineMs);
  tcp.setNoDelay(true);
  if (options.tls === undefined) return openChannel(tcp, addressText(host, port), "connecting", options);
  const { ca, hostName = host } = options.tls;
  let opening: Deno.Conn = tcp;
  let late = false;
  const hangUp = () => {
    try {
      opening.close();
    } catch {
      // The other cause of hanging up came first.
    }
  };
  const timer = setTimeout(() => {
    late = true;
    hangUp();
  }, deadlineMs - performance.now());
  let stream: Deno.TlsConn;
  try {
    stream = await Deno.startTls(tcp, { hostname: hostName, ...(ca === undefined ? {} : { caCerts: [ca] }) });
    opening = stream;
    await stream.handshake();
  } catch (cause) {
    hangUp();
    const why = late ? `no answer within ${timeoutMs / 1000} s` : (cause as Error).message;
    throw new ProtocolError(`no TLS session with ${peer} as "${hostName}": ${why}`, { cause });
  } finally {
    clearTimeout(timer);
  }
  return openChannel(stream, addressText(host, port), "connecting", options);
}

async function openChannel(
  stream: ByteStream,
  address: string,
  side: Side,
  options: TcpOptions,
): Promise<FramedChannel> {
  const link = new FrameLink(stream, options.role, address, options);
  await handshake(link, side, { profile: networkProfile("none"), ...options });
  return new FramedChannel(link);
}

/** First and longest pause between attempts to reach a peer that does not listen yet. */
const RETRY_MS = [10, 200] as const;

async function dial({ host, port }: ConnectOptions, peer: string, deadlineMs: number): Promise<Deno.TcpConn> {
  const giveUp = new AbortController();
  const timer = setTimeout(() => giveUp.abort(), deadlineMs - performance.now());
  try {
    for (let pauseMs: number = RETRY_MS[0];; pauseMs = Math.min(2 * pauseMs, RETRY_MS[1])) {
      try {
        return await Deno.connect({ hostname: host, port, signal: giveUp.signal });
      } catch (cause) {
        const late = giveUp.signal.aborted || performance.now() + pauseMs > deadlineMs;
        if (late) throw new ProtocolError(`${peer} does not accept connections`, { cause });
        if (!(cause instanceof Deno.errors.ConnectionRefused)) throw cause;
      }
      await new Promise((resolve) => setTimeout(resolve, pauseMs));
    }
  } finally {
    clearTimeout(timer);
  }
}

function listenPlain(host: string, port: number): ConnectionSource {
  let listener: Deno.TcpListener;
  try {
    listener = Deno.listen({ hostname: host, port });
  } catch (error) {
    throw error instanceof Deno.errors.AddrInUse ? portInUse(host, port, error) : error;
  }
  return {
    port: listener.addr.port,
    async accept() {
      const stream = await listener.accept();
      stream.setNoDelay(true);
      const { hostname, port } = stream.remoteAddr;
      return { stream, address: addressText(hostname, port) };
    },
    close: () => listener.close(),
  };
}

function checkPlaintext({ host, tls, allowPlaintext = false }: ListenOptions | ConnectOptions): void {
  if (tls !== undefined || allowPlaintext || /^(localhost|127(\.\d+){3}|::1|\[::1\])$/.test(host)) return;
  throw new RangeError(
    `plain TCP to ${host} would leave this machine unencrypted; give TLS certificates or allow plaintext`,
  );
}
