/** Networks that no zoo has, small enough to run through every protocol in a test. */
import type { Graph, Weights } from "./graph.ts";
import { weightShapes } from "./weights.ts";

/** Deterministic weights of deviation about 1 / sqrt(inputs of a layer). */
export function smallWeights(graph: Graph): Weights {
  let i = 0;
  return new Map([...weightShapes(graph)].map(([name, shape]) => {
    const size = shape.reduce((product, n) => product * n, 1), scale = Math.sqrt(2 * shape.at(-1)! / size);
    return [name, {
      shape,
      data: Float32Array.from({ length: size }, () => scale * Math.sin(12.9898 * ++i * i)),
    }];
  }));
}

/** Every kind of layer in a few thousand multiplications: strided and 1x1 shortcuts, both poolings, 7x7 average, residual sums. */
export const everything: Graph = {
  name: "everything",
  classes: 5,
  inputShape: [30, 30, 3],
  nodes: [
    { id: "image", op: "input" },
    { id: "conv1", op: "conv", input: "image", kernel: 5, stride: 2, padding: 2, outputs: 8, bias: true },
    { id: "act1", op: "activation", input: "conv1" },
    { id: "max", op: "maxPool", input: "act1", kernel: 3, stride: 2, padding: 1 },
    { id: "conv2", op: "conv", input: "max", kernel: 3, stride: 1, padding: 1, outputs: 16, bias: false },
    {
      id: "shortcut",
      op: "conv",
      input: "max",
      kernel: 1,
      stride: 1,
      padding: 0,
      outputs: 16,
      bias: false,
      shortcut: true,
    },
    { id: "add1", op: "add", input: "conv2", shortcut: "shortcut" },
    { id: "act2", op: "activation", input: "add1" },
    { id: "conv3", op: "conv", input: "act2", kernel: 3, stride: 1, padding: 1, outputs: 16, bias: false },
    { id: "add2", op: "add", input: "conv3", shortcut: "act2" },
    { id: "act3", op: "activation", input: "add2" },
    { id: "conv4", op: "conv", input: "act3", kernel: 2, stride: 1, padding: 0, outputs: 6, bias: true },
    { id: "average", op: "averagePool", input: "conv4", kernel: 2, stride: 2, padding: 0 },
    { id: "act4", op: "activation", input: "average" },
    { id: "global", op: "averagePool", input: "act4", kernel: 3, stride: 3, padding: 0 },
    { id: "flat", op: "flatten", input: "global" },
    { id: "logits", op: "dense", input: "flat", outputs: 5, bias: true },
  ],
};

/** Grey images of 28 x 28, valid padding, odd numbers of channels: no length is a multiple of 128. */
export const odd: Graph = {
  name: "odd",
  classes: 3,
  inputShape: [28, 28, 1],
  nodes: [
    { id: "image", op: "input" },
    { id: "conv1", op: "conv", input: "image", kernel: 5, stride: 1, padding: 0, outputs: 7, bias: true },
    { id: "act1", op: "activation", input: "conv1" },
    { id: "pool1", op: "averagePool", input: "act1", kernel: 2, stride: 2, padding: 0 },
    { id: "conv2", op: "conv", input: "pool1", kernel: 6, stride: 1, padding: 0, outputs: 5, bias: true },
    { id: "act2", op: "activation", input: "conv2" },
    { id: "flat", op: "flatten", input: "act2" },
    { id: "logits", op: "dense", input: "flat", outputs: 3, bias: true },
  ],
};

/** Residual blocks without pooling: an identity branch, a strided one with its own convolution. */
export const residual: Graph = {
  name: "residual",
  classes: 5,
  inputShape: [13, 13, 3],
  nodes: [
    { id: "image", op: "input" },
    { id: "conv1", op: "conv", input: "image", kernel: 3, stride: 1, padding: 1, outputs: 16, bias: true },
    { id: "act1", op: "activation", input: "conv1" },
    { id: "conv2", op: "conv", input: "act1", kernel: 3, stride: 1, padding: 1, outputs: 16, bias: true },
    { id: "add1", op: "add", input: "conv2", shortcut: "act1" },
    { id: "act2", op: "activation", input: "add1" },
    { id: "conv3", op: "conv", input: "act2", kernel: 3, stride: 2, padding: 1, outputs: 20, bias: false },
    {
      id: "shortcut",
      op: "conv",
      input: "act2",
      kernel: 1,
      stride: 2,
      padding: 0,
      outputs: 20,
      bias: false,
      shortcut: true,
    },
    { id: "add2", op: "add", input: "conv3", shortcut: "shortcut" },
    { id: "act3", op: "activation", input: "add2" },
    { id: "flat", op: "flatten", input: "act3" },
    { id: "logits", op: "dense", input: "flat", outputs: 5, bias: true },
  ],
};

/**
 * One activation that a convolution, a residual sum and a pooling read: by `lifted` it is re-masked, and so is the pooled value once more, whose
 * client's part is known early. The logits are the sum of two dense layers.
 */
export const branching: Graph = {
  name: "branching",
  classes: 5,
  inputShape: [12, 12, 3],
  nodes: [
    { id: "image", op: "input" },
    { id: "conv1", op: "conv", input: "image", kernel: 3, stride: 1, padding: 1, outputs: 9, bias: true },
    { id: "act1", op: "activation", input: "conv1" },
    { id: "conv2", op: "conv", input: "act1", kernel: 3, stride: 1, padding: 1, outputs: 9, bias: true },
    { id: "add1", op: "add", input: "conv2", shortcut: "act1" },
    { id: "act2", op: "activation", input: "add1" },
    { id: "pool1", op: "averagePool", input: "act1", kernel: 2, stride: 2, padding: 0 },
    { id: "conv3", op: "conv", input: "pool1", kernel: 3, stride: 1, padding: 1, outputs: 6, bias: false },
    { id: "act3", op: "activation", input: "conv3" },
    { id: "flat2", op: "flatten", input: "act2" },
    { id: "dense2", op: "dense", input: "flat2", outputs: 5, bias: true },
    { id: "flat3", op: "flatten", input: "act3" },
    { id: "dense3", op: "dense", input: "flat3", outputs: 5, bias: true },
    { id: "logits", op: "add", input: "dense2", shortcut: "dense3" },
  ],
};

/** An activation that reads a flattening, as networks from elsewhere have it. */
export const flattenedFirst: Graph = {
  name: "flattened-first",
  classes: 5,
  inputShape: [12, 12, 3],
  nodes: [
    { id: "image", op: "input" },
    { id: "conv1", op: "conv", input: "image", kernel: 3, stride: 2, padding: 1, outputs: 8, bias: true },
    { id: "flat", op: "flatten", input: "conv1" },
    { id: "act1", op: "activation", input: "flat" },
    { id: "classifier", op: "dense", input: "act1", outputs: 5, bias: true },
  ],
};

/** A convolution, a dense layer behind a flattening and another convolution, all of one activation, in an order that separates them. */
export const flattenedBetween: Graph = {
  name: "flattened-between",
  classes: 8,
  inputShape: [1, 1, 6],
  nodes: [
    { id: "image", op: "input" },
    { id: "conv1", op: "conv", input: "image", kernel: 1, stride: 1, padding: 0, outputs: 8, bias: false },
    { id: "act1", op: "activation", input: "conv1" },
    { id: "conv2", op: "conv", input: "act1", kernel: 1, stride: 1, padding: 0, outputs: 8, bias: false },
    { id: "flat", op: "flatten", input: "act1" },
    { id: "dense", op: "dense", input: "flat", outputs: 8, bias: false },
    { id: "conv3", op: "conv", input: "act1", kernel: 1, stride: 1, padding: 0, outputs: 8, bias: false },
    { id: "add1", op: "add", input: "conv2", shortcut: "conv3" },
    { id: "logits", op: "add", input: "add1", shortcut: "dense" },
  ],
};

/** Two activation layers of n numbers with the identity between them: by `lifted` the first one re-masks its output. */
export const twoActivations = (n: number): Graph => ({
  name: `two-activations-${n}`,
  classes: n,
  inputShape: [1, n, 1],
  nodes: [
    { id: "image", op: "input" },
    { id: "act1", op: "activation", input: "image" },
    { id: "conv", op: "conv", input: "act1", kernel: 1, stride: 1, padding: 0, outputs: 1, bias: false },
    { id: "act2", op: "activation", input: "conv" },
    { id: "flat", op: "flatten", input: "act2" },
  ],
});

/** The identity. */
export const identity: Weights = new Map([["conv.weight", {
  shape: [1, 1, 1, 1],
  data: Float32Array.of(1),
}]]);

/** Multiples of 1/64, which every fixed point here holds exactly. */
export const inSixtyFourths = (values: Float32Array): Float32Array =>
  values.map((v) => Math.round(64 * v) / 64);

/** Every kind of node before batch norms are folded, odd sizes, strides, padding, overlapping windows. */
export const normed: Graph = {
  name: "normed",
  classes: 5,
  inputShape: [11, 9, 3],
  nodes: [
    { id: "input", op: "input" },
    { id: "conv1", op: "conv", input: "input", kernel: 3, stride: 2, padding: 1, outputs: 6, bias: true },
    { id: "bn1", op: "batchNorm", input: "conv1" },
    { id: "act1", op: "activation", input: "bn1" },
    { id: "conv2", op: "conv", input: "act1", kernel: 3, stride: 1, padding: 2, outputs: 7, bias: false },
    { id: "pool1", op: "averagePool", input: "conv2", kernel: 3, stride: 1, padding: 0 },
    { id: "conv3", op: "conv", input: "act1", kernel: 1, stride: 1, padding: 0, outputs: 7, bias: false },
    { id: "bn3", op: "batchNorm", input: "conv3" },
    { id: "add", op: "add", input: "pool1", shortcut: "bn3" },
    { id: "act2", op: "activation", input: "add" },
    { id: "pool2", op: "maxPool", input: "act2", kernel: 3, stride: 2, padding: 1 },
    { id: "flatten", op: "flatten", input: "pool2" },
    { id: "dense1", op: "dense", input: "flatten", outputs: 5, bias: true },
  ],
};

/** Averages over 4 and over 9 values, of which only the first is a shift. */
export const averaged: Graph = {
  name: "averaged",
  classes: 4,
  inputShape: [12, 12, 3],
  nodes: [
    { id: "input", op: "input" },
    { id: "conv1", op: "conv", input: "input", kernel: 3, stride: 2, padding: 1, outputs: 5, bias: true },
    { id: "pool1", op: "averagePool", input: "conv1", kernel: 2, stride: 2, padding: 0 },
    { id: "act1", op: "activation", input: "pool1" },
    { id: "conv2", op: "conv", input: "act1", kernel: 3, stride: 1, padding: 1, outputs: 5, bias: true },
    { id: "add", op: "add", input: "conv2", shortcut: "act1" },
    { id: "act2", op: "activation", input: "add" },
    { id: "max", op: "maxPool", input: "act2", kernel: 1, stride: 1, padding: 0 },
    { id: "pool2", op: "averagePool", input: "max", kernel: 3, stride: 3, padding: 0 },
    { id: "flatten", op: "flatten", input: "pool2" },
    { id: "dense", op: "dense", input: "flatten", outputs: 4, bias: true },
  ],
};

/** Both poolings, a value that is added to itself, no bias at the end. */
export const pools: Graph = {
  name: "pools",
  classes: 3,
  inputShape: [9, 9, 2],
  nodes: [
    { id: "input", op: "input" },
    { id: "conv", op: "conv", input: "input", kernel: 3, stride: 1, padding: 1, outputs: 4, bias: true },
    { id: "act", op: "activation", input: "conv" },
    { id: "add", op: "add", input: "conv", shortcut: "act" },
    { id: "double", op: "add", input: "add", shortcut: "add" },
    { id: "max", op: "maxPool", input: "double", kernel: 3, stride: 2, padding: 1 },
    { id: "average", op: "averagePool", input: "max", kernel: 2, stride: 1, padding: 0 },
    { id: "flatten", op: "flatten", input: "average" },
    { id: "dense", op: "dense", input: "flatten", outputs: 3, bias: false },
  ],
};
