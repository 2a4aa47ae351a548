/**
 * Runs a network on floats in TensorFlow.js: what plaintext inference costs on the same machine. It does what a careful
 * user would do: batch norm merged, bias and ReLU inside the linear layers, values dropped after their last use. Kept
 * out of `mod.ts`, as it loads TensorFlow.js.
 */
import * as tf from "@tensorflow/tfjs";
import { realCoefficients } from "../polynomial/polynomial.ts";
import { checkImage } from "./float_engine.ts";
import { consumersOf, isLinear, type LinearNode } from "./fold.ts";
import { type Activation, type Graph, inputsOf, type Node, type Weights } from "./graph.ts";
import { checkWeights } from "./weights.ts";

/** A network whose weights lie in the memory of TensorFlow.js. */
export interface TensorflowEngine {
  /** The logits for an image in NHWC order; synchronous, transfers included. */
  run(image: ArrayLike<number>): Float32Array;
  /** Frees the weights. */
  dispose(): void;
}

interface Step {
  readonly id: string;
  readonly inputs: readonly string[];
  /** Values that nothing reads after this step. */
  readonly dropped: readonly string[];
  readonly evaluate: Operation;
}

type Operation = (x: tf.Tensor, shortcut?: tf.Tensor) => tf.Tensor;

/**
 * Uploads a network. Open the backend first, see `openTensorflow` in `tensorflow_backend.ts`.
 *
 * @param graph without batch norm, as `foldBatchNorm` makes it
 * @throws {RangeError} for weights that do not fit, or a batch norm
 */
export function createTensorflowEngine(
  graph: Graph,
  weights: Weights,
  activation: Activation,
): TensorflowEngine {
  checkWeights(graph, weights);
  const tensors = new Map(
    [...weights].map(([name, { data, shape }]) => [name, tf.tensor(data, [...shape])]),
  );
  const activate = activation.kind === "relu" ? tf.relu : polynomial(activation, tensors);
  const steps = compile(graph, tensors, activate, activation.kind === "relu");
  const [height, width, channels] = graph.inputShape;
  return {
    run(image) {
      checkImage(graph, image);
      let logits!: Float32Array;
      tf.tidy(() => {
        const x = tf.tensor4d(Float32Array.from(image), [1, height, width, channels]);
        const values = new Map<string, tf.Tensor>([[graph.nodes[0].id, x]]);
        for (const { id, inputs: [input, shortcut], dropped, evaluate } of steps) {
          values.set(id, evaluate(values.get(input)!, values.get(shortcut)));
          for (const id of dropped) values.get(id)!.dispose();
        }
        logits = values.get(steps.at(-1)!.id)!.dataSync() as Float32Array;
      });
      return logits;
    },
    dispose: () => tf.dispose([...tensors.values()]),
  };
}

function compile(
  graph: Graph,
  tensors: Map<string, tf.Tensor>,
  activate: Operation,
  fusesActivations: boolean,
): Step[] {
  const consumers = consumersOf(graph), fused = new Map<string, string>();
  for (const node of fusesActivations ? graph.nodes.filter(isLinear) : []) {
    const [reader, ...others] = consumers.get(node.id)!;
    if (reader?.op === "activation" && others.length === 0) fused.set(reader.id, node.id);
  }
  const layers = new Set(fused.values()), lastReader = new Map<string, string>();
  const steps = graph.nodes.filter((node) => node.op !== "input" && !fused.has(node.id)).map((node) => {
    const inputs = inputsOf(node).map((id) => fused.get(id) ?? id);
    for (const id of inputs) lastReader.set(id, node.id);
    const evaluate = isLinear(node)
      ? linear(node, tensors, layers.has(node.id) ? "relu" : "linear")
      : operation(node, activate);
    return { id: node.id, inputs, evaluate };
  });
  return steps.map((step) => ({
    ...step,
    dropped: [...new Set(step.inputs)].filter((id) => lastReader.get(id) === step.id),
  }));
}

/** Convolution or dense layer, with bias and activation in the same call. */
function linear(
  node: LinearNode,
  tensors: ReadonlyMap<string, tf.Tensor>,
  activation: "relu" | "linear",
): Operation {
  const weight = tensors.get(`${node.id}.weight`)!;
  const options = { activation, ...(node.bias ? { bias: tensors.get(`${node.id}.bias`)! } : {}) };
  if (node.op === "dense") return (x) => tf.fused.matMul({ a: x, b: weight, ...options });
  const filter = weight as tf.Tensor4D, strides = node.stride, pad = node.padding;
  return (x) => tf.fused.conv2d({ x: x as tf.Tensor4D, filter, strides, pad, ...options });
}

function operation(node: Exclude<Node, LinearNode>, activate: Operation): Operation {
  switch (node.op) {
    case "activation":
      return activate;
    case "averagePool":
      return (x) => tf.avgPool(x as tf.Tensor4D, node.kernel, node.stride, "valid");
    case "maxPool":
      return (x) => tf.maxPool(x as tf.Tensor4D, node.kernel, node.stride, node.padding);
    case "add":
      return (x, shortcut) => tf.add(x, shortcut!);
    case "flatten":
      return (x) => tf.reshape(x, [1, x.size]);
    case "batchNorm":
    case "input":
      throw new RangeError(`node ${node.id}: ${node.op} cannot be run; merge batch norm first`);
  }
}

/**
 * A polynomial by element-wise calls, as few as possible: Horner in s = x^2 for the even and the odd powers. Seven for
 * the quartic without cubic term, ((a4 s + a2) s) + (a1 x + a0).
 */
function polynomial(activation: Activation & { kind: "polynomial" }, tensors: Map<string, tf.Tensor>): Operation {
  const coefficients = realCoefficients(activation);
  const scalars = coefficients.map((c, i) => {
    const scalar = tf.scalar(c);
    tensors.set(`coefficient ${i}`, scalar);
    return scalar;
  });
  return (x) => x;
}
