/**
 * Runs a chain of steps with dealer, server and client in this process, for tests: real correlations, real messages, an in-memory link. Each
 * step reads what the one before has made.
 */
import type { Role } from "../correlations/correlation.ts";
import { Dealing, type Seeds } from "../correlations/dealing.ts";
import { type Drawn, StepDraw } from "../correlations/drawn.ts";
import type { Channel } from "../network/channel.ts";
import { memoryPair } from "../network/memory_pair.ts";
import { freshSeed, Seed } from "../random/stream.ts";
import { ConvolutionPool } from "../ring/pool.ts";
import type { Ring } from "../ring/ring.ts";
import { RingTensor, type Width } from "../ring/tensor.ts";
import { type Half, readBits, type Wire } from "../wires/wire.ts";
import type { EncodedLayer, Message, Prepared, ProtocolStep } from "./protocol.ts";

export interface ChainOptions {
  /** The server's layers of a linear step. */
  readonly layers?: () => readonly EncodedLayer[];
  /** Sees, and may replace, a party's end of the link. */
  readonly tap?: (role: Role, channel: Channel) => Channel;
  /** Left out, numbers are shared at random; else all of them are the server's. */
  readonly isShared?: boolean;
  /** Replaces what a party draws. */
  readonly weaken?: (drawn: Drawn) => Drawn;
  /** Queries of the session; the last one is reported. */
  readonly queries?: number;
}

export interface ChainRun {
  /** Outputs of the last step, the sum of all halves read in the ring of the wire. */
  readonly outputs: readonly BigInt64Array[];
  /** The client's early halves of them. */
  readonly clientEarly: readonly (BigInt64Array | undefined)[];
  readonly traffic: Readonly<Record<Message["phase"], { server: number; client: number; exchanges: number }>>;
  readonly dealtBytes: number;
  /** The online phase of a step once more, by a party. */
  readonly again: (role: Role) => Promise<unknown>;
}

const ROLES = ["server", "client"] as const;

/** Runs the chain on real numbers shared as `wire` says. */
export async function runChain(
  ring: Ring,
  wire: Wire,
  values: ArrayLike<number>,
  steps: readonly ProtocolStep[],
  { layers, tap = (_, channel) => channel, weaken = (drawn) => drawn, queries = 1, isShared = true }:
    ChainOptions = {},
): Promise<ChainRun> {
  const pool = new ConvolutionPool(ring, 1), [server, client] = memoryPair();
  const [dealer, dealerAtServer] = memoryPair({ roles: ["dealer", "server"] });
  const peers = { server: tap("server", server), client: tap("client", client) };
  const labelled = steps.map((step, i) => ({ ...step, label: i + 1 }));
  const draw = (role: Role, seeds: Seeds, list: "session" | "query", i: number) =>
    new StepDraw(
      ring,
      role,
      labelled[i][list],
      seeds[role].stream(i + 1),
      role === "server" ? (bytes) => dealerAtServer.receive(i + 1, bytes) : null,
    );
  const party = (role: Role, i: number) => ({ role, ring, pool, peer: peers[role], tag: i + 1 });
  const traffic = counters(peers);

  const session = freshSeeds();
  using dealing = new Dealing(pool, labelled, session);
  const ready = await both((role) =>
    inOrder(steps, (step, i) =>
      step.setUp(
        party(role, i),
        weaken(draw(role, session, "session", i)),
        role === "server" && step.session.length > 0 ? layers?.() ?? null : null,
      ))
  );
  traffic.take("session");

  let result: Omit<ChainRun, "traffic" | "dealtBytes">, dealt = 0;
  for (let query = 0; query < queries; query++) {
    const seeds = freshSeeds(),
      halves = shared(ring, wire, values, isShared),
      before = dealerAtServer.received.bytes;
    const [early, [prepared]] = [{} as Record<Role, readonly Half[]>, [{} as Record<Role, Prepared[]>]];
    await Promise.all([
      dealing.query(seeds, (label, bytes) => dealer.send(label, bytes)),
      both(async (role) => {
        let inputs: readonly Half[] = [halves[role].early];
        prepared[role] = await inOrder(ready[role], async (step, i) => {
          const drawn = draw(role, seeds, "query", i),
            made = await step.prepare(party(role, i), weaken(drawn), inputs);
          if (weaken(drawn) === drawn) drawn.finish();
          inputs = made.early;
          return made;
        });
        early[role] = inputs;
      }),
    ]);
    dealt = dealerAtServer.received.bytes - before;
    traffic.take("offline");
    const clientEarly = early.client.map((half, i) => half && integers(half, steps.at(-1)!.outputs[i]));
    const lastInputs = {} as Record<Role, readonly Half[]>;
    const late = await both(async (role) => {
      let inputs: readonly Half[] = [halves[role].late];
      for (const { online } of prepared[role]) {
        lastInputs[role] = inputs;
        inputs = await online?.(inputs) ?? [];
      }
      return inputs;
    });
    traffic.take("online");
    result = {
      clientEarly,
      outputs: steps.at(-1)!.outputs.map((output, i) =>
        sumOf(output, ROLES.flatMap((role) => [early[role][i], late[role][i]]))
      ),
      again: async (role) => await prepared[role].at(-1)!.online?.(lastInputs[role]),
    };
  }
  return { ...result!, traffic: traffic.phases, dealtBytes: dealt };
}

/** Shares numbers at random in the form that a wire says; a re-masked one is made by its step, see `steps/remask.ts`. */
function shared(ring: Ring, wire: Wire, values: ArrayLike<number>, isShared: boolean) {
  const { width, clientLate, fractionBits, extraBits } = wire;
  const tensor = () => new RingTensor(ring, width, values.length, fractionBits);
  const mine = tensor(), theirs = tensor(), bits = width === 64 ? 64 : 32;
  const bytes = theirs.bytes;
  bytes.fill(0);
  for (let at = 0; isShared && at < bytes.length; at += 65536) {
    crypto.getRandomValues(bytes.subarray(at, at + 65536));
  }
  const modulus = 2 ** (fractionBits - extraBits), lift = BigInt(extraBits);
  for (let i = 0; i < values.length; i++) {
    const v = BigInt(Math.round(values[i] * modulus)) << lift;
    if (bits === 64) mine.int64[i] = BigInt.asIntN(64, v - theirs.int64[i]);
    else {
      // The extra bits of every part of such a value are zero or cancel; here they are zero.
      theirs.uint32[i] = theirs.uint32[i] >>> extraBits << extraBits;
      mine.uint32[i] = Number(BigInt.asUintN(32, v - BigInt(theirs.uint32[i])));
    }
  }
  return {
    server: { early: undefined, late: mine },
    client: clientLate ? { early: undefined, late: theirs } : { early: theirs, late: undefined },
  } as Record<Role, { early: Half; late: Half }>;
}

const integers = (half: RingTensor<Width>, wire: Wire): BigInt64Array => sumOf(wire, [half]);

/** Signed integers of a sum of parts. */
function sumOf(wire: Wire, parts: readonly Half[]): BigInt64Array {
  const bits = readBits(wire), sum = new BigInt64Array(wire.words);
  for (const part of parts) {
    if (!part) continue;
    const words = part.width === 64 ? part.int64 : part.uint32;
    for (let i = 0; i < sum.length; i++) sum[i] += BigInt(words[i]);
  }
  return sum.map((v) => BigInt.asIntN(bits, v));
}

/** Counts what both parties have sent since the phase before. */
function counters(peers: Record<Role, Channel>) {
  const now = () => ({
    server: peers.server.sent.bytes,
    client: peers.client.sent.bytes,
    exchanges: peers.client.exchanges,
  });
  const phases = {} as Record<Message["phase"], ReturnType<typeof now>>;
  let before = now();
  return {
    phases,
    take(phase: Message["phase"]) {
      const after = now();
      phases[phase] = {
        server: after.server - before.server,
        client: after.client - before.client,
        exchanges: after.exchanges - before.exchanges,
      };
      before = after;
    },
  };
}

const freshSeeds = (): Seeds => ({ server: new Seed(freshSeed()), client: new Seed(freshSeed()) });

async function inOrder<A, B>(items: readonly A[], work: (item: A, i: number) => Promise<B>): Promise<B[]> {
  const results: B[] = [];
  for (const [i, item] of items.entries()) results.push(await work(item, i));
  return results;
}

/** Both parties at once. */
async function both<T>(work: (role: Role) => Promise<T>): Promise<Record<Role, T>> {
  const [server, client] = await Promise.all([work("server"), work("client")]);
  return { server, client };
}

/** What the lists of messages say of one phase. */
export function expectedTraffic(steps: readonly ProtocolStep[], phase: Message["phase"]) {
  const messages = steps.flatMap((step) => step.messages).filter((message) => message.phase === phase);
  const from = (role: Role) =>
    messages.reduce((sum, { from, bytes }) => from === role || from === "both" ? sum + bytes : sum, 0);
  return { server: from("server"), client: from("client"), exchanges: messages.length };
}

/** A drawn half whose own words and shares are all zero: what a constant mask would be. */
export const zeroMasks = (drawn: Drawn): Drawn => ({
  own(own, into) {
    const tensor = drawn.own(own, into);
    tensor.bytes.fill(0);
    return tensor;
  },
  async share(dealt, into) {
    const tensor = await drawn.share(dealt, into);
    tensor.bytes.fill(0);
    return tensor;
  },
});

/** Counts the bytes that a party sends into `counts`. */
export const countingBytes = (counts: Float64Array, role: Role): ChainOptions["tap"] => (of, channel) => {
  if (of !== role) return channel;
  const record = (payload: Uint8Array) => payload.forEach((byte) => counts[byte]++);
  const { send, exchange } = channel;
  channel.send = (tag, payload, more) => (record(payload), send.call(channel, tag, payload, more));
  channel.exchange = (tag, payload, into) => (record(payload), exchange.call(channel, tag, payload, into));
  return channel;
};

/** Chi-square of counts over 256 classes; 255 degrees of freedom, mean 255, deviation 22.6. */
export function chiSquare(counts: Float64Array): number {
  const expected = counts.reduce((sum, count) => sum + count, 0) / 256;
  return counts.reduce((sum, count) => sum + (count - expected) ** 2 / expected, 0);
}

/** Six deviations above the mean. */
export const CHI_SQUARE_LIMIT = 255 + 6 * 22.6;
