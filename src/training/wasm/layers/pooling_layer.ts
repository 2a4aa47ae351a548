/** Average and maximum pooling. */
import type { PoolNode } from "../../../models/graph.ts";
import type { ForwardPlan } from "../forward_plan.ts";
import type { GradientPlan } from "../gradient_plan.ts";
import type { PoolGradientStep, PoolStep } from "../graph_steps.ts";
import type { ShardMemory } from "../shard_memory.ts";
import type { Images, Tensor } from "../tensor.ts";

export const poolingLayer = {
  plan(plan: ForwardPlan, node: PoolNode): void {
    const y = plan.result(node.id);
    plan.emit(node.id, { kind: "pool", node, x: plan.value(node.input), y });
  },

  forward({ kernels }: ShardMemory, { node, x, y }: PoolStep, { first, count }: Images): void {
    const sizes = windows(y, node, count);
    if (node.op === "averagePool") kernels.averagePool({ x, y }, first, sizes);
    else kernels.maxPool({ x, y }, first, { ...sizes, ...sides(x, node) });
  },

  planGradient(plan: GradientPlan, node: PoolNode): void {
    const dy = plan.gather(node.id), { shapes } = plan.forward;
    const dx = plan.buffers.acquire(shapes.get(node.input)!, plan.borderOf(node.input));
    plan.steps.push({ kind: "pool", of: plan.forward.stepOf<PoolStep>(node.id), dy, dx });
    plan.buffers.release(dy);
    plan.contribute(node.input, dx);
  },

  backward({ kernels }: ShardMemory, step: PoolGradientStep, { first, count }: Images): void {
    const { of: { node, x }, dy, dx } = step, { kernel, stride } = node;
    const [height, width, channels] = dy.shape, sizes = windows(dy, node, count);
    const isPartition = node.op === "averagePool" && stride === kernel;
    const isCovered = height * kernel === x.shape[0] && width * kernel === x.shape[1];
    if (!isPartition || !isCovered) {
      const floats = dx.shape[1] * channels;
      kernels.clear(dx.at + first * dx.image, dx.row, dx.image, count, dx.shape[0], floats);
    }
    if (isPartition) kernels.averagePoolGradient({ dy, dx }, first, sizes);
    else if (node.op === "averagePool") kernels.averagePoolScatter({ dy, dx }, first, sizes);
    else kernels.maxPoolGradient({ x, dy, dx }, first, { ...sizes, ...sides(x, node) });
  },
};

const windows = (
  { shape: [height, width, channels] }: Tensor,
  { kernel, stride }: PoolNode,
  images: number,
) => (
  { images, height, width, channels, kernel, stride }
);
/** What keeps windows inside the image. */
const sides = (x: Tensor, { padding }: PoolNode) => ({ padding, xHeight: x.shape[0], xWidth: x.shape[1] });
