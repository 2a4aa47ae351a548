/**
 * Layer by layer: the secure value, opened, beside the plaintext engines, and the first layer that departs. A debugging run: it
 * opens every intermediate value, so it runs where all parties are one process and never over a network.
 */
import { activate, evaluate } from "../models/float_engine.ts";
import { evaluateFixed, type FixedValue } from "../models/fixed_engine.ts";
import { isLinear } from "../models/fold.ts";
import { type Activation, inputsOf, type Node, type Weights } from "../models/graph.ts";
import { inUnit, unitOfPeriod, weightsInUnits } from "../models/unit.ts";
import { FITTED_RANGE } from "../polynomial/polynomial.ts";
import type { Ring } from "../ring/ring.ts";
import { integersOf } from "../wires/halves.ts";
import { readBits } from "../wires/wire.ts";
import { openInProcess } from "./in_process.ts";
import { arithmeticOf, distance, fixedPointValues, largest, realOf } from "./oracle.ts";
import type { Plan } from "./plan.ts";

export interface LayerReport {
  readonly id: string;
  readonly kind: string;
  readonly values: number;
  readonly fractionBits: number;
  /** Largest |value| of the float engine. */
  readonly range: number;
  /** Largest and mean difference of the opened value from each engine; null where the fixed-point engine gave up. */
  readonly fromFixed: { readonly max: number; readonly mean: number } | null;
  readonly fromFloat: { readonly max: number; readonly mean: number };
  /**
   * What this layer itself adds: largest difference from the exact function of the values that it has read, the bound of the protocol note
   * for it, and whether every element is within its own bound. Null where a note states no such bound.
   */
  readonly added: { readonly max: number; readonly bound: number; readonly within: boolean } | null;
  /** Share of opened values within a factor two of wrapping around in the ring. */
  readonly nearWrap: number;
  /** Why this layer departs from the float engine; null if it does not. */
  readonly departs: string | null;
}

export interface Explanation {
  readonly layers: readonly LayerReport[];
  /** The first layer that departs, with the reason. */
  readonly first: LayerReport | null;
  /** Why the fixed-point engine could not follow, if so. */
  readonly fixedEngineStopped: string | null;
}

/** A layer departs when a value differs from the float engine by more than this part of the layer's range (taken as at least 1). */
const TOLERANCE = 0.02;

/** Values and errors are in the units of the plan. `weights` are those of the folded graph. */
export async function explain(
  ring: Ring,
  plan: Plan,
  weights: Weights,
  activation: Activation,
  image: ArrayLike<number>,
): Promise<Explanation> {
  const scaled = weightsInUnits(plan.graph, weights, plan.units), f = functionInUnits(activation);
  const float = evaluate(plan.graph, scaled, f, image);
  const { made: fixed, stopped } = withinDoubles(() => fixedPointValues(plan, weights, image));
  const opened = await openedValues(ring, plan, weights, image);
  const added = addedErrors(plan, scaled, image, opened);
  const nodes = new Set(plan.graph.nodes.map(({ id }) => id));
  const layers = plan.steps.flatMap(({ writes }) => writes.filter((id) => nodes.has(id)))
    .map((id) => reportLayer(plan, f, id, opened.get(id)!, float, fixed?.get(id), added.get(id) ?? null));
  return {
    layers,
    first: layers.find(({ departs }) => departs !== null) ?? null,
    fixedEngineStopped: stopped,
  };
}

const functionInUnits = (f: Activation): Activation =>
  f.kind === "trigonometric" ? inUnit(f, unitOfPeriod(f)) : f;

/** What exact integers make, or why they cannot: they left the range of doubles. */
function withinDoubles<T>(work: () => T): { made: T; stopped: null } | { made: null; stopped: string } {
  try {
    return { made: work(), stopped: null };
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    return { made: null, stopped: error.message };
  }
}

/** An opened value: real numbers, their scale, and the bits of the ring that hold one. */
interface Opened {
  readonly values: Float64Array;
  readonly fractionBits: number;
  readonly ringBits: number;
}

/** Runs one private inference and adds up what the parties show of every value. */
async function openedValues(
  ring: Ring,
  plan: Plan,
  weights: Weights,
  image: ArrayLike<number>,
): Promise<Map<string, Opened>> {
  const sums = new Map<string, BigInt64Array>();
  const inference = await openInProcess(ring, plan, weights, 1, {
    observe(id, half) {
      const words = integersOf(half), sum = sums.get(id);
      if (sum === undefined) sums.set(id, words);
      else for (let i = 0; i < sum.length; i++) sum[i] += words[i];
    },
  });
  await inference.infer(image);
  await inference.end();
  return new Map([...sums].map(([id, words]) => {
    const wire = plan.wires.get(id)!, ringBits = readBits(wire), { fractionBits } = wire;
    const values = Float64Array.from(words, (v) => Number(BigInt.asIntN(ringBits, v)) * 2 ** -fractionBits);
    return [id, { values, fractionBits, ringBits }];
  }));
}

/**
 * Follows the opened values through the exact network of the plan: linear layers on integers, activations as real functions of
 * their opened inputs. Empty where an activation has no bound or the integers leave the range of doubles.
 */
function addedErrors(
  plan: Plan,
  weights: Weights,
  image: ArrayLike<number>,
  shown: ReadonlyMap<string, Opened>,
): Map<string, LayerReport["added"]> {
  const opened = new Map(shown), errors = new Map<string, LayerReport["added"]>();
  if ([...plan.activations.values()].some(({ errorBound }) => errorBound === undefined)) return errors;
  const { made: followed } = withinDoubles(() =>
    evaluateFixed(plan.graph, weights, {
      ...arithmeticOf(plan),
      activation(id) {
        const { values, fractionBits } = opened.get(id)!;
        return { integers: values.map((v) => v * 2 ** fractionBits), fractionBits };
      },
    }, image)
  );
  if (followed === null) return errors;
  const rounding = new Map<string, number>();
  for (const node of plan.graph.nodes) {
    if (node.op === "flatten") {
      // No step: the value, and its error, of what it reads.
      copyEntry(opened, node.input, node.id);
      copyEntry(rounding, node.input, node.id);
      continue;
    }
    const { values } = opened.get(node.id) ?? {};
    if (values === undefined || node.op === "input") continue;
    if (node.op === "activation") {
      const { errorBound } = plan.activations.get(node.id)!, inputs = opened.get(node.input)!.values;
      errors.set(
        node.id,
        compared(
          values,
          activate(plan.functions.get(node.id)!, inputs),
          (i) => errorBound!(inputs[i]),
        ),
      );
    } else {
      const bound = roundingOf(node, followed, weights, rounding);
      rounding.set(node.id, bound);
      errors.set(node.id, compared(values, realOf(followed.get(node.id)!), () => bound));
    }
  }
  return errors;
}

function copyEntry<T>(map: Map<string, T>, from: string, to: string): void {
  const value = map.get(from);
  if (value !== undefined) map.set(to, value);
}

/**
 * The largest error of a layer that is not an activation. Linear layers are exact but for biases, which are rounded to the extra bits of
 * Winograd too: half a unit. Averages keep an error, sums add two, a linear layer weighs that of what it reads.
 */
function roundingOf(
  node: Exclude<Node, { op: "input" }>,
  followed: ReadonlyMap<string, FixedValue>,
  weights: Weights,
  known: ReadonlyMap<string, number>,
): number {
  const [first, second = 0] = inputsOf(node).map((id) => known.get(id) ?? 0);
  if (!isLinear(node)) return first + second;
  const halfUnit = 2 ** -(followed.get(node.id)!.fractionBits + 1);
  return first === 0
    ? halfUnit
    : halfUnit + first * largestGain(weights.get(`${node.id}.weight`)!.data, node.outputs);
}

/** The largest sum of sizes of the weights of one output; outputs come last. */
function largestGain(weights: Float32Array, outputs: number): number {
  const sums = new Float64Array(outputs);
  weights.forEach((weight, i) => sums[i % outputs] += Math.abs(weight));
  return Math.max(...sums);
}

function compared(values: Float64Array, expected: Float64Array, boundOf: (i: number) => number) {
  let max = 0, bound = 0, within = true;
  for (let i = 0; i < values.length; i++) {
    const difference = Math.abs(values[i] - expected[i]), allowed = boundOf(i);
    max = Math.max(max, difference);
    bound = Math.max(bound, allowed);
    within &&= difference <= allowed;
  }
  return { max, bound, within };
}

function reportLayer(
  plan: Plan,
  f: Activation,
  id: string,
  { values, fractionBits, ringBits }: Opened,
  float: ReadonlyMap<string, Float64Array>,
  fixed: FixedValue | undefined,
  added: LayerReport["added"],
): LayerReport {
  const node = plan.graph.nodes.find((node) => node.id === id)!;
  // The secure value of an average over 7 x 7 is the sum over 2^6: its scale is right but for the factor in the next weights.
  const { factor } = plan.wires.get(id)!;
  const expected = float.get(id)!.map((v) => v / factor), range = largest(expected);
  const fromFloat = distance([[values, expected]]), wrap = 2 ** (ringBits - 1 - fractionBits);
  const input = node.op === "activation" ? largest(float.get(node.input)!) : null;
  const limit = plan.activations.get(id)?.limit ?? Infinity;
  return {
    id,
    kind: node.op,
    values: values.length,
    fractionBits,
    range,
    fromFixed: fixed === undefined ? null : distance([[values, realOf(fixed)]]),
    fromFloat,
    added,
    nearWrap: values.filter((v) => Math.abs(v) >= wrap / 2).length / values.length,
    departs: reasonOf(f, fromFloat.max, range, wrap, input, limit),
  };
}

function reasonOf(
  f: Activation,
  difference: number,
  range: number,
  wrap: number,
  input: number | null,
  limit: number,
): string | null {
  if (difference <= TOLERANCE * Math.max(1, range)) return null;
  if (range >= wrap) {
    return `wrap-around: values up to ${range.toPrecision(3)} do not fit, the ring ends at ${
      wrap.toPrecision(3)
    } at this scale`;
  }
  if (input !== null && input >= limit) {
    return `range: an input of ${input.toPrecision(3)} is beyond the ${
      limit.toPrecision(3)
    } up to which the ring holds this layer; audit the network`;
  }
  if (input !== null && input > FITTED_RANGE && f.kind === "polynomial") {
    return `range: an input of ${
      input.toPrecision(3)
    } is outside [-${FITTED_RANGE}, ${FITTED_RANGE}], where powers grow beyond the words`;
  }
  // A gross failure is off by a power of two far above any value of the layer.
  if (difference >= Math.max(16, 4 * range)) {
    return "truncation: a share was truncated across a wrap-around (a gross failure)";
  }
  return "rounding: the fixed point is too coarse; use more fraction bits";
}
