/**
 * Batch norm of a pointwise step: y = (z - mean) / deviation * scale + offset, as one factor and one term a channel. Its sums
 * need the whole shard, so a segment of steps ends before it, forward and backward.
 */
import { BATCH_NORM_EPSILON } from "../../../models/fold.ts";
import type { BatchNormNode, Shape } from "../../../models/graph.ts";
import type { ForwardPlan } from "../forward_plan.ts";
import type { MomentsStep, Norm, NormGradientStep, PointwiseStep } from "../graph_steps.ts";
import type { ShardMemory } from "../shard_memory.ts";
import { extent, type Images, periodOf } from "../tensor.ts";

type FourNumbers = [number, number, number, number];

export const batchNorm = {
  /** Tables and sums of a pointwise step, and its batch norm if it has one. */
  plan(plan: ForwardPlan, node: BatchNormNode | undefined, shape: Shape) {
    const { memory, batch } = plan, period = periodOf(shape[2]);
    const common = { period, tables: memory.allocate(16 * period), sums: memory.allocate(16 * period) };
    if (!node) return { ...common, norm: undefined };
    const norm: Norm = {
      scale: plan.offsetOf(node.id, "scale"),
      offset: plan.offsetOf(node.id, "offset"),
      mean: plan.offsetOf(node.id, "mean"),
      variance: plan.offsetOf(node.id, "variance"),
      pivot: memory.allocate(4 * period),
      gradientTables: memory.allocate(16 * period),
      count: batch * shape[0] * shape[1],
    };
    return { ...common, norm };
  },

  /** Before a pass: clears the sums; forward they are taken around the running mean, where they lose least. */
  clearSums(memory: ShardMemory, { norm, period, sums, z }: PointwiseStep): void {
    memory.clearSums(sums, period);
    if (norm) memory.fillTables(norm.pivot, period, z.shape[2], (c) => [memory.state[norm.mean + c]]);
  },

  /** Adds to the sums. */
  moments({ kernels }: ShardMemory, { of, z }: MomentsStep, { first, count }: Images): void {
    const { norm, period, sums } = of;
    kernels.moments({ z }, first, { ...extent(count, z), tables: norm!.pivot, period, sums });
  },

  /** Mean and variance of the shard from the sums, and the tables. */
  useMoments(memory: ShardMemory, step: PointwiseStep): void {
    const { norm, period, sums, z } = step, channels = z.shape[2], { count, mean, variance } = norm!;
    const { state, gradients } = memory;
    const means = new Float64Array(channels), variances = new Float64Array(channels);
    for (let c = 0; c < channels; c++) {
      const distance = memory.channelSum(sums, period, channels, c, 0) / count;
      means[c] = state[mean + c] + distance;
      // Not below 0, which rounding could do to a constant channel.
      variances[c] = Math.max(
        0,
        memory.channelSum(sums, period, channels, c, 1) / count - distance * distance,
      );
      gradients[mean + c] = means[c];
      gradients[variance + c] = variances[c] * count / Math.max(1, count - 1);
    }
    fillNormTables(memory, step, (c) => means[c], (c) => variances[c]);
  },

  /** The tables from the running statistics: evaluation. */
  useRunning(memory: ShardMemory, step: PointwiseStep): void {
    const { state } = memory, { mean, variance } = step.norm!;
    fillNormTables(memory, step, (c) => state[mean + c], (c) => state[variance + c]);
  },

  /** Gradients of scale and offset, and the coefficients of the input gradient, from the sums. */
  useGradientSums(memory: ShardMemory, { of }: NormGradientStep): void {
    const { z, norm, period, tables, sums } = of;
    const channels = z.shape[2], { count, offset, scale, gradientTables } = norm!;
    memory.fillTables(gradientTables, period, channels, (c) => {
      const [factor, , mean, inverse] = [0, 1, 2, 3].map((t) =>
        memory.floats[tables / 4 + t * period + c]
      ) as FourNumbers;
      const sumG = memory.channelSum(sums, period, channels, c, 0);
      const sumGZ = memory.channelSum(sums, period, channels, c, 1);
      memory.gradients[offset + c] = sumG;
      memory.gradients[scale + c] = sumGZ * inverse;
      return [factor, -factor * inverse * inverse * sumGZ / count, mean, -factor * sumG / count];
    });
  },

  /** From the gradient after the norm to that before it. */
  backward({ kernels }: ShardMemory, { of, g, dz }: NormGradientStep, { first, count }: Images): void {
    if (!dz) return;
    const { z, norm, period } = of, tables = norm!.gradientTables;
    kernels.normGradient({ g, z, dz }, first, { ...extent(count, g, z, dz), tables, period });
  },
};

/** Tables of a batch norm with the given mean and variance. */
function fillNormTables(
  memory: ShardMemory,
  { norm, period, tables, z }: PointwiseStep,
  mean: (channel: number) => number,
  variance: (channel: number) => number,
): void {
  const { state } = memory;
  memory.fillTables(tables, period, z.shape[2], (c) => {
    const inverse = 1 / Math.sqrt(variance(c) + BATCH_NORM_EPSILON),
      factor = inverse * state[norm!.scale + c];
    return [factor, state[norm!.offset + c] - mean(c) * factor, mean(c), inverse];
  });
}
