/**
 * The network of a foreign ONNX file as a graph and weights of ours: filters and the rows behind a flattening turned into our order,
 * what cannot be expressed refused by the name of its node. `import_operations.ts` has the operations one by one.
 */
import { type FloatTensor, type Graph, inferShapes, type Node, type Shape, sizeOf } from "../models/graph.ts";
import { checkWeights } from "../models/weight_shapes.ts";
import type { OnnxModel, OnnxNode } from "./format.ts";
import { foldConstants } from "./import_constants.ts";
import { importOperation } from "./import_operations.ts";
import type { OnnxTensor } from "./tensor.ts";

/** How the file orders the numbers of a value: [1, C, H, W], [1, H, W, C], or flat, [1, n]. */
export type Layout = "NCHW" | "NHWC" | "flat";

/** A value that depends on the image. */
export interface Value {
  /** The node of ours that makes it. */
  readonly id: string;
  readonly shape: Shape;
  readonly layout: Layout;
  /** Of a flat value whose channels are not the fastest: what was flattened. */
  readonly rows?: Shape;
  /** Zeros around it, which the convolution that reads it adds. */
  readonly padding: number;
  /** Whether a value that was passed on as it is had another reader too. */
  readonly isShared: boolean;
}

export interface Imported {
  readonly graph: Graph;
  readonly weights: Map<string, FloatTensor>;
  /** How the file takes one image. */
  readonly input: { readonly layout: Layout; readonly shape: readonly number[] };
  /** The file's value that holds the logits. */
  readonly logits: string;
  /** What was left out, in sentences. */
  readonly notes: readonly string[];
}

const KINDS: Readonly<Record<string, string>> = {
  conv: "conv",
  dense: "dense",
  batchNorm: "bn",
  activation: "act",
  averagePool: "pool",
  maxPool: "pool",
  add: "add",
  flatten: "flatten",
};

/** A node of ours before it has a name and inputs that are values. */
type Without<T> = T extends Node ? Omit<T, "id"> : never;
export type NewNode = Without<Exclude<Node, { op: "input" }>>;

/** Refuses a node of the file. */
export function refuse(node: OnnxNode, why: string): never {
  throw new RangeError(`node ${node.name || node.outputs[0]} (${node.op}): ${why}`);
}

/** The network as it is read, node by node. */
export class Import {
  readonly nodes: Node[] = [{ id: "input", op: "input" }];
  readonly weights = new Map<string, FloatTensor>();
  readonly notes: string[] = [];
  readonly #values = new Map<string, Value>();
  readonly #constants: Map<string, OnnxTensor>;
  readonly #readers = new Map<string, number>();
  readonly #ids = new Set(["input"]);

  constructor(
    private readonly name: string,
    private readonly inputShape: Shape,
    { tensors, nodes, outputs }: OnnxModel,
  ) {
    this.#constants = new Map(tensors);
    const read = (name: string) => this.#readers.set(name, (this.#readers.get(name) ?? 0) + 1);
    for (const { inputs } of nodes) inputs.forEach(read);
    outputs.forEach(({ name }) => read(name));
  }

  /** The value that a node reads, which must depend on the image. */
  value(node: OnnxNode, input = 0): Value {
    return this.#values.get(node.inputs[input] ?? "") ??
      refuse(node, `input ${input} does not depend on the image`);
  }

  valueOf = (name: string): Value | undefined => this.#values.get(name);
  constantOf = (name: string): OnnxTensor | undefined => this.#constants.get(name);

  /** A weight, which must be stored in the file. */
  constant(node: OnnxNode, input: number): FloatTensor {
    const tensor = this.#constants.get(node.inputs[input] ?? "");
    if (tensor?.kind !== "floats") {
      refuse(node, `input ${input} is no stored weight of float32, float16 or bfloat16`);
    }
    return tensor;
  }

  /** Whole numbers in an input or an attribute, by which versions of ONNX differ; undefined where neither is given. */
  integers(node: OnnxNode, input: number, attribute: string): readonly number[] | undefined {
    const name = node.inputs[input] ?? "", given = node.attributes.get(attribute);
    if (name !== "") {
      const tensor = this.#constants.get(name);
      return tensor?.kind === "integers"
        ? tensor.data
        : refuse(node, `input ${input} (${attribute}) is not known before it runs`);
    }
    return given === undefined || Array.isArray(given)
      ? given
      : refuse(node, `attribute ${attribute} is no list of integers`);
  }

  setConstant = (name: string, tensor: OnnxTensor): void => void this.#constants.set(name, tensor);
  setInput = (name: string, layout: Layout): void =>
    void this.#values.set(name, { id: "input", shape: this.inputShape, layout, padding: 0, isShared: false });

  /** The node's output is its input as it is, but for what `changes` says of how the file sees it. */
  pass(node: OnnxNode, changes: Partial<Pick<Value, "layout" | "rows" | "padding">> = {}): void {
    const value = this.value(node), isShared = value.isShared || !this.#isOnlyReader(node);
    this.#values.set(node.outputs[0]!, { ...value, ...changes, isShared });
  }

  /** The node's output is made by a new node of ours. */
  make(node: OnnxNode, made: NewNode, { layout, rows }: Partial<Value> = {}, weight = ""): string {
    const id = this.#newId(made.op, node, weight), { layout: same, rows: sameRows } = this.value(node);
    this.nodes.push({ id, ...made } as Node);
    const kept = layout === undefined ? sameRows : rows;
    this.#values.set(node.outputs[0]!, {
      id,
      shape: inferShapes(this.graph(2)).get(id)!,
      layout: layout ?? same,
      ...(kept ? { rows: kept } : {}),
      padding: 0,
      isShared: false,
    });
    return id;
  }

  /** The convolution or dense layer that makes what a node reads and nothing else does; else undefined. */
  ownLinear(node: OnnxNode, input = 0) {
    const { id, isShared } = this.value(node, input), made = this.nodes.find((node) => node.id === id)!;
    if (isShared || !this.#isOnlyReader(node, input)) return undefined;
    return made.op === "conv" || made.op === "dense" ? made : undefined;
  }

  /** Gives a linear layer a bias on top of what it has. */
  addBias(id: string, bias: Float32Array): void {
    const at = this.nodes.findIndex((node) => node.id === id),
      node = this.nodes[at]!,
      before = this.weights.get(`${id}.bias`);
    this.nodes[at] = { ...node, bias: true } as Node;
    this.weights.set(`${id}.bias`, {
      shape: [bias.length],
      data: bias.map((b, i) => b + (before?.data[i] ?? 0)),
    });
  }

  graph = (classes: number): Graph => ({
    name: this.name,
    classes,
    inputShape: this.inputShape,
    nodes: this.nodes,
  });

  #isOnlyReader = (node: OnnxNode, input = 0): boolean => this.#readers.get(node.inputs[input]!) === 1;

  /** From the name of its weights, as PyTorch writes them, or of the node; else by its kind. */
  #newId(op: Node["op"], node: OnnxNode, weight: string): string {
    const parts = node.name.split("/").filter((part) => part !== "");
    const named = /^([A-Za-z_][\w.]*)\.weight$/.exec(weight)?.[1] ??
      (parts.length > 1 ? parts.at(-2) : undefined);
    const wanted = named !== undefined && /^[A-Za-z_][\w.]{0,60}$/.test(named) ? named : undefined;
    let id = wanted;
    for (let n = wanted === undefined ? 1 : 2; id === undefined || this.#ids.has(id); n++) {
      id = wanted === undefined ? `${KINDS[op]}${n}` : `${wanted}_${n}`;
    }
    this.#ids.add(id);
    return id;
  }
}

/** The nodes on which `output` depends, in the file's order. */
function reachable({ nodes }: OnnxModel, output: string): OnnxNode[] {
  const needed = new Set([output]);
  return nodes.toReversed().filter(({ inputs, outputs }) => {
    if (!outputs.some((name) => needed.has(name))) return false;
    inputs.forEach((name) => needed.add(name));
    return true;
  }).reverse();
}

/**
 * Reads the network of an ONNX file that takes one image and gives logits.
 *
 * @param name what the network is to be called
 * @throws {RangeError} that names the node which has no counterpart here, and why
 */
export function importOnnx(file: OnnxModel, name: string): Imported {
  const { inputs: [input, ...others], outputs: [output, ...more] } = file;
  if (!input || !output || others.length > 0 || more.length > 0) {
    const names = [input, ...others, output, ...more].map((value) => value?.name);
    throw new RangeError(
      `the file must have one input, the image, and one output, the logits; it has ${names.join(", ")}`,
    );
  }
  const model = { ...file, nodes: reachable(file, output.name) };
  const { layout, shape } = inputOf(model, input), draft = new Import(name, shape, model);
  draft.setInput(input.name, layout);
  let logits = output.name;
  for (const node of model.nodes) {
    if (foldConstants(draft, node)) continue;
    if (/^(Log)?Softmax$/.test(node.op) && node.outputs[0] === output.name) {
      draft.notes.push(`the final ${node.op} was dropped: logits have the same order`);
      logits = node.inputs[0]!;
    } else importOperation(draft, node);
  }
  const value = draft.valueOf(logits);
  if (value === undefined) throw new RangeError(`the output ${logits} does not depend on the image`);
  const classes = sizeOf(value.shape);
  if (value.rows || value.shape[2] !== classes || classes < 2) {
    throw new RangeError(
      `the output ${logits} has the shape ${
        value.shape.join(" x ")
      }, which are no logits of two classes or more`,
    );
  }
  const graph = draft.graph(classes);
  checkWeights(graph, draft.weights);
  return {
    graph,
    weights: draft.weights,
    input: { layout, shape: onnxShape(shape, layout) },
    logits,
    notes: draft.notes,
  };
}

/** A shape as the file writes it. */
export function onnxShape([height, width, channels]: Shape, layout: Layout): number[] {
  if (layout === "flat") return [1, height * width * channels];
  return layout === "NCHW" ? [1, channels, height, width] : [1, height, width, channels];
}

function inputOf(
  { nodes }: OnnxModel,
  { name, shape }: OnnxModel["inputs"][number],
): { layout: Layout; shape: Shape } {
  const refuse = (why: string): never => {
    throw new RangeError(`input ${name} of shape [${shape.map((n) => n ?? "?").join(", ")}]: ${why}`);
  };
  const [batch, ...sizes] = shape;
  if (batch !== null && batch !== 1) refuse("the file takes several images at a time; export it for one");
  if (sizes.some((size) => size === null)) {
    refuse("the file leaves the size of the image open; export it for one size");
  }
  const [a, b, c] = sizes as number[];
  if (sizes.length === 1) return { layout: "flat", shape: [1, 1, a!] };
  if (sizes.length !== 3) refuse("an image has three dimensions beside the batch");
  // Keras has channels last; then the first thing that is done with the image is to turn it.
  const readers = nodes.filter(({ inputs }) => inputs.includes(name));
  const isTurned = readers.length > 0 &&
    readers.every(({ op, attributes }) => op === "Transpose" && String(attributes.get("perm")) === "0,3,1,2");
  return isTurned ? { layout: "NHWC", shape: [a!, b!, c!] } : { layout: "NCHW", shape: [b!, c!, a!] };
}
