/**
 * A private inference whose messages are all recorded, with the random numbers of a seed in place of the system's and every block of ring
 * memory filled before its first use: two records that differ in the filling alone differ where memory left a process that no
 * message was written to. A marker under a mask looks uniform, so looking for the marker would not be enough.
 */
import type { Role } from "../correlations/correlation.ts";
import { fromDealer, type Source } from "../correlations/source.ts";
import type { Weights } from "../models/graph.ts";
import type { Channel } from "../network/channel.ts";
import { memoryPair } from "../network/memory_pair.ts";
import { ConvolutionPool } from "../ring/pool.ts";
import { Ring } from "../ring/ring.ts";
import { runDealer } from "./dealer.ts";
import type { Plan } from "./plan.ts";
import { openSession } from "./session.ts";

export interface RecordedMessage {
  readonly from: string;
  readonly to: string;
  readonly phase: "set-up" | "offline" | "online";
  /** What the frame is labelled with. */
  readonly tag: number;
  /** The payload; the parts of a message that travels in parts are joined. */
  readonly bytes: Uint8Array;
}

export interface Recording {
  /** In the order of sending for each sender and receiver, these one after another. */
  readonly messages: readonly RecordedMessage[];
  readonly logits: readonly Float64Array[];
}

export interface RecordingOptions {
  /** Of the generator that stands for the system's. */
  readonly seed?: number;
  /** Draws the same numbers at every call: every query has the masks of the one before, which tests of masks must see. */
  readonly constantMasks?: boolean;
  /** The second of two images in a query has the masks of the first. */
  readonly sharedMasks?: boolean;
  /** Byte that fills fresh ring memory. */
  readonly filling?: number;
  readonly threads?: number;
}

/** Classifies `images` one after another. */
export async function recordInference(
  plan: Plan,
  weights: Weights,
  images: readonly ArrayLike<number>[],
  { seed = 1, constantMasks = false, sharedMasks = false, filling = 0, threads = 1 }: RecordingOptions = {},
): Promise<Recording> {
  using _randomness = seededRandomness(seed, constantMasks);
  const ring = filledRing(await Ring.open(), filling);
  using pool = new ConvolutionPool(ring, threads);
  const log = new Log();
  const [server, client] = log.link("server", "client");
  const [dealerOfServer, dealerAtServer] = log.link("dealer", "server");
  const [dealerOfClient, dealerAtClient] = log.link("dealer", "client");
  const dealing = runDealer({
    pool,
    plan,
    server: dealerOfServer,
    client: dealerOfClient,
    queries: images.length,
  });
  const sourceOf = sharedMasks ? withSharedMasks : (source: Source) => source;
  const open = (role: Role, peer: Channel, dealer: Channel, weights: Weights | null) => {
    const source = fromDealer(ring, role, dealer);
    return openSession({ role, pool, peer, source: (digest) => sourceOf(source(digest)), plan, weights });
  };
  const parties = await Promise.all([
    open("server", server, dealerAtServer, weights),
    open("client", client, dealerAtClient, null),
  ]);
  const logits: Float64Array[] = [];
  for (const image of images) {
    log.phase = "offline";
    const [atServer, atClient] = await Promise.all(parties.map((party) => party.prepare()));
    log.phase = "online";
    const [, result] = await Promise.all([atServer.run(null), atClient.run(image)]);
    logits.push(result.logits!);
  }
  await Promise.all([...parties.map((party) => party.end()), dealing]);
  return { messages: log.messages, logits };
}

/** A source whose queries repeat the first half of everything that is drawn. */
const withSharedMasks = (source: Source): Source => ({
  ...source,
  async query(number) {
    const draw = await source.query(number);
    return (step) => {
      const drawn = draw(step), own = drawn.own.bind(drawn), share = drawn.share.bind(drawn);
      const halved = <T extends { readonly bytes: Uint8Array }>(tensor: T): T => {
        tensor.bytes.copyWithin(tensor.bytes.length / 2, 0, tensor.bytes.length / 2);
        return tensor;
      };
      drawn.own = (...parameters) => halved(own(...parameters));
      drawn.share = async (...parameters) => halved(await share(...parameters));
      return drawn;
    };
  },
});

/** What was sent, link by link. */
class Log {
  phase: RecordedMessage["phase"] = "set-up";
  readonly #sent = new Map<string, RecordedMessage[]>();

  get messages(): RecordedMessage[] {
    return [...this.#sent.values()].flat();
  }

  link(a: string, b: string): [Channel, Channel] {
    const [first, second] = memoryPair({ roles: [a, b] });
    return [this.#tap(first, a, b), this.#tap(second, b, a)];
  }

  #tap(channel: Channel, from: string, to: string): Channel {
    const sent: RecordedMessage[] = [];
    this.#sent.set(`${from} ${to}`, sent);
    let goesOn = false;
    const record = (tag: number, payload: Uint8Array, more = false) => {
      const before = goesOn ? sent.pop()!.bytes : new Uint8Array(),
        bytes = new Uint8Array(before.length + payload.length);
      bytes.set(before);
      bytes.set(payload, before.length);
      sent.push({ from, to, phase: this.phase, tag, bytes });
      goesOn = more;
    };
    return Object.create(channel, {
      send: {
        value: (tag: number, payload: Uint8Array, more?: boolean) => (
          record(tag, payload, more), channel.send(tag, payload, more)
        ),
      },
      receive: { value: channel.receive.bind(channel) },
      receiveAfterPause: { value: channel.receiveAfterPause.bind(channel) },
      exchange: {
        value: (tag: number, payload: Uint8Array, into: Uint8Array) => (
          record(tag, payload), channel.exchange(tag, payload, into)
        ),
      },
      sent: { get: () => channel.sent },
      received: { get: () => channel.received },
      exchanges: { get: () => channel.exchanges },
      oneWayDelays: { get: () => channel.oneWayDelays },
      close: { value: () => channel.close() },
    });
  }
}

/** Fills every block that is handed out, the slack behind it too. */
function filledRing(ring: Ring, filling: number): Ring {
  const allocate = ring.allocate.bind(ring);
  ring.allocate = (bytes) => {
    const address = allocate(bytes);
    ring.bytes.fill(filling, address, address + Math.ceil(bytes / 64) * 64 + 192);
    return address;
  };
  return ring;
}

/** Until it is disposed of, `crypto.getRandomValues` draws from a generator (xorshift32) with this seed. */
function seededRandomness(seed: number, constant: boolean): Disposable {
  const { getRandomValues } = crypto, start = (Math.imul(seed, 0x9e3779b9) ^ 0x85ebca6b) | 1;
  let state = start;
  const next = () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state >>> 24;
  };
  crypto.getRandomValues = (view) => {
    if (constant) state = start;
    const bytes = new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
    for (let i = 0; i < bytes.length; i++) bytes[i] = next();
    return view;
  };
  return {
    [Symbol.dispose]() {
      crypto.getRandomValues = getRandomValues;
    },
  };
}
