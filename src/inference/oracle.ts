/** The plaintext fixed-point engine with the arithmetic of a plan: what the opened values should be, carries apart. */
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
