/**
 * Runs a network on floats (doubles inside), inference mode: the reference for accuracy, and the plaintext
 * side of every comparison. Plain JavaScript; works with and without batch norm merged.
 */
import {
  type Activation,
  type FloatTensor,
  type Graph,
  inferShapes,
  inputsOf,
  type Node,
  type Shape,
  sizeOf,
  type Weights,
} from "./graph.ts";
import { addBias, affine, applyLinear, linearMatrix, maxPool, sumPool } from "./_layers.ts";
import { batchNormAffine, lastReaders } from "./fold.ts";
import { layerActivation, trigonometricAt } from "./trigonometric.ts";
import { checkWeights } from "./weight_shapes.ts";
import { FUNCTIONS } from "../polynomial/integer_fit.ts";
import { horner, realCoefficients } from "../polynomial/polynomial.ts";

/**
 * Evaluates a network and keeps the value of every node.
 *
 * @param image values in NHWC order, as many as the graph's input has
 * @returns values by node id, in evaluation order; treat them as read-only (a flatten shares its input's)
 */
export function evaluate(
  graph: Graph,
  weights: Weights,
  activation: Activation,
  image: ArrayLike<number>,
): Map<string, Float64Array> {
  return run(graph, weights, activation, image, true);
}

/** Evaluates a network and returns the logits; values are dropped as soon as nothing needs them. */
export function evaluateLogits(
  graph: Graph,
  weights: Weights,
  activation: Activation,
  image: ArrayLike<number>,
): Float64Array {
  return run(graph, weights, activation, image, false).get(graph.nodes.at(-1)!.id)!;
}

/** Applies an activation to every element. */
export function activate(activation: Activation, x: Float64Array): Float64Array {
  if (activation.kind === "trigonometric") return x.map((v) => trigonometricAt(activation, v));
  if (activation.kind !== "polynomial") return x.map(FUNCTIONS[activation.kind]);
  const coefficients = Float64Array.from(realCoefficients(activation));
  return x.map((v) => horner(coefficients, v));
}

function run(
  graph: Graph,
  weights: Weights,
  activation: Activation,
  image: ArrayLike<number>,
  keep: boolean,
): Map<string, Float64Array> {
  checkWeights(graph, weights);
  checkImage(graph, image);
  const shapes = inferShapes(graph), last = lastReaders(graph);
  const values = new Map<string, Float64Array>();
  for (const node of graph.nodes) {
    values.set(
      node.id,
      node.op === "input" ? Float64Array.from(image) : step(node, shapes, values, weights, activation),
    );
    if (!keep) { for (const id of inputsOf(node)) if (last.get(id) === node.id) values.delete(id); }
  }
  return values;
}

/** Throws a RangeError unless an image has as many values as a network's input. */
export function checkImage(graph: Graph, image: ArrayLike<number>): void {
  if (image.length !== sizeOf(graph.inputShape)) {
    throw new RangeError(
      `${graph.name} takes an image of ${graph.inputShape.join("x")} (${
        sizeOf(graph.inputShape)
      } values), got ${image.length}`,
    );
  }
}

function step(
  node: Exclude<Node, { op: "input" }>,
  shapes: ReadonlyMap<string, Shape>,
  values: ReadonlyMap<string, Float64Array>,
  weights: Weights,
  activation: Activation,
): Float64Array {
  const x = values.get(node.input)!, input = shapes.get(node.input)!, output = shapes.get(node.id)!;
  switch (node.op) {
    case "conv":
    case "dense": {
      const tensor = (part: string): FloatTensor => weights.get(`${node.id}.${part}`)!;
      const y = applyLinear(node, x, input, output, linearMatrix(tensor("weight").data, node.outputs));
      if (node.bias) addBias(y, tensor("bias").data);
      return y;
    }
    case "batchNorm": {
      const { scale, offset } = batchNormAffine(node.id, weights), y = x.slice();
      affine(y, scale, offset);
      return y;
    }
    case "activation":
      return activate(layerActivation(activation, node.id, weights), x);
    case "averagePool": {
      const y = sumPool(node, x, input, output), n = node.kernel ** 2;
      for (let i = 0; i < y.length; i++) y[i] /= n;
      return y;
    }
    case "maxPool":
      return maxPool(node, x, input, output);
    case "add": {
      const other = values.get(node.shortcut)!, y = new Float64Array(x.length);
      for (let i = 0; i < y.length; i++) y[i] = x[i] + other[i];
      return y;
    }
    case "flatten":
      return x;
  }
}
