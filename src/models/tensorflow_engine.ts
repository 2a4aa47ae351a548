/**
 * Runs a network on floats in TensorFlow.js: what plaintext inference costs on the same machine. It does what a careful
 * user would do: batch norm merged, bias and ReLU inside the linear layers, values dropped after their last use. Kept
 * out of `mod.ts`, as it loads TensorFlow.js.
 */
import * as tf from "@tensorflow/tfjs";
import { type Polynomial, realCoefficients } from "../polynomial/polynomial.ts";
import { checkImage } from "./float_engine.ts";
import { consumersOf, isLinear, type LinearNode } from "./fold.ts";
import { type Activation, type Graph, inputsOf, type Node, sizeOf, type Weights } from "./graph.ts";
import type { Forward } from "./ranges.ts";
import { layerActivation, type Trigonometric } from "./trigonometric.ts";
import { checkWeights } from "./weights.ts";

/** A network whose weights lie in the memory of TensorFlow.js. */
export interface TensorflowEngine {
  /** The logits for an image in NHWC order; synchronous, transfers included. */
  run(image: ArrayLike<number>): Float32Array;
  /** The logits of several images in one pass, image by image. */
  runBatch(images: readonly ArrayLike<number>[]): Float32Array[];
  /** The same run with a look at the values of all nodes but those that are part of another. */
  forward: Forward;
  /** Frees the weights. */
  dispose(): void;
}

type Operation = (x: tf.Tensor, shortcut?: tf.Tensor) => tf.Tensor;

interface Step {
  readonly id: string;
  readonly inputs: readonly string[];
  readonly evaluate: Operation;
  /** Values that no later step reads. */
  readonly dropped: readonly string[];
}

/** Makes a tensor that lives as long as the engine. */
type Upload = (data: Float32Array, shape: readonly number[]) => tf.Tensor;

/**
 * Uploads a network. Open the backend first: `openTensorflow` of `tensorflow_backend.ts`.
 *
 * @param graph without batch norm, as `foldBatchNorm` makes it
 * @param fuse whether a ReLU becomes part of the linear layer before it, whose own value then is not to be seen
 * @throws {RangeError} for a batch norm, weights that do not fit or a constant activation
 */
export function createTensorflowNetwork(
  graph: Graph,
  weights: Weights,
  activation: Activation,
  { fuse = true }: { readonly fuse?: boolean } = {},
): TensorflowEngine {
  checkWeights(graph, weights);
  const owned: tf.Tensor[] = [];
  const upload: Upload = (data, shape) => {
    const tensor = tf.tensor(data, [...shape]);
    owned.push(tensor);
    return tensor;
  };
  const isFused = fuse && activation.kind === "relu";
  const steps = compile(graph, weights, activation, isFused ? fusedActivations(graph) : new Map(), upload);
  const run = (images: readonly ArrayLike<number>[], observe?: Parameters<Forward>[1]): Float32Array => {
    const size = sizeOf(graph.inputShape), pixels = new Float32Array(images.length * size);
    for (const [i, image] of images.entries()) {
      checkImage(graph, image);
      pixels.set(image, i * size);
    }
    let logits!: Float32Array;
    tf.tidy(() => {
      const x = tf.tensor4d(pixels, [images.length, ...graph.inputShape]);
      const values = new Map<string, tf.Tensor>([[graph.nodes[0].id, x]]);
      observe?.(graph.nodes[0].id, () => x.dataSync() as Float32Array);
      for (const { id, inputs: [input, shortcut], evaluate, dropped } of steps) {
        const value = evaluate(values.get(input)!, values.get(shortcut));
        values.set(id, value);
        observe?.(id, () => value.dataSync() as Float32Array);
        for (const id of dropped) values.get(id)!.dispose();
      }
      logits = values.get(steps.at(-1)!.id)!.dataSync() as Float32Array;
    });
    return logits;
  };
  return {
    run: (image) => run([image]),
    runBatch(images) {
      const logits = run(images), each = logits.length / images.length;
      return images.map((_, i) => logits.subarray(i * each, (i + 1) * each));
    },
    forward: (image, observe) => run([image], observe),
    dispose: () => tf.dispose(owned),
  };
}

function compile(
  graph: Graph,
  weights: Weights,
  activation: Activation,
  fused: ReadonlyMap<string, string>,
  upload: Upload,
): Step[] {
  const withRelu = new Set(fused.values()), lastReader = new Map<string, string>();
  const steps = graph.nodes.filter((node) => node.op !== "input" && !fused.has(node.id)).map((node) => {
    const inputs = inputsOf(node).map((id) => fused.get(id) ?? id);
    for (const id of inputs) lastReader.set(id, node.id);
    const evaluate = isLinear(node)
      ? linear(node, weights, withRelu.has(node.id) ? "relu" : "linear", upload)
      : operation(node, () => activationOf(layerActivation(activation, node.id, weights), upload));
    return { id: node.id, inputs, evaluate };
  });
  return steps.map((step) => ({
    ...step,
    dropped: [...new Set(step.inputs)].filter((id) => lastReader.get(id) === step.id),
  }));
}

/** The linear layer before each activation that is its only reader. */
function fusedActivations(graph: Graph): Map<string, string> {
  const fused = new Map<string, string>();
  for (const [id, readers] of consumersOf(graph)) {
    const isLayer = graph.nodes.some((node) => node.id === id && isLinear(node));
    if (isLayer && readers.length === 1 && readers[0].op === "activation") fused.set(readers[0].id, id);
  }
  return fused;
}

function linear(
  node: LinearNode,
  weights: Weights,
  activation: "relu" | "linear",
  upload: Upload,
): Operation {
  const tensor = (part: string) => {
    const { data, shape } = weights.get(`${node.id}.${part}`)!;
    return upload(data, shape);
  };
  const weight = tensor("weight"), options = { activation, ...(node.bias ? { bias: tensor("bias") } : {}) };
  if (node.op === "dense") return (x) => tf.fused.matMul({ a: x, b: weight, ...options });
  const filter = weight as tf.Tensor4D, strides = node.stride, pad = node.padding;
  return (x) => tf.fused.conv2d({ x: x as tf.Tensor4D, filter, strides, pad, ...options });
}

function operation(node: Exclude<Node, LinearNode>, activate: () => Operation): Operation {
  switch (node.op) {
    case "activation":
      return activate();
    case "averagePool":
      return (x) => tf.avgPool(x as tf.Tensor4D, node.kernel, node.stride, "valid");
    case "maxPool":
      return (x) => tf.maxPool(x as tf.Tensor4D, node.kernel, node.stride, node.padding);
    case "add":
      return (x, shortcut) => tf.add(x, shortcut!);
    case "flatten":
      return (x) => tf.reshape(x, [x.shape[0], -1]);
    case "batchNorm":
    case "input":
      throw new RangeError(`node ${node.id}: cannot run ${node.op}; merge batch norm first`);
  }
}

function activationOf(activation: Activation, upload: Upload): Operation {
  if (activation.kind === "polynomial") return polynomial(activation, upload);
  return activation.kind === "trigonometric" ? wave(activation, upload) : tf[activation.kind];
}

/** x / 2 + a0 and a cosine a harmonic. */
function wave({ period, offset, amplitudes }: Trigonometric, upload: Upload): Operation {
  const scalar = (value: number) => upload(Float32Array.of(value), []);
  const half = scalar(1 / 2), constant = scalar(offset);
  const harmonics = amplitudes.map((amplitude, k) => ({
    amplitude: scalar(amplitude),
    frequency: scalar(2 * Math.PI * (2 * k + 1) / period),
  }));
  return (x) =>
    tf.tidy(() =>
      harmonics.reduce<tf.Tensor>(
        (sum, { amplitude, frequency }) => tf.add(sum, tf.mul(tf.cos(tf.mul(x, frequency)), amplitude)),
        tf.add(tf.mul(x, half), constant),
      )
    );
}

/**
 * A polynomial in element-wise calls: Horner in s = x^2 over pairs of terms, for the quartic without cubic term
 * ((a4 s + a2) s) + (a1 x + a0). Terms that are zero cost nothing.
 */
function polynomial(activation: Polynomial, upload: Upload): Operation {
  const coefficients = realCoefficients(activation);
  if (coefficients.slice(1).every((c) => c === 0)) throw new RangeError("the activation is constant");
  const scalars = coefficients.map((c) => c === 0 ? undefined : upload(Float32Array.of(c), []));
  const sum = (a: tf.Tensor | undefined, b: tf.Tensor | undefined) => a && b ? tf.add(a, b) : a ?? b;
  return (x) =>
    tf.tidy(() => {
      const s = scalars.length > 2 ? tf.square(x) : x;
      let y: tf.Tensor | undefined;
      for (let k = scalars.length - 1 & ~1; k >= 0; k -= 2) {
        const odd = scalars[k + 1];
        y = sum(y && tf.mul(y, s), sum(odd && tf.mul(x, odd), scalars[k]));
      }
      return y!;
    });
}
