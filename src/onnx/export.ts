/**
 * A network of ours as an ONNX file, for every runtime that reads one: batch norm folded, filters and flattened values in ONNX's
 * order, polynomial and trigonometric activations spelled out in its element-wise operations. Values have the names of our nodes.
 */
import { foldBatchNorm, isLinear } from "../models/fold.ts";
import {
  type Activation,
  type ConvNode,
  type DenseNode,
  type FloatTensor,
  type Graph,
  inferShapes,
  inputsOf,
  type Node,
  type PoolNode,
  type Shape,
  type Weights,
} from "../models/graph.ts";
import { layerActivation, type Trigonometric } from "../models/trigonometric.ts";
import { checkWeights } from "../models/weight_shapes.ts";
import { type Polynomial, realCoefficients } from "../polynomial/polynomial.ts";
import { encodeModel, type OnnxNode } from "./format.ts";
import { filtersToOnnx, rowsToOnnx } from "./layout.ts";
import type { OnnxTensor } from "./tensor.ts";

/**
 * The bytes of the ONNX file of a network, for one image at a time.
 *
 * @throws {RangeError} for weights that do not fit, a constant activation, or a flattened value that is read as an image
 */
export function exportOnnx(graph: Graph, weights: Weights, activation: Activation): Uint8Array<ArrayBuffer> {
  checkWeights(graph, weights);
  const folded = foldBatchNorm(graph, weights), file = new Draft(folded.graph, folded.weights, activation);
  for (const node of folded.graph.nodes) if (node.op !== "input") file.add(node);
  const value = ({ id }: Node) => ({ name: id, shape: file.shapeOf(id) });
  return encodeModel(graph.name, {
    inputs: [value(graph.nodes[0])],
    outputs: [value(graph.nodes.at(-1)!)],
    nodes: file.nodes,
    tensors: file.tensors,
  });
}

/** The flattenings whose order the output has, since no matrix behind them can take it up. */
function flatOutputs({ nodes }: Graph): ReadonlySet<string> {
  const found = new Set<string>(), reached = new Set([nodes.at(-1)!.id]);
  for (const node of nodes.toReversed()) {
    if (!reached.has(node.id) || isLinear(node)) continue;
    if (node.op === "flatten") found.add(node.id);
    inputsOf(node).forEach((id) => reached.add(id));
  }
  return found;
}

/** The file as it grows, a node of ours at a time. */
class Draft {
  readonly nodes: OnnxNode[] = [];
  readonly tensors = new Map<string, OnnxTensor>();
  readonly #shapes: ReadonlyMap<string, Shape>;
  /** Flattened values, and the shapes that they had: the rows of matrices that read them follow ONNX's order of these. */
  readonly #flattened = new Map<string, Shape>();
  readonly #outputs: ReadonlySet<string>;

  constructor(
    private readonly graph: Graph,
    private readonly weights: Weights,
    private readonly activation: Activation,
  ) {
    this.#shapes = inferShapes(graph);
    this.#outputs = flatOutputs(graph);
  }

  /** As ONNX has it. */
  shapeOf(id: string): number[] {
    const [height, width, channels] = this.#shapes.get(id)!;
    return this.#flattened.has(id) ? [1, channels] : [1, channels, height, width];
  }

  add(node: Exclude<Node, { op: "input" }>): void {
    const { id, input } = node, flattened = this.#flattened.get(input);
    if (flattened) this.#flattened.set(id, flattened);
    switch (node.op) {
      case "conv":
        return this.#convolution(node);
      case "dense":
        return this.#matrix(node);
      case "activation":
        return this.#activation(id, input, layerActivation(this.activation, id, this.weights));
      case "averagePool":
      case "maxPool":
        this.#checkImage(node);
        return this.#push(
          id,
          node.op === "maxPool" ? "MaxPool" : "AveragePool",
          [input],
          windowAttributes(node),
        );
      case "add":
        if (flattened?.join() !== this.#flattened.get(node.shortcut)?.join()) {
          throw new RangeError(`${this.graph.name}: node ${id} adds a flattened value and another`);
        }
        return this.#push(id, "Add", [input, node.shortcut]);
      case "flatten":
        return this.#flatten(id, input);
      case "batchNorm":
        throw new RangeError(`${this.graph.name}: batch norm ${id} is not folded`);
    }
  }

  #push(
    output: string,
    op: string,
    inputs: readonly string[],
    attributes: OnnxNode["attributes"] = new Map(),
  ): void {
    this.nodes.push({ name: output, op, inputs, outputs: [output], attributes });
  }

  #tensor(name: string, { shape, data }: FloatTensor): string {
    this.tensors.set(name, { kind: "floats", shape, data });
    return name;
  }

  #checkImage({ id, input }: ConvNode | PoolNode): void {
    if (!this.#flattened.has(input)) return;
    throw new RangeError(
      `${this.graph.name}: node ${id} reads the flattened ${input} as an image, which is not exported`,
    );
  }

  #convolution(node: ConvNode): void {
    this.#checkImage(node);
    const { id, input } = node, weight = `${id}.weight`;
    const inputs = [
      input,
      this.#tensor(weight, filtersToOnnx(this.weights.get(weight)!)),
      ...this.#bias(node),
    ];
    this.#push(id, "Conv", inputs, windowAttributes(node));
  }

  #matrix(node: DenseNode): void {
    const { id, input } = node, weight = `${id}.weight`;
    const flat = this.#flattened.has(input) ? input : `${id}.input`;
    if (flat !== input) this.#flatten(flat, input);
    const rows = rowsToOnnx(this.weights.get(weight)!, this.#flattened.get(flat)!);
    this.#push(id, "Gemm", [flat, this.#tensor(weight, rows), ...this.#bias(node)]);
    this.#flattened.set(id, [1, 1, node.outputs]);
  }

  #bias({ id, bias }: ConvNode | DenseNode): string[] {
    return bias ? [this.#tensor(`${id}.bias`, this.weights.get(`${id}.bias`)!)] : [];
  }

  #flatten(id: string, input: string): void {
    const shape = this.#shapes.get(input)!, [height, width] = shape;
    let from = input;
    if (!this.#flattened.has(input)) {
      const isTurned = this.#outputs.has(id) && height * width > 1;
      this.#flattened.set(id, isTurned ? this.#shapes.get(id)! : shape);
      if (isTurned) {
        this.#push(from = `${id}.turned`, "Transpose", [input], new Map([["perm", [0, 2, 3, 1]]]));
      }
    }
    this.#push(id, "Flatten", [from]);
  }

  #activation(id: string, input: string, activation: Activation): void {
    switch (activation.kind) {
      case "relu":
        return this.#push(id, "Relu", [input]);
      case "sigmoid":
        return this.#push(id, "Sigmoid", [input]);
      case "polynomial":
        return this.#polynomial(id, input, activation);
      case "trigonometric":
        return this.#wave(id, input, activation);
    }
  }

  /** Horner in x^2 over pairs of terms, as TensorFlow.js is given it: terms that are zero cost nothing. */
  #polynomial(id: string, input: string, activation: Polynomial): void {
    const terms = this.#terms(id), coefficients = realCoefficients(activation);
    if (coefficients.slice(1).every((c) => c === 0)) throw new RangeError("the activation is constant");
    const square = coefficients.length > 2 ? terms.make("Mul", input, input) : input;
    const sum = (a: string | undefined, b: string | undefined) => a && b ? terms.make("Add", a, b) : a ?? b;
    let y: string | undefined;
    for (let k = coefficients.length - 1 & ~1; k >= 0; k -= 2) {
      const odd = coefficients[k + 1], even = coefficients[k];
      const pair = sum(
        odd ? terms.make("Mul", input, terms.scalar(odd)) : undefined,
        even ? terms.scalar(even) : undefined,
      );
      y = sum(y && terms.make("Mul", y, square), pair);
    }
    this.#push(id, "Identity", [y!]);
  }

  /** x / 2 + a0 and a cosine a harmonic. */
  #wave(id: string, input: string, { period, offset, amplitudes }: Trigonometric): void {
    const terms = this.#terms(id);
    const line = terms.make("Add", terms.make("Mul", input, terms.scalar(1 / 2)), terms.scalar(offset));
    const y = amplitudes.reduce((sum, amplitude, k) => {
      const angle = terms.make("Mul", input, terms.scalar(2 * Math.PI * (2 * k + 1) / period));
      return terms.make("Add", sum, terms.make("Mul", terms.make("Cos", angle), terms.scalar(amplitude)));
    }, line);
    this.#push(id, "Identity", [y]);
  }

  /** Values and constants inside an activation, by number. */
  #terms(id: string) {
    let count = 0;
    return {
      make: (op: string, ...inputs: string[]): string => {
        const output = `${id}.${count++}`;
        this.#push(output, op, inputs);
        return output;
      },
      scalar: (value: number): string =>
        this.#tensor(`${id}.${count++}`, { shape: [], data: Float32Array.of(value) }),
    };
  }
}

const windowAttributes = (
  { kernel, stride, padding }: Pick<ConvNode, "kernel" | "stride" | "padding">,
): OnnxNode["attributes"] =>
  new Map([
    ["kernel_shape", [kernel, kernel]],
    ["strides", [stride, stride]],
    ["pads", [padding, padding, padding, padding]],
  ]);
