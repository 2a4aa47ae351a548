/** The plaintext fixed-point engine with the arithmetic of a plan: what opened values should be, carries apart, and how far off they are. */
import { evaluateFixed, type FixedArithmetic, type FixedValue, shift } from "../models/fixed_engine.ts";
import type { Weights } from "../models/graph.ts";
import { weightsInUnits } from "../models/unit.ts";
import { valueBits } from "../wires/wire.ts";
import type { Plan } from "./plan.ts";

/** Values of all nodes of the plan's graph, in its units. `weights` are those of the folded graph. */
export const fixedPointValues = (
  plan: Plan,
  weights: Weights,
  image: ArrayLike<number>,
): Map<string, FixedValue> =>
  evaluateFixed(plan.graph, weightsInUnits(plan.graph, weights, plan.units), arithmeticOf(plan), image);

/** The scales and activations of a plan. */
export const arithmeticOf = ({ wires, input, weightBits, activations }: Plan): FixedArithmetic => ({
  inputBits: wires.get(input)!.fractionBits,
  weightBits: (node) => weightBits.get(node)!,
  activation(node, x) {
    const step = activations.get(node)!;
    return { integers: step.plain(shift(x, step.inputBits)), fractionBits: valueBits(step.outputs[0]) };
  },
});

/** The logits of {@linkcode fixedPointValues}. */
export function fixedPointLogits(plan: Plan, weights: Weights, image: ArrayLike<number>): Float64Array {
  return realOf(fixedPointValues(plan, weights, image).get(plan.output)!);
}

/** The real numbers that fixed-point integers stand for. */
export const realOf = ({ integers, fractionBits }: FixedValue): Float64Array =>
  integers.map((v) => v * 2 ** -fractionBits);

/** The largest size of a value. A loop: a single layer may open millions of them. */
export function largest(values: ArrayLike<number>): number {
  let max = 0;
  for (let i = 0; i < values.length; i++) max = Math.max(max, Math.abs(values[i]));
  return max;
}

/** Largest and mean difference of values from what they should be. */
export function distance(
  pairs: readonly (readonly [ArrayLike<number>, ArrayLike<number>])[],
): { max: number; mean: number } {
  let max = 0, sum = 0, count = 0;
  for (const [values, expected] of pairs) {
    for (let i = 0; i < expected.length; i++) {
      const difference = Math.abs(values[i] - expected[i]);
      max = Math.max(max, difference);
      sum += difference;
    }
    count += expected.length;
  }
  return { max, mean: count === 0 ? 0 : sum / count };
}
