/** The client's check of what it opened: logits beyond a public bound mean that something wrapped around on the way. */
import { readBits } from "../wires/wire.ts";
import type { Plan } from "./plan.ts";

/** Logits may be this many times as large as any that the audit saw. */
const HEAD_ROOM = 2;

/** Size up to which logits are believed: twice the audited range, and at most half of what the opened words can represent. */
export function logitBound({ opened, output, wires, options: { ranges } }: Plan): number {
  const wire = wires.get(opened)!, ring = 2 ** (readBits(wire) - 2 - wire.fractionBits);
  return Math.min(HEAD_ROOM * (ranges?.[output] ?? Infinity), ring);
}

/** Whether logits must not be used to choose a class. */
export function isUnreliable(plan: Plan, logits: ArrayLike<number>): boolean {
  const bound = logitBound(plan);
  for (let i = 0; i < logits.length; i++) if (!(Math.abs(logits[i]!) <= bound)) return true;
  return false;
}
