/** Whether a ring has room for a network: what calibration images show, and the scales that follow. */
import type { Graph } from "../models/graph.ts";
import { type Forward, type LayerRange, measureRanges, type Ranges, rangesOf } from "../models/ranges.ts";
import { integerBits } from "./lifted_plan.ts";
import { DEFAULT_RING_BITS, LIFTED, type Plan, planInference, type PlanOptions } from "./plan.ts";

/** One audited layer, and what the ranges of this audit make of it. */
export interface AuditedScale extends LayerRange {
  /** Integer bits that hold twice the largest value. */
  readonly integerBits: number;
  /** Size up to which the ring holds the layer's values, and the bits of room above the largest of them. */
  readonly ringLimit: number;
  readonly headRoomBits: number;
  /** Fraction bits of the values, and of those that an activation keeps. */
  readonly fractionBits: number;
  readonly keptBits: number | null;
}

export interface Audit {
  readonly ranges: Ranges;
  readonly layers: readonly AuditedScale[];
  /** Why the plan is refused, in one sentence; null if it is not. */
  readonly refused: string | null;
}

/** Size up to which the ring of a `lifted` plan holds the inputs of activations and the logits. */
export function ringLimits({ lifted, steps, output }: Plan): Map<string, number> {
  if (lifted === null) throw new RangeError("only lifted has ring limits");
  const limits = new Map([[output, 2 ** (lifted.logits.bits - 1 - lifted.logits.fractionBits)]]);
  for (const step of steps) {
    if (step.kind !== "activation") continue;
    const { ringBits, inputBits } = lifted.specs.get(step.index)!;
    limits.set(step.node, 2 ** (ringBits - 2 - inputBits));
  }
  return limits;
}

/**
 * Audits a network without batch norm for `lifted`. Shares beyond the ring are counted with the scales in force before: those of
 * `options.ranges`, or the ones without any.
 */
export function audit(
  graph: Graph,
  options: Omit<PlanOptions, "activation" | "linear">,
  forward: Forward,
  images: Iterable<ArrayLike<number>>,
): Audit {
  const planWith = (ranges: Ranges | undefined, force: boolean) =>
    planInference(graph, {
      activation: LIFTED,
      linear: "masked",
      fractionBits: options.fractionBits,
      polynomial: options.polynomial,
      ringBits: options.ringBits ?? DEFAULT_RING_BITS,
      ...(ranges ? { ranges } : {}),
      force,
    });
  const before = ringLimits(planWith(options.ranges, true));
  const measured = measureRanges(graph, forward, images, (id) => before.get(id)!),
    ranges = rangesOf(measured);
  let refused: string | null = null;
  try {
    planWith(ranges, false);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    refused = error.message;
  }
  const plan = planWith(ranges, true), limits = ringLimits(plan), lifted = plan.lifted!;
  const specs = new Map(
    plan.steps.flatMap((step) =>
      step.kind === "activation" ? [[step.node, lifted.specs.get(step.index)!] as const] : []
    ),
  );
  const layers = measured.map((layer): AuditedScale => {
    const spec = specs.get(layer.id), ringLimit = limits.get(layer.id)!;
    const fractionBits = spec?.inputBits ??
      lifted.fractionBits.get(plan.output)! - lifted.extraBits.get(plan.output)!;
    return {
      ...layer,
      integerBits: integerBits(layer.largest),
      ringLimit,
      headRoomBits: Math.log2(ringLimit / layer.largest),
      fractionBits,
      keptBits: spec?.keptBits ?? null,
    };
  });
  return { ranges, layers, refused };
}
