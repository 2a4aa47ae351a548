/** The operations of ONNX that a network here can have, one function each. */
import type { FloatTensor, PoolNode, Shape } from "../models/graph.ts";
import { BATCH_NORM_EPSILON } from "../models/fold.ts";
import type { OnnxNode } from "./format.ts";
import { type ImportDraft, type Layout, onnxShape, refuse, type Value } from "./import_draft.ts";
import { filtersFromOnnx, rowsFromOnnx, transpose } from "./layout.ts";
import { FLOATS } from "./tensor.ts";

type Operation = (file: ImportDraft, node: OnnxNode) => void;

const OPERATIONS: Readonly<Record<string, Operation>> = {
  Conv: convolution,
  BatchNormalization: batchNorm,
  Relu: (file, node) => void file.make(node, { op: "activation", input: own(file, node).id }),
  AveragePool: (file, node) => pool(file, node, "averagePool"),
  MaxPool: (file, node) => pool(file, node, "maxPool"),
  GlobalAveragePool: (file, node) => averageOfAll(file, node, image(file, node).layout),
  ReduceMean: reduceMean,
  Add: add,
  Flatten: flatten,
  Reshape: reshape,
  Squeeze: squeeze,
  Gemm: gemm,
  MatMul: (file, node) => matrix(file, node, file.constant(node, 1)),
  Identity: (file, node) => file.pass(node),
  Dropout: (file, node) => file.pass(node),
  Cast: cast,
  Transpose: turn,
  Pad: pad,
};

/** Puts a node of the file into the network. */
export function importOperation(file: ImportDraft, node: OnnxNode): void {
  const operation = Object.hasOwn(OPERATIONS, node.op) ? OPERATIONS[node.op] : undefined;
  if (operation === undefined) {
    refuse(
      node,
      `this operation has no counterpart here; those that have are ${Object.keys(OPERATIONS).join(", ")}`,
    );
  }
  operation(file, node);
}

/** What a node reads, without zeros around it. */
function own(file: ImportDraft, node: OnnxNode, input = 0): Value {
  const value = file.value(node, input);
  if (value.padding > 0) {
    refuse(node, "it reads what was padded with zeros, which a convolution alone can take over");
  }
  return value;
}

/** What a node reads, as an image with its channels first. */
function image(file: ImportDraft, node: OnnxNode, value = own(file, node)): Value {
  if (value.layout !== "NCHW") {
    refuse(node, `it reads a value that lies as ${value.layout} where ONNX has channels first`);
  }
  return value;
}

function integer(node: OnnxNode, name: string, otherwise: number): number {
  const value = node.attributes.get(name) ?? otherwise;
  return typeof value === "number" ? value : refuse(node, `attribute ${name} is no number`);
}

function integers(node: OnnxNode, name: string): readonly number[] | undefined {
  const value = node.attributes.get(name);
  return value === undefined || Array.isArray(value) ? value : refuse(node, `attribute ${name} is no list`);
}

/** The one number that both directions share. */
function square(node: OnnxNode, name: string, sizes: readonly number[]): number {
  const [first] = sizes;
  if (sizes.length !== 2 || sizes[1] !== first) {
    refuse(node, `${name} ${sizes.join(" x ")} is not the same in both directions`);
  }
  return first;
}

/** Kernel, stride and padding of windows, which are squares here and alike on all sides. */
function windows(node: OnnxNode, [height, width]: Shape, sizes = integers(node, "kernel_shape")) {
  const kernel = square(node, "kernel", sizes ?? []),
    stride = square(node, "stride", integers(node, "strides") ?? [1, 1]);
  if (integers(node, "dilations")?.some((n) => n !== 1)) {
    refuse(node, "dilated kernels have no counterpart here");
  }
  const pads = padsOf(node, [height, width], kernel, stride), padding = pads[0];
  if (pads.some((n) => n !== padding)) {
    refuse(node, `padding ${pads.join(", ")} differs between sides; pad all of them alike`);
  }
  return { kernel, stride, padding };
}

/** Of top, left, bottom and right. */
function padsOf(node: OnnxNode, sizes: readonly number[], kernel: number, stride: number): readonly number[] {
  const auto = node.attributes.get("auto_pad") ?? "NOTSET";
  if (auto === "NOTSET") return integers(node, "pads") ?? [0, 0, 0, 0];
  if (auto === "VALID") return [0, 0, 0, 0];
  const all = sizes.map((n) => Math.max(0, (Math.ceil(n / stride) - 1) * stride + kernel - n));
  const less = all.map((n) => n >> 1), more = all.map((n) => n - (n >> 1));
  return auto === "SAME_UPPER" ? [...less, ...more] : [...more, ...less];
}

function convolution(file: ImportDraft, node: OnnxNode): void {
  const value = file.value(node),
    filters = file.constant(node, 1),
    [outputs, inputs, ...kernel] = filters.shape;
  image(file, node, value);
  const group = integer(node, "group", 1);
  if (group !== 1) refuse(node, `convolutions in ${group} groups have no protocol here`);
  if (inputs !== value.shape[2]) {
    refuse(node, `its filters read ${inputs} channels, its input has ${value.shape[2]}`);
  }
  const [height, width] = value.shape.map((n) => n + 2 * value.padding) as [number, number];
  const { padding, ...window } = windows(node, [height, width, inputs], kernel);
  const made = {
    op: "conv",
    input: value.id,
    ...window,
    padding: padding + value.padding,
    outputs: outputs,
    bias: false,
  } as const;
  const id = file.make(node, made, {}, node.inputs[1]);
  file.weights.set(`${id}.weight`, filtersFromOnnx(filters));
  if (node.inputs[2]) file.addBias(id, vector(node, file.constant(node, 2), outputs));
}

/** A weight that has one number a channel, however its shape says so. */
function vector(node: OnnxNode, { data }: FloatTensor, channels: number): Float32Array {
  if (data.length !== channels && data.length !== 1) {
    refuse(node, `${data.length} numbers are not one for each of ${channels} channels`);
  }
  return data.length === channels ? data : new Float32Array(channels).fill(data[0]);
}

function batchNorm(file: ImportDraft, node: OnnxNode): void {
  const { id: input, shape: [, , channels], layout } = own(file, node), linear = file.ownLinear(node);
  if (layout === "NHWC") refuse(node, "it would normalise rows, since its input has channels last");
  if (linear === undefined) {
    refuse(node, "batch norm must follow a convolution or dense layer whose result nothing else reads");
  }
  if (integer(node, "training_mode", 0) !== 0) {
    refuse(node, "it is in training mode; export the network for inference");
  }
  const epsilon = integer(node, "epsilon", BATCH_NORM_EPSILON);
  const [scale, offset, mean, variance] = [1, 2, 3, 4].map((i) =>
    vector(node, file.constant(node, i), channels)
  );
  const id = file.make(node, { op: "batchNorm", input }, {}, node.inputs[1]);
  const set = (part: string, data: Float32Array) =>
    file.weights.set(`${id}.${part}`, { shape: [channels], data });
  // Ours adds 1e-5 to every variance: what the file adds besides goes into the scale.
  const corrected = scale.map((s, c) =>
    s * Math.sqrt((variance[c] + BATCH_NORM_EPSILON) / (variance[c] + epsilon))
  );
  set("scale", epsilon === BATCH_NORM_EPSILON ? scale : corrected);
  set("offset", offset);
  set("mean", mean);
  set("variance", variance);
}

function pool(file: ImportDraft, node: OnnxNode, op: PoolNode["op"]): void {
  const { id: input, shape } = image(file, node),
    window = windows(node, shape),
    { kernel, stride, padding } = window;
  if (op === "averagePool" && padding > 0) refuse(node, "averages over a border have no protocol here");
  const hasRest = shape.slice(0, 2).some((n) => (n + 2 * padding - kernel) % stride !== 0);
  if (integer(node, "ceil_mode", 0) !== 0 && hasRest) {
    refuse(node, "windows that stick out (ceil_mode) have no counterpart here");
  }
  file.make(node, { op, input, ...window });
}

/** The average over height and width. */
function averageOfAll(file: ImportDraft, node: OnnxNode, layout: Layout): void {
  const { id: input, shape: [height, width] } = own(file, node);
  if (height !== width) {
    refuse(node, `averages over ${height} x ${width} have no counterpart here, windows are squares`);
  }
  if (height === 1) file.pass(node, { layout });
  else file.make(node, { op: "averagePool", input, kernel: height, stride: height, padding: 0 }, { layout });
}

function reduceMean(file: ImportDraft, node: OnnxNode): void {
  const { layout } = own(file, node),
    axes = (file.integers(node, 1, "axes") ?? []).map((axis) => (axis + 4) % 4).sort();
  const over = layout === "NCHW" ? "2,3" : layout === "NHWC" ? "1,2" : "none";
  if (axes.join() !== over) {
    refuse(node, `means over the axes ${axes} have no counterpart here, those over height and width have`);
  }
  averageOfAll(file, node, integer(node, "keepdims", 1) === 0 ? "flat" : layout);
}

function add(file: ImportDraft, node: OnnxNode): void {
  const constants = node.inputs.map((name) => file.constantOf(name) !== undefined),
    at = constants.indexOf(true);
  if (at < 0) return residual(file, node);
  const read = 1 - at,
    value = own(file, node, read),
    linear = file.ownLinear(node, read),
    { shape } = file.constant(node, at);
  const channels = value.shape[2], axis = shape.length - (value.layout === "NCHW" ? 3 : 1);
  if (linear === undefined || value.rows || shape.some((n, i) => n !== 1 && i !== axis)) {
    refuse(
      node,
      "a constant can be added to the channels of a convolution or dense layer alone, whose result nothing else reads",
    );
  }
  file.addBias(linear.id, vector(node, file.constant(node, at), channels));
  file.pass({ ...node, inputs: [node.inputs[read]] });
}

function residual(file: ImportDraft, node: OnnxNode): void {
  const [a, b] = [own(file, node, 0), own(file, node, 1)] as const;
  if (a.shape.join() !== b.shape.join() || a.layout !== b.layout || a.rows?.join() !== b.rows?.join()) {
    refuse(node, `it adds ${a.shape.join(" x ")} (${a.layout}) and ${b.shape.join(" x ")} (${b.layout})`);
  }
  file.make(node, { op: "add", input: a.id, shortcut: b.id });
}

/** The value as a list, in the order in which the file has it. */
function flat(file: ImportDraft, node: OnnxNode): void {
  const { id: input, shape, layout } = own(file, node), [height, width] = shape;
  if (layout === "flat") return file.pass(node);
  if (height * width === 1) return file.pass(node, { layout: "flat" });
  file.make(node, { op: "flatten", input }, {
    layout: "flat",
    ...(layout === "NCHW" ? { rows: shape } : {}),
  });
}

function flatten(file: ImportDraft, node: OnnxNode): void {
  const axis = integer(node, "axis", 1), { layout } = own(file, node);
  if (axis !== 1 && axis !== (layout === "flat" ? -1 : -3)) {
    refuse(node, `flattening from axis ${axis} has no counterpart here`);
  }
  flat(file, node);
}

function reshape(file: ImportDraft, node: OnnxNode): void {
  const { shape, layout } = own(file, node),
    from = onnxShape(shape, layout),
    size = from.reduce((product, n) => product * n, 1);
  const wanted = file.integers(node, 1, "shape") ?? refuse(node, "its shape is missing");
  const given = wanted.map((n, axis) => n === 0 ? from[axis] : n),
    known = given.reduce((product, n) => n < 0 ? product : product * n, 1);
  const to = given.map((n) => n < 0 ? size / known : n).join();
  if (to === from.join()) return file.pass(node);
  if (to !== `1,${size}`) {
    refuse(
      node,
      `a reshaping of [${from}] to [${wanted}] is no flattening, which alone has a counterpart here`,
    );
  }
  flat(file, node);
}

function squeeze(file: ImportDraft, node: OnnxNode): void {
  const { shape, layout } = own(file, node), from = onnxShape(shape, layout);
  const axes = file.integers(node, 1, "axes")?.map((axis) => (axis + from.length) % from.length);
  const left = from.filter((n, axis) => axes ? !axes.includes(axis) : n !== 1);
  if (left.join() !== `1,${shape[2]}` || shape[0] * shape[1] !== 1) {
    refuse(
      node,
      `of [${from}] it leaves [${left}], which is no flattening; flatten from axis 1 in its place`,
    );
  }
  flat(file, node);
}

function gemm(file: ImportDraft, node: OnnxNode): void {
  if (integer(node, "transA", 0) !== 0) refuse(node, "its input is transposed");
  if (integer(node, "alpha", 1) !== 1 || integer(node, "beta", 1) !== 1) {
    refuse(node, "factors other than 1 have no counterpart here");
  }
  const weight = file.constant(node, 1);
  const id = matrix(file, node, integer(node, "transB", 0) === 0 ? weight : transpose(weight, [1, 0]));
  if (node.inputs[2]) {
    file.addBias(id, vector(node, file.constant(node, 2), file.weights.get(`${id}.weight`)!.shape[1]));
  }
}

/** A dense layer with the matrix [in, out]. */
function matrix(file: ImportDraft, node: OnnxNode, weight: FloatTensor): string {
  const { id: input, shape: [, , channels], layout, rows } = own(file, node),
    [inputs, outputs] = weight.shape;
  if (layout !== "flat") refuse(node, "it reads a value that is not flattened");
  if (weight.shape.length !== 2 || inputs !== channels) {
    refuse(node, `its matrix has the shape [${weight.shape}], its input ${channels} numbers`);
  }
  const id = file.make(
    node,
    { op: "dense", input, outputs: outputs, bias: false },
    { layout: "flat" },
    node.inputs[1],
  );
  file.weights.set(`${id}.weight`, rows ? rowsFromOnnx(weight, rows) : weight);
  return id;
}

function cast(file: ImportDraft, node: OnnxNode): void {
  const to = integer(node, "to", 0);
  if (!FLOATS.includes(to)) refuse(node, `values of type ${to} have no counterpart here`);
  file.pass(node);
}

const TURNS: Readonly<Record<string, Layout>> = { "NCHW 0,2,3,1": "NHWC", "NHWC 0,3,1,2": "NCHW" };

function turn(file: ImportDraft, node: OnnxNode): void {
  const { layout } = file.value(node), same = layout === "flat" ? [0, 1] : [0, 1, 2, 3];
  // Left out, it turns the axes round.
  const perm = String(integers(node, "perm") ?? same.toReversed());
  const to = TURNS[`${layout} ${perm}`];
  const isSame = perm === String(same);
  if (to === undefined && !isSame) {
    refuse(node, `a transposition by ${perm} of a value that lies as ${layout} has no counterpart here`);
  }
  file.pass(node, to ? { layout: to } : {});
}

function pad(file: ImportDraft, node: OnnxNode): void {
  const { layout, padding } = file.value(node), pads = file.integers(node, 1, "pads") ?? [];
  const value = node.inputs[2] ? file.constant(node, 2).data[0] : node.attributes.get("value") ?? 0;
  if ((node.attributes.get("mode") ?? "constant") !== "constant" || value !== 0) {
    refuse(node, "only zeros can be padded here");
  }
  if (node.inputs[3]) refuse(node, "padding of chosen axes has no counterpart here");
  const spatial = layout === "NCHW" ? [2, 3, 6, 7] : [1, 2, 5, 6], amount = pads[spatial[0]];
  if (
    layout === "flat" || pads.length !== 8 || pads.some((n, i) => n !== (spatial.includes(i) ? amount : 0)) ||
    amount < 0
  ) {
    refuse(node, `padding [${pads}] is not alike on all sides of height and width`);
  }
  file.pass(node, { padding: padding + amount });
}
