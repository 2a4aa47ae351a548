/** Scales and costs of a plan whose activations are `lifted`: linear layers modulo 2^k, different fraction bits for every layer. */
import type { Polynomial } from "../polynomial/polynomial.ts";
import {
  checkSpec,
  costOfLifted,
  degreeOf,
  type LiftedSpec,
  packedBytes,
} from "../protocols/activation/lifted.ts";
import { type Cost, NO_COST } from "../protocols/protocol.ts";
import { outputsOf, weightsOf } from "../protocols/linear/layers.ts";
import { extraBits } from "../ring/convolution.ts";
import { type Plan, readsOf, type Step } from "./plan.ts";

/** Pre-activations stay within (-2^RANGE_BITS, 2^RANGE_BITS): what the ring leaves above the fraction bits, sign and one bit apart. */
export const RANGE_BITS = 4;
/** The server's reply has at most this many bits. */
const MOST_REPLY_BITS = 16;

export interface LiftedScales {
  /** k. */
  readonly ringBits: number;
  /** Fraction bits of images and of activations' outputs, and of pre-activations. */
  readonly valueBits: number;
  readonly inputBits: number;
  /** Fraction bits of the weights of each linear node; public. */
  readonly weightBits: ReadonlyMap<string, number>;
  /** Fraction bits of every value as the shares carry it, the extra ones of Winograd included. */
  readonly fractionBits: ReadonlyMap<string, number>;
  /** By index of the activation step. */
  readonly specs: ReadonlyMap<number, LiftedSpec>;
}

/** Chooses all scales from k and the polynomial. Throws a RangeError where the bounds of the protocol cannot be met. */
export function liftedScales(plan: Plan, ringBits: number): LiftedScales {
  const inputBits = ringBits - 2 - RANGE_BITS, valueBits = Math.round(inputBits / 2 + 1);
  // An image that goes straight into an activation, as where one layer is measured alone, is a pre-activation.
  const isBare = plan.steps.some((step) => step.kind === "activation" && step.input === plan.input);
  const weightBits = new Map<string, number>(),
    fractionBits = new Map<string, number>([[plan.input, isBare ? inputBits : valueBits]]);
  const specs = new Map<number, LiftedSpec>();
  for (const step of plan.steps) {
    switch (step.kind) {
      case "linear":
        for (const [i, node] of step.nodes.entries()) {
          const input = fractionBits.get(step.input)!,
            bits = inputBits - input - poolingBitsAfter(plan, node.id);
          if (bits < 1) {
            throw new RangeError(
              `${plan.graph.name}: ${ringBits} ring bits leave no fraction bits for the weights of ${node.id}; use a wider ring`,
            );
          }
          weightBits.set(node.id, bits);
          fractionBits.set(node.id, input + bits + extraBits(step.group.layers[i]!));
        }
        break;
      case "averagePool":
        fractionBits.set(step.node.id, fractionBits.get(step.input)! + step.fractionBits);
        break;
      case "add":
        fractionBits.set(step.node.id, Math.max(...step.inputs.map((id) => fractionBits.get(id)!)));
        break;
      case "activation": {
        const outputBits = valueBits - poolingBitsBefore(plan, step.node);
        const spec = {
          length: step.spec.length,
          polynomial: plan.options.polynomial,
          ringBits,
          inputBits,
          outputBits,
          keptBits: keptBitsFor(plan.options.polynomial, ringBits, inputBits, outputBits),
          extraBits: fractionBits.get(step.input)! - inputBits,
        };
        checkSpec(spec, `${plan.graph.name}: ${step.node}`);
        specs.set(step.index, spec);
        fractionBits.set(step.node, spec.outputBits);
        break;
      }
      case "maxPool":
        throw new RangeError(
          `${plan.graph.name}: lifted has no comparisons, so no max pooling; use resnet50-avg, or another activation protocol`,
        );
    }
  }
  return { ringBits, valueBits, inputBits, weightBits, fractionBits, specs };
}

/**
 * Kept bits f_x: as many as m + k <= 64 allows, m = d f_x + p - f_y, and a reply of at most 16 bits. Where one word would keep fewer
 * than six bits, two limbs are used and the reply is the limit.
 */
function keptBitsFor(
  polynomial: Polynomial,
  ringBits: number,
  inputBits: number,
  outputBits: number,
): number {
  const degree = degreeOf(polynomial), reply = MOST_REPLY_BITS - (ringBits - inputBits);
  const oneWord = Math.floor((64 - ringBits + outputBits - polynomial.precision) / degree);
  const twoWords = Math.floor((128 - ringBits + outputBits - polynomial.precision) / degree);
  return Math.min(inputBits, reply, oneWord >= FEWEST_KEPT_BITS ? oneWord : twoWords);
}
const FEWEST_KEPT_BITS = 6;

/**
 * Bits that average pooling adds to a value that nothing else reads: its activation leaves them out, so the average has the bits
 * of every other value. What the summands lose in precision averages out.
 */
function poolingBitsBefore(plan: Plan, id: string): number {
  const readers = plan.steps.filter((step) => readsOf(step).includes(id));
  const [only] = readers;
  return readers.length === 1 && only!.kind === "averagePool" ? only!.fractionBits : 0;
}

/** Bits that average pooling adds between a linear layer and the activation that it feeds. */
function poolingBitsAfter(plan: Plan, id: string): number {
  const step = plan.steps.find((step) => step.kind === "averagePool" && step.input === id);
  return step?.kind === "averagePool" ? step.fractionBits + poolingBitsAfter(plan, step.node.id) : 0;
}

/** Online cost of one step. */
export function costOfLiftedStep(scales: LiftedScales, step: Step): Cost {
  if (step.kind === "activation") return costOfLifted(scales.specs.get(step.index)!);
  if (step.kind === "linear") return { ...NO_COST, dealtBytes: 4 * outputsOf(step.group) };
  return NO_COST;
}

/** The image's masked words: the client's first message. */
export const costOfImage = (plan: Plan, { ringBits }: LiftedScales): Cost => ({
  exchanges: 1,
  bytesServer: 0,
  bytesClient: packedBytes(plan.inputLength, ringBits),
  dealtBytes: 0,
});

/** Bytes of the words v, one an activation, which the client sends before the image of a query is known. */
export const earlyBytes = (plan: Plan): number =>
  plan.steps.reduce((sum, step) => step.kind === "activation" ? sum + 4 * step.spec.length : sum, 0);

/** Bytes of D = W - B that the server sends once per session. */
export const setUpBytes = (plan: Plan): number =>
  plan.steps.reduce((sum, step) => step.kind === "linear" ? sum + 4 * weightsOf(step.group) : sum, 0);
