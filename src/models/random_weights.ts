/**
 * Random weights with which a network behaves like a trained one as far as time and numbers are concerned:
 * inputs of activations inside [-5, 5], logits that depend on the image. For tests and for timing; nothing
 * here is secret.
 */
import {
  type Activation,
  type FloatTensor,
  type Graph,
  inferShapes,
  inputsOf,
  type Node,
  type Shape,
} from "./graph.ts";
import { addBias, affine, applyLinear, linearMatrix, maxPool, sumPool } from "./_layers.ts";
import { SeededRandom } from "./seeded_random.ts";
import { countModel } from "./counts.ts";
import { activate } from "./float_engine.ts";
import { BATCH_NORM_EPSILON, consumersOf, lastReaders, type LinearNode } from "./fold.ts";
import { horner, realCoefficients } from "../polynomial/polynomial.ts";

/** Patches of an image along each side. */
const PATCHES = 4;

/**
 * An image of standard normal values, clipped to [-3, 3], the same for the same seed: half of the variance in
 * 4 x 4 patches of one colour, half in the pixels, so that images differ in more than their noise.
 */
export function seededImage(graph: Graph, seed: number): Float32Array {
  const [height, width, channels] = graph.inputShape, random = new SeededRandom(seed, "image");
  const patches = Float64Array.from({ length: PATCHES * PATCHES * channels }, () => random.normal());
  const image = new Float32Array(height * width * channels);
  for (let y = 0, i = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const patch = Math.floor(y * PATCHES / height) * PATCHES + Math.floor(x * PATCHES / width);
      for (let c = 0; c < channels; c++, i++) {
        const value = (patches[patch * channels + c] + random.normal()) * Math.SQRT1_2;
        image[i] = Math.max(-3, Math.min(3, value));
      }
    }
  }
  return image;
}

/** Work of the adjustment, in multiply-accumulates: decides its number of images. */
const ADJUSTMENT_MACS = 2e9;
/** Largest |input of an activation| on the images that weights are adjusted to, so that other images stay below 5. */
const LIMIT = 2.8;
/** With n values a channel, values are made smaller by sqrt(n / (n + CAUTION)): few say little about other images. */
const CAUTION = 12;
/**
 * The values that identities carry from block to block, at the start of such a chain. A quartic bends upwards:
 * large values grow from block to block while small ones shrink, and a network of many blocks leaves the
 * range on images that differ a little from those of the adjustment. Small values see a straight line.
 */
const STREAM_LIMIT = 2;
/** Deviation of what a block adds to them. */
const BRANCH_DEVIATION = 0.3;
/** Blocks up to which the two values above hold; more blocks share the same room. */
const SHALLOW_BLOCKS = 6;
/** Slope of the polynomial at the mean of these values: near 1, so that they arrive at the end. */
const STREAM_SLOPE = 0.9;
const LOGIT_DEVIATION = 0.3;

/**
 * Random weights for a network: He initialisation, then every batch norm, or the layer itself where there
 * is none, is set from a forward pass over seeded images, layer by layer.
 *
 * @param seed the same seed gives the same weights
 * @param activation the one that the network will run with; ranges depend on it
 */
export function randomWeights(graph: Graph, seed: number, activation: Activation): Map<string, FloatTensor> {
  return new Adjustment(graph, seed, activation).run();
}

interface Affine {
  readonly scale: Float64Array;
  readonly offset: Float64Array;
}

class Adjustment {
  readonly #graph: Graph;
  readonly #seed: number;
  readonly #activation: Activation;
  readonly #shapes: ReadonlyMap<string, Shape>;
  readonly #consumers: ReadonlyMap<string, readonly Node[]>;
  readonly #images: number;
  /** The room that each of many residual blocks has, against a block of a shallow network. */
  readonly #room: number;
  readonly #streamMean: number | undefined;
  readonly #weights = new Map<string, FloatTensor>();
  /** Values by node, one array an image. */
  readonly #values = new Map<string, Float64Array[]>();

  constructor(graph: Graph, seed: number, activation: Activation) {
    this.#graph = graph;
    this.#seed = seed;
    this.#activation = activation;
    this.#shapes = inferShapes(graph);
    this.#consumers = consumersOf(graph);
    this.#images = Math.max(2, Math.min(8, Math.floor(ADJUSTMENT_MACS / countModel(graph).macs)));
    const blocks = graph.nodes.filter((node) => node.op === "add").length;
    this.#room = Math.min(1, Math.sqrt(SHALLOW_BLOCKS / blocks));
    this.#streamMean = streamMean(activation);
  }

  run(): Map<string, FloatTensor> {
    const last = lastReaders(this.#graph);
    for (const node of this.#graph.nodes) {
      this.#values.set(node.id, this.#evaluate(node));
      for (const id of inputsOf(node)) if (last.get(id) === node.id) this.#values.delete(id);
    }
    return this.#weights;
  }

  #evaluate(node: Node): Float64Array[] {
    if (node.op === "input") {
      // Negative seeds, other ones for each seed of weights: no caller's image is among them by accident.
      return Array.from(
        { length: this.#images },
        (_, i) => Float64Array.from(seededImage(this.#graph, -1 - i - this.#images * Math.abs(this.#seed))),
      );
    }
    const inputs = this.#values.get(node.input)!;
    const input = this.#shapes.get(node.input)!, output = this.#shapes.get(node.id)!;
    switch (node.op) {
      case "conv":
      case "dense":
        return this.#linear(node, inputs, input, output);
      case "batchNorm":
        return this.#batchNorm(node.id, inputs);
      case "activation":
        return inputs.map((x) => activate(this.#activation, x));
      case "averagePool":
        return inputs.map((x) => sumPool(node, x, input, output).map((sum) => sum / node.kernel ** 2));
      case "maxPool":
        return inputs.map((x) => maxPool(node, x, input, output));
      case "add": {
        const others = this.#values.get(node.shortcut)!;
        const sums = inputs.map((x, i) => x.map((v, j) => v + others[i][j]));
        if (this.#streamMean !== undefined) this.#centreStream(node.input, sums, output[2], this.#streamMean);
        return sums;
      }
      case "flatten":
        return inputs;
    }
  }

  #linear(node: LinearNode, inputs: readonly Float64Array[], input: Shape, output: Shape): Float64Array[] {
    const weight = this.#heInitialise(node, input);
    const matrix = linearMatrix(weight, node.outputs);
    const values = inputs.map((x) => applyLinear(node, x, input, output, matrix));
    const [reader, ...others] = this.#consumers.get(node.id)!;
    if (reader?.op === "batchNorm" && others.length === 0) {
      if (node.bias) {
        const bias = this.#set(`${node.id}.bias`, node.outputs, (random) => random.uniform(-0.1, 0.1));
        for (const value of values) addBias(value, bias);
      }
      return values;
    }
    // No batch norm: the weights themselves take the scale and the bias takes the offset.
    const { scale, offset } = this.#target(node.id, values);
    for (let i = 0; i < weight.length; i++) weight[i] *= scale[i % node.outputs];
    if (node.bias) this.#set(`${node.id}.bias`, node.outputs, (_, c) => offset[c]);
    else offset.fill(0);
    for (const value of values) affine(value, scale, offset);
    return values;
  }

  #heInitialise(node: LinearNode, input: Shape): Float32Array {
    const kernel = node.op === "conv" ? [node.kernel, node.kernel] : [];
    const shape = [...kernel, input[2], node.outputs], size = shape.reduce((product, n) => product * n, 1);
    const bound = Math.sqrt(6 * node.outputs / size),
      random = new SeededRandom(this.#seed, `${node.id}.weight`);
    const data = new Float32Array(size);
    for (let i = 0; i < size; i++) data[i] = random.uniform(-bound, bound);
    if (node.input !== this.#graph.nodes[0].id) centre(data, input[2], node.outputs);
    this.#weights.set(`${node.id}.weight`, { shape, data });
    return data;
  }

  #set(name: string, size: number, value: (random: SeededRandom, channel: number) => number): Float32Array {
    const random = new SeededRandom(this.#seed, name);
    const data = Float32Array.from({ length: size }, (_, c) => value(random, c));
    this.#weights.set(name, { shape: [size], data });
    return data;
  }

  #batchNorm(id: string, inputs: readonly Float64Array[]): Float64Array[] {
    const { mean, variance } = statistics(inputs, this.#shapes.get(id)![2]);
    const { scale, offset } = this.#target(id, inputs);
    const m = this.#set(`${id}.mean`, mean.length, (_, c) => mean[c]);
    const v = this.#set(`${id}.variance`, mean.length, (_, c) => variance[c]);
    const deviation = Float64Array.from(v, (x) => Math.sqrt(x + BATCH_NORM_EPSILON));
    const gain = this.#set(`${id}.scale`, mean.length, (_, c) => scale[c] * deviation[c]);
    const shift = this.#set(`${id}.offset`, mean.length, (_, c) => offset[c] + scale[c] * m[c]);
    const a = Float64Array.from(gain, (g, c) => g / deviation[c]);
    const b = Float64Array.from(shift, (s, c) => s - a[c] * m[c]);
    return inputs.map((input) => {
      const value = input.slice();
      affine(value, a, b);
      return value;
    });
  }

  /** Moves the mean of each channel of a residual sum, by the offset of the batch norm of its branch. */
  #centreStream(branch: string, sums: readonly Float64Array[], channels: number, to: number): void {
    const offset = this.#weights.get(`${branch}.offset`)?.data;
    if (!offset) return;
    const shift = statistics(sums, channels).mean.map((mean) => to - mean);
    for (let c = 0; c < channels; c++) offset[c] += shift[c];
    for (const sum of sums) addBias(sum, shift);
  }

  /** The affine map per channel that gives the values of a node the size they should have. */
  #target(id: string, values: readonly Float64Array[]): Affine {
    const [reader] = this.#consumers.get(id)!, shape = this.#shapes.get(id)!;
    if (reader === undefined) return logitTarget(values);
    // Where pooling comes between layer and activation, the pooled values are what must be in range.
    const seen = reader.op === "averagePool"
      ? values.map((x) =>
        sumPool(reader, x, shape, this.#shapes.get(reader.id)!).map((sum) => sum / reader.kernel ** 2)
      )
      : values;
    const { mean, variance } = statistics(seen, shape[2]);
    const random = new SeededRandom(this.#seed, `${id}.target`);
    const scale = variance.map((v) => random.uniform(0.8, 1) / Math.sqrt(v + BATCH_NORM_EPSILON));
    const offset = mean.map((m, c) => random.uniform(-0.1, 0.1) - m * scale[c]);
    const count = seen.length * seen[0].length / shape[2];
    let gain = Math.sqrt(count / (count + CAUTION));
    if (reader.op === "add" && reader.input === id) gain *= BRANCH_DEVIATION * this.#room ** 2;
    else {
      const limit = this.#startsStream(id) ? STREAM_LIMIT * this.#room : LIMIT;
      gain *= Math.min(1, limit / largest(seen, scale, offset));
    }
    return { scale: scale.map((s) => s * gain), offset: offset.map((o) => o * gain) };
  }

  /** Whether a node's value starts a chain of residual blocks that are joined by identities. */
  #startsStream(id: string): boolean {
    return this.#consumers.get(id)!.some((reader) =>
      (reader.op === "add" && reader.shortcut === id) ||
      (reader.op === "activation" && this.#startsStream(reader.id))
    );
  }
}

/** Smallest argument in [0, 2] from which a polynomial is as steep as the stream wants; undefined for another function. */
function streamMean(activation: Activation): number | undefined {
  if (activation.kind !== "polynomial") return undefined;
  const derivative = realCoefficients(activation).map((a, k) => k * a).slice(1);
  let x = 0;
  while (x < 2 && horner(derivative, x) < STREAM_SLOPE) x += 0.01;
  return x;
}

/** Logits are set by medians over the images: the size of the signal in a deep network varies from image to image. */
function logitTarget(values: readonly Float64Array[]): Affine {
  const middle = values[0].map((_, c) => median(values.map((x) => x[c])));
  const sizes = values.map((x) =>
    Math.sqrt(x.reduce((sum, v, c) => sum + (v - middle[c]) ** 2, 0) / x.length)
  );
  const scale = LOGIT_DEVIATION / median(sizes);
  return { scale: new Float64Array(middle.length).fill(scale), offset: middle.map((m) => -m * scale) };
}

/**
 * Subtracts the mean over the input channels from weights [..., inputs, outputs]. Values of activations have a
 * mean far from 0; against the zeros of the padding it would draw a frame that is the same for all images and,
 * normalised over and over, drowns them in a deep network.
 */
function centre(weights: Float32Array, inputs: number, outputs: number): void {
  for (let tap = 0; tap < weights.length; tap += inputs * outputs) {
    for (let o = 0; o < outputs; o++) {
      let sum = 0;
      for (let i = 0; i < inputs; i++) sum += weights[tap + i * outputs + o];
      for (let i = 0; i < inputs; i++) weights[tap + i * outputs + o] -= sum / inputs;
    }
  }
}

/**
 * Mean and variance per channel. With few values a channel (small maps, few images) its variance is drawn
 * towards that of all channels, as if 64 more values had been seen.
 */
function statistics(
  values: readonly Float64Array[],
  channels: number,
): { mean: Float64Array; variance: Float64Array } {
  const count = values.length * values[0].length / channels;
  const mean = new Float64Array(channels), variance = new Float64Array(channels);
  for (const x of values) {
    for (let i = 0; i < x.length; i += channels) for (let c = 0; c < channels; c++) mean[c] += x[i + c];
  }
  for (let c = 0; c < channels; c++) mean[c] /= count;
  for (const x of values) {
    for (let i = 0; i < x.length; i += channels) {
      for (let c = 0; c < channels; c++) variance[c] += (x[i + c] - mean[c]) ** 2;
    }
  }
  const pooled = variance.reduce((sum, v) => sum + v, 0) / channels / (count - 1);
  for (let c = 0; c < channels; c++) variance[c] = (variance[c] + 64 * pooled) / (count - 1 + 64);
  return { mean, variance };
}

function largest(values: readonly Float64Array[], scale: Float64Array, offset: Float64Array): number {
  const channels = scale.length;
  let max = 0;
  for (const x of values) {
    for (let i = 0; i < x.length; i += channels) {
      for (let c = 0; c < channels; c++) max = Math.max(max, Math.abs(x[i + c] * scale[c] + offset[c]));
    }
  }
  return max;
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b), half = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
}
