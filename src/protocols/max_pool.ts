/**
 * Max pooling by comparisons, max(a, b) = b + relu(a - b), of the exact-ReLU baseline and the original ResNet-50: first along
 * rows, then along columns, so a k x k window costs 2 (k - 1) ReLU layers instead of k^2 - 1 comparisons an output.
 * Padding is a public value below every activation.
 */
import type { Dealing, Material } from "../dealer/material.ts";
import { QUARTIC } from "../polynomial/polynomial.ts";
import { add, subtract } from "../ring/arithmetic.ts";
import { type RingTensor, words } from "../ring/tensor.ts";
import { relu } from "./activation/relu.ts";
import { type Cost, type Evaluate, NO_COST, type Party, plus } from "./protocol.ts";

/** Pooling of [height, width, channels] over kernel x kernel windows. */
export interface MaxPoolSpec {
  readonly height: number;
  readonly width: number;
  readonly channels: number;
  readonly kernel: number;
  readonly stride: number;
  readonly padding: number;
}

/** Below every activation that a 64-bit protocol can hold at 8 to 20 fraction bits, far from wrapping around when subtracted. */
const PADDING = -(1n << 40n);

const pooled = ({ kernel, stride, padding }: MaxPoolSpec, size: number) =>
  Math.floor((size + 2 * padding - kernel) / stride) + 1;

/** Lengths of the comparisons, in order. */
function comparisons(spec: MaxPoolSpec): number[] {
  const rows = spec.height * pooled(spec, spec.width) * spec.channels;
  const columns = pooled(spec, spec.height) * pooled(spec, spec.width) * spec.channels;
  return [...Array(spec.kernel - 1).fill(rows), ...Array(spec.kernel - 1).fill(columns)];
}

// relu reads nothing of its spec but the length.
const reluSpec = (length: number) => ({ length, fractionBits: 0, polynomial: QUARTIC });

export const maxPool = {
  cost: (spec: MaxPoolSpec): Cost =>
    comparisons(spec).map((n) => relu.cost(reluSpec(n))).reduce(plus, NO_COST),

  async deal(spec: MaxPoolSpec, dealing: Dealing): Promise<void> {
    for (const n of comparisons(spec)) await relu.deal(reluSpec(n), dealing);
  },

  async prepare(spec: MaxPoolSpec, party: Party, material: Material): Promise<Evaluate> {
    const steps: Evaluate[] = [];
    for (const n of comparisons(spec)) steps.push(await relu.prepare(reluSpec(n), party, material));
    return async (x) => {
      const half = spec.kernel - 1, { height, width, channels } = spec;
      const outWidth = pooled(spec, width);
      using rows = await fold(
        party,
        spec,
        steps.slice(0, half),
        (j) => gather(party, x, height, width, channels, outWidth, spec, j),
      );
      // Columns are rows whose "channels" are whole rows of the image.
      // Awaited here: `rows` must live until the columns are done.
      return await fold(
        party,
        spec,
        steps.slice(half),
        (i) => gather(party, rows, 1, height, outWidth * channels, pooled(spec, height), spec, i),
      );
    };
  },
};

/** The running maximum over the members 0 ... kernel - 1 of every window. */
async function fold(
  party: Party,
  { kernel }: MaxPoolSpec,
  steps: readonly Evaluate[],
  member: (index: number) => RingTensor,
): Promise<RingTensor> {
  let maximum = member(0);
  for (let index = 1; index < kernel; index++) {
    using old = maximum;
    using next = member(index);
    using difference = subtract(old, next, words(party.ring, old.length, old.fractionBits));
    const positive = await steps[index - 1]!(difference);
    maximum = add(positive, next);
  }
  return maximum;
}

/** Member `index` of every window along the second axis of [outer, size, inner]: [outer, windows, inner]. */
function gather(
  party: Party,
  x: RingTensor,
  outer: number,
  size: number,
  inner: number,
  windows: number,
  { stride, padding }: MaxPoolSpec,
  index: number,
): RingTensor {
  const out = words(party.ring, outer * windows * inner, x.fractionBits);
  const fill = party.role === "server" ? PADDING : 0n;
  for (let o = 0; o < outer; o++) {
    for (let w = 0; w < windows; w++) {
      const position = w * stride + index - padding, to = out.view((o * windows + w) * inner, inner);
      if (position < 0 || position >= size) to.int64.fill(fill);
      else to.bytes.set(x.view((o * size + position) * inner, inner).bytes);
    }
  }
  return out;
}
