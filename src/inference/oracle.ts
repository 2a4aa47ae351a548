/** The plaintext fixed-point engine with the arithmetic of a plan: what the opened values should be, carries apart. */
import { evaluateFixed, type FixedArithmetic, type FixedValue, shift } from "../models/fixed_engine.ts";
import type { Weights } from "../models/graph.ts";
import { fixedPointOfLifted, type LiftedSpec } from "../protocols/activation/lifted.ts";
import { activationProtocol } from "../protocols/registry.ts";
import type { LiftedScales } from "./lifted_plan.ts";
import type { Plan } from "./plan.ts";

/** Values of all nodes of the plan's graph. `weights` are those of the folded graph. */
export const fixedPointValues = (
  plan: Plan,
  weights: Weights,
  image: ArrayLike<number>,
): Map<string, FixedValue> =>
  evaluateFixed(
    plan.graph,
    weights,
    plan.lifted === null ? arithmetic64(plan) : liftedArithmetic(plan, plan.lifted),
    image,
  );

function arithmetic64({ options: { activation, fractionBits, polynomial } }: Plan): FixedArithmetic {
  const protocol = activationProtocol(activation);
  return {
    inputBits: fractionBits,
    weightBits: () => fractionBits,
    activation(_, x) {
      const integers = shift(x, fractionBits);
      return {
        integers: protocol.fixedPoint({ length: integers.length, fractionBits, polynomial }, integers),
        fractionBits,
      };
    },
  };
}

function liftedArithmetic(plan: Plan, scales: LiftedScales): FixedArithmetic {
  const specs = new Map<string, LiftedSpec>(
    plan.steps.flatMap((step) =>
      step.kind === "activation" ? [[step.node, scales.specs.get(step.index)!] as const] : []
    ),
  );
  return {
    inputBits: scales.fractionBits.get(plan.input)!,
    weightBits: (id) => scales.weightBits.get(id)!,
    activation(id, x) {
      const spec = specs.get(id)!;
      return { integers: fixedPointOfLifted(spec, shift(x, spec.inputBits)), fractionBits: spec.outputBits };
    },
  };
}

/** The logits of {@linkcode fixedPointValues}. */
export function fixedPointLogits(plan: Plan, weights: Weights, image: ArrayLike<number>): Float64Array {
  return realOf(fixedPointValues(plan, weights, image).get(plan.output)!);
}

/** The real numbers that fixed-point integers stand for. */
export const realOf = ({ integers, fractionBits }: FixedValue): Float64Array =>
  integers.map((v) => v * 2 ** -fractionBits);
