/** A network in the operations of TensorFlow.js. */
import { BATCH_NORM_EPSILON } from "../../models/fold.ts";
import * as tf from "@tensorflow/tfjs";
import type { ActivationNode, BatchNormNode, Graph, Node } from "../../models/graph.ts";
import { convolve } from "./convolution.ts";

/** Tensors by name, `<node>.<part>`. */
export type Tensors = ReadonlyMap<string, tf.Tensor>;

/** What a training pass and an inference pass do differently. */
export interface Mode {
  normalise(node: BatchNormNode, x: tf.Tensor): tf.Tensor;
  activate(node: ActivationNode, x: tf.Tensor): tf.Tensor;
}

/** Logits [batch, classes] of images [batch, height, width, channels]. */
export function forward(graph: Graph, weights: Tensors, images: tf.Tensor, mode: Mode): tf.Tensor {
  const values = new Map<string, tf.Tensor>();
  for (const node of graph.nodes) {
    values.set(node.id, node.op === "input" ? images : layer(node, values, weights, mode));
  }
  return values.get(graph.nodes.at(-1)!.id)!;
}

function layer(
  node: Exclude<Node, { op: "input" }>,
  values: Tensors,
  weights: Tensors,
  mode: Mode,
): tf.Tensor {
  const x = values.get(node.input)!;
  const biased = (y: tf.Tensor) =>
    weights.has(`${node.id}.bias`) ? tf.add(y, tensorOf(weights, node.id, "bias")) : y;
  switch (node.op) {
    case "conv":
      return biased(convolve(x as tf.Tensor4D, tensorOf(weights, node.id, "weight") as tf.Tensor4D, node));
    case "dense":
      return biased(tf.matMul(x, tensorOf(weights, node.id, "weight")));
    case "batchNorm":
      return mode.normalise(node, x);
    case "activation":
      return mode.activate(node, x);
    case "averagePool":
      return tf.avgPool(x as tf.Tensor4D, node.kernel, node.stride, "valid");
    case "maxPool":
      return tf.maxPool(x as tf.Tensor4D, node.kernel, node.stride, node.padding);
    case "add":
      return tf.add(x, values.get(node.shortcut)!);
    case "flatten":
      return tf.reshape(x, [x.shape[0], -1]);
  }
}

export const tensorOf = (tensors: Tensors, id: string, part: string): tf.Tensor =>
  tensors.get(`${id}.${part}`)!;

/**
 * Composed by hand: the gradient of `tf.batchNorm` copies the statistics to the size of x, half the time of a
 * step.
 */
export function batchNorm(
  id: string,
  x: tf.Tensor,
  weights: Tensors,
  mean: tf.Tensor,
  variance: tf.Tensor,
): tf.Tensor {
  const factor = tf.mul(tensorOf(weights, id, "scale"), tf.rsqrt(tf.add(variance, BATCH_NORM_EPSILON)));
  return tf.add(tf.mul(tf.sub(x, mean), factor), tensorOf(weights, id, "offset"));
}

export const clipped = (x: tf.Tensor, clip: number | null): tf.Tensor =>
  clip === null ? x : tf.clipByValue(x, -clip, clip);
