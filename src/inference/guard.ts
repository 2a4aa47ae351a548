/** What a plan and opened logits tell of their worth: too little precision, or a value that wrapped around on the way. */
import { logitRange } from "../models/ranges.ts";
import { readBits } from "../wires/wire.ts";
import type { Plan } from "./plan.ts";

/** Logits may be this many times as large as any that the audit saw. */
const HEAD_ROOM = 2;

/** Size up to which logits are believed: twice the audited range, and at most half of what the opened words can represent. */
export function logitBound({ graph, opened, wires, options: { ranges } }: Plan): number {
  const wire = wires.get(opened)!, ring = 2 ** (readBits(wire) - 2 - wire.fractionBits);
  return Math.min(HEAD_ROOM * (logitRange(graph, ranges) ?? Infinity), ring);
}

/** Whether logits must not be used to choose a class. */
export function isUnreliable(plan: Plan, logits: ArrayLike<number>): boolean {
  const bound = logitBound(plan);
  for (let i = 0; i < logits.length; i++) if (!(Math.abs(logits[i]) <= bound)) return true;
  return false;
}

/** With fewer fraction bits the rounding of weights drowns the logits of deep networks: ResNet-20 at 16 to 22 ring bits was off by 0.5 to 20. */
const FEWEST_WEIGHT_BITS = 8;

/** A sentence where a plan leaves its weights so few bits that logits may be of no use; null where it does not. */
export function precisionNote({ weightBits, wires, input }: Plan): string | null {
  const [node, fewest] = [...weightBits].reduce((a, b) => b[1] < a[1] ? b : a, ["", Infinity]);
  if (fewest >= FEWEST_WEIGHT_BITS) return null;
  return `${
    wires.get(input)!.ringBits
  } ring bits leave ${fewest} fraction bits for the weights of ${node}: ` +
    `logits may be of no use; ${FEWEST_WEIGHT_BITS} and more take a wider ring`;
}
