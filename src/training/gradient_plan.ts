/**
 * The backward half of a plan: every value's gradient gets a buffer for as long as it lives, and every layer its steps. Buffers
 * are used again by gradients of the same geometry.
 */
import {
  type ConvNode,
  type DenseNode,
  type Graph,
  inputsOf,
  type Node,
  type PoolNode,
  type Shape,
  sizeOf,
} from "../models/graph.ts";
import type { Convolution } from "./convolution.ts";
import {
  type BackwardStep,
  type BiasGradient,
  type ConvolutionStep,
  type ForwardStep,
  periodOf,
  type PointwiseStep,
  type PoolStep,
  type Tensor,
  type WeightGradientStep,
} from "./graph_steps.ts";
import { countReaders, type Group } from "./pointwise_groups.ts";

/** What the forward half leaves. */
export interface ForwardPlan {
  readonly graph: Graph;
  /** Those that have a value of their own, in order; the last one gives the logits. */
  readonly nodes: readonly Node[];
  readonly groups: ReadonlyMap<string, Group>;
  readonly shapes: ReadonlyMap<string, Shape>;
  /** By node: its convolution of a number of images. */
  readonly convolutions: ReadonlyMap<string, (images: number) => Convolution>;
  readonly steps: ReadonlyMap<string, ForwardStep>;
  readonly batch: number;
  /** Address of the gradient of a parameter. */
  readonly gradientOf: (node: string, part: string) => number;
  /** A fresh buffer for a batch. */
  readonly tensor: (shape: Shape, border: number) => Tensor;
  readonly allocate: (bytes: number) => number;
}

export interface GradientPlan {
  readonly steps: readonly (BackwardStep | WeightGradientStep)[];
  readonly logitsGradient: Tensor;
}

/** Plans the steps backward, in order, and the tensor that the loss writes its gradient to. */
export function planGradients(
  { graph, nodes, groups, shapes, convolutions, steps, batch, gradientOf, tensor, allocate }: ForwardPlan,
): GradientPlan {
  const reads = countReaders(graph), last = nodes.at(-1)!;
  const backward: (BackwardStep | WeightGradientStep)[] = [];
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
    reads.get(id) === 1 || id === last.id ? convolutions.get(id)?.(batch).gradientBorder ?? 0 : 0;
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

  const start = acquire(shapes.get(last.id)!, borderOf(last.id));
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
  return { steps: backward, logitsGradient: start };

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
    // Batch norm takes away the mean, so the gradient of a bias before it is exactly 0.
    const isMeanless = reads.get(node.id) === 1 &&
      [...groups.values()].some(({ source, norm }) => norm && source === node.id);
    const dBias = node.bias && !isMeanless
      ? biasGradient(gradientOf(node.id, "bias"), node.outputs)
      : undefined;
    backward.push({ kind: "weights", of, dz, dWeight: gradientOf(node.id, "weight"), dBias });
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

  function biasGradient(target: number, outputs: number): BiasGradient {
    const period = periodOf(outputs);
    return { target, period, pivot: allocate(4 * period), sums: allocate(16 * period) };
  }
}

/** Byte steps of a buffer without border that is read in another shape. */
function stepsOf([height, width, channels]: Shape, border: number) {
  const row = (width + 2 * border) * channels * 4;
  return { row, image: (height + 2 * border) * row };
}
