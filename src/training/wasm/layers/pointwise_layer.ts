/** Batch norm, residual sum and activation that follow each other, each present or not, in one sweep over the values. */
import { sizeOf } from "../../../models/graph.ts";
import { type Pass, penaltySlopeFactor, recordOf } from "../activation_inputs.ts";
import type { ForwardPlan } from "../forward_plan.ts";
import type { GradientPlan } from "../gradient_plan.ts";
import type { PointwiseGradientStep, PointwiseStep } from "../graph_steps.ts";
import type { PointwiseGroup } from "../pointwise_groups.ts";
import { FOURIER_SUMS, type ShardActivation } from "../shard_activation.ts";
import type { ShardMemory } from "../shard_memory.ts";
import { extent, type Images, type Tensor } from "../tensor.ts";
import { batchNorm } from "./batch_norm.ts";

export const pointwiseLayer = {
  plan(plan: ForwardPlan, { id, source, norm, shortcut, activation }: PointwiseGroup): void {
    const y = plan.result(id), z = plan.value(source);
    const step = {
      kind: "pointwise",
      z,
      shortcut: shortcut === undefined ? undefined : plan.value(shortcut),
      y,
      activation: activation ? plan.activations.push(sizeOf(y.shape)) - 1 : undefined,
      ...batchNorm.plan(plan, norm, y.shape),
    } as const;
    if (norm) plan.emitAfter(source, { kind: "moments", of: step, z });
    plan.emit(id, step);
  },

  forward(
    { kernels, plan }: ShardMemory,
    activation: ShardActivation,
    { z, shortcut: s, y, period, tables, activation: layer }: PointwiseStep,
    { first, count }: Images,
  ): void {
    const common = { ...extent(count, ...present(z, s, y)), tables, period };
    if (layer === undefined) return kernels.forwardIdentity({ z, s, y }, first, common);
    activation.select(layer);
    const parameters = { ...common, settings: plan.settings, record: recordOf(plan, layer) };
    kernels.forward({ z, s, y }, first, parameters, activation.name);
  },

  planGradient(plan: GradientPlan, group: PointwiseGroup): void {
    const { buffers, steps } = plan, of = plan.forward.stepOf<PointwiseStep>(group.id);
    if (!group.norm && !group.activation) { // a bare sum: both sides receive the gradient as it is
      const dy = plan.gather(group.id);
      buffers.retain(dy);
      plan.contribute(group.source, dy);
      plan.contribute(group.shortcut!, dy);
      return;
    }
    const [dy, ey] = plan.gatherParts(group.id, 2) as [Tensor, Tensor?];
    const border = group.norm || group.shortcut ? 0 : plan.borderOf(group.source);
    const g = border === 0 && buffers.isOwn(dy) ? dy : buffers.acquire(of.z.shape, border);
    steps.push({ kind: "pointwise", of, dy, ey, g });
    if (g !== dy) buffers.release(dy);
    if (ey) buffers.release(ey);
    if (group.norm) {
      plan.releaseHeld();
      const isNeeded = plan.needs(group.source);
      const dz = isNeeded ? buffers.acquire(of.z.shape, plan.borderOf(group.source)) : undefined;
      steps.push({ kind: "norm", of, g, dz });
      if (dz) plan.contribute(group.source, dz);
    }
    if (group.shortcut !== undefined) {
      buffers.retain(g);
      plan.contribute(group.shortcut, g);
    }
    if (group.norm) buffers.release(g);
    else plan.contribute(group.source, g);
  },

  backward(
    memory: ShardMemory,
    activation: ShardActivation,
    { of, dy, ey, g }: PointwiseGradientStep,
    { first, count }: Images,
    pass: Pass,
  ): void {
    const { z, period, tables, sums, activation: layer } = of, { kernels, plan } = memory;
    // Where there is no activation, neither z nor the shortcut matters but for the sums of batch norm.
    const s = layer === undefined ? undefined : of.shortcut;
    const common = { ...extent(count, ...present(dy, ey, z, s, g)), tables, period };
    if (layer === undefined) return kernels.backwardIdentity({ dy, ey, z, g }, first, { ...common, sums });
    const { settings, scratch } = plan;
    activation.select(layer);
    if (activation.isLearned) {
      const result = memory.clearedScratch(FOURIER_SUMS), sizes = extent(count, ...present(dy, ey, z, s));
      kernels.backwardFourier({ dy, ey, z, s }, first, { ...common, ...sizes, settings, result: scratch });
      activation.addSums(layer, result);
    }
    const factor = penaltySlopeFactor(memory, layer, pass);
    kernels.backward({ dy, ey, z, s, g }, first, { ...common, sums, settings, factor }, activation.name);
  },
};

const present = (...tensors: readonly (Tensor | undefined)[]): Tensor[] =>
  tensors.filter((tensor) => tensor !== undefined);
