/**
 * The network of a foreign ONNX file as a graph and weights of ours: filters and the rows behind a flattening turned into our order,
 * what cannot be expressed refused by the name of its node. `import_operations.ts` has the operations one by one.
 */
import { type FloatTensor, type Graph, type Shape, sizeOf } from "../models/graph.ts";
import { checkWeights } from "../models/weight_shapes.ts";
import type { OnnxModel, OnnxNode } from "./format.ts";
import { foldConstants } from "./import_constants.ts";
import { ImportDraft, type Layout, onnxShape, refuse } from "./import_draft.ts";
import { importOperation } from "./import_operations.ts";

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

/** The nodes on which `output` depends, in the file's order. */
function reachable({ nodes }: OnnxModel, output: string): OnnxNode[] {
  const needed = new Set([output]);
  return nodes.toReversed().filter(({ inputs, outputs }) => {
    if (!outputs.some((name) => needed.has(name))) return false;
    inputs.forEach((name) => needed.add(name));
    return true;
  }).reverse();
}

/** The softmax at the end of a file, behind which nothing changes the values; undefined where there is none. */
function finalSoftmax({ nodes }: Pick<OnnxModel, "nodes">, output: string): OnnxNode | undefined {
  const last = nodes.find(({ outputs }) => outputs[0] === output);
  if (last === undefined) return undefined;
  if (/^(Identity|Cast|Dropout)$/.test(last.op)) return finalSoftmax({ nodes }, last.inputs[0]);
  return /^(Log)?Softmax$/.test(last.op) ? last : undefined;
}

function dropSoftmax(draft: ImportDraft, node: OnnxNode): void {
  const { layout } = draft.value(node), axis = node.attributes.get("axis");
  // Left out it is 1 until version 12, from where on everything is flattened, then the last.
  const ofClasses: readonly unknown[] =
    { flat: [undefined, 1, -1], NHWC: [undefined, 3, -1], NCHW: [1, -3] }[layout];
  if (!ofClasses.includes(axis)) refuse(node, "its axis is not that of the classes");
  draft.notes.push(`the final ${node.op} was dropped: logits have the same order`);
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
  const softmax = finalSoftmax(file, output.name), logits = softmax?.inputs[0] ?? output.name;
  const model = { ...file, nodes: reachable(file, logits) };
  const { layout, shape } = inputOf(model, input), draft = new ImportDraft(name, shape, model);
  draft.setInput(input.name, layout);
  for (const node of model.nodes) if (!foldConstants(draft, node)) importOperation(draft, node);
  if (softmax) dropSoftmax(draft, softmax);
  const value = draft.valueOf(logits);
  if (value === undefined) throw new RangeError(`the output ${logits} does not depend on the image`);
  const classes = sizeOf(value.shape);
  if (value.rows) {
    throw new RangeError(
      `the output ${logits} is a flattening of ${
        value.rows.join(" x ")
      } numbers with the channels slowest, an order that logits have ` +
        "nowhere here; let it end with a dense layer or an average",
    );
  }
  if (value.shape[2] !== classes || classes < 2) {
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

function inputOf(
  { nodes }: OnnxModel,
  { name, shape }: OnnxModel["inputs"][number],
): { layout: Layout; shape: Shape } {
  const refuse = (why: string): never => {
    throw new RangeError(`input ${name} of shape [${shape.map((n) => n ?? "?").join(", ")}]: ${why}`);
  };
  if (shape.length === 0) refuse("the file does not say its size; export it with one");
  const [batch, ...sizes] = shape;
  if (batch !== null && batch !== 1) refuse("the file takes several images at a time; export it for one");
  if (sizes.some((size) => size === null)) {
    refuse("the file leaves the size of the image open; export it for one size");
  }
  const [a, b, c] = sizes as number[];
  if (sizes.length === 1) return { layout: "flat", shape: [1, 1, a] };
  if (sizes.length !== 3) refuse("an image has three dimensions beside the batch");
  // Keras has channels last; then the first thing that is done with the image is to turn it.
  const readers = nodes.filter(({ inputs }) => inputs.includes(name));
  const isTurned = readers.length > 0 &&
    readers.every(({ op, attributes }) => op === "Transpose" && String(attributes.get("perm")) === "0,3,1,2");
  return isTurned ? { layout: "NHWC", shape: [a, b, c] } : { layout: "NCHW", shape: [b, c, a] };
}
