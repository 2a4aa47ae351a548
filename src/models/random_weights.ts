/**
 * Random weights with which a network behaves like a trained one as far as time and numbers are concerned:
 * inputs of activations of deviation about 1 inside [-5, 5], logits that depend on the image. For tests and
 * for timing; nothing here is secret.
 */
import { type Activation, type FloatTensor, type Graph, inferShapes, inputsOf, type Node, type Shape, sizeOf } from "./graph.ts";
import { addBias, affine, applyLinear, linearMatrix, maxPool, sumPool } from "./_layers.ts";
import { horner, realCoefficients } from "../polynomial/polynomial.ts";
import { SeededRandom } from "./_seeded_random.ts";
import { countModel } from "./counts.ts";
import { activate } from "./float_engine.ts";
import { BATCH_NORM_EPSILON, consumersOf, lastReaders, type LinearNode } from "./fold.ts";

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

/** Patches of an image along each side. */
const PATCHES = 4;
/** Deviation of what a residual branch adds: small, so that sums over many blocks stay in range. */
const BRANCH_GAIN = 0.3;
/** Residual blocks up to which the branches have their full gain; deeper networks share the same variance. */
const FULL_GAIN_BLOCKS = Number(Deno.env.get('FG')??5);
/** Largest |input of an activation| on the calibration images; other images stay below 5. */
const LIMIT = Number(Deno.env.get('LI')??3.4);
/** The same where a chain of residual blocks begins, see {@linkcode Calibration.isStream}. */
const STREAM_LIMIT = Number(Deno.env.get('SL')??2);
const SLOPE = Number(Deno.env.get('SLOPE')??0.9);
const CAUTION = 8;
const LOGIT_DEVIATION = 0.5;
/** Work of the forward passes, in multiply-accumulates: decides the number of calibration images. */
const CALIBRATION_MACS = 2e9;

/**
 * Random weights for a network: He initialisation, then every batch norm, or the layer itself where there
 * is none, is set from a forward pass over seeded images, layer by layer.
 *
 * @param seed the same seed gives the same weights
 * @param activation the one that the network will run with; ranges depend on it
 */
export function randomWeights(graph: Graph, seed: number, activation: Activation): Map<string, FloatTensor> {
  return new Calibration(graph, seed, activation).run();
}

class Calibration {
  readonly weights = new Map<string, FloatTensor>();
  readonly shapes: Map<string, Shape>;
  readonly consumers: Map<string, Node[]>;
  readonly images: number;
  readonly branchGain: number;
  readonly level: number | undefined;
  /** Values by node, one array an image. */
  readonly values = new Map<string, Float64Array[]>();

  constructor(readonly graph: Graph, readonly seed: number, readonly activation: Activation) {
    this.shapes = inferShapes(graph);
    this.consumers = consumersOf(graph);
    const images = Math.floor(CALIBRATION_MACS / countModel(graph).macs);
    this.images = Number(Deno.env.get('NI')??Math.max(2, Math.min(8, images)));
    if (activation.kind === "polynomial") {
      const c = realCoefficients(activation);
      const slope = (x: number) => horner(c.map((a, k) => k * a).slice(1), x);
      let m = 0;
      while (m < 2 && slope(m) < SLOPE) m += 0.01;
      this.level = m;
    }
    const blocks = graph.nodes.filter((node) => node.op === "add").length;
    this.branchGain = BRANCH_GAIN * Math.min(1, Math.sqrt(FULL_GAIN_BLOCKS / blocks));
  }

  run(): Map<string, FloatTensor> {
    const last = lastReaders(this.graph);
    for (const node of this.graph.nodes) {
      this.values.set(node.id, this.evaluate(node));
      for (const id of inputsOf(node)) if (last.get(id) === node.id) this.values.delete(id);
    }
    return this.weights;
  }

  evaluate(node: Node): Float64Array[] {
    if (node.op === "input") {
      // Seeds that no caller's image has: negative, and far apart for different weights.
      return Array.from({ length: this.images }, (_, i) =>
        Float64Array.from(seededImage(this.graph, -1 - i - this.images * Math.abs(this.seed))));
    }
    const inputs = this.values.get(node.input)!;
    const input = this.shapes.get(node.input)!, output = this.shapes.get(node.id)!;
    switch (node.op) {
      case "conv":
      case "dense": {
        const weight = this.heInitialise(node, input);
        const matrix = linearMatrix(weight.data, node.outputs);
        const values = inputs.map((x) => applyLinear(node, x, input, output, matrix));
        if (this.normOf(node)) {
          if (node.bias) {
            const bias = this.set(`${node.id}.bias`, node.outputs, (random) => random.uniform(-0.1, 0.1));
            for (const value of values) addBias(value, bias);
          }
        } else this.calibrateLayer(node, weight.data, values);
        return values;
      }
      case "batchNorm": {
        const values = inputs.map((x) => x.slice());
        this.calibrateNorm(node.id, values);
        return values;
      }
      case "activation":
        return inputs.map((x) => activate(this.activation, x));
      case "averagePool":
        return inputs.map((x) => sumPool(node, x, input, output).map((sum) => sum / node.kernel ** 2));
      case "maxPool":
        return inputs.map((x) => maxPool(node, x, input, output));
      case "add": {
        const others = this.values.get(node.shortcut)!;
        const values = inputs.map((x, i) => x.map((v, j) => v + others[i][j]));
        if (this.level !== undefined) {
          const { mean } = statistics(values, output[2]);
          const shift = mean.map((m) => this.level! - m);
          const bias = this.weights.get(`${node.input}.offset`)!.data;
          for (let c = 0; c < bias.length; c++) bias[c] += shift[c];
          for (const value of values) addBias(value, shift);
        }
        return values;
      }
      case "flatten":
        return inputs;
    }
  }

  heInitialise(node: LinearNode, input: Shape): FloatTensor {
    const kernel = node.op === "conv" ? [node.kernel, node.kernel] : [];
    const shape = [...kernel, input[2], node.outputs], size = shape.reduce((product, n) => product * n, 1);
    const bound = Math.sqrt(6 * node.outputs / size), random = new SeededRandom(this.seed, `${node.id}.weight`);
    const data = new Float32Array(size);
    for (let i = 0; i < size; i++) data[i] = random.uniform(-bound, bound);
    if (Deno.env.get('CE')!=='0' && input !== this.graph.inputShape) centre(data, input[2], node.outputs);
    const tensor = { shape, data };
    this.weights.set(`${node.id}.weight`, tensor);
    return tensor;
  }

  /** Whether a layer's value goes to a batch norm and nowhere else. */
  normOf(node: LinearNode): boolean {
    const [reader, ...others] = this.consumers.get(node.id)!;
    return reader?.op === "batchNorm" && others.length === 0;
  }

  set(name: string, size: number, value: (random: SeededRandom, channel: number) => number): Float32Array {
    const random = new SeededRandom(this.seed, name);
    const data = Float32Array.from({ length: size }, (_, c) => value(random, c));
    this.weights.set(name, { shape: [size], data });
    return data;
  }

  /** Chooses the statistics, scale and offset of a batch norm and applies it in place. */
  calibrateNorm(id: string, values: Float64Array[]): void {
    const { mean, variance } = statistics(values, this.shapes.get(id)![2]);
    const { scale, offset } = this.target(id, values);
    const n = mean.length;
    const m = this.set(`${id}.mean`, n, (_, c) => mean[c]);
    const v = this.set(`${id}.variance`, n, (_, c) => variance[c]);
    const deviation = Float64Array.from(v, (x) => Math.sqrt(x + BATCH_NORM_EPSILON));
    const gain = this.set(`${id}.scale`, n, (_, c) => scale[c] * deviation[c]);
    const shift = this.set(`${id}.offset`, n, (_, c) => offset[c] + scale[c] * m[c]);
    const a = Float64Array.from(gain, (g, c) => g / deviation[c]);
    const b = Float64Array.from(shift, (s, c) => s - a[c] * m[c]);
    for (const value of values) affine(value, a, b);
  }

  /** Scales the weights of a layer without batch norm, chooses its bias and applies both to its values. */
  calibrateLayer(node: LinearNode, weight: Float32Array, values: Float64Array[]): void {
    const { scale, offset } = this.target(node.id, values);
    for (let i = 0; i < weight.length; i++) weight[i] *= scale[i % node.outputs];
    if (node.bias) this.set(`${node.id}.bias`, node.outputs, (_, c) => offset[c]);
    else offset.fill(0);
    for (const value of values) affine(value, scale, offset);
  }

  /** Logits are set by medians over the images: in a deep network the size of the signal varies from image to image. */
  logitTarget(values: Float64Array[]): { scale: Float64Array; offset: Float64Array } {
    const middle = values[0].map((_, c) => median(values.map((x) => x[c])));
    const sizes = values.map((x) => Math.sqrt(x.reduce((sum, v, c) => sum + (v - middle[c]) ** 2, 0) / x.length));
    const scale = LOGIT_DEVIATION / median(sizes);
    return { scale: new Float64Array(middle.length).fill(scale), offset: middle.map((m) => -m * scale) };
  }

  /** Whether a node's value starts a chain of residual blocks that are joined by identities. */
  isStream(id: string): boolean {
    return this.consumers.get(id)!.some((reader) =>
      (reader.op === "add" && reader.shortcut === id) || (reader.op === "activation" && this.isStream(reader.id))
    );
  }

  /** The affine map per channel that gives the values of a node the deviation they should have. */
  target(id: string, values: Float64Array[]): { scale: Float64Array; offset: Float64Array } {
    const [reader] = this.consumers.get(id)!, shape = this.shapes.get(id)!;
    // Where pooling comes between layer and activation, the pooled values are what must be in range.
    const seen = reader?.op === "averagePool"
      ? values.map((x) => sumPool(reader, x, shape, this.shapes.get(reader.id)!).map((sum) => sum / reader.kernel ** 2))
      : values;
    if (reader === undefined) return this.logitTarget(values);
    const { mean, variance } = statistics(seen, shape[2]);
    const random = new SeededRandom(this.seed, `${id}.target`);
    const scale = variance.map((v) => random.uniform(0.8, 1) / Math.sqrt(v + BATCH_NORM_EPSILON));
    const offset = mean.map((m, c) => random.uniform(-0.1, 0.1) - m * scale[c]);
    // A few values a channel say little about other images: the fewer, the more room is left.
    const count = seen.length * seen[0].length / shape[2], caution = Math.sqrt(count / (count + CAUTION));
    let gain = caution;
    if (reader.op === "add" && reader.input === id) gain *= this.branchGain;
    else gain *= Math.min(1, (this.isStream(id) ? STREAM_LIMIT : LIMIT) / largest(seen, scale, offset));
    return { scale: scale.map((s) => s * gain), offset: offset.map((o) => o * gain) };
  }
}

/**
 * Mean and variance per channel. With few values a channel (small maps, few images) its variance is drawn
 * towards that of all channels, as if 64 more values had been seen.
 */
function statistics(values: Float64Array[], channels: number): { mean: Float64Array; variance: Float64Array } {
  const count = values.length * values[0].length / channels;
  const mean = new Float64Array(channels), variance = new Float64Array(channels);
  for (const x of values) { for (let i = 0; i < x.length; i += channels) for (let c = 0; c < channels; c++) mean[c] += x[i + c]; }
  for (let c = 0; c < channels; c++) mean[c] /= count;
  for (const x of values) {
    for (let i = 0; i < x.length; i += channels) for (let c = 0; c < channels; c++) variance[c] += (x[i + c] - mean[c]) ** 2;
  }
  const pooled = variance.reduce((sum, v) => sum + v, 0) / channels / (count - 1);
  for (let c = 0; c < channels; c++) variance[c] = (variance[c] + 64 * pooled) / (count - 1 + 64);
  return { mean, variance };
}

/**
 * Subtracts the mean over the input channels from weights [..., inputs, outputs]. Outputs of activations have a
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

function median(values: number[]): number {
  const sorted = values.toSorted((a, b) => a - b), half = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
}

function largest(values: Float64Array[], scale: Float64Array, offset: Float64Array): number {
  const channels = scale.length;
  let max = 0;
  for (const x of values) {
    for (let i = 0; i < x.length; i += channels) {
      for (let c = 0; c < channels; c++) max = Math.max(max, Math.abs(x[i + c] * scale[c] + offset[c]));
    }
  }
  return max;
}
