/**
 * Every kind of layer with its two directions next to each other, in doubles and in plain loops: the page to read first. What
 * the other engines compute is held to this one; this one is held to the differences of its own loss.
 *
 * Values of a batch are NHWC. `forward` returns y of the inputs; `backward` is given dy, the gradient of the loss at y, and adds
 * to the gradients of the inputs and of the parameters.
 */
import { BATCH_NORM_EPSILON } from "../models/fold.ts";
import {
  type Activation,
  type ActivationNode,
  type AddNode,
  type BatchNormNode,
  type ConvNode,
  type DenseNode,
  type Node,
  type PoolNode,
  type Shape,
  sizeOf,
  windowOf,
} from "../models/graph.ts";
import { trigonometricAt } from "../models/trigonometric.ts";
import { evaluatePolynomial } from "../polynomial/polynomial.ts";
import { penaltyDerivative, type PenaltyShape, penaltyValue } from "./penalty.ts";

export type Values = Float64Array<ArrayBuffer>;

/** What a layer sees of a pass over some images. */
export interface Pass {
  readonly images: number;
  readonly activation: Activation;
  readonly shapes: ReadonlyMap<string, Shape>;
  /** Inputs of activations are clipped to [-clip, clip]; null: no clip. */
  readonly clip: number | null;
  /** Part of ReLU in activations. */
  readonly reluPart: number;
  /** The penalty on the inputs of an activation, and its factor; null: none. */
  readonly penalty:
    | PenaltyShape & { readonly isHinge: boolean; readonly factor: (elements: number) => number }
    | null;
  parameter(node: Node, part: string): Values | undefined;
  /** Where the gradient of a parameter is added up. */
  gradient(node: Node, part: string): Values;
  /** Mean and variance that a batch norm uses: in training those of its input. */
  moments(node: BatchNormNode, x: Values): Moments;
}

/** By channel. */
export interface Moments {
  readonly mean: Values;
  readonly variance: Values;
}

export interface Layer<N extends Node> {
  forward(node: N, inputs: readonly [Values, ...Values[]], pass: Pass): Values;
  backward(
    node: N,
    inputs: readonly [Values, ...Values[]],
    dy: Values,
    gradients: readonly [Values, ...Values[]],
    pass: Pass,
  ): void;
}

const zeros = (length: number): Values => new Float64Array(length);
const resultOf = (node: Node, { images, shapes }: Pass): Values =>
  zeros(images * sizeOf(shapes.get(node.id)!));

// --- Convolutions and dense layers: y[f] = bias[f] + sum over taps and c of x[c] w[tap, c, f] ---

export const convolution: Layer<ConvNode | DenseNode> = {
  forward(node, [x], pass) {
    const w = pass.parameter(node, "weight")!, bias = pass.parameter(node, "bias"), y = resultOf(node, pass);
    if (bias) y.forEach((_, i) => y[i] = bias[i % bias.length]);
    eachTap(node, pass, (from, to, tap, inputs, outputs) => {
      for (let c = 0; c < inputs; c++) {
        for (let f = 0; f < outputs; f++) y[to + f] += x[from + c] * w[(tap * inputs + c) * outputs + f];
      }
    });
    return y;
  },
  backward(node, [x], dy, [dx], pass) {
    const w = pass.parameter(node, "weight")!, dw = pass.gradient(node, "weight");
    if (node.bias) {
      const dBias = pass.gradient(node, "bias");
      dy.forEach((g, i) => dBias[i % dBias.length] += g);
    }
    eachTap(node, pass, (from, to, tap, inputs, outputs) => {
      for (let c = 0; c < inputs; c++) {
        for (let f = 0; f < outputs; f++) {
          const k = (tap * inputs + c) * outputs + f;
          dx[from + c] += dy[to + f] * w[k];
          dw[k] += dy[to + f] * x[from + c];
        }
      }
    });
  },
};

/** Every pixel of the result with every pixel of the image under its window: where their channels start, and which tap it is. */
function eachTap(
  node: ConvNode | DenseNode | PoolNode,
  { images, shapes }: Pass,
  visit: (from: number, to: number, tap: number, inputs: number, outputs: number) => void,
): void {
  const [height, width, inputs] = shapes.get(node.input)!, [rows, columns, outputs] = shapes.get(node.id)!;
  const { kernel, stride, padding } = windowOf(node);
  for (let n = 0, to = 0; n < images; n++) {
    for (let row = 0; row < rows; row++) {
      for (let column = 0; column < columns; column++, to += outputs) {
        for (let tap = 0; tap < kernel ** 2; tap++) {
          const i = row * stride - padding + Math.floor(tap / kernel);
          const j = column * stride - padding + tap % kernel;
          if (i < 0 || j < 0 || i >= height || j >= width) continue;
          visit(((n * height + i) * width + j) * inputs, to, tap, inputs, outputs);
        }
      }
    }
  }
}

// --- Batch norm: y = (x - mean) / deviation * scale + offset ---

export const batchNorm: Layer<BatchNormNode> = {
  forward(node, [x], pass) {
    const scale = pass.parameter(node, "scale")!, offset = pass.parameter(node, "offset")!;
    return normalised(x, pass.moments(node, x)).map((v, i) =>
      v * scale[i % scale.length] + offset[i % scale.length]
    );
  },
  /** Mean and deviation are functions of x, too. */
  backward(node, [x], dy, [dx], pass) {
    const scale = pass.parameter(node, "scale")!, channels = scale.length, count = x.length / channels;
    const moments = pass.moments(node, x), normal = normalised(x, moments), inverse = inverses(moments);
    const sums = zeros(channels), products = zeros(channels);
    dy.forEach((g, i) => {
      sums[i % channels] += g;
      products[i % channels] += g * normal[i];
    });
    const dScale = pass.gradient(node, "scale"), dOffset = pass.gradient(node, "offset");
    products.forEach((product, c) => dScale[c] += product);
    sums.forEach((sum, c) => dOffset[c] += sum);
    dy.forEach((g, i) => {
      const c = i % channels, mean = sums[c] / count + normal[i] * products[c] / count;
      dx[i] += scale[c] * inverse[c] * (g - mean);
    });
  },
};

const inverses = ({ variance }: Moments) => variance.map((v) => 1 / Math.sqrt(v + BATCH_NORM_EPSILON));

function normalised(x: Values, moments: Moments): Values {
  const inverse = inverses(moments), { mean } = moments, channels = mean.length;
  return x.map((v, i) => (v - mean[i % channels]) * inverse[i % channels]);
}

/** Mean and biased variance of each channel. */
export function momentsOf(x: Values, channels: number): Moments {
  const mean = zeros(channels), variance = zeros(channels), count = x.length / channels;
  x.forEach((v, i) => mean[i % channels] += v / count);
  x.forEach((v, i) => variance[i % channels] += (v - mean[i % channels]) ** 2 / count);
  return { mean, variance };
}

// --- Activations: y = f(clip(x)) ---

export const activation: Layer<ActivationNode> = {
  forward(node, [x], pass) {
    const f = functionOf(node, pass);
    return x.map((v) => mixed(valueAt, f, clipped(v, pass), pass));
  },
  backward(node, [x], dy, [dx], pass) {
    const f = functionOf(node, pass), { clip } = pass;
    x.forEach((v, i) => {
      if (Math.abs(v) <= (clip ?? Infinity)) dx[i] += dy[i] * mixed(derivativeAt, f, v, pass);
    });
    addPenaltyGradient(x, dx, pass);
    if (f.kind !== "trigonometric" || !pass.parameter(node, "fourier")) return;
    const learned = pass.gradient(node, "fourier"), angle = 2 * Math.PI / f.period;
    x.forEach((v, i) => {
      learned[0] += dy[i];
      f.amplitudes.forEach((_, k) =>
        learned[k + 1] += dy[i] * Math.cos((2 * k + 1) * angle * clipped(v, pass))
      );
    });
  },
};

const clipped = (v: number, { clip }: Pass) => clip === null ? v : Math.max(-clip, Math.min(clip, v));

const RELU: Activation = { kind: "relu" };

/** Of the function f and ReLU, each by its part. */
const mixed = (of: (f: Activation, x: number) => number, f: Activation, x: number, { reluPart }: Pass) =>
  reluPart * of(RELU, x) + (1 - reluPart) * of(f, x);

/** The function of a layer, with its own numbers where it learns them. */
function functionOf(node: ActivationNode, pass: Pass): Activation {
  const fourier = pass.parameter(node, "fourier");
  if (!fourier || pass.activation.kind !== "trigonometric") return pass.activation;
  return { ...pass.activation, offset: fourier[0], amplitudes: [...fourier.subarray(1)] };
}

function valueAt(f: Activation, x: number): number {
  if (f.kind === "relu") return Math.max(0, x);
  if (f.kind === "sigmoid") return 1 / (1 + Math.exp(-x));
  return f.kind === "trigonometric" ? trigonometricAt(f, x) : evaluatePolynomial(f, x);
}

function derivativeAt(f: Activation, x: number): number {
  if (f.kind === "relu") return x > 0 ? 1 : 0;
  if (f.kind === "sigmoid") return valueAt(f, x) * valueAt(f, -x);
  if (f.kind === "trigonometric") {
    const { period, amplitudes } = f,
      angle = 2 * Math.PI / period,
      frequency = (k: number) => (2 * k + 1) * angle;
    return amplitudes.reduce((sum, b, k) => sum - b * frequency(k) * Math.sin(frequency(k) * x), 1 / 2);
  }
  return f.coefficients.slice(1).reduce((sum, c, k) => sum + (k + 1) * c / 2 ** f.precision * x ** k, 0);
}

// --- The penalty on the inputs of an activation: a sum of powers, or the norm of what they have beyond the range ---

export function penaltyOf(x: Values, { penalty }: Pass): number {
  if (!penalty) return 0;
  const sum = penalty.isHinge
    ? excessNorm(x, penalty)
    : x.reduce((sum, v) => sum + penaltyValue(v, penalty), 0);
  return penalty.factor(x.length) * sum;
}

/** Where the norm is 0, so is its gradient. */
function addPenaltyGradient(x: Values, dx: Values, { penalty }: Pass): void {
  if (!penalty) return;
  const factor = penalty.factor(x.length), norm = penalty.isHinge ? excessNorm(x, penalty) : 0;
  x.forEach((v, i) => {
    if (!penalty.isHinge) dx[i] += factor * penaltyDerivative(v, penalty);
    else if (norm > 0) dx[i] += factor * excess(v, penalty) / norm;
  });
}

const excess = (v: number, { range }: PenaltyShape) => v - Math.max(-range, Math.min(range, v));
const excessNorm = (x: Values, penalty: PenaltyShape) =>
  Math.sqrt(x.reduce((sum, v) => sum + excess(v, penalty) ** 2, 0));

// --- Pooling ---

export const averagePool: Layer<PoolNode> = {
  forward(node, [x], pass) {
    const y = resultOf(node, pass);
    eachTap(node, pass, (from, to, _, channels) => {
      for (let c = 0; c < channels; c++) y[to + c] += x[from + c] / node.kernel ** 2;
    });
    return y;
  },
  backward(node, _, dy, [dx], pass) {
    eachTap(node, pass, (from, to, _, channels) => {
      for (let c = 0; c < channels; c++) dx[from + c] += dy[to + c] / node.kernel ** 2;
    });
  },
};

export const maxPool: Layer<PoolNode> = {
  forward(node, [x], pass) {
    const y = resultOf(node, pass).fill(-Infinity);
    eachTap(node, pass, (from, to, _, channels) => {
      for (let c = 0; c < channels; c++) y[to + c] = Math.max(y[to + c], x[from + c]);
    });
    return y;
  },
  /** The first of several largest receives all. */
  backward(node, inputs, dy, [dx], pass) {
    const [x] = inputs, y = maxPool.forward(node, inputs, pass), isGiven = new Uint8Array(y.length);
    eachTap(node, pass, (from, to, _, channels) => {
      for (let c = 0; c < channels; c++) {
        if (isGiven[to + c] || x[from + c] !== y[to + c]) continue;
        dx[from + c] += dy[to + c];
        isGiven[to + c] = 1;
      }
    });
  },
};

// --- Residual sums, and values read in another shape ---

export const add: Layer<AddNode> = {
  forward: (_, [x, w]) => x.map((v, i) => v + w[i]),
  backward(_, __, dy, gradients) {
    for (const gradient of gradients) dy.forEach((g, i) => gradient[i] += g);
  },
};

export const flatten: Layer<Node> = {
  forward: (_, [x]) => x.slice(),
  backward: (_, __, dy, [dx]) => dy.forEach((g, i) => dx[i] += g),
};

// --- Softmax cross entropy ---

/** Its sum over images, and the gradient at the logits times `factor`. */
export function crossEntropy(
  logits: Values,
  targets: Float32Array,
  classes: number,
  smoothing: number,
  factor: number,
): { loss: number; gradient: Values } {
  const gradient = zeros(logits.length);
  let loss = 0;
  for (let at = 0; at < logits.length; at += classes) {
    const row = logits.subarray(at, at + classes), largest = Math.max(...row);
    const logSum = largest + Math.log(row.reduce((sum, v) => sum + Math.exp(v - largest), 0));
    const target = Float64Array.from(
      targets.subarray(at, at + classes),
      (t) => (1 - smoothing) * t + smoothing / classes,
    );
    const mass = target.reduce((sum, t) => sum + t, 0);
    row.forEach((v, k) => {
      loss -= target[k] * (v - logSum);
      gradient[at + k] = factor * (mass * Math.exp(v - logSum) - target[k]);
    });
  }
  return { loss, gradient };
}
