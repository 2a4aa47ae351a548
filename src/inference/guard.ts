/** The client's check of what it opened: logits beyond a public bound mean that something wrapped around on the way. */
import type { Plan } from "./plan.ts";

/** Logits may be this many times as large as any that the audit saw. */
const HEAD_ROOM = 2;

/**
 * Size up to which logits are believed: twice the audited range; for `lifted`, whose ring is small, at most half of what it can
 * represent. Null where nothing is known: 64-bit words without an audit.
 */
export function logitBound({ lifted, output, options: { ranges } }: Plan): number | null {
  const audited = HEAD_ROOM * (ranges?.[output] ?? Infinity);
  const ring = lifted === null ? Infinity : 2 ** (lifted.logits.bits - 2 - lifted.logits.fractionBits);
  const bound = Math.min(audited, ring);
  return bound === Infinity ? null : bound;
}

/** Whether logits must not be used to choose a class. */
export function isUnreliable(plan: Plan, logits: ArrayLike<number>): boolean {
  const bound = logitBound(plan) ?? Infinity;
  for (let i = 0; i < logits.length; i++) if (!(Math.abs(logits[i]!) <= bound)) return true;
  return false;
}
