/** Opening: both parties send their shares at once and add what comes. */
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
