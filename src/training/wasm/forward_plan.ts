/** The forward half of a plan while it is made: where every value lies, in which borders, and the steps that make it. */
import { type Graph, inferShapes, inputsOf, type Node, type Shape, windowOf } from "../../models/graph.ts";
import { type Convolution, type ConvolutionKernels, planConvolution } from "../convolution.ts";
import type { Arena } from "./arena.ts";
import type { ForwardStep } from "./graph_steps.ts";
import type { ParameterLayout } from "./parameter_layout.ts";
import { findGroups, type PointwiseGroup } from "./pointwise_groups.ts";
import { stepsOf, type Tensor } from "./tensor.ts";

export class ForwardPlan {
  /** Nodes that have a value of their own, in order; the last one gives the logits. */
  readonly nodes: readonly Node[];
  readonly groups: ReadonlyMap<string, PointwiseGroup>;
  readonly shapes: ReadonlyMap<string, Shape>;
  /** By node: its convolution of a number of images. */
  readonly convolutions: ReadonlyMap<string, (images: number) => Convolution>;
  readonly steps: ForwardStep[] = [];
  /** Elements of each activation layer, of one image. */
  readonly activations: number[] = [];
  /** Every layout of every value; the first is the one its layer writes. */
  readonly #values = new Map<string, Tensor[]>();
  readonly #made = new Map<string, ForwardStep>();
  /** Borders that the readers of each value ask for; other readers take any. */
  readonly #borders: ReadonlyMap<string, ReadonlySet<number>>;

  constructor(
    readonly graph: Graph,
    /** Images of a shard. */
    readonly batch: number,
    readonly memory: Arena,
    readonly layout: ParameterLayout,
    /** Address of the parameters. */
    readonly parameters: number,
    kernels: ConvolutionKernels,
  ) {
    const { groups, inner } = findGroups(graph);
    this.groups = groups;
    this.nodes = graph.nodes.filter(({ id }) => !inner.has(id));
    this.shapes = inferShapes(graph);
    this.convolutions = planConvolutions(this.nodes, this.shapes, kernels);
    const borders = new Map<string, Set<number>>(this.nodes.map(({ id }) => [id, new Set()]));
    for (const node of this.nodes) {
      const convolution = this.convolutions.get(node.id)?.(batch);
      if (convolution) borders.get(inputsOf(node)[0])!.add(convolution.inputBorder);
      if (node.op === "flatten") borders.get(node.input)!.add(0);
    }
    this.#borders = borders;
  }

  /** Offset of a parameter in floats, and its address. */
  offsetOf(node: string, part: string): number {
    return this.layout.slots.get(`${node}.${part}`)!.offset;
  }
  parameterOf(node: string, part: string): number {
    return this.parameters + this.offsetOf(node, part) * 4;
  }

  /** A fresh buffer for a batch. */
  tensor(shape: Shape, border: number): Tensor {
    const { row, image } = stepsOf(shape, border), base = this.memory.allocate(this.batch * image);
    return { base, at: base + border * (row + shape[2] * 4), row, image, shape, border };
  }

  /** The value of a node, in a given border or as its layer writes it. */
  value(node: string, border?: number): Tensor {
    const layouts = this.#values.get(node)!;
    return border === undefined ? layouts[0] : layouts.find((t) => t.border === border)!;
  }

  /** A buffer for what the layer of a node writes: with the widest border asked for, unless it can only write another. */
  result(node: string, border = this.#wanted(node)[0] ?? 0): Tensor {
    const y = this.tensor(this.shapes.get(node)!, border);
    this.#values.set(node, [y]);
    return y;
  }

  /** A value that is another one, read in another shape. */
  alias(node: string, value: Tensor): void {
    this.#values.set(node, [value]);
  }

  emit(node: string, step: ForwardStep): void {
    this.steps.push(step);
    this.#made.set(node, step);
  }

  /** Emits a step right after the one that makes a value, or else here. */
  emitAfter(node: string, step: ForwardStep): void {
    this.steps.splice(this.steps.indexOf(this.#made.get(node)!) + 1 || this.steps.length, 0, step);
  }

  /** The step that makes the value of a node. */
  stepOf<Step extends ForwardStep>(node: string): Step {
    return this.#made.get(node) as Step;
  }

  /** Copies a value into every further border that is asked for. */
  copyTo(node: string): void {
    const x = this.value(node);
    for (const border of this.#wanted(node)) {
      if (border === x.border) continue;
      const y = this.tensor(x.shape, border);
      this.#values.get(node)!.push(y);
      this.steps.push({ kind: "copy", x, y });
    }
  }

  #wanted(node: string): number[] {
    return [...this.#borders.get(node)!].sort((a, b) => b - a);
  }
}

function planConvolutions(
  nodes: readonly Node[],
  shapes: ReadonlyMap<string, Shape>,
  kernels: ConvolutionKernels,
): Map<string, (images: number) => Convolution> {
  const convolutions = new Map<string, (images: number) => Convolution>();
  for (const node of nodes) {
    if (node.op !== "conv" && node.op !== "dense") continue;
    const [height, width, inputs] = shapes.get(node.input)!;
    const { kernel, stride, padding } = windowOf(node);
    const shape = { height, width, inputs, outputs: node.outputs, kernel, stride, padding };
    convolutions.set(node.id, memoized((images) => planConvolution(kernels, { batch: images, ...shape })));
  }
  return convolutions;
}

function memoized<T>(make: (n: number) => T): (n: number) => T {
  const known = new Map<number, T>();
  return (n) => {
    if (!known.has(n)) known.set(n, make(n));
    return known.get(n)!;
  };
}
