/** Products of masks that nobody knows, as sums of what the server and the client can make on their own. */
import type { Own, OwnWord, Product } from "./correlation.ts";

/** A word of a mask. */
type Place = readonly [own: Own, index: number];

/**
 * (a_S + a_C)(b_S + b_C) for masks of both parties, and the same for bits with exclusive or and `and`: there 1 is the word of ones.
 */
export function productOfMasks(a: Place, b: Place, one = 1n): readonly Product[] {
  const at = ([mask, index]: Place) => (word: OwnWord) => word(mask, index);
  const both = (word: OwnWord) => one === 1n ? at(a)(word) * at(b)(word) : at(a)(word) & at(b)(word);
  const ones = () => one;
  return [
    { coefficient: one, server: both, client: ones },
    { coefficient: one, server: at(a), client: at(b) },
    { coefficient: one, server: at(b), client: at(a) },
    { coefficient: one, server: ones, client: both },
  ];
}

/** The word of ones: what 1 is for bits. */
export const ONES = (1n << 64n) - 1n;
