/**
 * The layers between activations, which are linear, on one party's part of every value: the server's y - a, the client's a, or the
 * server's constants. All three roles walk the same steps; only the convolutions differ.
 */
import type { RunnableConvolution } from "../ring/pool.ts";
import { RingTensor } from "../ring/tensor.ts";
import type { LiftedScales } from "./lifted_plan.ts";
import type { AddStep, AveragePoolStep, LinearStep, Step } from "./plan.ts";

/** One party's parts of values by name; a value without a part is zero there. */
export type Parts = Map<string, RingTensor<32>>;

/** Passes parts through a step that is no activation. `convolve` gives the part of a linear node's output. */
export function passOn(
  step: Step,
  scales: LiftedScales,
  parts: Parts,
  convolve: (
    step: LinearStep,
    layer: number,
    input: RingTensor<32> | undefined,
  ) => RingTensor<32> | undefined,
): void {
  const set = (id: string, part: RingTensor<32> | undefined) => part && parts.set(id, part);
  if (step.kind === "linear") {
    step.nodes.forEach((node, i) => set(node.id, convolve(step, i, parts.get(step.input))));
  } else if (step.kind === "averagePool") set(step.node.id, sumWindows(step, scales, parts.get(step.input)));
  else if (step.kind === "add") set(step.node.id, addParts(step, scales, parts));
}

/** The product of a convolution with a part, at the scale that the plan gives to the node's output. */
export function product(
  convolution: RunnableConvolution,
  id: string,
  scales: LiftedScales,
  x: RingTensor<32>,
): RingTensor<32> {
  const { spec } = convolution,
    along = (size: number) => Math.floor((size + 2 * spec.padding - spec.kernel) / spec.stride) + 1;
  const y = new RingTensor(
    x.ring,
    32,
    along(spec.height) * along(spec.width) * spec.outputs,
    scales.fractionBits.get(id)!,
  );
  convolution.run(x.address, y.address);
  return y;
}

function sumWindows(
  { node, shape: [height, width, channels] }: AveragePoolStep,
  scales: LiftedScales,
  x: RingTensor<32> | undefined,
) {
  if (!x) return undefined;
  const along = (size: number) => Math.floor((size - node.kernel) / node.stride) + 1;
  const y = new RingTensor(
    x.ring,
    32,
    along(height) * along(width) * channels,
    scales.fractionBits.get(node.id)!,
  );
  x.ring.kernels.poolSum32(x.address, y.address, height, width, channels, node.kernel, node.stride);
  return y;
}

/** A residual sum: the part with fewer fraction bits is shifted left, which is exact. */
function addParts({ node, inputs }: AddStep, scales: LiftedScales, parts: Parts): RingTensor<32> | undefined {
  const bits = scales.fractionBits.get(node.id)!;
  const [fine, coarse] = inputs.map((id) => ({
    part: parts.get(id),
    lift: bits - scales.fractionBits.get(id)!,
  }))
    .sort((a, b) => a.lift - b.lift);
  const some = fine!.part ?? coarse!.part;
  if (!some) return undefined;
  const { kernels } = some.ring, sum = new RingTensor(some.ring, 32, some.length, bits);
  if (fine!.part && coarse!.part) {
    // The finer one has the scale of the sum: nothing to shift there.
    kernels.addShifted32(fine!.part.address, coarse!.part.address, coarse!.lift, sum.address, sum.length);
  } else kernels.shl32(some.address, fine!.part ? fine!.lift : coarse!.lift, sum.address, sum.length);
  return sum;
}

/** Frees the parts that no later step reads. */
export function forget(step: Step, parts: Parts): void {
  for (const id of step.lastUses) {
    parts.get(id)?.[Symbol.dispose]();
    parts.delete(id);
  }
}
