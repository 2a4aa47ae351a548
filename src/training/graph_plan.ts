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
  type Graph,
  inferShapes,
  inputsOf,
  type Shape,
  sizeOf,
} from "../models/graph.ts";
import { type Convolution, type ConvolutionKernels, planConvolution, RESERVED_BYTES } from "./convolution.ts";
import { planGradients } from "./gradient_plan.ts";
import {
  type ForwardStep,
  type GraphPlan,
  periodOf,
  RECORD_BYTES,
  type Segment,
  type Tensor,
} from "./graph_steps.ts";
import { isMuonFilter, muonScratchBytes } from "./muon.ts";
import { type ParameterLayout, stateFloats } from "./parameter_layout.ts";
import { findGroups } from "./pointwise_groups.ts";

const SETTINGS_BYTES = 128;
/** Size of a tensor's part in a segment: a few of them fit in the second-level cache. */
const SEGMENT_BYTES = 1 << 19;
/** Over-reads of the last vector, and a shift that keeps buffers of power-of-two sizes in different cache sets. */
const GAP_BYTES = 192;

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
  const { steps: backward, logitsGradient } = planGradients({
    graph,
    nodes,
    groups,
    shapes,
    convolutions,
    steps,
    batch,
    gradientOf: (node, part) => gradients + offsetOf(node, part) * 4,
    tensor,
    allocate: memory.allocate,
  });
  const forwardSegments = cut(forward, batch, (step) => step.kind === "pointwise" && step.norm !== undefined);
  const backwardSegments = cut(backward, batch, ({ kind }) => kind === "norm").map(({ images, steps }) => ({
    images,
    steps: steps.filter((step) => step.kind !== "weights"),
    weights: steps.filter((step) => step.kind === "weights"),
  }));
  // The optimiser and the convolutions do not run at the same time.
  const filters = [...layout.slots.values()].filter(({ shape }) => isMuonFilter(shape));
  let scratchBytes = Math.max(0, ...filters.map(({ shape }) => muonScratchBytes(shape)));
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
