/**
 * A static plan of one shard's training step: every value of a graph gets its buffer once, every layer becomes a step
 * over addresses. Batch norm, residual sum and activation that follow each other are one step. Gradient buffers are
 * shared by layers whose gradients do not live at the same time. Nothing is allocated after planning.
 *
 * Only the statistics of batch norm and the weight gradients need the whole shard. The steps between them form a
 * segment, which is run for a few images at a time: what one step writes, the next finds in the second-level cache.
 */
import {
  type BatchNormNode,
  type ConvNode,
  type DenseNode,
  type Graph,
  inferShapes,
  inputsOf,
  type Node,
  type PoolNode,
  type Shape,
  sizeOf,
} from "../models/graph.ts";
import { type Convolution, type ConvolutionKernels, planConvolution, RESERVED_BYTES } from "./convolution.ts";
import type { Extent, Place } from "./layer_kernels.ts";
import { type ParameterLayout, stateFloats } from "./parameter_layout.ts";

/** A batch of images in memory, NHWC, perhaps with a zero border around each. */
export interface Tensor {
  /** Address of the buffer, border included. */
  readonly base: number;
  /** Address of the first element inside the border. */
  readonly at: number;
  /** Bytes from row to row and from image to image. */
  readonly row: number;
  readonly image: number;
  readonly shape: Shape;
  readonly border: number;
}

/** Parameters and working memory of a batch norm. */
export interface Norm {
  /** Offsets in floats into the parameter row. */
  readonly scale: number;
  readonly offset: number;
  readonly mean: number;
  readonly variance: number;
  /** f32 [period]: what is subtracted before squares are summed. */
  readonly pivot: number;
  /** f32 [4][period]: a, b, mean, d of the input gradient. */
  readonly gradientTables: number;
  /** Values of a channel in a shard. */
  readonly count: number;
}

/** y = activation(norm(z) + shortcut), each part present or not. */
export interface PointwiseStep {
  readonly kind: "pointwise";
  readonly z: Tensor;
  readonly shortcut: Tensor | undefined;
  readonly y: Tensor;
  readonly norm: Norm | undefined;
  /** Index among the activations, or undefined: no activation. */
  readonly activation: number | undefined;
  /** Table entries of a channel are repeated up to this length. */
  readonly period: number;
  /** f32 [4][period]: factor and term of the norm (1 and 0 without one), mean, 1 / deviation. */
  readonly tables: number;
  /** f64 [2][period]. */
  readonly sums: number;
}

/** Measures the input of a batch norm. */
export interface MomentsStep {
  readonly kind: "moments";
  readonly of: PointwiseStep;
  readonly z: Tensor;
}

export interface ConvolutionStep {
  readonly kind: "convolution";
  /** The convolution of a number of images. */
  readonly convolution: (images: number) => Convolution;
  readonly x: Tensor;
  readonly z: Tensor;
  readonly weight: number;
  /** 0 if there is none. */
  readonly bias: number;
  readonly packed: number;
}

export interface PoolStep {
  readonly kind: "pool";
  readonly node: PoolNode;
  readonly x: Tensor;
  readonly y: Tensor;
}

export interface CopyStep {
  readonly kind: "copy";
  readonly x: Tensor;
  readonly y: Tensor;
}

export type ForwardStep = ConvolutionStep | PointwiseStep | MomentsStep | PoolStep | CopyStep;

/** From the gradient after an activation to that before it, with the sums that {@linkcode NormGradientStep} needs. */
export interface PointwiseGradientStep {
  readonly kind: "pointwise";
  readonly of: PointwiseStep;
  readonly dy: Tensor;
  /** A second gradient to be added to dy: the value has two readers. */
  readonly ey: Tensor | undefined;
  /** Gradient before the activation; may be dy. */
  readonly g: Tensor;
}

/** From the gradient after a batch norm to that before it; its first run for a batch needs all sums. */
export interface NormGradientStep {
  readonly kind: "norm";
  readonly of: PointwiseStep;
  readonly g: Tensor;
  /** Absent if nobody needs it: then there are only the gradients of scale and offset. */
  readonly dz: Tensor | undefined;
}

export interface ConvolutionGradientStep {
  readonly kind: "convolution";
  readonly of: ConvolutionStep;
  readonly dz: Tensor;
  readonly dx: Tensor;
}

/** Of the whole shard at once. */
export interface WeightGradientStep {
  readonly kind: "weights";
  readonly of: ConvolutionStep;
  readonly dz: Tensor;
  readonly dWeight: number;
  readonly dBias: BiasGradient | undefined;
}

/** Working memory and target of a sum over pixels. */
export interface BiasGradient {
  readonly target: number;
  readonly period: number;
  readonly pivot: number;
  readonly sums: number;
}

export interface PoolGradientStep {
  readonly kind: "pool";
  readonly of: PoolStep;
  readonly dy: Tensor;
  readonly dx: Tensor;
}

export interface SumStep {
  readonly kind: "sum";
  readonly x: Tensor;
  readonly w: Tensor;
  readonly y: Tensor;
}

export type BackwardStep =
  | PointwiseGradientStep
  | NormGradientStep
  | ConvolutionGradientStep
  | PoolGradientStep
  | SumStep
  | CopyStep;

/** Steps to be run one after another for `images` images, then for the next ones. */
export interface Segment<Step> {
  readonly images: number;
  readonly steps: readonly Step[];
}

export interface BackwardSegment extends Segment<BackwardStep> {
  /** To be run at the end. */
  readonly weights: readonly WeightGradientStep[];
}

export interface GraphPlan {
  /** Images of a shard. */
  readonly batch: number;
  readonly classes: number;
  /** Where the images go, without border. */
  readonly images: Tensor;
  readonly logits: Tensor;
  readonly logitsGradient: Tensor;
  /** A segment starts with a pointwise step with batch norm. */
  readonly forward: readonly Segment<ForwardStep>[];
  /** A segment starts with a batch norm. */
  readonly backward: readonly BackwardSegment[];
  /** Elements of each activation layer, of one image. */
  readonly activations: readonly number[];
  /** Addresses of rows of floats as in {@linkcode ParameterLayout}; momentum follows the parameters. */
  readonly parameters: number;
  readonly momentum: number;
  readonly gradients: number;
  /** Gradients of another shard, on their way into the sum. */
  readonly received: number;
  /** Records of the activation layers, 16 bytes each. */
  readonly records: number;
  readonly settings: number;
  readonly scratch: number;
  /** Size of the memory. */
  readonly bytes: number;
}

/** Bytes of a record: f64 penalty sum, i32 bits of the largest input, i32 inputs out of bounds. */
export const RECORD_BYTES = 16;
const SETTINGS_BYTES = 128;
/** Size of a tensor's part in a segment: a few of them fit in the second-level cache. */
const SEGMENT_BYTES = 1 << 19;
/** Over-reads of the last vector, and a shift that keeps buffers of power-of-two sizes in different cache sets. */
const GAP_BYTES = 192;

/** Address, row and image step of a tensor, from one of its images on. */
export const place = (t: Tensor, image = 0): Place => [t.at + image * t.image, t.row, t.image];

/** The loops over tensors of one shape: a single long row if none has a border. */
export function extent(images: number, ...tensors: readonly Tensor[]): Extent {
  const [height, width, channels] = tensors[0]!.shape, row = width * channels;
  return tensors.every(({ border }) => border === 0) ? [1, 1, images * height * row] : [images, height, row];
}

/** Least common multiple of 4 and the channels. */
const periodOf = (channels: number) => channels * (channels % 4 === 0 ? 1 : channels % 2 === 0 ? 2 : 4);

/** Consecutive nodes that become one pointwise step; `id` is the last of them. */
interface Group {
  readonly id: string;
  readonly source: string;
  readonly norm: BatchNormNode | undefined;
  readonly shortcut: string | undefined;
  readonly activation: boolean;
}

/** Groups by their last node; nodes inside a group have no value of their own. */
function findGroups(graph: Graph): { groups: Map<string, Group>; inner: Set<string> } {
  const nodes = new Map(graph.nodes.map((node) => [node.id, node]));
  const reads = countReaders(graph), groups = new Map<string, Group>(), inner = new Set<string>();
  for (const last of graph.nodes.toReversed()) {
    if (inner.has(last.id) || !["activation", "add", "batchNorm"].includes(last.op)) continue;
    let node: Node = last;
    const activation = node.op === "activation";
    let shortcut: string | undefined, norm: BatchNormNode | undefined;
    const enter = (id: string, ops: readonly string[]) => {
      const next = nodes.get(id)!;
      if (!ops.includes(next.op) || reads.get(id) !== 1) return false;
      inner.add(id);
      node = next;
      return true;
    };
    let source = inputsOf(node)[0]!;
    if (activation && enter(source, ["add", "batchNorm"])) source = inputsOf(node)[0]!;
    if (node.op === "add") {
      shortcut = node.shortcut;
      if (enter(source, ["batchNorm"])) source = inputsOf(node)[0]!;
    }
    if (node.op === "batchNorm") norm = node;
    groups.set(last.id, { id: last.id, source, norm, shortcut, activation });
  }
  return { groups, inner };
}

function countReaders(graph: Graph): Map<string, number> {
  const reads = new Map<string, number>();
  for (const id of graph.nodes.flatMap(inputsOf)) reads.set(id, (reads.get(id) ?? 0) + 1);
  return reads;
}

/**
 * Plans training of `batch` images at a time. Addresses are those of the memory of `kernels`, which must then have
 * `bytes` bytes, zero from {@linkcode RESERVED_BYTES} on.
 *
 * @throws {RangeError} for a graph that does not end in a dense or convolution layer
 */
export function planGraph(
  graph: Graph,
  batch: number,
  layout: ParameterLayout,
  kernels: ConvolutionKernels,
): GraphPlan {
  const shapes = inferShapes(graph), { groups, inner } = findGroups(graph);
  const nodes = graph.nodes.filter(({ id }) => !inner.has(id));
  const last = nodes.at(-1)!;
  if (last.op !== "dense" && last.op !== "conv") {
    throw new RangeError(`${graph.name}: training needs logits from a dense layer, found ${last.op}`);
  }
  const memory = arena();
  const parameters = memory.allocate(stateFloats(layout) * 4);
  const gradients = memory.allocate(layout.total * 4), received = memory.allocate(layout.total * 4);
  const activations: number[] = [];
  const settings = memory.allocate(SETTINGS_BYTES);
  const records = memory.allocate(graph.nodes.length * RECORD_BYTES);

  const offsetOf = (id: string, part: string) => layout.slots.get(`${id}.${part}`)!.offset;
  const parameterOf = (id: string, part: string) => parameters + offsetOf(id, part) * 4;
  const tensor = (shape: Shape, border: number): Tensor => {
    const [height, width, channels] = shape;
    const row = (width + 2 * border) * channels * 4, image = (height + 2 * border) * row;
    const base = memory.allocate(batch * image);
    return { base, at: base + border * (row + channels * 4), row, image, shape, border };
  };

  const convolutions = new Map<string, (images: number) => Convolution>();
  for (const node of nodes) {
    if (node.op !== "conv" && node.op !== "dense") continue;
    const [height, width, inputs] = shapes.get(node.input)!;
    const { kernel, stride, padding } = node.op === "conv" ? node : { kernel: 1, stride: 1, padding: 0 };
    const shape = { height, width, inputs, outputs: node.outputs, kernel, stride, padding };
    convolutions.set(node.id, memoized((images) => planConvolution(kernels, { batch: images, ...shape })));
  }
  const convolutionOf = (id: string) => convolutions.get(id)?.(batch);

  // Borders that the readers of each value ask for; other readers take any.
  const borders = new Map<string, Set<number>>(nodes.map(({ id }) => [id, new Set()]));
  for (const node of nodes) {
    const convolution = convolutionOf(node.id);
    if (convolution) borders.get(inputsOf(node)[0]!)!.add(convolution.inputBorder);
    if (node.op === "flatten") borders.get(node.input)!.add(0);
  }

  const forward: ForwardStep[] = [], steps = new Map<string, ForwardStep>();
  /** Every layout of every value; the first is the one its layer writes. */
  const values = new Map<string, Tensor[]>();
  const value = (id: string, border?: number) => {
    const layouts = values.get(id)!;
    return border === undefined ? layouts[0]! : layouts.find((t) => t.border === border)!;
  };
  const emit = (id: string, step: ForwardStep) => {
    forward.push(step);
    steps.set(id, step);
  };
  const tables = (node: BatchNormNode | undefined, shape: Shape) => {
    const period = periodOf(shape[2]);
    const common = { period, tables: memory.allocate(16 * period), sums: memory.allocate(16 * period) };
    if (!node) return { ...common, norm: undefined };
    const norm = {
      scale: offsetOf(node.id, "scale"),
      offset: offsetOf(node.id, "offset"),
      mean: offsetOf(node.id, "mean"),
      variance: offsetOf(node.id, "variance"),
      pivot: memory.allocate(4 * period),
      gradientTables: memory.allocate(16 * period),
      count: batch * shape[0] * shape[1],
    };
    return { ...common, norm };
  };

  for (const node of nodes) {
    const shape = shapes.get(node.id)!, wanted = [...borders.get(node.id)!].sort((a, b) => b - a);
    if (node.op === "flatten") {
      const x = value(node.input, 0);
      values.set(node.id, [{ ...x, row: x.image, shape }]);
      continue;
    }
    // Convolutions and the loader of images write without border.
    const isPlain = convolutions.has(node.id) || node.op === "input";
    const y = tensor(shape, isPlain ? 0 : wanted[0] ?? 0);
    values.set(node.id, [y]);
    const convolution = convolutions.get(node.id), group = groups.get(node.id);
    if (convolution && (node.op === "conv" || node.op === "dense")) {
      const x = value(node.input, convolution(batch).inputBorder);
      const weight = parameterOf(node.id, "weight"), bias = node.bias ? parameterOf(node.id, "bias") : 0;
      const packed = memory.allocate(convolution(batch).packedBytes);
      emit(node.id, { kind: "convolution", convolution, x, z: y, weight, bias, packed });
    } else if (group) {
      const shortcut = group.shortcut === undefined ? undefined : value(group.shortcut);
      const activation = group.activation ? activations.push(sizeOf(shape)) - 1 : undefined;
      const z = value(group.source);
      const step = { kind: "pointwise", z, shortcut, y, activation, ...tables(group.norm, shape) } as const;
      if (group.norm) {
        // Right after the step that makes z, or else here.
        const made = forward.indexOf(steps.get(group.source)!) + 1 || forward.length;
        forward.splice(made, 0, { kind: "moments", of: step, z });
      }
      emit(node.id, step);
    } else if (node.op === "averagePool" || node.op === "maxPool") {
      emit(node.id, { kind: "pool", node, x: value(node.input), y });
    }
    for (const border of wanted) {
      if (border === y.border) continue;
      const copy = tensor(shape, border);
      values.get(node.id)!.push(copy);
      forward.push({ kind: "copy", x: y, y: copy });
    }
  }

  const images = value(nodes[0]!.id), logits = value(last.id);
  const backward: (BackwardStep | WeightGradientStep)[] = [];
  const logitsGradient = planBackward();
  const forwardSegments = cut(forward, batch, (step) => step.kind === "pointwise" && step.norm !== undefined);
  const backwardSegments = cut(backward, batch, ({ kind }) => kind === "norm").map(({ images, steps }) => ({
    images,
    steps: steps.filter((step) => step.kind !== "weights"),
    weights: steps.filter((step) => step.kind === "weights"),
  }));
  let scratchBytes = 0;
  for (
    const { images, steps } of [...forwardSegments, ...backwardSegments, { images: batch, steps: forward }]
  ) {
    for (const step of steps) {
      if (step.kind !== "convolution") continue;
      const { convolution } = "of" in step ? step.of : step;
      scratchBytes = Math.max(scratchBytes, convolution(images).scratchBytes);
    }
  }
  const scratch = memory.allocate(scratchBytes);
  return {
    batch,
    classes: graph.classes,
    images,
    logits,
    logitsGradient,
    forward: forwardSegments,
    backward: backwardSegments,
    activations,
    parameters,
    momentum: parameters + layout.total * 4,
    gradients,
    received,
    records,
    settings,
    scratch,
    bytes: memory.top(),
  };

  /** Fills `backward`; returns the tensor that the loss writes its gradient to. */
  function planBackward(): Tensor {
    const reads = countReaders(graph);
    const needed = new Set<string>(); // values whose gradient someone needs
    for (const node of nodes) {
      const group = groups.get(node.id);
      const inputs = group ? [group.source, ...(group.shortcut ? [group.shortcut] : [])] : inputsOf(node);
      if (convolutions.has(node.id) || group?.norm || inputs.some((id) => needed.has(id))) {
        needed.add(node.id);
      }
    }

    // Buffers that nobody needs any more, by geometry: zero borders stay zero under reuse.
    const free = new Map<string, Tensor[]>(), users = new Map<number, number>();
    const geometry = ({ shape, border }: Pick<Tensor, "shape" | "border">) =>
      border === 0 ? `${sizeOf(shape)}` : `${shape} ${border}`;
    const acquire = (shape: Shape, border: number): Tensor => {
      const reused = free.get(geometry({ shape, border }))?.pop();
      const t = reused ? { ...reused, ...stepsOf(shape, border), shape } : tensor(shape, border);
      users.set(t.base, 1);
      return t;
    };
    const retain = (t: Tensor) => void users.set(t.base, users.get(t.base)! + 1);
    /** Gradients that the weight gradients at the end of the segment still read. */
    const held: Tensor[] = [];
    const release = (t: Tensor) => {
      const left = users.get(t.base)! - 1;
      users.set(t.base, left);
      if (left > 0) return;
      const key = geometry(t), list = free.get(key);
      if (list) list.push(t);
      else free.set(key, [t]);
    };
    const isOwn = (t: Tensor) => users.get(t.base) === 1;

    /** Parts of the gradient of each value, one from each reader. */
    const parts = new Map<string, Tensor[]>();
    const contribute = (id: string, gradient: Tensor) => {
      if (needed.has(id)) parts.set(id, [...(parts.get(id) ?? []), gradient]);
      else release(gradient);
    };
    /** Border that the gradient of a value should have: what its convolution asks for, if it can be written so. */
    const borderOf = (id: string) =>
      reads.get(id) === 1 || id === last.id ? convolutionOf(id)?.gradientBorder ?? 0 : 0;
    /** The gradient of a value in at most `most` parts, summed as far as necessary. */
    const gather = (id: string, most: 1 | 2): Tensor[] => {
      const gradient = parts.get(id) ?? [];
      while (gradient.length > most) {
        const [x, w] = gradient.splice(0, 2) as [Tensor, Tensor];
        const y = isOwn(x) ? x : acquire(x.shape, 0);
        backward.push({ kind: "sum", x, w, y });
        if (y !== x) release(x);
        release(w);
        gradient.unshift(y);
      }
      return gradient;
    };

    const start = acquire(logits.shape, borderOf(last.id));
    contribute(last.id, start);
    for (const node of nodes.toReversed()) {
      if (!parts.has(node.id)) continue;
      const group = groups.get(node.id);
      if (group) planPointwise(group);
      else if (node.op === "conv" || node.op === "dense") planConvolutionGradient(node);
      else if (node.op === "averagePool" || node.op === "maxPool") planPool(node);
      else if (node.op === "flatten") {
        const shape = shapes.get(node.input)!;
        for (const t of parts.get(node.id)!) contribute(node.input, { ...t, ...stepsOf(shape, 0), shape });
      }
    }
    return start;

    function planPointwise(group: Group): void {
      const of = steps.get(group.id) as PointwiseStep;
      if (!group.norm && !group.activation) { // a bare sum: both sides receive the gradient as it is
        const [dy] = gather(group.id, 1) as [Tensor];
        retain(dy);
        contribute(group.source, dy);
        contribute(group.shortcut!, dy);
        return;
      }
      const [dy, ey] = gather(group.id, 2) as [Tensor, Tensor?];
      const border = group.norm || group.shortcut ? 0 : borderOf(group.source);
      const g = border === 0 && isOwn(dy) ? dy : acquire(of.z.shape, border);
      backward.push({ kind: "pointwise", of, dy, ey, g });
      if (g !== dy) release(dy);
      if (ey) release(ey);
      if (group.norm) {
        held.splice(0).forEach(release);
        const dz = needed.has(group.source) ? acquire(of.z.shape, borderOf(group.source)) : undefined;
        backward.push({ kind: "norm", of, g, dz });
        if (dz) contribute(group.source, dz);
      }
      if (group.shortcut !== undefined) {
        retain(g);
        contribute(group.shortcut, g);
      }
      if (group.norm) release(g);
      else contribute(group.source, g);
    }

    function planConvolutionGradient(node: ConvNode | DenseNode): void {
      const of = steps.get(node.id) as ConvolutionStep, border = of.convolution(batch).gradientBorder;
      let [dz] = gather(node.id, 1) as [Tensor];
      if (dz.border !== border) {
        const bordered = acquire(dz.shape, border);
        backward.push({ kind: "copy", x: dz, y: bordered });
        release(dz);
        dz = bordered;
      }
      const gradientOf = (part: string) => gradients + offsetOf(node.id, part) * 4;
      // Batch norm takes away the mean, so the gradient of a bias before it is exactly 0.
      const isMeanless = reads.get(node.id) === 1 &&
        [...groups.values()].some(({ source, norm }) => norm && source === node.id);
      const dBias = node.bias && !isMeanless ? biasGradient(gradientOf("bias"), node.outputs) : undefined;
      backward.push({ kind: "weights", of, dz, dWeight: gradientOf("weight"), dBias });
      if (needed.has(node.input)) {
        const dx = acquire(shapes.get(node.input)!, 0);
        backward.push({ kind: "convolution", of, dz, dx });
        contribute(node.input, dx);
      }
      held.push(dz);
    }

    function planPool(node: PoolNode): void {
      const [dy] = gather(node.id, 1) as [Tensor];
      const dx = acquire(shapes.get(node.input)!, borderOf(node.input));
      backward.push({ kind: "pool", of: steps.get(node.id) as PoolStep, dy, dx });
      release(dy);
      contribute(node.input, dx);
    }
  }

  function biasGradient(target: number, outputs: number): BiasGradient {
    const period = periodOf(outputs);
    return { target, period, pivot: memory.allocate(4 * period), sums: memory.allocate(16 * period) };
  }
}

/** Cuts steps into segments, each from one that starts a segment to the next. */
function cut<Step extends { readonly kind: string }>(
  steps: readonly Step[],
  batch: number,
  starts: (step: Step) => boolean,
): Segment<Step>[] {
  const groups: Step[][] = [[]];
  for (const step of steps) {
    if (starts(step)) groups.push([]);
    groups.at(-1)!.push(step);
  }
  return groups.filter(({ length }) => length > 0).map((steps) => {
    const largest = Math.max(...steps.flatMap(tensorsOf).map(({ image }) => image));
    let images = Math.max(1, Math.min(batch, Math.floor(SEGMENT_BYTES / largest)));
    while (batch % images !== 0) images--;
    return { images, steps };
  });
}

const tensorsOf = (step: object): Tensor[] =>
  Object.values(step).filter((value) => typeof value === "object" && "base" in value);

/** Byte steps of a buffer without border that is read in another shape. */
function stepsOf([height, width, channels]: Shape, border: number) {
  const row = (width + 2 * border) * channels * 4;
  return { row, image: (height + 2 * border) * row };
}

function memoized<T>(make: (n: number) => T): (n: number) => T {
  const known = new Map<number, T>();
  return (n) => {
    if (!known.has(n)) known.set(n, make(n));
    return known.get(n)!;
  };
}

function arena() {
  let top = RESERVED_BYTES;
  return {
    allocate(bytes: number): number {
      const at = top;
      top += Math.ceil(bytes / 64) * 64 + GAP_BYTES;
      return at;
    },
    top: () => top,
  };
}
