/** What protocols see of the network: ordered, tagged messages between two processes. */

/** Payload bytes and messages that left or reached this end, frame headers not counted. */
export interface Traffic {
  readonly bytes: number;
  readonly messages: number;
}

/**
 * A reliable, ordered, duplex link. Both ends know what comes next: a message that carries another tag
 * or another length than announced is a {@linkcode ProtocolError}, never memory taken on a peer's word.
 * Views on WebAssembly memory may be sent and filled, if that memory does not grow before the promise resolves.
 */
export interface Channel {
  /**
   * Sends `payload`; resolves when the caller may reuse its memory. Delivery keeps the order of calls. With `more` the message
   * goes on with the next call: its parts are counted as one message, whose other end receives them one by one.
   */
  send(tag: number, payload: Uint8Array, more?: boolean): Promise<void>;
  /** Receives the next message, or part of one, into `into`, which has exactly its length. */
  receive(tag: number, into: Uint8Array, more?: boolean): Promise<void>;
  /** As {@linkcode receive}, after a pause between two pieces of work: the peer may take any time to begin, while it shows that it is there. */
  receiveAfterPause(tag: number, into: Uint8Array): Promise<void>;
  /**
   * Sends and receives at once: the two messages of one exchange cross on the wire. If one half fails the channel is aborted, which may take
   * a second, and no memory of the caller is read or written any more.
   */
  exchange(tag: number, payload: Uint8Array, into: Uint8Array): Promise<void>;
  readonly sent: Traffic;
  readonly received: Traffic;
  /** Calls so far: 1 a message, 1 an exchange, as seen by this end. */
  readonly exchanges: number;
  /**
   * Logical time: the longest chain of messages, each sent after the one before had arrived, that ends here. So many one-way
   * delays this end has waited on a link without bandwidth limit; fewer than {@linkcode exchanges} where messages overlap.
   */
  readonly oneWayDelays: number;
  close(): void;
}

/** A channel that knows whom it talks to and can tell them why it stops. */
export interface AbortableChannel extends Channel {
  /** The peer's role, or its address before it has said one. */
  readonly peer: string;
  /**
   * Makes the peer's next receive fail with `reason`, one sentence of at most 512 bytes, and closes; `mayPass` is that of the error
   * which the peer gets.
   */
  abort(reason: string, mayPass?: boolean): Promise<void>;
  /** Resolves when nothing is under way: on a closed channel, when no memory of its callers is read or written any more. */
  settled(): Promise<void>;
}

/** What every transport lets its user choose. */
export interface ChannelOptions {
  /**
   * Names the protocol step of a tag in messages; without it the number stands alone. A misbehaving peer
   * can make it see any 32-bit number: answer `undefined` for an unknown one.
   */
  readonly describeTag?: (tag: number) => string | undefined;
  /** How long the peer may make no progress while this end waits for it. Default 60,000 ms. */
  readonly timeoutMs?: number;
}

/**
 * The peer did something the protocol does not allow, or went away. The message says who, where, what; it is written for the peer too,
 * and names nothing that a role keeps to itself.
 */
export class ProtocolError extends Error {
  override readonly name = "ProtocolError";
  /** Whether another session may fare better: the peer was lost, or said so. */
  readonly mayPass: boolean;

  constructor(message: string, { cause, mayPass = false }: { cause?: unknown; mayPass?: boolean } = {}) {
    super(message, cause === undefined ? {} : { cause });
    this.mayPass = mayPass;
  }
}

/** What a peer hears of an error that is not written for it: another one may name a pixel or a weight. */
export const SHOWN_ELSEWHERE = "stopped by an error of its own, which it alone shows";

/** The reason that peers are given of an error: what was written for them, and of another one nothing. */
export const reasonForPeers = (error: unknown): readonly [reason: string, mayPass: boolean] =>
  error instanceof ProtocolError ? [error.message, error.mayPass] : [SHOWN_ELSEWHERE, false];
