/**
 * A party of a private inference. The offline phase of a query goes through the plan with early halves, the online phase with late ones:
 * what a party does online is what its early halves leave to do.
 */
import type { Source } from "../correlations/source.ts";
import { sizeOf, type Weights } from "../models/graph.ts";
import { type Channel, ProtocolError } from "../network/channel.ts";
import type { Prepared, Role, SessionStep } from "../protocols/protocol.ts";
import { decode, encodeWords } from "../ring/fixed_point.ts";
import type { ConvolutionPool } from "../ring/pool.ts";
import type { Ring } from "../ring/ring.ts";
import type { RingTensor, Width } from "../ring/tensor.ts";
import type { Half } from "../wires/wire.ts";
import { ServerWeights, sessionWeights } from "./server_weights.ts";
import { digestOf, type Plan, type Step } from "./plan.ts";
import { PLAN_TAG, queryTag } from "./tags.ts";
import { TimedChannel } from "./timed_channel.ts";

export interface SessionOptions {
  readonly role: Role;
  readonly pool: ConvolutionPool;
  readonly peer: Channel;
  /** Where correlations come from, given the digest that this party's plan has. */
  readonly source: (digest: Uint8Array) => Source;
  readonly plan: Plan;
  /** Weights of the folded graph: the server's, null at the client. Those of a server of many sessions are packed for all. */
  readonly weights: Weights | ServerWeights | null;
  /**
   * Called with every half that a party adds to a value after each step, in debugging runs: their sum over both phases and parties is
   * the value. To be read before it returns: the ring has the words back soon after.
   */
  readonly observe?: (id: string, half: RingTensor<Width>) => void;
}

/** Time of the online phase of one query at this party. */
export interface OnlineTime {
  readonly milliseconds: number;
  /** Without the time spent sending, receiving and waiting. */
  readonly computeMilliseconds: number;
}

/** Halves of values by name. */
type Halves = Map<string, RingTensor<Width>>;

/** Set-up of a party: compares plans, then sends masked weights, once for all queries. */
export async function openSession(options: SessionOptions): Promise<Session> {
  const { plan, peer, pool, role } = options, digest = await digestOf(plan), given = options.weights;
  const weights = given === null || given instanceof ServerWeights ? given : sessionWeights(plan, given);
  await comparePlans(peer, digest);
  const source = options.source(digest), draw = await source.session();
  const ready = new Map<Step, SessionStep>();
  for (const step of plan.steps) {
    const layers = step.kind === "linear" && weights ? weights.layers(pool.ring, step) : null;
    const drawn = draw(step);
    ready.set(step, await step.setUp({ role, ring: pool.ring, pool, peer, tag: step.label }, drawn, layers));
    drawn.finish();
    layers?.forEach(({ weights }) => weights[Symbol.dispose]());
  }
  return new Session(options, source, ready);
}

/** Ends a session whose parties do not mean the same, before anything is sent. */
async function comparePlans(peer: Channel, mine: Uint8Array): Promise<void> {
  const theirs = new Uint8Array(mine.length);
  await peer.exchange(PLAN_TAG, mine, theirs);
  if (mine.some((byte, i) => byte !== theirs[i])) {
    throw new ProtocolError(
      "server and client were started with different plans; use the same version, model, classes, activation, linear protocol, " +
        "polynomial or wave, fraction bits, ring bits, angle bits, batch and ranges on both sides",
    );
  }
}

export class Session {
  readonly #peer: TimedChannel;
  #queries = 0;

  constructor(
    private readonly options: SessionOptions,
    private readonly source: Source,
    private readonly ready: ReadonlyMap<Step, SessionStep>,
  ) {
    this.#peer = new TimedChannel(options.peer);
  }

  /** The offline phase of the next query. */
  async prepare(): Promise<PreparedQuery> {
    const { role, pool, plan, observe } = this.options, number = this.#queries++;
    const draw = await this.source.query(number), online = new Map<Step, Prepared["online"]>();
    const early: Halves = new Map();
    await through(plan, early, observe, async (step, inputs) => {
      const tag = queryTag(step.label, number),
        party = { role, ring: pool.ring, pool, peer: this.#peer, tag };
      const drawn = draw(step), prepared = await this.ready.get(step)!.prepare(party, drawn, inputs);
      drawn.finish();
      online.set(step, prepared.online);
      return prepared.early;
    });
    forget(early, early.keys());
    return new PreparedQuery(number, this.options, this.#peer, online);
  }

  /** Tells the source that no more queries come and frees the weights. */
  async end(): Promise<void> {
    await this.source.end();
    for (const step of this.ready.values()) step[Symbol.dispose]();
  }
}

/** One query: its offline phase is over, its online phase may run once. */
export class PreparedQuery {
  #used = false;

  constructor(
    /** Its place among the queries of the session, from 0 on. */
    readonly number: number,
    private readonly options: SessionOptions,
    private readonly peer: TimedChannel,
    private readonly online: ReadonlyMap<Step, Prepared["online"]>,
  ) {}

  /** The online phase. The client brings the images, NHWC floats one after another, and receives their logits; the server gets null. */
  async run(images: ArrayLike<number> | null): Promise<{ logits: Float64Array | null; time: OnlineTime }> {
    const { role, pool: { ring }, plan, observe } = this.options;
    if (this.#used) {
      throw new ProtocolError("the correlations of this query were used before; prepare another one");
    }
    const start = performance.now(), waited = this.peer.milliseconds;
    // The images are the client's late half; the server has none.
    const late: Halves = new Map();
    if (role === "client") late.set(plan.input, encoded(ring, plan, images, plan.batch));
    this.#used = true;
    await through(plan, late, observe, (step, inputs) => this.online.get(step)?.(inputs));
    const opened = late.get(plan.opened), logits = opened ? decode(opened) : null;
    forget(late, late.keys());
    const milliseconds = performance.now() - start;
    return {
      logits,
      time: { milliseconds, computeMilliseconds: milliseconds - (this.peer.milliseconds - waited) },
    };
  }
}

/** The numbers of `count` images. */
function encoded(
  ring: Ring,
  plan: Plan,
  images: ArrayLike<number> | null,
  count: number,
  name = "image",
): RingTensor<Width> {
  const shape = plan.graph.inputShape.join(" x "), length = count * sizeOf(plan.graph.inputShape);
  if (images?.length !== length) {
    throw new RangeError(
      `the image has ${images?.length ?? 0} numbers, the network takes ${
        count === 1 ? shape : `${count} images of ${shape}`
      } = ${length}`,
    );
  }
  const { width, fractionBits, ringBits } = plan.wires.get(plan.input)!;
  return encodeWords(ring, width, images, fractionBits, name, ringBits);
}

/** Throws a RangeError where an image does not fit the plan: a client does so before it connects. */
export function checkEncodable(ring: Ring, plan: Plan, image: ArrayLike<number>, name = "image"): void {
  encoded(ring, plan, image, 1, name)[Symbol.dispose]();
}

/**
 * Goes through the plan: `work` makes a step's halves from those that it reads, none where the party has nothing to do. A missing half is no
 * entry, and a value to which this party adds nothing is not shown.
 */
async function through(
  { steps }: Plan,
  halves: Halves,
  observe: SessionOptions["observe"],
  work: (step: Step, inputs: readonly Half[]) => Promise<readonly Half[]> | undefined,
): Promise<void> {
  for (const step of steps) {
    const made = await work(step, step.reads.map((id) => halves.get(id)));
    for (const [i, id] of step.writes.entries()) {
      const half = made?.[i];
      if (!half) continue;
      halves.set(id, half);
      observe?.(id, half);
    }
    forget(halves, step.lastUses);
  }
}

function forget(halves: Halves, ids: Iterable<string>): void {
  for (const id of ids) {
    halves.get(id)?.[Symbol.dispose]();
    halves.delete(id);
  }
}
