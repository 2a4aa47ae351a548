/**
 * A party of a private inference on additive shares modulo 2^64. The same code runs at the server and at the client:
 * set-up once per model, an offline phase per query before the image is known, an online phase from image to logits.
 */
import { ask } from "../dealer/request.ts";
import type { Material } from "../dealer/material.ts";
import type { Weights } from "../models/graph.ts";
import { sizeOf } from "../models/graph.ts";
import { type Channel, ProtocolError } from "../network/channel.ts";
import { maxPool } from "../protocols/max_pool.ts";
import type { Evaluate, LinearSession, Party, Role } from "../protocols/protocol.ts";
import { activationProtocol, linearProtocol } from "../protocols/registry.ts";
import { Seed } from "../random/stream.ts";
import { add, rescale } from "../ring/arithmetic.ts";
import { decode, encode } from "../ring/fixed_point.ts";
import type { Ring } from "../ring/ring.ts";
import { type RingTensor, words } from "../ring/tensor.ts";
import {
  type AddStep,
  type AveragePoolStep,
  type LinearStep,
  maskLabel,
  type Plan,
  type Step,
} from "./plan.ts";
import {
  LOGITS_TAG,
  materialOf,
  observeOutputs,
  type OnlineTime,
  type PartySession,
  type PreparedQuery,
  queryTag,
  type SessionOptions,
} from "./party_session.ts";
import { TimedChannel } from "./timed_channel.ts";

/** What the parties do online at one step; runs once. */
type RunStep = (values: Map<string, RingTensor>) => Promise<void>;

export class Session64 implements PartySession {
  readonly #peer: TimedChannel;
  #queries = 0;

  private constructor(
    private readonly options: SessionOptions,
    private readonly linear: ReadonlyMap<number, LinearSession>,
    /** The server's encoded biases, by node. */
    private readonly biases: ReadonlyMap<string, RingTensor>,
    private readonly digest: Uint8Array,
  ) {
    this.#peer = new TimedChannel(options.peer);
  }

  /** Set-up, after plans were compared: receives the session's correlations, opens the masked weights. */
  static async open(options: SessionOptions, digest: Uint8Array): Promise<Session64> {
    const { role, pool, peer, dealer, plan, weights } = options, { ring } = pool;
    const seed = new Seed((await ask(dealer, { kind: "session" }, digest))!);
    const linear = new Map<number, LinearSession>(), biases = new Map<string, RingTensor>();
    for (const step of plan.steps) {
      if (step.kind !== "linear") continue;
      const encoded = weights && encodeWeights(ring, step, weights, plan.options.fractionBits);
      const party: Party = { role, ring, pool, peer, tag: step.label };
      linear.set(
        step.index,
        await linearProtocol(plan.options.linear).setUp(
          step.group,
          party,
          materialOf(options, seed, step.label),
          encoded,
        ),
      );
      encoded?.forEach((tensor) => tensor[Symbol.dispose]());

      for (const [i, node] of step.nodes.entries()) {
        const bias = weights?.get(`${node.id}.bias`);
        if (bias) {
          biases.set(node.id, encode(ring, bias.data, step.outputFractionBits[i]!, `bias of ${node.id}`));
        }
      }
    }
    return new Session64(options, linear, biases, digest);
  }

  /** The offline phase of the next query. */
  async prepare(): Promise<Query64> {
    const { plan, dealer } = this.options;
    const number = this.#queries++;
    const seed = new Seed((await ask(dealer, { kind: "query", number }, this.digest))!);
    const steps: RunStep[] = [];
    for (const step of plan.steps) {
      steps.push(
        await this.#prepareStep(
          step,
          queryTag(step.label, number),
          materialOf(this.options, seed, step.label),
          step.kind === "linear" ? materialOf(this.options, seed, maskLabel(plan, step.input)) : null,
        ),
      );
    }
    return new Query64(number, this.options, this.#peer, steps);
  }

  /** Tells the dealer that no more queries come and frees the weights. */
  async end(): Promise<void> {
    await ask(this.options.dealer, { kind: "end" }, this.digest);
    for (const owned of [...this.linear.values(), ...this.biases.values()]) owned[Symbol.dispose]();
  }

  async #prepareStep(step: Step, tag: number, material: Material, mask: Material | null): Promise<RunStep> {
    const { role, pool, plan } = this.options, { ring } = pool;
    const party: Party = { role, ring, pool, peer: this.#peer, tag };
    switch (step.kind) {
      case "linear": {
        const evaluate = await this.linear.get(step.index)!.prepare(party, material, mask!);
        return async (values) => {
          const x = values.get(step.input)!;
          const outputs = await evaluate(x);
          step.nodes.forEach((node, i) => {
            const y = outputs[i]!.withFractionBits(step.outputFractionBits[i]!);
            const bias = this.biases.get(node.id);
            if (bias) ring.kernels.addRow64(y.address, bias.address, y.address, y.length, bias.length);
            values.set(node.id, y);
          });
        };
      }
      case "activation": {
        const evaluate = await activationProtocol(plan.options.activation).prepare(
          step.spec,
          party,
          material,
        );
        return onValue(step.input, step.node, evaluate, plan.options.fractionBits);
      }
      case "maxPool":
        return onValue(
          step.input,
          step.node,
          await maxPool.prepare(step.spec, party, material),
          plan.options.fractionBits,
        );
      case "averagePool":
        return (values) =>
          Promise.resolve(void values.set(step.node.id, sumWindows(step, values.get(step.input)!)));
      case "add":
        return (values) => Promise.resolve(void values.set(step.node.id, addValues(step, values)));
    }
  }
}

/** One query: its offline phase is over, its online phase may run once. */
export class Query64 implements PreparedQuery {
  #used = false;

  constructor(
    readonly number: number,
    private readonly options: SessionOptions,
    private readonly peer: TimedChannel,
    private readonly steps: readonly RunStep[],
  ) {}

  /**
   * The online phase. The client brings the image, NHWC floats, and receives the logits; the server gets null.
   */
  async run(image: ArrayLike<number> | null): Promise<{ logits: Float64Array | null; time: OnlineTime }> {
    const { role, pool: { ring }, plan, observe } = this.options;
    if (this.#used) {
      throw new ProtocolError("the correlations of this query were used before; prepare another one");
    }
    const start = performance.now(), waited = this.peer.milliseconds;
    const values = new Map<string, RingTensor>([[plan.input, shareOfImage(ring, plan, role, image)]]);
    this.#used = true;
    for (const [i, step] of plan.steps.entries()) {
      await this.steps[i]!(values);
      if (observe) await observeOutputs(step, values, observe);
      for (const id of step.lastUses) {
        values.get(id)![Symbol.dispose]();
        values.delete(id);
      }
    }
    const logits = await openLogits(role, this.peer, values.get(plan.output)!, plan.options.fractionBits);
    for (const value of values.values()) value[Symbol.dispose]();

    const milliseconds = performance.now() - start;
    return {
      logits,
      time: { milliseconds, computeMilliseconds: milliseconds - (this.peer.milliseconds - waited) },
    };
  }
}

function encodeWeights(ring: Ring, step: LinearStep, weights: Weights, fractionBits: number): RingTensor[] {
  return step.nodes.map((node, i) => {
    const factor = step.weightFactors[i]!, { data } = weights.get(`${node.id}.weight`)!;
    return encode(
      ring,
      factor === 1 ? data : data.map((w) => w * factor),
      fractionBits,
      `weight of ${node.id}`,
    );
  });
}

/** Applies an element-wise protocol at `fractionBits`. */
function onValue(input: string, output: string, evaluate: Evaluate, fractionBits: number): RunStep {
  return async (values) => {
    const x = values.get(input)!;
    using truncated = rescale(x, words(x.ring, x.length, fractionBits));
    values.set(output, await evaluate(truncated));
  };
}

function sumWindows(
  { node, shape: [height, width, channels], fractionBits }: AveragePoolStep,
  x: RingTensor,
): RingTensor {
  const along = (size: number) => Math.floor((size - node.kernel) / node.stride) + 1;
  const y = words(x.ring, along(height) * along(width) * channels, x.fractionBits + fractionBits);
  x.ring.kernels.poolSum64(x.address, y.address, height, width, channels, node.kernel, node.stride);
  return y;
}

/** Residual addition: the value with fewer fraction bits is shifted left, which is exact. */
function addValues({ inputs }: AddStep, values: Map<string, RingTensor>): RingTensor {
  const [a, b] = inputs.map((id) => values.get(id)!) as [RingTensor, RingTensor];
  const [fine, coarse] = a.fractionBits >= b.fractionBits ? [a, b] : [b, a];
  const sum = rescale(coarse, words(fine.ring, fine.length, fine.fractionBits));
  return add(sum, fine);
}

/** The image is shared as (0, x): the first linear layer masks it. */
function shareOfImage(ring: Ring, plan: Plan, role: Role, image: ArrayLike<number> | null): RingTensor {
  const { fractionBits } = plan.options;
  if (role === "client") {
    if (image?.length !== plan.inputLength) {
      throw new RangeError(
        `the image has ${image?.length ?? 0} numbers, the network takes ${
          plan.graph.inputShape.join(" x ")
        } = ${plan.inputLength}`,
      );
    }
    return encode(ring, image, fractionBits, "image");
  }
  const zero = words(ring, sizeOf(plan.graph.inputShape), fractionBits);
  zero.bytes.fill(0);
  return zero;
}

/**
 * The server sends its share; only the client learns the logits. Both truncate first: the bits below the scale of
 * activations would tell the client more about the weights and about carries than the result does.
 */
async function openLogits(
  role: Role,
  peer: Channel,
  value: RingTensor,
  fractionBits: number,
): Promise<Float64Array | null> {
  using share = rescale(value, words(value.ring, value.length, fractionBits));
  if (role === "server") {
    await peer.send(LOGITS_TAG, share.bytes);
    return null;
  }
  using other = words(share.ring, share.length, share.fractionBits);
  await peer.receive(LOGITS_TAG, other.bytes);
  return decode(add(other, share));
}
