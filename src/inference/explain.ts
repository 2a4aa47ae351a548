/**
 * Layer by layer: the secure value, opened, beside the plaintext engines, and the first layer that departs. A debugging run: it
 * opens every intermediate value, so it runs where all parties are one process and never over a network.
 */
import { evaluate } from "../models/float_engine.ts";
import type { FixedValue } from "../models/fixed_engine.ts";
import type { Activation, Weights } from "../models/graph.ts";
import { add, copy } from "../ring/arithmetic.ts";
import { decode } from "../ring/fixed_point.ts";
import type { Ring } from "../ring/ring.ts";
import { type RingTensor, words } from "../ring/tensor.ts";
import { openInProcess } from "./in_process.ts";
import { fixedPointValues, realOf } from "./oracle.ts";
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
  /** Share of opened values within a factor two of wrapping around modulo 2^64. */
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
/** The interval on which the paper's polynomials are fitted. */
const FITTED_RANGE = 5;

export async function explain(
  ring: Ring,
  plan: Plan,
  weights: Weights,
  activation: Activation,
  image: ArrayLike<number>,
): Promise<Explanation> {
  if (plan.lifted !== null) {
    throw new RangeError(
      "explain compares shares modulo 2^64; lifted has none between its layers, choose another activation protocol",
    );
  }
  const float = evaluate(plan.graph, weights, activation, image);
  const { fixed, stopped } = fixedOrReason(plan, weights, image);
  const opened = await openedValues(ring, plan, weights, image);
  const layers: LayerReport[] = [];
  for (const [id, { values, fractionBits }] of opened) {
    layers.push(reportLayer(plan, id, values, fractionBits, float, fixed?.get(id)));
  }
  return {
    layers,
    first: layers.find(({ departs }) => departs !== null) ?? null,
    fixedEngineStopped: stopped,
  };
}

function fixedOrReason(plan: Plan, weights: Weights, image: ArrayLike<number>) {
  try {
    return { fixed: fixedPointValues(plan, weights, image), stopped: null };
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    return { fixed: null, stopped: error.message };
  }
}

/** Runs one private inference and adds up both parties' shares after every step. */
async function openedValues(ring: Ring, plan: Plan, weights: Weights, image: ArrayLike<number>) {
  const opened = new Map<string, { values: Float64Array; fractionBits: number }>(),
    waiting = new Map<string, RingTensor>();
  const inference = await openInProcess(ring, plan, weights, 1, {
    observe(id, share) {
      const other = waiting.get(id);
      if (other === undefined) waiting.set(id, copy(share, words(ring, share.length, share.fractionBits)));
      else {
        opened.set(id, { values: decode(add(other, share)), fractionBits: share.fractionBits });
        other[Symbol.dispose]();
      }
      return Promise.resolve();
    },
  });
  await inference.infer(image);
  await inference.end();
  return opened;
}

function reportLayer(
  plan: Plan,
  id: string,
  values: Float64Array,
  fractionBits: number,
  float: ReadonlyMap<string, Float64Array>,
  fixed: FixedValue | undefined,
): LayerReport {
  const node = plan.graph.nodes.find((node) => node.id === id)!;
  // The secure value of an average over 7 x 7 is the sum over 2^6: its scale is right but for the factor in the next weights.
  const factor = node.op === "averagePool"
    ? node.kernel ** 2 / 2 ** Math.ceil(Math.log2(node.kernel ** 2))
    : 1;
  const expected = float.get(id)!.map((v) => v * factor), range = largest(expected);
  const fromFloat = differences(values, expected), wrap = 2 ** (63 - fractionBits);
  const report = {
    id,
    kind: node.op,
    values: values.length,
    fractionBits,
    range,
    fromFixed: fixed === undefined ? null : differences(values, realOf(fixed)),
    fromFloat,
    nearWrap: values.filter((v) => Math.abs(v) >= wrap / 2).length / values.length,
  };
  const input = node.op === "activation" ? largest(float.get(node.input)!) : null;
  return { ...report, departs: reasonOf(fromFloat.max, range, wrap, input) };
}

function reasonOf(difference: number, range: number, wrap: number, input: number | null): string | null {
  if (difference <= TOLERANCE * Math.max(1, range)) return null;
  if (range >= wrap) {
    return `wrap-around: values up to ${range.toPrecision(3)} do not fit, the ring ends at ${
      wrap.toPrecision(3)
    } at this scale`;
  }
  if (input !== null && input > FITTED_RANGE) {
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

const largest = (values: Float64Array) => values.reduce((max, v) => Math.max(max, Math.abs(v)), 0);

function differences(a: Float64Array, b: Float64Array): { max: number; mean: number } {
  let max = 0, sum = 0;
  for (let i = 0; i < a.length; i++) {
    const difference = Math.abs(a[i]! - b[i]!);
    max = Math.max(max, difference);
    sum += difference;
  }
  return { max, mean: a.length === 0 ? 0 : sum / a.length };
}
