/**
 * Correlated randomness as data. A step of a plan lists what it needs; the dealer's work, what each party draws, in which order, and the
 * dealt bytes all follow from the list.
 *
 * Own words are random words of one party, expanded from its seed. Dealt words are a function of own words, shared between the
 * parties: the client's share is the next of its stream, the server receives the correction. So the client, whose link is thin, downloads
 * nothing per query but a seed.
 */
import type { ConvolutionSpec } from "../ring/convolution.ts";
import { inputLength, outputSize } from "../ring/convolution.ts";
import { imagesIn } from "../ring/images.ts";
import type { Ring } from "../ring/ring.ts";
import { RingTensor, type Width } from "../ring/tensor.ts";

export type Role = "server" | "client";

/** Bits of one number; those of 48 lie without gaps, those of 128 are two 64-bit words, low first. */
export type Bits = 32 | 48 | 64 | 128;

/** How parts make up a number: their sum modulo 2^bits, or their exclusive or. */
export type Group = "add" | "xor";

/**
 * Random numbers of one party; of both, each with numbers of its own, whose sum (or exclusive or) nobody but the dealer knows. Whole words: numbers
 * of 48 or 128 bits are never added up.
 */
export interface Own<B extends Width = Width> {
  readonly kind: "own";
  readonly name: string;
  readonly of: Role | "both";
  readonly words: number;
  readonly bits: B;
  readonly group: Group;
}

/** Numbers that follow from own ones of the same step, shared between the parties. */
export interface Dealt<B extends Bits = Bits> {
  readonly kind: "dealt";
  readonly name: string;
  readonly words: number;
  readonly bits: B;
  readonly group: Group;
  readonly from: readonly Own[];
  /** The dealer's fast path: writes the numbers to `out`. `masks` are those of `from`, sums where both parties have a part. */
  fill(ring: Ring, masks: readonly RingTensor<Width>[], out: RingTensor<Width>): void;
  /**
   * What {@linkcode fill} computes, as a sum (or exclusive or) of products of what the server knows and what the client knows: a
   * source without a dealer can make it. Left out where no such form is known.
   */
  products?(element: number): readonly Product[];
}

/** coefficient * server * client in the group of numbers: * is `and` for bits. Both factors are of one party's own words alone. */
export interface Product {
  readonly coefficient: bigint;
  server(own: OwnWord): bigint;
  client(own: OwnWord): bigint;
}

/** Word `index` of a party's own numbers. */
export type OwnWord = (own: Own, index: number) => bigint;

/**
 * The product of masked weights, which are own words of the session, with the mask of an input, times 2^extraBits of the layer: image by
 * image, each with words of its own.
 */
export interface DealtConvolution<B extends Width = Width> {
  readonly kind: "convolution";
  readonly name: string;
  readonly weights: Own;
  /** The mask of a value, of this step or of an earlier one. */
  readonly input: Own;
  readonly spec: ConvolutionSpec;
  readonly bits: B;
}

export type Correlation = Own | Dealt | DealtConvolution;

/** What one step needs. The order of the lists is the order of draws. */
export interface StepCorrelations {
  /** Of the random streams of the step, and of its messages. */
  readonly label: number;
  /** Once per session. */
  readonly session: readonly Own[];
  /** Once per query. */
  readonly query: readonly Correlation[];
}

/** Own numbers, to be added up. */
export const own = <B extends Width>(
  name: string,
  of: Role | "both",
  words: number,
  bits: B,
  group: Group = "add",
): Own<B> => ({ kind: "own", name, of, words, bits, group });

/** Numbers that follow from those of `from`, as `made` says. */
export const dealt = <B extends Bits>(
  name: string,
  words: number,
  bits: B,
  from: readonly Own[],
  made: Pick<Dealt<B>, "fill" | "products">,
  group: Group = "add",
): Dealt<B> => ({ kind: "dealt", name, words, bits, group, from, ...made });

/** Numbers of a correlation. */
export const lengthOf = (correlation: Correlation): number =>
  correlation.kind === "convolution"
    ? imagesIn(correlation.input.words, inputLength(correlation.spec)) * outputLength(correlation.spec)
    : correlation.words;

/** Words of the output of a layer, for one image. */
export function outputLength(spec: ConvolutionSpec): number {
  const { height, width } = outputSize(spec);
  return height * width * spec.outputs;
}

/** Ring memory for `words` numbers. */
export type TensorOf<B extends Bits> = RingTensor<B extends 32 | 48 ? 32 : B extends 64 | 128 ? 64 : Width>;

export function tensorFor<B extends Bits>(ring: Ring, words: number, bits: B): TensorOf<B> {
  const width: Width = bits < 64 ? 32 : 64;
  return new RingTensor(ring, width, words * bits / width) as RingTensor<Width> as TensorOf<B>;
}

/** Bytes that the dealer sends to the server for a list. */
export const dealtBytes = (list: readonly Correlation[]): number =>
  list.reduce((sum, c) => c.kind === "own" ? sum : sum + lengthOf(c) * c.bits / 8, 0);

/** What a plan's digest says of a correlation: all but the functions. */
export function describeCorrelation(c: Correlation): unknown {
  switch (c.kind) {
    case "own":
      return [c.name, c.of, c.words, c.bits, c.group];
    case "dealt":
      return [c.name, c.words, c.bits, c.group, c.from.map(({ name }) => name)];
    case "convolution":
      return [c.name, c.bits, c.weights.name, c.input.name, c.spec];
  }
}
