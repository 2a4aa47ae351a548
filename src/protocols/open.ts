/** Opening: both parties send their shares at once and add what comes. And products of what was opened under masks (Beaver's). */
import { add, xor } from "../ring/arithmetic.ts";
import { type RingTensor, words } from "../ring/tensor.ts";
import type { Party } from "./protocol.ts";

/** Replaces this party's share (or one-sided masked words) by the other party's, sent at the same time. */
export async function swap(party: Party, mine: RingTensor): Promise<RingTensor> {
  const theirs = words(party.ring, mine.length, mine.fractionBits);
  await party.peer.exchange(party.tag, mine.bytes, theirs.bytes);
  return theirs;
}

/** Opens additively shared words: `mine` becomes the sum. One exchange, the length of `mine` each way. */
export async function open(party: Party, mine: RingTensor): Promise<RingTensor> {
  using theirs = await swap(party, mine);
  return add(mine, theirs);
}

/** Opens bits shared by exclusive or: `mine` becomes the exclusive or. */
export async function openBits(party: Party, mine: RingTensor): Promise<RingTensor> {
  using theirs = await swap(party, mine);
  return xor(mine, theirs);
}

/**
 * From a share of r s, in `product`, to one of (u + r)(v + s), for public u, v and own shares of r, s. `accumulate` is `multiplyAdd`, or
 * `andXor` for bits.
 */
export function multiplyOpened(
  { role }: Party,
  accumulate: (sum: RingTensor, a: RingTensor, b: RingTensor) => void,
  product: RingTensor,
  [u, r]: readonly [RingTensor, RingTensor],
  [v, s]: readonly [RingTensor, RingTensor],
): void {
  accumulate(product, u, s);
  accumulate(product, v, r);
  if (role === "server") accumulate(product, u, v);
}
