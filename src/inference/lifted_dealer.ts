/** The dealer of a `lifted` plan: B * a for every convolution, masks and both sets of G for every activation. */
import type { Dealing } from "../dealer/material.ts";
import { dealLifted } from "../protocols/activation/lifted.ts";
import { disposeAll, weightsOf } from "../protocols/linear/layers.ts";
import type { RunnableConvolution } from "../ring/pool.ts";
import type { LiftedScales } from "./lifted_plan.ts";
import { forget, type Parts, passOn, product } from "./lifted_parts.ts";
import { imageLabel } from "./party_session.ts";
import { describeStep, type Plan } from "./plan.ts";

/** The dealing of the step or image with this label. */
export type DealingOf = (label: number) => Dealing;

/** A dealer after the set-up of a session. */
export interface DealerSession extends Disposable {
  /** Deals one query. */
  deal(dealingOf: DealingOf): Promise<void>;
}

export class LiftedDealing implements DealerSession {
  private constructor(
    private readonly plan: Plan,
    private readonly scales: LiftedScales,
    private readonly convolutions: ReadonlyMap<string, RunnableConvolution>,
  ) {}

  /** The session: B of every layer, from the server's seed, packed for use in all queries. */
  static open(plan: Plan, scales: LiftedScales, dealingOf: DealingOf): LiftedDealing {
    const convolutions = new Map<string, RunnableConvolution>();
    for (const step of plan.steps) {
      if (step.kind !== "linear") continue;
      const dealing = dealingOf(step.label);
      for (const [i, node] of step.nodes.entries()) {
        const layer = step.group.layers[i]!;
        using b = dealing.ownOfServer32(weightsOf(layer));
        convolutions.set(node.id, dealing.pool.convolution(32, layer, b.address));
      }
    }
    return new LiftedDealing(plan, scales, convolutions);
  }

  /** One query. The parts here are the client's masks. */
  async deal(dealingOf: DealingOf): Promise<void> {
    const { plan, scales } = this, masks: Parts = new Map();
    masks.set(plan.input, dealingOf(imageLabel(plan)).ownOfClient32(plan.inputLength));
    for (const step of plan.steps) {
      const dealing = dealingOf(step.label);
      if (step.kind === "activation") {
        await dealLifted(scales.specs.get(step.index)!, dealing);
        masks.set(step.node, dealing.ownOfClient32(step.spec.length));
      } else if (step.kind === "linear") {
        const mask = masks.get(step.input);
        if (!mask) throw new RangeError(`${describeStep(step)} reads a value that no activation made`);
        for (const node of step.nodes) {
          using dealt = product(this.convolutions.get(node.id)!, node.id, scales, mask);
          await dealing.share32(dealt);
        }
      } else if (step.kind === "averagePool") passOn(step, scales, masks, () => undefined);
      forget(step, masks);
    }
    for (const mask of masks.values()) mask[Symbol.dispose]();
  }

  [Symbol.dispose](): void {
    disposeAll([...this.convolutions.values()]);
  }
}
