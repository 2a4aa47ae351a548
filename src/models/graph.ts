/**
 * A network as data: a list of nodes in evaluation order, batch size 1, activations in NHWC.
 * Inference and training share this description, the functions of activations and the merging of batch norm; no engine and no step.
 */
import { outputAlong } from "../ring/convolution_plan.ts";

/** Height, width, channels of a value; a flattened value is `[1, 1, n]`. */
export type Shape = readonly [height: number, width: number, channels: number];

interface NodeBase {
  /** Unique name, also the prefix of its weights: `<id>.weight`, `<id>.bias`, ... */
  readonly id: string;
}

/** The image. Always the first node. */
export interface InputNode extends NodeBase {
  readonly op: "input";
}

/** Convolution; weights `<id>.weight` [kernel, kernel, in, out] and, if `bias`, `<id>.bias` [out]. */
export interface ConvNode extends NodeBase {
  readonly op: "conv";
  readonly input: string;
  readonly kernel: number;
  readonly stride: number;
  readonly padding: number;
  readonly outputs: number;
  readonly bias: boolean;
  /** Convolution on the shortcut of a residual block: counted apart in the paper's tables. */
  readonly shortcut?: boolean;
}

/** Dense layer on a flattened value; weights `<id>.weight` [in, out] and `<id>.bias` [out]. */
export interface DenseNode extends NodeBase {
  readonly op: "dense";
  readonly input: string;
  readonly outputs: number;
  readonly bias: boolean;
}

/** The window of a layer that has one: a dense layer is a convolution of one pixel with a kernel of 1. */
export const windowOf = (
  node: ConvNode | DenseNode | PoolNode,
): { readonly kernel: number; readonly stride: number; readonly padding: number } =>
  node.op === "dense" ? { kernel: 1, stride: 1, padding: 0 } : node;

/** Batch normalisation, eps 1e-5; weights `<id>.scale`, `.offset`, `.mean`, `.variance`, all [channels]. */
export interface BatchNormNode extends NodeBase {
  readonly op: "batchNorm";
  readonly input: string;
  /** What training sets `<id>.scale` to before the first step (default 1). */
  readonly initialScale?: number;
}

/** Element-wise non-linearity: ReLU, a polynomial or another, chosen when the network is run, not here. */
export interface ActivationNode extends NodeBase {
  readonly op: "activation";
  readonly input: string;
  /** Weights `<id>.fourier` [1 + harmonics], a0 and amplitudes of a learned trigonometric activation, start from these. */
  readonly fourier?: readonly number[];
}

/** Pooling over kernel x kernel windows; average pooling never has padding. */
export interface PoolNode extends NodeBase {
  readonly op: "averagePool" | "maxPool";
  readonly input: string;
  readonly kernel: number;
  readonly stride: number;
  readonly padding: number;
}

/** Sum of two values of equal shape (residual connection); `shortcut` is the identity or 1x1 branch. */
export interface AddNode extends NodeBase {
  readonly op: "add";
  readonly input: string;
  readonly shortcut: string;
}

/** Reinterpretation of [h, w, c] as [1, 1, h*w*c], channels fastest (NHWC order). */
export interface FlattenNode extends NodeBase {
  readonly op: "flatten";
  readonly input: string;
}

export type Node =
  | InputNode
  | ConvNode
  | DenseNode
  | BatchNormNode
  | ActivationNode
  | PoolNode
  | AddNode
  | FlattenNode;

/** A network. The last node yields the logits. */
export interface Graph {
  /** Identifier as on the command line, for example `resnet18`. */
  readonly name: string;
  readonly classes: number;
  readonly inputShape: Shape;
  readonly nodes: readonly Node[];
}

/** Named float tensors of a network, in the layouts that the node types state. */
export type Weights = ReadonlyMap<string, FloatTensor>;

/** A dense row-major float tensor. */
export interface FloatTensor {
  readonly shape: readonly number[];
  readonly data: Float32Array;
}

/** x / 2 + a0 + a wave of odd harmonics; see `trigonometric.ts`. A plan of a private inference can take its numbers as they are. */
export interface Trigonometric {
  readonly kind: "trigonometric";
  /** P. */
  readonly period: number;
  /** a0. */
  readonly offset: number;
  /** b_0, b_1, ... of the harmonics 1, 3, 5, ... */
  readonly amplitudes: readonly number[];
  /** Whether each layer has an offset and amplitudes of its own, in its tensor `<id>.fourier`; those here are where training starts. */
  readonly learned?: true;
}

/** An activation function as every engine understands it. */
export type Activation =
  | { readonly kind: "relu" }
  /** 1 / (1 + e^-x), in training and in the clear alone: no protocol evaluates it. */
  | { readonly kind: "sigmoid" }
  /** P(x) = sum over k of coefficients[k] / 2^precision * x^k; coefficients are integers. */
  | { readonly kind: "polynomial"; readonly coefficients: readonly number[]; readonly precision: number }
  | Trigonometric;

/** The values that a node reads, in order. */
export function inputsOf(node: Node): readonly string[] {
  if (node.op === "input") return [];
  return node.op === "add" ? [node.input, node.shortcut] : [node.input];
}

/** Shape of every value of `graph`, by node id. Throws a RangeError where a layer does not fit its input. */
export function inferShapes(graph: Graph): Map<string, Shape> {
  const shapes = new Map<string, Shape>();
  const of = (node: Node, id: string): Shape => {
    const shape = shapes.get(id);
    if (!shape) {
      throw new RangeError(`${graph.name}: node ${node.id} reads ${id}, which no earlier node makes`);
    }
    return shape;
  };
  for (const node of graph.nodes) {
    if (shapes.has(node.id)) throw new RangeError(`${graph.name}: two nodes are called ${node.id}`);
    shapes.set(
      node.id,
      outputShape(
        graph,
        node,
        inputsOf(node).map((id) => of(node, id)),
      ),
    );
  }
  return shapes;
}

function outputShape(graph: Graph, node: Node, inputs: readonly Shape[]): Shape {
  if (node.op === "input") return graph.inputShape;
  const [h, w, c] = inputs[0];
  switch (node.op) {
    case "conv":
    case "averagePool":
    case "maxPool": {
      const side = (n: number) => outputAlong(n, node.kernel, node.stride, node.padding);
      if (side(h) < 1 || side(w) < 1) {
        throw new RangeError(
          `${graph.name}: node ${node.id} has kernel ${node.kernel}, larger than its ${h}x${w} input`,
        );
      }
      if (node.op === "maxPool" && node.padding >= node.kernel) {
        throw new RangeError(
          `${graph.name}: node ${node.id} has padding ${node.padding}, as much as its kernel of ${node.kernel}: ` +
            "there are windows that see nothing",
        );
      }
      return [side(h), side(w), node.op === "conv" ? node.outputs : c];
    }
    case "dense":
      if (h !== 1 || w !== 1) {
        throw new RangeError(
          `${graph.name}: dense node ${node.id} needs a flattened input, got ${h}x${w}x${c}`,
        );
      }
      return [1, 1, node.outputs];
    case "flatten":
      return [1, 1, h * w * c];
    case "add":
      if (inputs[1].join() !== inputs[0].join()) {
        throw new RangeError(
          `${graph.name}: node ${node.id} adds ${inputs[0].join("x")} and ${inputs[1].join("x")}`,
        );
      }
      return inputs[0];
    case "batchNorm":
    case "activation":
      return inputs[0];
  }
}

/** Number of elements of a shape. */
export const sizeOf = (shape: Shape): number => shape[0] * shape[1] * shape[2];
