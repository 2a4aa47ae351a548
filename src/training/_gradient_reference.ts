/**
 * One training step in doubles, written down as plainly as it can be: the reference of the engine tests. Slow; for
 * graphs of a few thousand numbers.
 */
import {
  type Activation,
  type Graph,
  inferShapes,
  inputsOf,
  type Node,
  type Shape,
  sizeOf,
  type Weights,
} from "../models/graph.ts";
import { trigonometricAt } from "../models/trigonometric.ts";
import type { Batch, StepReport, StepSettings } from "./engine.ts";
import { penaltyDerivative, penaltyValue } from "./penalty.ts";

export interface ReferenceStep extends StepReport {
  /** Gradients of the loss, without weight decay or norm limit. */
  readonly gradients: ReadonlyMap<string, Float64Array>;
  /** Mean and unbiased variance of each batch norm's input by tensor name, averaged over shards. */
  readonly statistics: ReadonlyMap<string, Float64Array>;
}

/** The loss of a batch cut into `shards`, and its gradients. */
export function referenceStep(
  graph: Graph,
  activation: Activation,
  weights: Weights,
  batch: Batch,
  settings: StepSettings,
  shards: number,
): ReferenceStep {
  const gradients = new Map<string, Float64Array>(), statistics = new Map<string, Float64Array>();
  const size = batch.size / shards;
  const parts = Array.from({ length: shards }, (_, s) => {
    const cut = (values: Float32Array) =>
      Float64Array.from(values.subarray(s * values.length / shards, (s + 1) * values.length / shards));
    const [images, targets] = [cut(batch.images), cut(batch.targets)], sums = { gradients, statistics };
    return shard(graph, activation, weights, size, images, targets, batch.size, settings, sums);
  });
  const sum = (of: (part: typeof parts[0]) => number) => parts.reduce((total, part) => total + of(part), 0);
  for (const values of statistics.values()) values.forEach((v, i) => values[i] = v / shards);
  return {
    gradients,
    statistics,
    crossEntropy: sum((part) => part.crossEntropy) / batch.size,
    penalty: sum((part) => part.penalty),
    correct: sum((part) => part.correct),
    outOfRange: sum((part) => part.outOfRange),
    largestInput: parts[0]!.largestInput.map((_, i) =>
      Math.max(...parts.map((part) => part.largestInput[i]!))
    ),
  };
}

type Values = Float64Array<ArrayBuffer>;

function shard(
  graph: Graph,
  activation: Activation,
  weights: Weights,
  size: number,
  images: Values,
  targets: Values,
  batchSize: number,
  settings: StepSettings,
  sums: Record<"gradients" | "statistics", Map<string, Float64Array>>,
) {
  const shapes = inferShapes(graph), values = new Map<string, Values>(), errors = new Map<string, Values>();
  const parameter = (node: Node, part: string) => weights.get(`${node.id}.${part}`)?.data;
  const sumOf = (kind: keyof typeof sums, node: Node, part: string) => {
    const name = `${node.id}.${part}`, length = weights.get(name)?.data.length ?? 0;
    if (!sums[kind].has(name)) sums[kind].set(name, new Float64Array(length));
    return sums[kind].get(name)!;
  };
  const gradientOf = (node: Node, part: string) => sumOf("gradients", node, part);
  const layers = graph.nodes.filter(({ op }) => op === "activation"), largestInput: number[] = [];
  let penalty = 0, outOfRange = 0;
  const { clip, penalty: shape } = settings;
  const factor = (elements: number) =>
    !shape
      ? 0
      : shape.coefficient / layers.length / (shape.reduction === "mean" ? elements / size * batchSize : 1);

  for (const node of graph.nodes) {
    const [x, w] = inputsOf(node).map((id) => values.get(id)!),
      y = new Float64Array(size * sizeOf(shapes.get(node.id)!));
    if (node.op === "input") y.set(images);
    else if (node.op === "flatten") y.set(x!);
    else if (node.op === "add") y.forEach((_, i) => y[i] = x![i]! + w![i]!);
    else if (node.op === "activation") {
      x!.forEach((v, i) =>
        y[i] = valueAt(activation, clip === null ? v : Math.max(-clip, Math.min(clip, v)))
      );
      largestInput.push(x!.reduce((m, v) => Math.max(m, Math.abs(v)), 0));
      outOfRange += x!.filter((v) => !(Math.abs(v) <= (clip ?? 5))).length;
      if (shape) penalty += factor(x!.length) * x!.reduce((sum, v) => sum + penaltyValue(v, shape), 0);
    } else if (node.op === "batchNorm") {
      const { mean, inverse, unbiased } = statistics(x!, shapes.get(node.id)![2]), c = mean.length;
      mean.forEach((v, k) => sumOf("statistics", node, "mean")[k]! += v);
      unbiased.forEach((v, k) => sumOf("statistics", node, "variance")[k]! += v);
      const scale = parameter(node, "scale")!, offset = parameter(node, "offset")!;
      x!.forEach((v, i) => y[i] = (v - mean[i % c]!) * inverse[i % c]! * scale[i % c]! + offset[i % c]!);
    } else {
      const bias = parameter(node, "bias"), c = shapes.get(node.id)![2];
      if (bias) y.forEach((_, i) => y[i] = bias[i % c]!);
      visit(node, shapes, size, x!, (from, to, weight, share) => {
        y[to]! += x![from]! * (weight < 0 ? share : parameter(node, "weight")![weight]!);
      });
    }
    values.set(node.id, y);
  }

  const last = graph.nodes.at(-1)!, logits = values.get(last.id)!, { classes } = graph;
  let crossEntropy = 0, correct = 0;
  const error = new Float64Array(logits.length);
  for (let at = 0; at < logits.length; at += classes) {
    const row = logits.subarray(at, at + classes), largest = Math.max(...row);
    const given = targets.subarray(at, at + classes), { labelSmoothing: s } = settings;
    const sum = row.reduce((total, v) => total + Math.exp(v - largest), 0);
    const target = given.map((t) => (1 - s) * t + s / classes), mass = target.reduce((a, b) => a + b, 0);
    row.forEach((v, k) => {
      const logarithm = v - largest - Math.log(sum);
      crossEntropy -= target[k]! * logarithm;
      error[at + k] = settings.crossEntropyWeight / batchSize * (mass * Math.exp(logarithm) - target[k]!);
    });
    if (row.indexOf(largest) === given.indexOf(Math.max(...given))) correct++;
  }

  errors.set(last.id, error);
  for (const node of graph.nodes.toReversed()) {
    const dy = errors.get(node.id);
    if (!dy || node.op === "input") continue;
    const [x] = inputsOf(node).map((id) => values.get(id)!);
    for (const id of inputsOf(node)) {
      if (!errors.has(id)) errors.set(id, new Float64Array(values.get(id)!.length));
    }
    const [dx, dw] = inputsOf(node).map((id) => errors.get(id)!);
    if (node.op === "flatten") dx!.forEach((_, i) => dx![i]! += dy[i]!);
    else if (node.op === "add") {
      dx!.forEach((_, i) => dx![i]! += dy[i]!);
      dw!.forEach((_, i) => dw![i]! += dy[i]!);
    } else if (node.op === "activation") {
      x!.forEach((v, i) => {
        if (Math.abs(v) <= (clip ?? Infinity)) dx![i]! += dy[i]! * derivativeAt(activation, v);
        if (shape) dx![i]! += factor(x!.length) * penaltyDerivative(v, shape);
      });
    } else if (node.op === "batchNorm") {
      const { mean, inverse } = statistics(x!, shapes.get(node.id)![2]),
        c = mean.length,
        count = x!.length / c;
      const scale = parameter(node, "scale")!,
        normal = x!.map((v, i) => (v - mean[i % c]!) * inverse[i % c]!);
      const sums = new Float64Array(c), products = new Float64Array(c);
      dy.forEach((g, i) => (sums[i % c]! += g, products[i % c]! += g * normal[i]!));
      sums.forEach((
        _,
        k,
      ) => (gradientOf(node, "offset")[k]! += sums[k]!, gradientOf(node, "scale")[k]! += products[k]!));
      dy.forEach((g, i) => {
        const k = i % c;
        dx![i]! += scale[k]! * inverse[k]! * (g - sums[k]! / count - normal[i]! * products[k]! / count);
      });
    } else {
      const c = shapes.get(node.id)![2],
        bias = gradientOf(node, "bias"),
        dWeight = gradientOf(node, "weight");
      if (bias.length > 0) dy.forEach((g, i) => bias[i % c]! += g);
      visit(node, shapes, size, x!, (from, to, weight, share) => {
        dx![from]! += dy[to]! * (weight < 0 ? share : parameter(node, "weight")![weight]!);
        if (weight >= 0) dWeight[weight]! += dy[to]! * x![from]!;
      });
    }
  }
  return { crossEntropy, penalty, correct, outOfRange, largestInput };
}

/**
 * Every product of a linear layer: value `from` goes into value `to` by weight number `weight`, or, where that is -1, by
 * the factor `share` (pooling).
 */
function visit(
  node: Node,
  shapes: ReadonlyMap<string, Shape>,
  size: number,
  x: Values,
  product: (from: number, to: number, weight: number, share: number) => void,
): void {
  const [height, width, channels] = shapes.get(inputsOf(node)[0]!)!, [h, w, c] = shapes.get(node.id)!;
  const isDense = node.op === "dense";
  if (!isDense && node.op !== "conv" && node.op !== "averagePool" && node.op !== "maxPool") {
    throw new Error(node.op);
  }
  const { kernel, stride, padding } = isDense ? { kernel: 1, stride: 1, padding: 0 } : node;
  for (let n = 0, to = 0; n < size; n++) {
    for (let row = 0; row < h; row++) {
      for (let column = 0; column < w; column++) {
        for (let out = 0; out < c; out++, to++) {
          let best = -1;
          for (let i = 0; i < kernel; i++) {
            for (let j = 0; j < kernel; j++) {
              const r = row * stride + i - padding, s = column * stride + j - padding;
              if (r < 0 || s < 0 || r >= height || s >= width) continue;
              const at = ((n * height + r) * width + s) * channels;
              if (node.op === "averagePool") product(at + out, to, -1, 1 / kernel ** 2);
              else if (node.op === "maxPool") best = best < 0 || x[at + out]! > x[best]! ? at + out : best;
              else {for (let k = 0; k < channels; k++) {
                  product(at + k, to, ((i * kernel + j) * channels + k) * c + out, 0);
                }}
            }
          }
          if (best >= 0) product(best, to, -1, 1);
        }
      }
    }
  }
}

function statistics(x: Values, channels: number) {
  const mean = new Float64Array(channels), variance = new Float64Array(channels), count = x.length / channels;
  x.forEach((v, i) => mean[i % channels]! += v / count);
  x.forEach((v, i) => variance[i % channels]! += (v - mean[i % channels]!) ** 2 / count);
  const inverse = variance.map((v) => 1 / Math.sqrt(v + 1e-5));
  return { mean, inverse, unbiased: variance.map((v) => v * count / (count - 1)) };
}

function valueAt(activation: Activation, x: number): number {
  if (activation.kind === "relu") return Math.max(0, x);
  if (activation.kind === "sigmoid") return 1 / (1 + Math.exp(-x));
  if (activation.kind === "trigonometric") return trigonometricAt(activation, x);
  return activation.coefficients.reduce((sum, c, k) => sum + c / 2 ** activation.precision * x ** k, 0);
}

function derivativeAt(activation: Activation, x: number): number {
  if (activation.kind === "relu") return x > 0 ? 1 : 0;
  if (activation.kind === "sigmoid") return valueAt(activation, x) * valueAt(activation, -x);
  if (activation.kind === "trigonometric") {
    const { period, amplitudes } = activation, angle = 2 * Math.PI / period;
    return amplitudes.reduce(
      (sum, b, k) => sum - b * (2 * k + 1) * angle * Math.sin((2 * k + 1) * angle * x),
      1 / 2,
    );
  }
  return activation.coefficients.reduce(
    (sum, c, k) => k === 0 ? 0 : sum + k * c / 2 ** activation.precision * x ** (k - 1),
    0,
  );
}
