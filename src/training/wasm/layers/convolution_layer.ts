/** Convolutions and dense layers, which are convolutions of an image of one pixel. */
import type { ConvNode, DenseNode } from "../../../models/graph.ts";
import type { ForwardPlan } from "../forward_plan.ts";
import type { GradientPlan } from "../gradient_plan.ts";
import type {
  BiasGradient,
  ConvolutionGradientStep,
  ConvolutionStep,
  WeightGradientStep,
} from "../graph_steps.ts";
import type { ShardMemory } from "../shard_memory.ts";
import { extent, imageAt, type Images, periodOf, type Tensor } from "../tensor.ts";

export const convolutionLayer = {
  plan(plan: ForwardPlan, node: ConvNode | DenseNode): void {
    const convolution = plan.convolutions.get(node.id)!,
      { inputBorder, packedBytes } = convolution(plan.batch);
    // Convolutions write without border.
    const z = plan.result(node.id, 0), x = plan.value(node.input, inputBorder);
    const weight = plan.parameterOf(node.id, "weight");
    const bias = node.bias ? plan.parameterOf(node.id, "bias") : 0;
    const packed = plan.memory.allocate(packedBytes);
    plan.emit(node.id, { kind: "convolution", convolution, x, z, weight, bias, packed });
  },

  /** To be called when weights have changed. */
  prepare({ plan }: ShardMemory, { convolution, weight, packed }: ConvolutionStep): void {
    convolution(plan.batch).prepare(weight, packed);
  },

  forward({ plan }: ShardMemory, step: ConvolutionStep, { first, count }: Images): void {
    const { convolution, x, z, packed, bias } = step;
    convolution(count).forward(imageAt(x, first), packed, bias, imageAt(z, first), plan.scratch);
  },

  planGradient(plan: GradientPlan, node: ConvNode | DenseNode): void {
    const { forward, buffers } = plan, of = forward.stepOf<ConvolutionStep>(node.id);
    const dz = withBorder(plan, plan.gather(node.id), of.convolution(forward.batch).gradientBorder);
    const dBias = node.bias && !isMeanless(plan, node) ? biasGradient(plan, node) : undefined;
    plan.steps.push({ kind: "weights", of, dz, dWeight: plan.gradientOf(node.id, "weight"), dBias });
    if (plan.needs(node.input)) {
      const dx = buffers.acquire(forward.shapes.get(node.input)!, 0);
      plan.steps.push({ kind: "convolution", of, dz, dx });
      plan.contribute(node.input, dx);
    }
    plan.hold(dz);
  },

  backward({ plan }: ShardMemory, step: ConvolutionGradientStep, { first, count }: Images): void {
    const { of: { convolution, packed }, dz, dx } = step;
    convolution(count).inputGradient(imageAt(dz, first), packed, imageAt(dx, first), plan.scratch);
  },

  /** Of the whole shard at once. */
  weightGradient(memory: ShardMemory, { of, dz, dWeight, dBias }: WeightGradientStep): void {
    const { batch, scratch } = memory.plan;
    of.convolution(batch).weightGradient(of.x.base, dz.base, dWeight, scratch);
    if (!dBias) return;
    const { period, pivot, sums, target } = dBias, outputs = dz.shape[2];
    memory.clearSums(sums, period);
    memory.kernels.moments({ z: dz }, 0, { ...extent(batch, dz), tables: pivot, period, sums });
    for (let c = 0; c < outputs; c++) {
      memory.floats[target / 4 + c] = memory.channelSum(sums, period, outputs, c, 0);
    }
  },
};

/** The gradient in a border that its convolution can read. */
function withBorder({ buffers, steps }: GradientPlan, dz: Tensor, border: number): Tensor {
  if (dz.border === border) return dz;
  const bordered = buffers.acquire(dz.shape, border);
  steps.push({ kind: "copy", x: dz, y: bordered });
  buffers.release(dz);
  return bordered;
}

/** Batch norm takes away the mean, so the gradient of a bias before it is exactly 0. */
const isMeanless = (plan: GradientPlan, { id }: ConvNode | DenseNode): boolean =>
  plan.reads(id) === 1 && [...plan.forward.groups.values()].some(({ source, norm }) => norm && source === id);

function biasGradient(plan: GradientPlan, { id, outputs }: ConvNode | DenseNode): BiasGradient {
  const period = periodOf(outputs), { memory } = plan.forward;
  const target = plan.gradientOf(id, "bias");
  return { target, period, pivot: memory.allocate(4 * period), sums: memory.allocate(16 * period) };
}
