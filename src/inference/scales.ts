/**
 * Fraction bits of all values and weights, public. Scales run backwards, since what a layer may have depends on the ranges of its readers: so
 * wishes are collected from the last layer to the first, and the plan goes forward and checks what comes of them.
 */
import type { Activation } from "../models/graph.ts";
import { horner } from "../polynomial/polynomial.ts";
import type { Scaling } from "../protocols/protocol.ts";
import type { Width } from "../ring/tensor.ts";
import { valueBits, type Wire } from "../wires/wire.ts";
import type { Layer, Layers } from "./layers.ts";
import type { PlanOptions } from "./plan.ts";

export interface Scales {
  /** Words of the linear layers, and the ring that they count in. */
  readonly width: Width;
  readonly ringBits: number;
  readonly imageBits: number;
  /** Of the weights of a linear node that reads `input`. Throws a RangeError where nothing is left for them. */
  weightBits(node: string, input: Wire): number;
  /** Of the outputs of an activation or a max pooling. */
  outputBits(node: string): number;
  /** Of the logits when they are opened. */
  openedBits(logits: Wire): number;
  /** What all of it follows from: part of a plan's digest. */
  readonly basis: unknown;
}

/** What scales follow from; ranges in the order of the audit. */
export interface ScaleOptions extends Pick<PlanOptions, "fractionBits" | "ringBits" | "ranges" | "force"> {
  /** Of the network, for errors. */
  readonly name: string;
  readonly layers: Layers;
  /** Of the logits among them: of a graph that ends with an activation none is known, of one that ends with a flattening no layer has its name. */
  readonly logitRange?: number | undefined;
  /** The function of an activation node. */
  functionOf(node: string): Activation;
}

export const DEFAULT_FRACTION_BITS = 16;
export const DEFAULT_RING_BITS = 30;

/** Throws a RangeError where an option is out of range or the scales leave too little precision. */
export const chooseScales = (scaling: Scaling, options: ScaleOptions): Scales =>
  scaling.kind === "uniform"
    ? uniformScales(options)
    : ringScales({ ...options, scaling, ringBits: options.ringBits ?? DEFAULT_RING_BITS });

// --- the same fraction bits everywhere

/** Bits that average pooling may have added to the input of a linear layer: windows of up to 16 x 16. */
const POOLING_BITS = 8;

function uniformScales({ name, fractionBits: f = DEFAULT_FRACTION_BITS }: ScaleOptions): Scales {
  if (!Number.isInteger(f) || f < 8 || f > 20) {
    throw new RangeError(`fraction bits must be an integer from 8 to 20, not ${f}`);
  }
  return {
    width: 64,
    ringBits: 64,
    imageBits: f,
    weightBits(node, { fractionBits }) {
      if (fractionBits <= f + POOLING_BITS) return f;
      throw new RangeError(
        `${name}: ${node} reads a value with ${fractionBits} fraction bits; linear layers must be separated by activations`,
      );
    },
    outputBits: () => f,
    openedBits: () => f,
    basis: { fractionBits: f },
  };
}

// --- what a ring of few bits leaves

/** Without audited ranges pre-activations are taken to stay within (-2^RANGE_BITS, 2^RANGE_BITS). */
const RANGE_BITS = 4;
/** Fraction bits of the weights and the inputs of a linear layer below which ranges are refused. */
const FEWEST_WEIGHT_BITS = 4;
/** Logits keep more room than other values, so that one that went wrong is seen. */
const SPARE_LOGIT_BITS = 1;

interface RingScaleOptions extends ScaleOptions {
  readonly scaling: Scaling & { readonly kind: "ring" };
  readonly ringBits: number;
}

function ringScales(options: RingScaleOptions): Scales {
  const { name, layers, ranges, force = false, ringBits } = options;
  if (!Number.isInteger(ringBits) || ringBits < 16 || ringBits > 30) {
    throw new RangeError(`ring bits must be an integer from 16 to 30, not ${ringBits}`);
  }
  const wanted = wantedBits(options);
  const fewest = ranges && !force ? FEWEST_WEIGHT_BITS : 1;
  return {
    width: 32,
    ringBits,
    imageBits: Math.min(
      wanted.inputs.get(layers.input) ?? Infinity,
      wanted.values.get(layers.input) ?? Infinity,
    ),
    weightBits(node, { fractionBits }) {
      const bits = (wanted.inputs.get(node) ?? 0) - fractionBits;
      if (bits >= fewest) return bits;
      throw new RangeError(
        `${name}: ${ringBits} ring bits leave ${
          Math.max(0, bits)
        } fraction bits for the weights of ${node}, fewer than ${fewest}; use a wider ring`,
      );
    },
    outputBits: (node) => wanted.values.get(node)! - poolingBitsBefore(layers, node),
    openedBits: (logits) => Math.min(usualValueBits(ringBits), valueBits(logits)),
    basis: {
      ringBits,
      force,
      ranges: ranges ? Object.values(ranges) : null,
    },
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
function forLargeOutputs(f: Activation, range: number): number {
  const usual = 4;
  return Math.max(0, Math.floor(Math.log2(largestOutput(f, range) / usual) / 4));
}

/** A bound of |f(x)| at |x| <= range. */
function largestOutput(f: Activation, range: number): number {
  switch (f.kind) {
    case "polynomial":
      return horner(f.coefficients.map(Math.abs), range) / 2 ** f.precision;
    case "trigonometric":
      return f.amplitudes.reduce((sum, b) => sum + Math.abs(b), range / 2 + Math.abs(f.offset));
    default:
      return range;
  }
}

interface WantedBits {
  /** f_z by value, for values on the way to an activation or to the logits: what their range leaves. */
  readonly inputs: ReadonlyMap<string, number>;
  /** f_v by value, for the image and outputs of activations. */
  readonly values: ReadonlyMap<string, number>;
}

/** Wishes from the last layer to the first: a value that several layers read suits all of them. */
function wantedBits(options: RingScaleOptions): WantedBits {
  const { layers, ringBits, ranges, logitRange, scaling, functionOf } = options, { list, output } = layers;
  const inputs = new Map<string, number>(),
    values = new Map<string, number>(),
    usual = usualValueBits(ringBits);
  const atMost = (map: Map<string, number>, id: string, bits: number | undefined) =>
    bits !== undefined && map.set(id, Math.min(bits, map.get(id) ?? Infinity));
  const spareLogits = { spare: SPARE_LOGIT_BITS };
  atMost(inputs, output, bitsOf(options, output, `logits of ${output}`, logitRange, spareLogits));
  for (const layer of list.toReversed()) {
    const [id] = layer.writes as [string], [input] = layer.reads as [string];
    switch (layer.kind) {
      case "activation": {
        const f = functionOf(id), range = ranges?.[id];
        atMost(values, id, usual);
        if (range !== undefined) {
          const bits = values.get(id)! - forLargeOutputs(f, range);
          values.set(id, Math.max(bits, poolingBitsBefore(layers, id)));
        }
        const room = { fewest: scaling.fewestIntegerBits?.(f) ?? 0, most: scaling.mostIntegerBits };
        atMost(inputs, input, bitsOf(options, input, `inputs of ${id}`, range, room));
        break;
      }
      case "maxPool":
        break;
      case "averagePool": {
        const bits = inputs.get(id);
        atMost(inputs, input, bits && bits - poolingBits(layer));
        atMost(values, input, values.get(id));
        break;
      }
      case "add":
        for (const summand of layer.reads) {
          atMost(inputs, summand, inputs.get(id));
          atMost(values, summand, values.get(id));
        }
        break;
      case "linear":
        atMost(values, input, usual);
        layer.specs.forEach(({ kernel, inputs: channels }, i) =>
          ranges &&
          atMost(values, input, shareOfValues(inputs.get(layer.writes[i])!, kernel ** 2 * channels))
        );
    }
  }
  return { inputs, values };
}

/** Integer bits of a value beside those of its range: how many its protocol needs, and can tell apart, and how many are kept spare. */
interface Room {
  readonly fewest?: number;
  readonly most?: number;
  readonly spare?: number;
}

/**
 * f_z of a value: the ring without sign, one bit more, and the integer bits of twice the range. Throws a RangeError where that leaves too little
 * precision, unless the plan is forced.
 */
function bitsOf(
  { name, layers, ringBits, force }: RingScaleOptions,
  value: string,
  described: string,
  range: number | undefined,
  { fewest = 0, most: told = Infinity, spare = 0 }: Room,
): number {
  if (range === undefined) return ringBits - 2 - Math.max(RANGE_BITS, fewest);
  const needed = Math.max(integerBits(range), fewest);
  const most = Math.min(ringBits - 2 - 2 * FEWEST_WEIGHT_BITS - summedBits(layers, value), told);
  if (needed > most && !force) {
    throw new RangeError(
      `${name}: ${described} up to ${range} leave no head-room: twice that takes ${needed} integer bits, ` +
        `${ringBits} ring bits have ${most}; use a wider ring or another network, or force it`,
    );
  }
  return ringBits - 2 - Math.min(needed + spare, Math.max(most, 0));
}

/** Integer bits of values up to `range` with one bit of head-room. */
export const integerBits = (range: number): number =>
  range === 0 ? 0 : Math.max(0, Math.ceil(Math.log2(range)) + 1);

/** Bits that the sum over the windows of a pooling has beyond its summands; the division by their number is in the scale. */
export const poolingBits = (layer: Layer & { readonly kind: "averagePool" }): number =>
  Math.ceil(Math.log2(layer.windows.kernel ** 2));

/**
 * Bits that average pooling adds to a value that nothing else reads: its activation leaves them out, so the average has the bits
 * of every other value. What the summands lose in precision averages out.
 */
function poolingBitsBefore(layers: Layers, id: string): number {
  const readers = layers.list.filter(({ reads }) => reads.includes(id)), [only] = readers;
  if (readers.length !== 1) return 0;
  if (only.kind === "averagePool") return poolingBits(only);
  // An average of a sum is a sum of averages, if all that is summed can leave the bits out.
  return only.kind === "add" && only.reads.every((read) => isForSumAlone(layers, read))
    ? poolingBitsBefore(layers, only.writes[0]!)
    : 0;
}

const isForSumAlone = ({ list }: Layers, id: string): boolean =>
  list.find(({ writes }) => writes[0] === id)?.kind === "activation" &&
  list.filter(({ reads }) => reads.includes(id)).length === 1;

/** Bits that average pooling adds on the way to a value. */
function summedBits(layers: Layers, id: string): number {
  const layer = layers.list.find(({ writes }) => writes[0] === id);
  const before = () => Math.max(...[...new Set(layer!.reads)].map((read) => summedBits(layers, read)));
  if (layer?.kind === "averagePool") return poolingBits(layer) + before();
  return layer?.kind === "add" ? before() : 0;
}
