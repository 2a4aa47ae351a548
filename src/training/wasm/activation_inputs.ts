/** What is measured of the inputs of activations, in the records that the kernels write, and the penalty made of it. */
import type { StepSettings } from "../engine.ts";
import { RECORD } from "../kernels/_settings.ts";
import { PENALTY_LINEAR_BEYOND, penaltySlope } from "../penalty.ts";
import type { GraphPlan, PointwiseStep } from "./graph_steps.ts";
import type { ShardMemory } from "./shard_memory.ts";
import { extent, type Images } from "./tensor.ts";

type Penalty = NonNullable<StepSettings["penalty"]>;

/** Settings of a training step, and the images of all its shards. */
export interface Pass {
  readonly settings: StepSettings;
  readonly batchSize: number;
}

export const recordOf = ({ records }: GraphPlan, layer: number): number => records + layer * RECORD.end;

export function clearRecords({ words, plan }: ShardMemory): void {
  words.fill(0, plan.records / 4, recordOf(plan, plan.activations.length) / 4);
}

/** Largest |input| of a layer. |NaN| counts as infinity; as integers its bits are the largest. */
export function largestInput({ floats, plan }: ShardMemory, layer: number): number {
  const value = floats[(recordOf(plan, layer) + RECORD.largest) / 4];
  return Number.isNaN(value) ? Infinity : value;
}

/** Inputs of a layer out of bounds. */
export const countOutside = ({ words, plan }: ShardMemory, layer: number): number =>
  words[(recordOf(plan, layer) + RECORD.outside) / 4];

const penaltyRecord = ({ doubles, plan }: ShardMemory, layer: number): number =>
  doubles[(recordOf(plan, layer) + RECORD.penalty) / 8];

/** Norm of what the inputs of a layer have beyond the range. */
const hingeNorm = (memory: ShardMemory, layer: number): number => Math.sqrt(penaltyRecord(memory, layer));

/** Number, sum and sum of squares of the finite |inputs| above `bound`. */
export function outliers(
  memory: ShardMemory,
  { z, shortcut: s, tables, period }: PointwiseStep,
  bound: number,
  { first, count }: Images,
) {
  const result = memory.clearedScratch(3), sizes = s ? extent(count, z, s) : extent(count, z);
  memory.kernels.outliers({ z, s }, first, {
    ...sizes,
    tables,
    period,
    least: bound,
    result: memory.plan.scratch,
  });
  const [number, sum, squares] = result as unknown as [number, number, number];
  return { number, sum, squares };
}

/** The loss of a layer's inputs by the penalty. */
export function penaltyLoss(memory: ShardMemory, step: PointwiseStep, { settings, batchSize }: Pass): number {
  const { penalty } = settings;
  return penalty
    ? penaltyFactor(memory.plan, penalty, step.activation!, batchSize) * penaltySum(memory, step, penalty)
    : 0;
}

/** What the kernels multiply with the slope of the penalty of an input. */
export function penaltySlopeFactor(
  memory: ShardMemory,
  layer: number,
  { settings, batchSize }: Pass,
): number {
  const { penalty } = settings;
  if (!penalty) return 0;
  const factor = penaltyFactor(memory.plan, penalty, layer, batchSize);
  if (penalty.reduction !== "hinge") return factor * penalty.exponent / penalty.range;
  const norm = hingeNorm(memory, layer);
  return norm > 0 ? factor / norm : 0;
}

/** Factor of a layer's penalty sum. */
function penaltyFactor(
  { activations, batch }: GraphPlan,
  { coefficient, reduction }: Penalty,
  layer: number,
  batchSize: number,
): number {
  const parts = { sum: 1, mean: batchSize * activations[layer], hinge: batchSize / batch };
  return coefficient / activations.length / parts[reduction];
}

/** Penalty of a layer; its inputs beyond 16 ranges, where the penalty is a tangent, are gone through once more. */
function penaltySum(
  memory: ShardMemory,
  step: PointwiseStep,
  { exponent, range, reduction }: Penalty,
): number {
  const layer = step.activation!, bound = PENALTY_LINEAR_BEYOND * range;
  if (reduction === "hinge") return hingeNorm(memory, layer);
  const power = penaltyRecord(memory, layer);
  if (largestInput(memory, layer) <= bound) return power;
  const { number, sum } = outliers(memory, step, bound, { first: 0, count: memory.plan.batch });
  return power + penaltySlope(exponent) * (sum / range - number * PENALTY_LINEAR_BEYOND);
}
