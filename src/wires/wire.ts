/**
 * Wires: what is public about a value that two parties share. Its part at a party is a sum of what is known early, in the offline phase, and
 * what comes late, in the online phase; either half may be missing. A party's online phase is what early halves leave to do.
 *
 * Halves may be split only through linear steps: sums, pooling, left shifts, biases, convolutions. Whatever needs the sum itself (a
 * truncation, bit planes, powers) takes the {@linkcode "./halves.ts".partOf} a party.
 */
import type { Own } from "../correlations/correlation.ts";
import type { RingTensor, Width } from "../ring/tensor.ts";

export interface Wire {
  /** Numbers of the value. */
  readonly words: number;
  /** Bits of the words that hold them. */
  readonly width: Width;
  /** k: numbers count modulo 2^k; words hold them times 2^extraBits, as far as the width goes. */
  readonly ringBits: number;
  /** Fraction bits of the words, the extra ones included. */
  readonly fractionBits: number;
  /** Low bits of a word that are zero in the sum of all parts, the server's bias apart: the two of Winograd's transforms, or none. */
  readonly extraBits: number;
  /** The rest of an average over a window whose size is no power of two: the weights that read the value are multiplied by it. */
  readonly factor: number;
  /** Whether the client's part has a late half. Without one the client's work on the value is over before the image is known. */
  readonly clientLate: boolean;
  /** Re-masked: the server holds y - a, the client a, which is nothing but these fresh own numbers. Null for any other sharing. */
  readonly mask: Own | null;
}

/** A wire that is shared anyhow. Digests show wires: the order of names stays. */
export const sharedWire = <W extends Width>(
  words: number,
  width: W,
  ringBits: number,
  fractionBits: number,
): Wire & { readonly width: W } => ({
  words,
  width,
  ringBits,
  fractionBits,
  extraBits: 0,
  factor: 1,
  clientLate: true,
  mask: null,
});

/** One half of a value at one party; a missing one is zero and costs no tensor. */
export type Half = RingTensor<Width> | undefined;

/** Bits that a sum of parts is read modulo 2 to the power of. */
export const readBits = ({ width, ringBits, extraBits }: Wire): number =>
  Math.min(width, ringBits + extraBits);

/** Fraction bits of the value itself. */
export const valueBits = ({ fractionBits, extraBits }: Wire): number => fractionBits - extraBits;
