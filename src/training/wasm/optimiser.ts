/** The update of a step: descent along the gradients, bounds of what must stay in bounds, running statistics. */
import type { StepSettings } from "../engine.ts";
import { isMuonFilter } from "../muon.ts";
import { decayOf } from "../update_rules.ts";
import { muonStep } from "./muon_step.ts";
import type { ParameterSlot } from "./parameter_layout.ts";
import type { ShardActivation } from "./shard_activation.ts";
import type { ShardMemory } from "./shard_memory.ts";

/** Share of the old value in the new running statistics. */
const KEPT = 0.9;

/**
 * Descends along the gradients, the sum over `shards`.
 *
 * @param capped scales of batch norm that a cap bounds
 */
export function update(
  memory: ShardMemory,
  activation: ShardActivation,
  capped: readonly ParameterSlot[],
  shards: number,
  settings: StepSettings,
): void {
  const { layout: { slots, trained, total }, state, gradients } = memory, { scaleCap } = settings;
  const factor = limitFactor(memory, settings);
  for (const [name, slot] of slots) {
    if (slot.offset < trained) descend(memory, name, slot, factor, settings);
  }
  for (const { offset, size, most } of activation.amplitudes) bound(state, offset, size, most);
  if (scaleCap !== null) { for (const { offset, size } of capped) bound(state, offset, size, scaleCap); }
  for (let i = trained; i < total; i++) {
    state[i] = KEPT * state[i] + (1 - KEPT) * (gradients[i] / shards);
  }
}

/** What gradients are multiplied with so that their norm stays within its limit. */
function limitFactor({ kernels, plan, layout }: ShardMemory, { gradientNorm }: StepSettings): number {
  if (gradientNorm === null) return 1;
  const norm = Math.sqrt(kernels.squaredSum(plan.gradients, layout.trained));
  return norm > gradientNorm ? gradientNorm / norm : 1;
}

function descend(
  { floats, kernels, plan }: ShardMemory,
  name: string,
  { offset, size, shape }: ParameterSlot,
  factor: number,
  settings: StepSettings,
): void {
  const { learningRate, momentum: keep, nesterov, muon } = settings;
  const [weights, momentum, gradients] = [plan.parameters, plan.momentum, plan.gradients].map((row) =>
    row + 4 * offset
  ) as [number, number, number];
  if (muon !== null && isMuonFilter(shape)) {
    const filter = { weights, momentum, gradients, size, outputs: shape.at(-1)! };
    muonStep(floats, kernels, filter, plan.scratch, { factor, keep, nesterov, rate: muon });
    return;
  }
  const rule = nesterov ? kernels.descendAhead : kernels.descend;
  const padded = Math.ceil(size / 4) * 4; // the rest are zeros, and stay so
  rule(weights, momentum, gradients, padded, factor, decayOf(name, settings), keep, learningRate);
}

function bound(values: Float32Array, offset: number, size: number, most: number): void {
  for (let i = offset; i < offset + size; i++) values[i] = Math.max(-most, Math.min(most, values[i]));
}
