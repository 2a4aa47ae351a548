/** The plaintext fixed-point engine with the arithmetic of a plan: what the opened values should be, carries apart. */
import { evaluateFixed, type FixedValue } from "../models/fixed_engine.ts";
import type { Weights } from "../models/graph.ts";
import { activationProtocol } from "../protocols/registry.ts";
import type { Plan } from "./plan.ts";

/** Values of all nodes of the plan's graph. `weights` are those of the folded graph. */
export function fixedPointValues(
  plan: Plan,
  weights: Weights,
  image: ArrayLike<number>,
): Map<string, FixedValue> {
  const { activation, fractionBits, polynomial } = plan.options, protocol = activationProtocol(activation);
  return evaluateFixed(
    plan.graph,
    weights,
    fractionBits,
    image,
    (x) => protocol.fixedPoint({ length: x.length, fractionBits, polynomial }, x),
  );
}

/** The logits of {@linkcode fixedPointValues}. */
export function fixedPointLogits(plan: Plan, weights: Weights, image: ArrayLike<number>): Float64Array {
  return realOf(fixedPointValues(plan, weights, image).get(plan.output)!);
}

/** The real numbers that fixed-point integers stand for. */
export const realOf = ({ integers, fractionBits }: FixedValue): Float64Array =>
  integers.map((v) => v * 2 ** -fractionBits);
