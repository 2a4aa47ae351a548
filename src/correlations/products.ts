/** Products of masks that nobody knows, as sums of what the server and the client can make on their own. */
import { type Dealt, dealt, type Own, type OwnWord, type Product } from "./correlation.ts";

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

/** The product of two masks of both parties, which may be the same; for bits their `and`. */
export function productOf(name: string, a: Own<64>, b: Own<64>): Dealt<64> {
  const isXor = a.group === "xor", one = isXor ? ONES : 1n;
  return dealt(name, a.words, 64, [a, b], {
    fill: ({ kernels }, [x, y], out) =>
      kernels[isXor ? "and64" : "mul64"](x.address, y.address, out.address, out.length),
    products: (e) => productOfMasks([a, e], [b, e], one),
  }, a.group);
}
