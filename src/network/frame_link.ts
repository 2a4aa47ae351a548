/**
 * Frames over any reliable stream of bytes: order, checks, time-outs, abort and shaping. TCP, TLS and the
 * in-memory pair differ only in the {@linkcode ByteStream} below. It trusts nothing that the peer sends.
 */

import type { ByteStream } from "./byte_stream.ts";
import { type ChannelOptions, ProtocolError, type Traffic } from "./channel.ts";
import {
  ABORT_REASON_BYTES,
  decodeHeader,
  encodeHeader,
  type FrameHeader,
  FrameKind,
  HEADER_BYTES,
} from "./frame.ts";
import { IdleWatch } from "./idle_watch.ts";
import { Lane } from "./lane.ts";
import { ReadAhead } from "./read_ahead.ts";
import { type LinkShaper, waitUntil } from "./shaping.ts";

/** Up to here a header and its payload share one write: a copy of 64 KiB costs no more than another call. */
const JOINED_BYTES = 64 * 1024;
/** What a handshake sends and takes: whoever stays silent costs its listener no more (a thousand of them took 60 MB with the other). */
const SMALL_BYTES = 1024;
/** What an ending connection may take: delivering our reason, or hearing the peer's. */
const FAREWELL_MS = 1000;
/** Signs of life come every quarter of a time-out of at least one second, and some at once where the network held them back. */
const SHORTEST_SILENCE_MS = 200, MOST_SIGNS = 100;
/** No shaped link holds a frame for longer; a stamp that asks for more is a fault. */
const LONGEST_DELAY_MS = 600_000;

const KIND_NAMES: Readonly<Record<number, string>> = {
  [FrameKind.data]: "data",
  [FrameKind.abort]: "an abort",
  [FrameKind.hello]: "the greeting",
  [FrameKind.proof]: "the proof of the token",
  [FrameKind.clock]: "a clock reading",
  [FrameKind.alive]: "a sign of life",
};

/** The message under way in one direction, for error messages. */
interface Progress {
  kind: FrameKind;
  tag: number;
  length: number;
  bytes: number;
}

export class FrameLink {
  /** The peer's name; its address until the handshake has told its role. */
  peer: string;
  readonly address: string;

  #stream: ByteStream;
  #shaper: LinkShaper | undefined;
  readonly #self: string;
  readonly #describeTag: (tag: number) => string | undefined;
  readonly #timeoutMs: number;

  readonly #sending = new Lane();
  readonly #sendWatch: IdleWatch;
  #outbox = new Uint8Array(HEADER_BYTES + SMALL_BYTES);
  #outboxHeader = new DataView(this.#outbox.buffer, 0, HEADER_BYTES);
  readonly #outgoing: Progress = { kind: FrameKind.data, tag: 0, length: 0, bytes: 0 };
  #sendSequence = 0;
  #sent: Traffic = { bytes: 0, messages: 0 };

  readonly #receiving = new Lane();
  readonly #receiveWatch: IdleWatch;
  #inbox = new Uint8Array(HEADER_BYTES + SMALL_BYTES);
  #inboxHeader = new DataView(this.#inbox.buffer, 0, HEADER_BYTES);
  readonly #incoming: Progress = { kind: FrameKind.data, tag: 0, length: 0, bytes: 0 };
  #receiveSequence = 0;
  #received: Traffic = { bytes: 0, messages: 0 };
  /** Logical time (Lamport's clock): a message arrives one delay after its sender's time at departure. */
  #delays = 0;

  readonly #beginMs = performance.now();
  #signsHeard = 0;
  #signsOfLife: ReturnType<typeof setInterval> | undefined;
  /** Why the link is dead: the first cause, which every later call repeats. */
  #failure: Error | undefined;
  readonly #over = new AbortController();

  constructor(stream: ByteStream, self: string, address: string, options: ChannelOptions) {
    this.#stream = stream;
    this.#self = self;
    this.peer = this.address = address;
    this.#describeTag = options.describeTag ?? (() => undefined);
    this.#timeoutMs = options.timeoutMs ?? 60_000;
    this.#sendWatch = new IdleWatch(this.#timeoutMs, () => this.#giveUp("accepted", "sent", this.#outgoing));
    this.#receiveWatch = new IdleWatch(
      this.#timeoutMs,
      () => this.#giveUp("sent", "awaited", this.#incoming),
    );
  }

  get #closed(): boolean {
    return this.#over.signal.aborted;
  }

  /** Payload of data frames that left. */
  get sent(): Traffic {
    return this.#sent;
  }

  /** Payload of data frames that arrived. */
  get received(): Traffic {
    return this.#received;
  }

  /** The longest chain of messages that ends here. */
  get delays(): number {
    return this.#delays;
  }

  /** Resolves when `payload` may be overwritten. */
  send(kind: FrameKind, tag: number, payload: Uint8Array): Promise<void> {
    return this.#sending.run(() => this.#sendFrame(kind, tag, payload));
  }

  /**
   * Fills `into` with the payload of the next frame, which must have this kind, tag and length. Without a `pause` the frame must
   * begin in time; with it, as long as signs of life come in time.
   */
  receive(kind: FrameKind, tag: number, into: Uint8Array, pause = false): Promise<void> {
    return this.#receiving.run(() => this.#receiveFrame(kind, tag, into, pause));
  }

  /** From now on says every `everyMs` that this end is there, unless it has said something else. */
  keepAlive(everyMs: number): void {
    let said = this.#sendSequence;
    this.#signsOfLife = setInterval(() => {
      if (said === this.#sendSequence && !this.#sending.busy) {
        // That the peer is gone is kept as the failure of the link, for whoever uses it next.
        this.send(FrameKind.alive, 0, new Uint8Array(0)).catch(() => {});
      }
      said = this.#sendSequence;
    }, everyMs);
  }

  /** Resolves when nothing is under way: on a closed link, when no memory of its callers is read or written any more. */
  async settled(): Promise<void> {
    await Promise.all([this.#sending.idle(), this.#receiving.idle()]);
  }

  /** Shapes every later frame. Nothing may be under way, and the peer shapes from the same frame on. */
  shape(shaper: LinkShaper): void {
    this.#shaper = shaper;
    if (shaper.isLong) this.#stream = new ReadAhead(this.#stream);
  }

  /** The tag of an abort frame says whether another session may fare better. */
  async abort(reason: string, mayPass = false): Promise<void> {
    if (this.#closed) return;
    this.#fail(new ProtocolError(`this end stopped: ${reason}`, { mayPass }));
    const sentence = new Uint8Array(ABORT_REASON_BYTES);
    const { written } = new TextEncoder().encodeInto(reason, sentence);
    const told = this.#sending.run(() =>
      this.#writeFrame(FrameKind.abort, Number(mayPass), sentence.subarray(0, written))
    );
    await atMost(FAREWELL_MS, told);
    this.close();
  }

  close(): void {
    if (this.#closed) return;
    this.#over.abort();
    this.#fail(new Error(`this end closed the channel to ${this.peer}`));
    clearInterval(this.#signsOfLife);
    this.#sendWatch.close();
    this.#receiveWatch.close();
    try {
      this.#stream.close();
    } catch {
      // Who handed it over has closed it: a listener drops callers whose time is up.
    }
  }

  async #sendFrame(kind: FrameKind, tag: number, payload: Uint8Array): Promise<void> {
    if (this.#failure !== undefined) throw this.#failure;
    const outgoing = this.#outgoing;
    outgoing.kind = kind;
    outgoing.tag = tag;
    outgoing.length = payload.length;
    this.#sendWatch.start();
    try {
      await this.#writeFrame(kind, tag, payload);
    } catch (cause) {
      const lost = `lost the connection to ${this.peer} while ${this.#step(outgoing)} was sent`;
      const what = `${this.#amount(outgoing)} handed over: ${(cause as Error).message}`;
      this.#fail(new ProtocolError(`${lost}, ${what}`, { cause, mayPass: true }));
      await this.#hearFarewell();
      throw this.#failure;
    } finally {
      this.#sendWatch.stop();
    }
    if (kind === FrameKind.data) this.#sent = plusMessage(this.#sent, payload.length);
  }

  async #writeFrame(kind: FrameKind, tag: number, payload: Uint8Array): Promise<void> {
    const length = payload.length;
    const departureMs = kind !== FrameKind.alive && this.#shaper?.depart(HEADER_BYTES + length) || 0;
    const sequence = this.#sendSequence, delays = this.#delays;
    if (length > SMALL_BYTES && this.#outbox.length < JOINED_BYTES) {
      this.#outbox = new Uint8Array(HEADER_BYTES + JOINED_BYTES);
      this.#outboxHeader = new DataView(this.#outbox.buffer, 0, HEADER_BYTES);
    }
    encodeHeader({ kind, tag, sequence, length, departureMs, delays }, this.#outboxHeader);
    this.#sendSequence = (this.#sendSequence + 1) >>> 0;
    const joined = length <= JOINED_BYTES ? length : 0;
    if (joined > 0) this.#outbox.set(payload, HEADER_BYTES);
    this.#outgoing.bytes = -HEADER_BYTES;
    await this.#writeAll(this.#outbox.subarray(0, HEADER_BYTES + joined));
    if (joined < length) await this.#writeAll(payload);
  }

  async #writeAll(bytes: Uint8Array): Promise<void> {
    // The length is read once: memory that moves meanwhile must be an error, not a short message.
    const { length } = bytes;
    for (let done = 0; done < length;) {
      const count = await this.#stream.write(done === 0 ? bytes : bytes.subarray(done));
      this.#sendWatch.progress();
      this.#outgoing.bytes += count;
      done += count;
    }
  }

  async #receiveFrame(kind: FrameKind, tag: number, into: Uint8Array, pause: boolean): Promise<void> {
    if (this.#failure !== undefined) throw this.#failure;
    const incoming = this.#incoming;
    incoming.kind = kind;
    incoming.tag = tag;
    incoming.length = into.length;
    incoming.bytes = 0;
    let departureMs: number;
    this.#receiveWatch.start();
    try {
      // Never asks for more than this frame, so that nothing of the next one has to be kept.
      const joined = into.length <= JOINED_BYTES ? into.length : 0;
      if (joined > SMALL_BYTES && this.#inbox.length < JOINED_BYTES) {
        this.#inbox = new Uint8Array(HEADER_BYTES + JOINED_BYTES);
        this.#inboxHeader = new DataView(this.#inbox.buffer, 0, HEADER_BYTES);
      }
      const { header, buffered } = await this.#header(joined, pause);
      departureMs = this.#expected(header);
      this.#receiveWatch.progress();
      if (buffered > HEADER_BYTES) into.set(this.#inbox.subarray(HEADER_BYTES, buffered));
      incoming.bytes = buffered - HEADER_BYTES;
      while (incoming.bytes < incoming.length) {
        incoming.bytes += await this.#read(rest(into, incoming));
        this.#receiveWatch.progress();
      }
      rest(into, incoming);
    } catch (error) {
      throw this.#fail(error as Error);
    } finally {
      this.#receiveWatch.stop();
    }
    if (this.#shaper !== undefined) {
      const arrivalMs = this.#shaper.arrival(departureMs, HEADER_BYTES + into.length);
      // Also catches a stamp that is no number.
      if (!(arrivalMs - performance.now() < LONGEST_DELAY_MS)) {
        throw this.#fault(`${this.#step(incoming)} is stamped to depart at ${departureMs} ms`);
      }
      await waitUntil(arrivalMs, this.#sending, this.#over.signal);
      if (this.#closed) throw this.#failure;
    }
    if (kind === FrameKind.data) this.#received = plusMessage(this.#received, into.length);
  }

  /**
   * The next header but for signs of life, in the inbox with at most `joined` bytes of payload; throws if it is none, or the peer's
   * last. Only whole headers are progress, else one byte from time to time would hold this end for ever.
   */
  async #header(joined: number, pause: boolean): Promise<{ header: FrameHeader; buffered: number }> {
    const inbox = this.#inbox.subarray(0, HEADER_BYTES + joined);
    for (let buffered = 0;;) {
      buffered = await this.#readAtLeast(HEADER_BYTES, inbox, buffered);
      const header = decodeHeader(this.#inboxHeader);
      if (typeof header === "string") {
        throw this.#fault(`${this.#step(this.#incoming)} was awaited, but ${header}`);
      }
      if (header.kind === FrameKind.abort) throw await this.#peerAborted(header, buffered);
      if (header.kind !== FrameKind.alive) return { header, buffered };
      if (header.length !== 0 || header.sequence !== this.#receiveSequence) {
        throw this.#fault("its sign of life is out of order");
      }
      if (++this.#signsHeard > MOST_SIGNS + (performance.now() - this.#beginMs) / SHORTEST_SILENCE_MS) {
        throw this.#fault("its signs of life come without end");
      }
      this.#receiveSequence = (this.#receiveSequence + 1) >>> 0;
      if (pause) this.#receiveWatch.progress();
      inbox.copyWithin(0, HEADER_BYTES, buffered);
      buffered -= HEADER_BYTES;
    }
  }

  /** Compares a header with the expected message; returns its departure. */
  #expected(came: FrameHeader): number {
    const { kind, tag, length } = this.#incoming;
    const sequence = this.#receiveSequence;
    if (came.kind !== kind || came.tag !== tag || came.length !== length || came.sequence !== sequence) {
      throw this.#fault(
        `expected ${this.#step(this.#incoming)} with ${length} bytes as message ${sequence}, ` +
          `came ${this.#step(came)} with ${came.length} bytes as message ${came.sequence}`,
      );
    }
    this.#receiveSequence = (sequence + 1) >>> 0;
    this.#delays = Math.max(this.#delays, came.delays + 1);
    return came.departureMs;
  }

  async #peerAborted({ length, tag }: FrameHeader, buffered: number): Promise<Error> {
    if (length > ABORT_REASON_BYTES) return this.#fault(`its reason to abort has ${length} bytes`);
    const frame = this.#inbox.subarray(0, HEADER_BYTES + length);
    await this.#readAtLeast(frame.length, frame, buffered);
    // Somebody else's text: nothing in it may move the cursor of a terminal or start a new log line.
    const reason = new TextDecoder().decode(frame.subarray(HEADER_BYTES)).replace(/\p{C}/gu, " ");
    // It explains whatever else this end noticed before.
    return this.#failure = new ProtocolError(`${this.peer} stopped: ${reason}`, { mayPass: tag === 1 });
  }

  /** Fills `into` from `done` on until it holds at least `bytes`. */
  async #readAtLeast(bytes: number, into: Uint8Array, done: number): Promise<number> {
    while (done < bytes) done += await this.#read(done === 0 ? into : into.subarray(done));
    return done;
  }

  async #read(into: Uint8Array): Promise<number> {
    let count: number | null;
    let cause: unknown;
    try {
      count = await this.#stream.read(into);
    } catch (error) {
      count = null;
      cause = error;
    }
    if (count !== null) return count;
    const what = `during ${this.#step(this.#incoming)}, ${this.#amount(this.#incoming)} received`;
    const sentence = cause === undefined
      ? `${this.peer} closed the connection ${what}`
      : `lost the connection to ${this.peer} ${what}: ${(cause as Error).message}`;
    throw this.#fail(new ProtocolError(sentence, { cause, mayPass: true }));
  }

  /** A peer that stops sends its reason before it goes: it may lie unread behind a failed write. */
  #hearFarewell(): Promise<void> {
    if (this.#closed) return Promise.resolve();
    const farewell = async () => void await this.#header(0, false);
    return atMost(FAREWELL_MS, this.#receiving.busy ? this.#receiving.idle() : this.#receiving.run(farewell));
  }

  #giveUp(verb: string, was: string, message: Progress): void {
    const nothing = `${verb} nothing for ${this.#timeoutMs / 1000} s while ${this.#step(message)} was ${was}`;
    this.#fail(
      new ProtocolError(
        `${this.peer} ${nothing}, ${this.#amount(message)} ${was === "sent" ? "sent" : "received"}`,
        { mayPass: true },
      ),
    );
    void this.abort(`${this.#self} gave up: ${this.peer} ${nothing}`, true);
  }

  #fault(sentence: string): Error {
    return this.#fail(new ProtocolError(`from ${this.peer} to ${this.#self}: ${sentence}`));
  }

  #fail(error: Error): Error {
    return this.#failure ??= error;
  }

  #step({ kind, tag }: { kind: number; tag: number }): string {
    if (kind !== FrameKind.data) return KIND_NAMES[kind] ?? `a frame of unknown kind ${kind}`;
    const name = this.#describeTag(tag);
    return name === undefined ? `tag ${tag}` : `${name} (tag ${tag})`;
  }

  #amount({ bytes, length }: Progress): string {
    return `${Math.max(bytes, 0)} of ${length} bytes`;
  }
}

/** What is still to be filled. WebAssembly memory that grew has left its views behind, with length 0. */
function rest(into: Uint8Array, { length, bytes }: Progress): Uint8Array {
  if (into.length !== length) throw new TypeError("the memory of a message moved while it was awaited");
  return bytes === 0 ? into : into.subarray(bytes);
}

function plusMessage(traffic: Traffic, bytes: number): Traffic {
  return { bytes: traffic.bytes + bytes, messages: traffic.messages + 1 };
}

/** Waits for `promise`, whatever becomes of it, but no longer than `ms`. */
async function atMost(ms: number, promise: Promise<void>): Promise<void> {
  const timer = Promise.withResolvers<void>();
  const id = setTimeout(timer.resolve, ms);
  await Promise.race([promise.catch(() => {}), timer.promise]);
  clearTimeout(id);
}
