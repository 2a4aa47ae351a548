/** Whether a ring has room for a network: what calibration images show, and the scales that follow. */
import type { Graph } from "../models/graph.ts";
import { type Forward, type LayerRange, measureRanges, type Ranges, rangesOf } from "../models/ranges.ts";
import { readBits, valueBits } from "../wires/wire.ts";
import type { Plan, PlanOptions } from "./plan.ts";
import { planInference } from "./planner.ts";
import { integerBits } from "./scales.ts";

/** One audited layer, and what the ranges of this audit make of it. */
export interface AuditedScale extends LayerRange {
  /** Integer bits that hold twice the largest value. */
  readonly integerBits: number;
  /** Size up to which the ring holds the layer's values, and the bits of room above the largest of them. */
  readonly ringLimit: number;
  readonly headRoomBits: number;
  /** Fraction bits of the values, and of those that an activation keeps, if it drops some. */
  readonly fractionBits: number;
  readonly keptBits: number | null;
}

export interface Audit {
  readonly ranges: Ranges;
  readonly layers: readonly AuditedScale[];
  /** Why the plan is refused, in one sentence; null if it is not. */
  readonly refused: string | null;
}

/** Size up to which the ring of a plan holds the inputs of activations and the logits, in no unit but 1. */
export function ringLimits({ graph, activations, opened, wires, units }: Plan): Map<string, number> {
  const logits = wires.get(opened)!, largest = 2 ** (readBits(logits) - 1 - logits.fractionBits);
  return new Map([
    [graph.nodes.at(-1)!.id, largest],
    ...[...activations].map(([node, { limit }]) => [node, limit * units.get(node)!] as const),
  ]);
}

/**
 * Audits a network without batch norm for a protocol. Shares beyond the ring are counted with the scales in force before: those of
 * `options.ranges`, or the ones without any.
 */
export function audit(
  graph: Graph,
  { ranges: known, ...options }: PlanOptions,
  forward: Forward,
  images: Iterable<ArrayLike<number>>,
): Audit {
  const planWith = (ranges: Ranges | undefined, force: boolean) =>
    planInference(graph, { ...options, ...(ranges ? { ranges } : {}), force });
  const before = ringLimits(planWith(known, true));
  const measured = measureRanges(graph, forward, images, (id) => before.get(id)!),
    ranges = rangesOf(measured);
  let refused: string | null = null;
  try {
    planWith(ranges, false);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    refused = error.message;
  }
  const plan = planWith(ranges, true), limits = ringLimits(plan);
  const layers = measured.map((layer): AuditedScale => {
    const step = plan.activations.get(layer.id), ringLimit = limits.get(layer.id)!;
    return {
      ...layer,
      integerBits: integerBits(layer.largest),
      ringLimit,
      headRoomBits: Math.log2(ringLimit / layer.largest),
      fractionBits: step?.inputBits ?? valueBits(plan.wires.get(plan.output)!),
      keptBits: step?.keptBits ?? null,
    };
  });
  return { ranges, layers, refused };
}
