/** What parties do with halves of values without a message: each half on its own, with the same code at every role and width. */
import type { Role } from "../correlations/correlation.ts";
import { type ConvolutionSpec, outputSize } from "../ring/convolution.ts";
import { eachImage, imagesIn } from "../ring/images.ts";
import type { Ring } from "../ring/ring.ts";
import { RingTensor, type Width } from "../ring/tensor.ts";
import { arithmetic } from "./width_kernels.ts";
import { type Half, readBits, type Wire } from "./wire.ts";

/** Pooling of [height, width, channels] over kernel x kernel windows. */
export interface Windows extends Omit<ConvolutionSpec, "inputs" | "outputs"> {
  readonly channels: number;
}

/** Sums over the windows of every image, without padding; the division by their size is in the scale of `output`. */
export function sumWindows(x: Half, windows: Windows, output: Wire): Half {
  if (!x) return undefined;
  const { height, width, channels, kernel, stride } = windows, { poolSum } = arithmetic(x.ring, x.width);
  const sums = new RingTensor(x.ring, x.width, output.words, output.fractionBits);
  eachImage(
    imagesIn(x.length, height * width * channels),
    x,
    sums,
    (from, to) => poolSum(from, to, height, width, channels, kernel, stride),
  );
  return sums;
}

/** Words that a pooling makes of `words`. */
export function windowWords(windows: Windows, words: number): number {
  const { height, width, channels } = windows, out = outputSize(windows);
  return imagesIn(words, height * width * channels) * out.height * out.width * channels;
}

/** A residual sum at the scale of `output`, that of the finer summand: the coarser one is shifted left, which is exact. */
export function addHalves(halves: readonly Half[], wires: readonly Wire[], output: Wire): Half {
  const [fine, coarse] = halves
    .map((half, i) => ({ half, lift: output.fractionBits - wires[i].fractionBits }))
    .sort((a, b) => a.lift - b.lift);
  const some = fine.half ?? coarse.half;
  if (!some) return undefined;
  for (const half of halves) {
    if (half && half.length !== output.words) {
      throw new RangeError(`${half.length} words do not fit a sum of ${output.words}`);
    }
  }
  const { ring, width } = some, on = arithmetic(ring, width);
  const sum = new RingTensor(ring, width, output.words, output.fractionBits);
  if (fine.half && coarse.half) {
    on.addShifted(fine.half.address, coarse.half.address, coarse.lift, sum.address, sum.length);
  } else on.shiftLeft(some.address, fine.half ? fine.lift : coarse.lift, sum.address, sum.length);
  return sum;
}

/**
 * This party's part of a value, whose words lose their lowest `dropped` bits (each party shifts its own part, see
 * {@linkcode "../ring/arithmetic.ts".rescale}): at once where no late half comes, else when it is there. The caller owns the result.
 */
export function partOf<W extends Width>(
  ring: Ring,
  role: Role,
  wire: Wire & { readonly width: W },
  early: Half,
  dropped = 0,
): (late: Half) => RingTensor<W> {
  if (dropped > 0 && readBits(wire) < wire.width) {
    throw new RangeError(
      `a share of ${readBits(wire)} bits in words of ${wire.width} is not truncated by its sign`,
    );
  }
  const sum = (a: Half, b: Half) => sumOf(ring, wire, a, b, dropped) as RingTensor<W>;
  if (role === "client" && !wire.clientLate) {
    const part = sum(early, undefined);
    return () => part;
  }
  early?.retain();
  return (late) => {
    const part = sum(early, late);
    early?.[Symbol.dispose]();
    return part;
  };
}

function sumOf(ring: Ring, wire: Wire, a: Half, b: Half, dropped: number): RingTensor<Width> {
  const one = a ?? b;
  if (one && dropped === 0 && !(a && b) && one.fractionBits === wire.fractionBits) return one.retain();
  const { words: n, width } = wire, on = arithmetic(ring, width);
  const sum = new RingTensor(ring, width, n, wire.fractionBits - dropped);
  if (a && b) on.addShiftRight(a.address, b.address, dropped, sum.address, n);
  else if (one) on.shiftSigned(one.address, dropped, sum.address, n);
  else sum.bytes.fill(0);
  return sum;
}

/** The words of a half as integers, for debugging runs that add up what parties show. */
export const integersOf = (half: RingTensor<Width>): BigInt64Array =>
  half.width === 64 ? half.int64.slice() : BigInt64Array.from(half.uint32, BigInt);
