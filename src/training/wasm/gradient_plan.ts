/** The backward half of a plan while it is made: the gradient of every value, from all its readers, and the steps that make it. */
import { inputsOf } from "../../models/graph.ts";
import type { ForwardPlan } from "./forward_plan.ts";
import { GradientBuffers } from "./gradient_buffers.ts";
import type { BackwardStep, WeightGradientStep } from "./graph_steps.ts";
import { countReaders } from "./pointwise_groups.ts";
import type { Tensor } from "./tensor.ts";

export class GradientPlan {
  readonly steps: (BackwardStep | WeightGradientStep)[] = [];
  readonly buffers: GradientBuffers;
  /** What the loss writes its gradient to. */
  readonly logits: Tensor;
  readonly #reads: ReadonlyMap<string, number>;
  /** Values whose gradient someone needs. */
  readonly #needed: ReadonlySet<string>;
  /** Parts of the gradient of each value, one from each reader. */
  readonly #parts = new Map<string, Tensor[]>();
  /** Gradients that the weight gradients at the end of the segment still read. */
  readonly #held: Tensor[] = [];

  constructor(
    readonly forward: ForwardPlan,
    /** Address of the gradients of the parameters. */
    readonly gradients: number,
  ) {
    this.#reads = countReaders(forward.graph);
    this.#needed = neededGradients(forward);
    this.buffers = new GradientBuffers((shape, border) => forward.tensor(shape, border));
    const last = forward.nodes.at(-1)!.id;
    this.logits = this.buffers.acquire(forward.shapes.get(last)!, this.borderOf(last));
    this.contribute(last, this.logits);
  }

  /** Address of the gradient of a parameter. */
  gradientOf(node: string, part: string): number {
    return this.gradients + this.forward.offsetOf(node, part) * 4;
  }

  needs(value: string): boolean {
    return this.#needed.has(value);
  }

  reads(value: string): number {
    return this.#reads.get(value) ?? 0;
  }

  /** Whether any reader has given its part so far. */
  has(value: string): boolean {
    return this.#parts.has(value);
  }

  /** One reader's part of the gradient of a value; it is released where nobody needs it. */
  contribute(value: string, gradient: Tensor): void {
    if (this.needs(value)) this.#parts.set(value, [...(this.#parts.get(value) ?? []), gradient]);
    else this.buffers.release(gradient);
  }

  /** Border that the gradient of a value should have: what its convolution asks for, if it can be written so. */
  borderOf(value: string): number {
    const { nodes, convolutions, batch } = this.forward;
    const isWhole = this.reads(value) === 1 || value === nodes.at(-1)!.id;
    return isWhole ? convolutions.get(value)?.(batch).gradientBorder ?? 0 : 0;
  }

  /** The gradient of a value in one part. */
  gather(value: string): Tensor {
    return this.gatherParts(value, 1)[0];
  }

  /** The gradient of a value in at most `most` parts, summed as far as necessary. */
  gatherParts(value: string, most: number): Tensor[] {
    const { buffers } = this, gradient = this.#parts.get(value) ?? [];
    while (gradient.length > most) {
      const [x, w] = gradient.splice(0, 2) as [Tensor, Tensor];
      const y = buffers.isOwn(x) ? x : buffers.acquire(x.shape, 0);
      this.steps.push({ kind: "sum", x, w, y });
      if (y !== x) buffers.release(x);
      buffers.release(w);
      gradient.unshift(y);
    }
    return gradient;
  }

  /** Keeps a gradient until the end of the segment. */
  hold(gradient: Tensor): void {
    this.#held.push(gradient);
  }

  /** To be called where a segment ends. */
  releaseHeld(): void {
    for (const gradient of this.#held.splice(0)) this.buffers.release(gradient);
  }
}

function neededGradients({ nodes, groups, convolutions }: ForwardPlan): Set<string> {
  const needed = new Set<string>();
  for (const node of nodes) {
    const group = groups.get(node.id);
    const inputs = group ? [group.source, ...(group.shortcut ? [group.shortcut] : [])] : inputsOf(node);
    if (convolutions.has(node.id) || group?.norm || inputs.some((id) => needed.has(id))) needed.add(node.id);
  }
  return needed;
}
