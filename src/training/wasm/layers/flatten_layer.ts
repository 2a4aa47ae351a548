/** A value read in another shape: no step at all, forward or backward. */
import type { FlattenNode } from "../../../models/graph.ts";
import type { ForwardPlan } from "../forward_plan.ts";
import type { GradientPlan } from "../gradient_plan.ts";
import { stepsOf } from "../tensor.ts";

export const flattenLayer = {
  plan(plan: ForwardPlan, { id, input }: FlattenNode): void {
    const x = plan.value(input, 0);
    plan.alias(id, { ...x, row: x.image, shape: plan.shapes.get(id)! });
  },

  planGradient(plan: GradientPlan, { id, input }: FlattenNode): void {
    const shape = plan.forward.shapes.get(input)!;
    for (const t of plan.gatherParts(id, Infinity)) {
      plan.contribute(input, { ...t, ...stepsOf(shape, 0), shape });
    }
  },
};
