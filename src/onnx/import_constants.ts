/** What of a file can be computed before any image is there: weights behind casts and transpositions, and shapes that are put together. */
import type { OnnxNode } from "./format.ts";
import { type ImportDraft, onnxShape } from "./import_draft.ts";
import { transpose } from "./layout.ts";
import { FLOATS, type OnnxTensor } from "./tensor.ts";

const list = (data: readonly number[]): OnnxTensor => ({ kind: "integers", shape: [data.length], data });

/** Takes a node whose output is a constant; false where it depends on the image. */
export function foldConstants(file: ImportDraft, node: OnnxNode): boolean {
  const result = constantOf(file, node);
  if (result === undefined) return false;
  file.setConstant(node.outputs[0], result);
  return true;
}

function constantOf(file: ImportDraft, node: OnnxNode): OnnxTensor | undefined {
  if (node.op === "Constant") return storedConstant(node);
  if (node.op === "Shape") {
    const value = file.valueOf(node.inputs[0]);
    if (value) return value.padding === 0 ? part(node, onnxShape(value.shape, value.layout)) : undefined;
  }
  const inputs = node.inputs.map((name) => file.constantOf(name)), [first] = inputs;
  if (first === undefined || inputs.some((input, i) => input === undefined && node.inputs[i] !== "")) {
    return undefined;
  }
  switch (node.op) {
    case "Identity":
      return first;
    case "Cast":
      return FLOATS.includes(Number(node.attributes.get("to"))) && first.kind === "integers"
        ? { ...first, kind: "floats", data: Float32Array.from(first.data) }
        : first;
    case "Shape":
      return part(node, first.shape);
    case "Transpose":
      return turned(first, node.attributes.get("perm"));
    case "Reshape":
    case "Squeeze":
    case "Unsqueeze":
      return reshaped(file, node, first);
    case "Concat":
      return joined(inputs);
    case "Gather":
      return picked(first, inputs[1]!);
    case "Slice":
      return sliced(file, node, first);
  }
  return undefined;
}

/** A constant may be a tensor, a number or a list of them. */
function storedConstant({ attributes }: OnnxNode): OnnxTensor | undefined {
  const [[kind, value] = []] = [...attributes];
  if (typeof value === "object" && "kind" in value) return value;
  const numbers = typeof value === "number" ? [value] : Array.isArray(value) ? value as number[] : undefined;
  if (numbers === undefined || !kind?.startsWith("value_")) return undefined;
  const shape = typeof value === "number" ? [] : [numbers.length];
  return kind.includes("int")
    ? { kind: "integers", shape, data: numbers }
    : { kind: "floats", shape, data: Float32Array.from(numbers) };
}

function turned(tensor: OnnxTensor, perm: unknown): OnnxTensor | undefined {
  if (tensor.kind !== "floats") return undefined;
  const order = perm === undefined ? tensor.shape.map((_, axis) => axis).reverse() : perm as number[];
  return { kind: "floats", ...transpose(tensor, order) };
}

function reshaped(file: ImportDraft, node: OnnxNode, tensor: OnnxTensor): OnnxTensor | undefined {
  const { shape } = tensor, size = shape.reduce((product, n) => product * n, 1);
  if (node.op === "Reshape") {
    const wanted = file.integers(node, 1, "shape")!.map((n, axis) => n === 0 ? shape[axis] : n);
    const known = wanted.reduce((product, n) => n < 0 ? product : product * n, 1);
    return { ...tensor, shape: wanted.map((n) => n < 0 ? size / known : n) };
  }
  const axes = file.integers(node, 1, "axes");
  if (node.op === "Squeeze") {
    const gone = axes?.map((axis) => (axis + shape.length) % shape.length);
    return { ...tensor, shape: shape.filter((n, axis) => gone ? !gone.includes(axis) : n !== 1) };
  }
  const rank = shape.length + axes!.length,
    added = axes!.map((axis) => (axis + rank) % rank),
    rest = [...shape];
  return {
    ...tensor,
    shape: Array.from({ length: rank }, (_, axis) => added.includes(axis) ? 1 : rest.shift()!),
  };
}

function joined(inputs: readonly (OnnxTensor | undefined)[]): OnnxTensor | undefined {
  const lists = inputs.flatMap((input) =>
    input?.kind === "integers" && input.shape.length === 1 ? [input.data] : []
  );
  return lists.length === inputs.length ? list(lists.flat()) : undefined;
}

function picked(from: OnnxTensor, at: OnnxTensor): OnnxTensor | undefined {
  if (from.kind !== "integers" || from.shape.length !== 1 || at.kind !== "integers") return undefined;
  const data = at.data.map((i) => from.data.at(i) ?? NaN);
  return { kind: "integers", shape: at.shape, data };
}

/** What `Shape` gives, which since version 15 may be a part of the sizes. */
function part({ attributes }: OnnxNode, sizes: readonly number[]): OnnxTensor {
  const [start, end] = ["start", "end"].map((name) => attributes.get(name) as number | undefined);
  return list(sizes.slice(start, end));
}

/** Of a list, with the step one. Until version 9 attributes say from where to where. */
function sliced(file: ImportDraft, node: OnnxNode, from: OnnxTensor): OnnxTensor | undefined {
  const [starts, ends, , steps] = ["starts", "ends", "axes", "steps"].map((name, i) =>
    file.integers(node, i + 1, name)
  );
  if (from.kind !== "integers" || from.shape.length !== 1 || (steps?.[0] ?? 1) !== 1) return undefined;
  return list(from.data.slice(starts?.[0], ends?.[0]));
}
