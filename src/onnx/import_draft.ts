/** A network while it is read from a file: nodes and weights of ours so far, and how the file sees each value. */
import { type FloatTensor, type Graph, inferShapes, type Node, type Shape } from "../models/graph.ts";
import type { OnnxModel, OnnxNode } from "./format.ts";
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

/** A shape as the file writes it. */
export function onnxShape([height, width, channels]: Shape, layout: Layout): number[] {
  if (layout === "flat") return [1, height * width * channels];
  return layout === "NCHW" ? [1, channels, height, width] : [1, height, width, channels];
}

/** What nodes without a name of their own are called, with a number. */
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
export class ImportDraft {
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
    if (tensor?.kind === "floats") return tensor;
    const kind = tensor?.kind === "other" ? tensor.type : "integers";
    const found = tensor === undefined ? "not stored in the file" : `stored as ${kind}`;
    return refuse(node, `input ${input} is ${found}; weights are FLOAT, FLOAT16, BFLOAT16 or DOUBLE`);
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
    this.#values.set(node.outputs[0], { ...value, ...changes, isShared });
  }

  /** The node's output is made by a new node of ours. */
  make(node: OnnxNode, made: NewNode, { layout, rows }: Partial<Value> = {}, weight = ""): string {
    const id = this.#newId(made.op, node, weight), { layout: same, rows: sameRows } = this.value(node);
    this.nodes.push({ id, ...made } as Node);
    const kept = layout === undefined ? sameRows : rows;
    this.#values.set(node.outputs[0], {
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
      node = this.nodes[at],
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

  #isOnlyReader = (node: OnnxNode, input = 0): boolean => this.#readers.get(node.inputs[input]) === 1;

  /** What a node with weights is called in PyTorch, or else its kind and a number, behind the module that it is in. */
  #newId(op: Node["op"], node: OnnxNode, weight: string): string {
    const scope = scopeOf(node.name), hasWeights = op === "conv" || op === "dense" || op === "batchNorm";
    const named = hasWeights ? /^(.+)\.weight$/.exec(weight)?.[1] ?? scope : "", isName = NAME.test(named);
    const base = isName ? named : NAME.test(scope) ? `${scope}.${KINDS[op]}` : KINDS[op];
    let id = isName ? base : `${base}1`;
    for (let n = 2; this.#ids.has(id); n++) id = isName ? `${base}_${n}` : `${base}${n}`;
    this.#ids.add(id);
    return id;
  }
}

const NAME = /^[A-Za-z_][\w.]{0,60}$/;

/** `layer2.down.0` of `/layer2/down/down.0/Conv`. */
function scopeOf(name: string): string {
  const modules = name.split("/").filter((part) => part !== "").slice(0, -1);
  return modules.filter((module, i) => !modules[i + 1]?.startsWith(`${module}.`)).join(".");
}
