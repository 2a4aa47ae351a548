/** Scales and costs of a plan whose activations are `lifted`: linear layers modulo 2^k, different fraction bits for every layer. */
import { horner, type Polynomial } from "../polynomial/polynomial.ts";
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

/** Without audited ranges pre-activations are taken to stay within (-2^RANGE_BITS, 2^RANGE_BITS). */
const RANGE_BITS = 4;
/** The server's reply has at most this many bits. */
const MOST_REPLY_BITS = 16;
/**
 * Precision below which ranges are refused: fraction bits of the weights and the inputs of a linear layer, and of what a reply can tell
 * about z, which allows inputs of activations up to 16. Beyond, the slope of a polynomial makes much of every rounding error before it.
 */
const FEWEST_WEIGHT_BITS = 4, FEWEST_REPLY_BITS = 9;
/** Logits keep more room than other values, so that one that went wrong is seen. */
const SPARE_LOGIT_BITS = 1;

export interface LiftedScales {
  /** k. */
  readonly ringBits: number;
  /** Fraction bits of the image. */
  readonly imageBits: number;
  /** Fraction bits of the weights of each linear node; public. */
  readonly weightBits: ReadonlyMap<string, number>;
  /** Fraction bits of every value as the shares carry it, the extra ones of Winograd included; and how many of these there are. */
  readonly fractionBits: ReadonlyMap<string, number>;
  readonly extraBits: ReadonlyMap<string, number>;
  /** Fraction bits of the logits as they are opened, and all bits of one: those of the ring that are above its scale. */
  readonly logits: { readonly fractionBits: number; readonly bits: number };
  /** By index of the activation step. */
  readonly specs: ReadonlyMap<number, LiftedSpec>;
}

/** Chooses all scales from k, the polynomial and the ranges. Throws a RangeError where the bounds of the protocol cannot be met. */
export function liftedScales(plan: Plan, ringBits: number): LiftedScales {
  const wanted = wantedBits(plan, ringBits), { polynomial } = plan.options;
  const imageBits = wanted.inputs.get(plan.input) ?? wanted.values.get(plan.input)!;
  const weightBits = new Map<string, number>(),
    fractionBits = new Map<string, number>([[plan.input, imageBits]]),
    extra = new Map<string, number>([[plan.input, 0]]);
  const specs = new Map<number, LiftedSpec>();
  for (const step of plan.steps) {
    switch (step.kind) {
      case "linear":
        for (const [i, node] of step.nodes.entries()) {
          const input = fractionBits.get(step.input)!, bits = (wanted.inputs.get(node.id) ?? 0) - input;
          const fewest = plan.options.ranges && !plan.options.force ? FEWEST_WEIGHT_BITS : 1;
          if (bits < fewest) {
            throw new RangeError(
              `${plan.graph.name}: ${ringBits} ring bits leave ${
                Math.max(0, bits)
              } fraction bits for the weights of ${node.id}, fewer than ${fewest}; use a wider ring`,
            );
          }
          weightBits.set(node.id, bits);
          extra.set(node.id, extraBits(step.group.layers[i]!));
          fractionBits.set(node.id, input + bits + extra.get(node.id)!);
        }
        break;
      case "averagePool":
        extra.set(step.node.id, extra.get(step.input)!);
        fractionBits.set(step.node.id, fractionBits.get(step.input)! + step.fractionBits);
        break;
      case "add": {
        const [coarse, finest] = step.inputs.toSorted((a, b) => fractionBits.get(a)! - fractionBits.get(b)!);
        // Else the extra bits of the sum would not be empty, and v would show some of the client's words.
        if (
          fractionBits.get(finest!)! - extra.get(finest!)! < fractionBits.get(coarse!)! - extra.get(coarse!)!
        ) {
          throw new RangeError(
            `${plan.graph.name}: the scales of ${coarse} and ${finest} do not fit in a sum`,
          );
        }
        extra.set(step.node.id, extra.get(finest!)!);
        fractionBits.set(step.node.id, fractionBits.get(finest!)!);
        break;
      }
      case "activation": {
        const outputBits = wanted.values.get(step.node)! - poolingBitsBefore(plan, step.node),
          inputBits = fractionBits.get(step.input)! - extra.get(step.input)!;
        const spec = {
          length: step.spec.length,
          polynomial,
          ringBits,
          inputBits,
          outputBits,
          keptBits: keptBitsFor(polynomial, ringBits, inputBits, outputBits),
          extraBits: extra.get(step.input)!,
        };
        checkSpec(spec, `${plan.graph.name}: ${step.node}`);
        specs.set(step.index, spec);
        extra.set(step.node, 0);
        fractionBits.set(step.node, spec.outputBits);
        break;
      }
      case "maxPool":
        throw new RangeError(
          `${plan.graph.name}: lifted has no comparisons, so no max pooling; use resnet50-avg, or another activation protocol`,
        );
    }
  }
  const logitScale = fractionBits.get(plan.output)! - extra.get(plan.output)!,
    opened = Math.min(usualValueBits(ringBits), logitScale);
  return {
    ringBits,
    imageBits,
    weightBits,
    fractionBits,
    extraBits: extra,
    logits: { fractionBits: opened, bits: ringBits - (logitScale - opened) },
    specs,
  };
}

/** f_v where nothing is known about ranges. */
const usualValueBits = (ringBits: number): number => Math.round((ringBits - 2 - RANGE_BITS) / 2 + 1);

/**
 * Of f_z = f_w + f_v the bits f_v that the inputs of a layer get. The rounding errors of n weights of size 1 / sqrt(n) grow with sqrt(n) in
 * a sum, those of n values do not: half a bit more for the weights with every factor of two in sqrt(n). The constant keeps f_x, which
 * falls with f_v, at its best for the quartic and k = 30.
 */
const shareOfValues = (inputBits: number, n: number): number =>
  Math.round((inputBits - Math.log2(n) / 2 + 3) / 2);

/**
 * Bits that outputs of an activation leave to the weights, whose errors they multiply, if some are larger than usual: half of what would
 * suit a layer where all are.
 */
function forLargeOutputs({ coefficients, precision }: Polynomial, range: number): number {
  const largest = horner(coefficients.map(Math.abs), range) / 2 ** precision, usual = 4;
  return Math.max(0, Math.floor(Math.log2(largest / usual) / 4));
}

interface WantedBits {
  /** f_z by value, for values on the way to an activation or to the logits: what their range leaves. */
  readonly inputs: ReadonlyMap<string, number>;
  /** f_v by value, for the image and outputs of activations. */
  readonly values: ReadonlyMap<string, number>;
}

/** Scales as they follow from ranges, from the last step to the first: a value that several steps read suits all of them. */
function wantedBits(plan: Plan, ringBits: number): WantedBits {
  const inputs = new Map<string, number>(), values = new Map<string, number>();
  const atMost = (map: Map<string, number>, id: string, bits: number | undefined) =>
    bits !== undefined && map.set(id, Math.min(bits, map.get(id) ?? Infinity));
  const usual = usualValueBits(ringBits), { ranges } = plan.options;
  atMost(inputs, plan.output, inputBitsOf(plan, ringBits, plan.output, plan.output));
  for (const step of plan.steps.toReversed()) {
    switch (step.kind) {
      case "activation":
        atMost(values, step.node, usual);
        if (ranges) {
          const bits = values.get(step.node)! - forLargeOutputs(plan.options.polynomial, ranges[step.node]!);
          values.set(step.node, Math.max(bits, poolingBitsBefore(plan, step.node)));
        }
        atMost(inputs, step.input, inputBitsOf(plan, ringBits, step.node, step.input));
        break;
      case "averagePool": {
        const bits = inputs.get(step.node.id);
        atMost(inputs, step.input, bits && bits - step.fractionBits);
        atMost(values, step.input, values.get(step.node.id));
        break;
      }
      case "add":
        for (const id of step.inputs) atMost(inputs, id, inputs.get(step.node.id));
        break;
      case "linear":
        atMost(values, step.input, usual);
        for (const [i, { id }] of (ranges ? step.nodes : []).entries()) {
          const { kernel, inputs: channels } = step.group.layers[i]!;
          atMost(values, step.input, shareOfValues(inputs.get(id)!, kernel ** 2 * channels));
        }
    }
  }
  return { inputs, values };
}

/**
 * f_z of an activation or the logits: the ring without sign, one bit more, and the integer bits of twice the audited range. Throws a
 * RangeError where that leaves too little precision, unless the plan is forced.
 */
function inputBitsOf(plan: Plan, ringBits: number, id: string, value: string): number {
  const { ranges, force } = plan.options, range = ranges?.[id], isLogits = id === plan.output;
  if (range === undefined) return ringBits - 2 - RANGE_BITS;
  const needed = integerBits(range), spare = isLogits ? SPARE_LOGIT_BITS : 0;
  const most = Math.min(
    ringBits - 2 - 2 * FEWEST_WEIGHT_BITS - summedBits(plan, value),
    isLogits ? Infinity : MOST_REPLY_BITS - 2 - FEWEST_REPLY_BITS,
  );
  if (needed > most && !force) {
    throw new RangeError(
      `${plan.graph.name}: ${isLogits ? "logits" : "inputs"} of ${id} up to ${range} leave no head-room: ` +
        `twice that takes ${needed} integer bits, ${ringBits} ring bits have ${most}; use a wider ring or another network, or force it`,
    );
  }
  return ringBits - 2 - Math.min(needed + spare, Math.max(most, 0));
}

/** Integer bits of values up to `range` with one bit of head-room. */
export const integerBits = (range: number): number =>
  range === 0 ? 0 : Math.max(0, Math.ceil(Math.log2(range)) + 1);

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
  return Math.min(inputBits, reply, oneWord >= 6 ? oneWord : twoWords);
}

/**
 * Bits that average pooling adds to a value that nothing else reads: its activation leaves them out, so the average has the bits
 * of every other value. What the summands lose in precision averages out.
 */
function poolingBitsBefore(plan: Plan, id: string): number {
  const readers = plan.steps.filter((step) => readsOf(step).includes(id));
  const [only] = readers;
  return readers.length === 1 && only!.kind === "averagePool" ? only!.fractionBits : 0;
}

/** Bits that average pooling adds on the way to a value. */
function summedBits(plan: Plan, id: string): number {
  const step = plan.steps.find((step) => step.kind === "averagePool" && step.node.id === id);
  return step?.kind === "averagePool" ? step.fractionBits + summedBits(plan, step.input) : 0;
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
