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

/** -2^20 at 20 fraction bits, -2^24 at 16: below every activation of a network that is of use, far from wrapping around when subtracted. */
const PADDING = -(1n << 40n);

/** What one pass goes over: windows along the second axis of [outer, size, inner], which leave [outer, windows, inner]. */
interface Axis {
  readonly outer: number;
  readonly size: number;
  readonly inner: number;
  readonly windows: number;
}

/** Rows, then columns, which are rows whose "channels" are whole rows of the image. */
function axesOf({ height, width, channels, kernel, stride, padding }: Windows, images: number): Axis[] {
  const along = (size: number) => outputAlong(size, kernel, stride, padding), columns = along(width);
  return [
    { outer: images * height, size: width, inner: channels, windows: columns },
    { outer: images, size: height, inner: columns * channels, windows: along(height) },
  ];
}

/** Pools a value of any scale at `fractionBits`, to which both parties truncate it first. */
export function maxPool(name: string, input: Wire, spec: Windows, fractionBits: number): ProtocolStep {
  if (input.width !== 64) {
    throw new RangeError(
      `${name}: words of ${input.width} bits have no comparisons, so no max pooling; use a network with average pooling ` +
        `(resnet50-avg), or another activation protocol`,
    );
  }
  const wire = { ...input, width: 64 } as const, { kernel } = spec;
  const axes = axesOf(spec, imagesIn(input.words, spec.height * spec.width * spec.channels));
  const steps = axes.flatMap(({ outer, inner, windows }) =>
    Array.from({ length: kernel - 1 }, () => reluOf(outer * windows * inner))
  );
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
          let result = part(late);
          for (const axis of axes) {
            // Awaited here: what a pass reads must live until it is done.
            using x = result;
            result = await maximum(party, x, axis, spec, held.splice(0, kernel - 1));
          }
          return [result];
        }),
      };
    }),
  };
}

/** The running maximum over the members 0 ... kernel - 1 of every window, by one comparison for each but the first. */
async function maximum(
  party: Party,
  x: RingTensor,
  axis: Axis,
  spec: Windows,
  comparisons: readonly Evaluate[],
): Promise<RingTensor> {
  let result = gather(party, x, axis, spec, 0);
  for (const [i, positivePart] of comparisons.entries()) {
    using old = result;
    using next = gather(party, x, axis, spec, i + 1);
    using difference = subtract(old, next, words(party.ring, old.length, old.fractionBits));
    result = add(await positivePart(difference), next);
  }
  return result;
}

/** Member `index` of every window. */
function gather(
  party: Party,
  x: RingTensor,
  { outer, size, inner, windows }: Axis,
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
