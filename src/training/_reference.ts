/**
 * The loss of a training step in doubles, by plain loops, and its gradient by central differences: shares no
 * code with the engines and is far too slow for anything but tests on tiny networks.
 */
import {
  type Activation,
  type Graph,
  inferShapes,
  type Node,
  type Shape,
  type Weights,
} from "../models/graph.ts";
import { FUNCTIONS } from "../polynomial/integer_fit.ts";
import { evaluatePolynomial } from "../polynomial/polynomial.ts";
import type { Batch, StepSettings } from "./engine.ts";
import { isTrainable } from "./initial.ts";
import { penaltyValue } from "./penalty.ts";

/** Parameters in doubles by name. */
export type Parameters = Map<string, Float64Array>;

/** What a step reports, and the loss that it descends. */
export interface ReferenceStep {
  readonly loss: number;
  readonly crossEntropy: number;
  readonly penalty: number;
  readonly largestInput: readonly number[];
  readonly outOfRange: number;
}

/** Parameters and running statistics as doubles. */
export const parametersOf = (weights: Weights): Parameters =>
  new Map([...weights].map(([name, { data }]) => [name, Float64Array.from(data)]));

/** Measures of a step on a batch cut into `shards`, before the update. */
export function referenceStep(
  graph: Graph,
  activation: Activation,
  parameters: Parameters,
  batch: Batch,
  settings: StepSettings,
  shards: number,
): ReferenceStep {
  const layers = graph.nodes.filter(({ op }) => op === "activation").map(({ id }) => id);
  const largest = layers.map(() => 0), { penalty, clip } = settings;
  let crossEntropy = 0, outOfRange = 0, penaltySum = 0;

  const record = (id: string, x: Float64Array) => {
    const size = x.reduce((max, v) => Math.max(max, Math.abs(v)), 0), layer = layers.indexOf(id);
    largest[layer] = Math.max(largest[layer], size);
    outOfRange += x.reduce((count, v) => Math.abs(v) <= (clip ?? 5) ? count : count + 1, 0);
    if (!penalty) return;
    if (penalty.reduction === "hinge") {
      const squares = x.reduce((sum, v) => sum + Math.max(0, Math.abs(v) - penalty.range) ** 2, 0);
      penaltySum += Math.sqrt(squares) / shards;
      return;
    }
    const elements = penalty.reduction === "sum" ? 1 : x.length * shards;
    penaltySum += x.reduce((sum, v) => sum + penaltyValue(v, penalty), 0) / elements;
  };

  const size = batch.size / shards,
    images = batch.images.length / shards,
    targets = batch.targets.length / shards;
  for (let s = 0; s < shards; s++) {
    const x = Float64Array.from(batch.images.subarray(s * images, (s + 1) * images));
    const logits = forward(graph, activation, parameters, x, size, clip, record);
    crossEntropy += crossEntropySum(
      logits,
      batch.targets.subarray(s * targets, (s + 1) * targets),
      graph.classes,
      settings.labelSmoothing,
    ) / batch.size;
  }
  const penaltyLoss = penalty ? penalty.coefficient / layers.length * penaltySum : 0;
  const loss = settings.crossEntropyWeight * crossEntropy + penaltyLoss;
  return { loss, crossEntropy, penalty: penaltyLoss, largestInput: largest, outOfRange };
}

/** Gradient of the loss by central differences, before norm limit and weight decay. */
export function referenceGradient(
  graph: Graph,
  activation: Activation,
  parameters: Parameters,
  batch: Batch,
  settings: StepSettings,
  shards: number,
): Parameters {
  const h = 1e-6, gradient: Parameters = new Map();
  const loss = () => referenceStep(graph, activation, parameters, batch, settings, shards).loss;
  for (const [name, values] of parameters) {
    if (!isTrainable(name)) continue;
    gradient.set(
      name,
      values.map((value, i) => {
        values[i] = value + h;
        const above = loss();
        values[i] = value - h;
        const below = loss();
        values[i] = value;
        return (above - below) / (2 * h);
      }),
    );
  }
  return gradient;
}

/** Logits [size, classes] of one shard in training mode. */
function forward(
  graph: Graph,
  activation: Activation,
  parameters: Parameters,
  images: Float64Array,
  size: number,
  clip: number | null,
  record: (id: string, x: Float64Array) => void,
): Float64Array {
  const shapes = inferShapes(graph), values = new Map<string, Float64Array>();
  const evaluate = (node: Exclude<Node, { op: "input" }>): Float64Array => {
    const x = values.get(node.input)!, from = shapes.get(node.input)!, to = shapes.get(node.id)!;
    const parameter = (part: string) => parameters.get(`${node.id}.${part}`);
    switch (node.op) {
      case "conv":
        return convolution(x, parameter("weight")!, parameter("bias"), node, size, from, to);
      case "dense":
        return convolution(x, parameter("weight")!, parameter("bias"), DENSE, size, from, to);
      case "batchNorm":
        return normalise(x, parameter("scale")!, parameter("offset")!);
      case "activation":
        record(node.id, x);
        return x.map((v) =>
          value(activation, clip === null ? v : Math.min(clip, Math.max(-clip, v)), parameter("fourier"))
        );
      case "averagePool":
        return averagePool(x, node, size, from, to);
      case "add":
        return x.map((v, i) => v + values.get(node.shortcut)![i]);
      case "flatten":
        return x;
      case "maxPool":
        throw new RangeError("the reference has no maxPool");
    }
  };
  for (const node of graph.nodes) values.set(node.id, node.op === "input" ? images : evaluate(node));
  return values.get(graph.nodes.at(-1)!.id)!;
}

function value(activation: Activation, x: number, fourier?: Float64Array): number {
  if (activation.kind === "polynomial") return evaluatePolynomial(activation, x);
  if (activation.kind !== "trigonometric") return FUNCTIONS[activation.kind](x);
  const [offset, ...amplitudes] = fourier ?? [activation.offset, ...activation.amplitudes];
  return amplitudes.reduce(
    (sum, b, k) => sum + b * Math.cos(2 * Math.PI * (2 * k + 1) * x / activation.period),
    x / 2 + offset!,
  );
}

type Geometry = Pick<Extract<Node, { op: "conv" }>, "kernel" | "stride" | "padding">;

/** A dense layer is a convolution of an image of one pixel. */
const DENSE: Geometry = { kernel: 1, stride: 1, padding: 0 };

function convolution(
  x: Float64Array,
  weight: Float64Array,
  bias: Float64Array | undefined,
  { kernel, stride, padding }: Geometry,
  size: number,
  [h, w, inputs]: Shape,
  [oh, ow, outputs]: Shape,
): Float64Array {
  const y = new Float64Array(size * oh * ow * outputs);
  for (let n = 0, at = 0; n < size; n++) {
    for (let p = 0; p < oh; p++) {
      for (let q = 0; q < ow; q++) {
        for (let f = 0; f < outputs; f++, at++) {
          let sum = bias?.[f] ?? 0;
          for (let i = 0; i < kernel; i++) {
            for (let j = 0; j < kernel; j++) {
              const row = p * stride + i - padding, column = q * stride + j - padding;
              if (row < 0 || row >= h || column < 0 || column >= w) continue;
              for (let c = 0; c < inputs; c++) {
                sum += x[((n * h + row) * w + column) * inputs + c] *
                  weight[((i * kernel + j) * inputs + c) * outputs + f];
              }
            }
          }
          y[at] = sum;
        }
      }
    }
  }
  return y;
}

/** Batch norm with the mean and the biased variance of these values. */
function normalise(x: Float64Array, scale: Float64Array, offset: Float64Array): Float64Array {
  const channels = scale.length, count = x.length / channels, y = new Float64Array(x.length);
  for (let c = 0; c < channels; c++) {
    let mean = 0, variance = 0;
    for (let i = c; i < x.length; i += channels) mean += x[i] / count;
    for (let i = c; i < x.length; i += channels) variance += (x[i] - mean) ** 2 / count;
    const factor = scale[c] / Math.sqrt(variance + 1e-5);
    for (let i = c; i < x.length; i += channels) y[i] = (x[i] - mean) * factor + offset[c];
  }
  return y;
}

function averagePool(
  x: Float64Array,
  { kernel, stride }: Geometry,
  size: number,
  [h, w, channels]: Shape,
  [oh, ow]: Shape,
): Float64Array {
  const y = new Float64Array(size * oh * ow * channels);
  for (let at = 0; at < y.length; at++) {
    const c = at % channels, pixel = (at - c) / channels, q = pixel % ow, p = (pixel - q) / ow % oh;
    const n = Math.floor(pixel / (oh * ow));
    for (let i = 0; i < kernel; i++) {
      for (let j = 0; j < kernel; j++) {
        y[at] += x[((n * h + p * stride + i) * w + q * stride + j) * channels + c] / kernel ** 2;
      }
    }
  }
  return y;
}

function crossEntropySum(
  logits: Float64Array,
  targets: ArrayLike<number>,
  classes: number,
  smoothing: number,
): number {
  let total = 0;
  for (let at = 0; at < logits.length; at += classes) {
    const row = logits.subarray(at, at + classes), top = Math.max(...row);
    const logSum = top + Math.log(row.reduce((sum, v) => sum + Math.exp(v - top), 0));
    row.forEach((v, k) => total -= ((1 - smoothing) * targets[at + k] + smoothing / classes) * (v - logSum));
  }
  return total;
}
