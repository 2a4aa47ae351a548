/** What verdicts mean for the exit code, and which cells are worth measuring once more. */
import type { CheckedClaim } from "../report/claims.ts";

/** 0: no judged claim fails. 1: one fails, or something broke. 2: noise left too many claims about time open. */
export type ExitCode = 0 | 1 | 2;

/** Part of the claims about time that noise may leave open. */
const MOST_OPEN = 1 / 4;

const isNoisy = ({ obstacle }: CheckedClaim) => obstacle?.kind === "noise";

/** The exit code of verdicts. Another kind of machine, or a size that is too small, is no reason for 2. */
export function exitCodeOf(claims: readonly CheckedClaim[], broke = false): ExitCode {
  if (broke || claims.some(({ verdict, broken }) => verdict === "fails" || broken)) return 1;
  const timed = claims.filter(({ timed, verdict }) => timed !== undefined && verdict !== "not measured");
  return timed.filter(isNoisy).length > MOST_OPEN * timed.length ? 2 : 0;
}

const MEANINGS: Readonly<Record<ExitCode, string>> = {
  0: "no judged claim fails",
  1: "a claim fails or something broke",
  2: "noise left more than a quarter of the claims about time open; run it again on a quiet machine",
};

/** The end of the last line of a log. */
export const exitText = (code: ExitCode): string => `exit code ${code} (${MEANINGS[code]})`;

/** The cells that noise spoiled, by experiment. */
export function cellsToRepeat(claims: readonly CheckedClaim[]): Map<string, Set<string>> {
  const cells = new Map<string, Set<string>>();
  for (const claim of claims) {
    if (!isNoisy(claim) || claim.timed === undefined) continue;
    const own = cells.get(claim.timed) ?? new Set();
    for (const cell of claim.obstacle!.cells ?? []) own.add(cell);
    cells.set(claim.timed, own);
  }
  return cells;
}
