/**
 * Max pooling by comparisons, max(a, b) = b + relu(a - b), of the exact-ReLU baseline and the original ResNet-50: first along
 * rows, then along columns, so a k x k window takes 2 (k - 1) ReLU layers in a row.
 * Padding is a public value below every activation.
 */
import { add, subtract } from "../../ring/arithmetic.ts";
import { outputAlong } from "../../ring/convolution.ts";
import { imagesIn } from "../../ring/images.ts";
import { type RingTensor, words } from "../../ring/tensor.ts";
import { partOf, type Windows, windowWords } from "../../wires/halves.ts";
import type { Wire } from "../../wires/wire.ts";
import { reluOf } from "../activation/relu.ts";
import { type Evaluate, wire64 } from "../activation/words64.ts";
import { once, type Party, type ProtocolStep, stateless } from "../protocol.ts";

/** Below every activation that a 64-bit protocol can hold at 8 to 20 fraction bits, far from wrapping around when subtracted. */
const PADDING = -(1n << 40n);

const pooled = ({ kernel, stride, padding }: Windows, size: number) =>
  outputAlong(size, kernel, stride, padding);

/** Lengths of the comparisons of `images`, in order. */
function comparisons(spec: Windows, images: number): number[] {
  const rows = images * spec.height * pooled(spec, spec.width) * spec.channels;
  const columns = images * pooled(spec, spec.height) * pooled(spec, spec.width) * spec.channels;
  return [...Array(spec.kernel - 1).fill(rows), ...Array(spec.kernel - 1).fill(columns)];
}

/** Pools a value of any scale at `fractionBits`, to which both parties truncate it first. */
export function maxPool(name: string, input: Wire, spec: Windows, fractionBits: number): ProtocolStep {
  if (input.width !== 64) {
    throw new RangeError(
      `${name}: words of ${input.width} bits have no comparisons, so no max pooling; use a network with average pooling ` +
        `(resnet50-avg), or another activation protocol`,
    );
  }
  const images = imagesIn(input.words, spec.height * spec.width * spec.channels);
  const wire = { ...input, width: 64 } as const, steps = comparisons(spec, images).map(reluOf);
  return {
    spec: { ...spec, fractionBits },
    outputs: [wire64(windowWords(spec, input.words), fractionBits)],
    session: [],
    query: steps.flatMap(({ query }) => query),
    messages: steps.flatMap(({ messages }) => messages),
    setUp: stateless(async (party, drawn, [early]) => {
      const held: Evaluate[] = [];
      for (const step of steps) held.push(await step.hold(party, drawn));
      const part = partOf(party.ring, party.role, wire, early, input.fractionBits - fractionBits);
      return {
        early: [undefined],
        online: once("max pooling", async ([late]) => {
          using x = part(late);
          return [await pool(party, spec, images, held, x)];
        }),
      };
    }),
  };
}

async function pool(
  party: Party,
  spec: Windows,
  images: number,
  steps: readonly Evaluate[],
  x: RingTensor,
): Promise<RingTensor> {
  const half = spec.kernel - 1, { height, width, channels } = spec, outWidth = pooled(spec, width);
  using rows = await fold(
    party,
    spec,
    steps.slice(0, half),
    (j) => gather(party, x, images * height, width, channels, outWidth, spec, j),
  );
  // Columns are rows whose "channels" are whole rows of the image.
  // Awaited here: `rows` must live until the columns are done.
  return await fold(
    party,
    spec,
    steps.slice(half),
    (i) => gather(party, rows, images, height, outWidth * channels, pooled(spec, height), spec, i),
  );
}

/** The running maximum over the members 0 ... kernel - 1 of every window. */
async function fold(
  party: Party,
  { kernel }: Windows,
  steps: readonly Evaluate[],
  member: (index: number) => RingTensor,
): Promise<RingTensor> {
  let maximum = member(0);
  for (let index = 1; index < kernel; index++) {
    using old = maximum;
    using next = member(index);
    using difference = subtract(old, next, words(party.ring, old.length, old.fractionBits));
    const positive = await steps[index - 1](difference);
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
  { stride, padding }: Windows,
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
