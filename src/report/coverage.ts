/** The matrix size x claim: what a run of each size decides of each claim, and what that takes. */
import { type Claim, type Size, sizeOrder } from "./claim.ts";

/** How much of a claim a run decides. */
export type Decided = "not" | "partly" | "fully";

/** What the experiment of a claim takes. */
export interface Cost {
  readonly minutes: number;
  readonly memoryMB: number;
}

/** A row of the matrix. */
export interface Coverage {
  readonly id: string;
  readonly experiment: string;
  readonly sizes: Readonly<Record<Size, Cost & { readonly decided: Decided }>>;
}

const rank = (size: Size) => sizeOrder.indexOf(size);

/** How much of a claim a run of a size decides. */
export function decided({ size: least = "smoke", fully = least }: Claim, size: Size): Decided {
  if (rank(size) < rank(least)) return "not";
  return rank(size) < rank(fully) ? "partly" : "fully";
}

/** The matrix of some claims. */
export function coverage(
  claims: readonly Claim[],
  cost: (experiment: string, size: Size) => Cost,
): Coverage[] {
  return claims.map((claim) => {
    const { id, experiment } = claim;
    const entry = (size: Size) => ({ ...cost(experiment, size), decided: decided(claim, size) });
    return { id, experiment, sizes: { smoke: entry("smoke"), quick: entry("quick"), full: entry("full") } };
  });
}

/** Minutes as people say them: `0.3 min`, `8 min`, `2.6 h`. */
export function minutesText(minutes: number): string {
  if (minutes >= 100) return `${(minutes / 60).toFixed(1)}\u00a0h`;
  return minutes < 0.1 ? "seconds" : `${minutes < 9.5 ? minutes.toFixed(1) : minutes.toFixed(0)}\u00a0min`;
}

/** One entry in words: `partly, 1.3 min, 1.9 GB`. */
export const entryText = ({ decided, minutes, memoryMB }: Cost & { readonly decided: Decided }): string =>
  decided === "not" ? "not" : `${decided}, ${minutesText(minutes)}, ${(memoryMB / 1000).toFixed(1)}\u00a0GB`;
