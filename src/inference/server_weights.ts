/**
 * The weights of a server that answers many: refused at its start where they do not fit the plan, and packed for convolutions once for
 * all sessions, in the first of them. A session encodes them again, layer by layer, where it masks them: that costs one pass over the
 * numbers, and keeping the words would cost as much memory as the numbers.
 */
import type { Weights } from "../models/graph.ts";
import { weightsInUnits } from "../models/unit.ts";
import { checkWeights } from "../models/weight_shapes.ts";
import type { EncodedLayer } from "../protocols/protocol.ts";
import { Convolution, type ConvolutionSpec } from "../ring/convolution.ts";
import { encodeWords } from "../ring/fixed_point.ts";
import type { ConvolutionPool, RunnableConvolution } from "../ring/pool.ts";
import type { Ring } from "../ring/ring.ts";
import type { Plan, Step } from "./plan.ts";

export class ServerWeights implements SessionWeights {
  readonly #packed = new Map<string, RunnableConvolution>();
  readonly #once: SessionWeights;

  /** Throws a RangeError, which names the weight, where one does not fit. */
  constructor(private readonly pool: ConvolutionPool, plan: Plan, weights: Weights) {
    this.#once = sessionWeights(plan, weights);
    for (const step of plan.steps) {
      if (step.kind !== "linear") continue;
      for (const layer of this.layers(pool.ring, step)) {
        layer.weights[Symbol.dispose]();
        layer.bias?.[Symbol.dispose]();
      }
    }
  }

  layers(ring: Ring, step: Step): EncodedLayer[] {
    return this.#once.layers(ring, step).map((layer, i) => {
      const node = step.writes[i], { weights } = layer;
      const packed = (spec: ConvolutionSpec) => {
        const known = this.#packed.get(node);
        if (known && (this.pool.isWhole || known instanceof Convolution)) return known;
        // On threads of which one is lost: its sessions end, later ones do without.
        known?.[Symbol.dispose]();
        const convolution = this.pool.convolution(weights.width, spec, weights.address, { small: true });
        this.#packed.set(node, convolution);
        return convolution;
      };
      return { ...layer, packed };
    });
  }
}

/** What a session asks of weights. */
export interface SessionWeights {
  /** The layers of a step, at the scales of the plan, for a session with its memory in `ring`. */
  layers(ring: Ring, step: Step): EncodedLayer[];
}

/** Weights for one session. Throws a RangeError where they do not have the shapes of the plan. */
export function sessionWeights(plan: Plan, given: Weights): SessionWeights {
  checkWeights(plan.graph, given);
  const weights = weightsInUnits(plan.graph, given, plan.units);
  return {
    layers(ring, { reads, writes }) {
      const { width, factor } = plan.wires.get(reads[0])!;
      return writes.map((node) => {
        const { data } = weights.get(`${node}.weight`)!, bias = weights.get(`${node}.bias`);
        const scaled = factor === 1 ? data : data.map((w) => w * factor);
        return {
          weights: encodeWords(ring, width, scaled, plan.weightBits.get(node)!, `weight of ${node}`),
          bias: bias
            ? encodeWords(ring, width, bias.data, plan.wires.get(node)!.fractionBits, `bias of ${node}`)
            : null,
        };
      });
    },
  };
}
