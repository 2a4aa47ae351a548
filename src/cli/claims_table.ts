/** The table of claims for the terminal. */
import type { CheckedClaim } from "../report/claims.ts";
import { summarise } from "../report/html.ts";
import { formatTable } from "./table.ts";

/** Formats claims as a table, verdict first, with a summary below. */
export function claimsTable(claims: readonly CheckedClaim[]): string {
  if (claims.length === 0) return "No claim is about these results.";
  const open = "\x1b[33m";
  const colours = { holds: "\x1b[32m", fails: "\x1b[1;31m", "not measured": open, "not judged": open };
  const paint = Deno.stdout.isTerminal() && !Deno.noColor;
  const rows = claims.map((claim) => ({
    ...claim,
    verdict: paint ? `${colours[claim.verdict]}${claim.verdict}\x1b[0m` : claim.verdict,
    claim: `${claim.sentence} (${claim.source})`,
    expected: `${claim.expected}; ${claim.tolerance}`,
  }));
  return formatTable(rows, [
    "verdict",
    "id",
    { key: "claim", wrap: true },
    { key: "expected", wrap: true, title: "expected; accepted" },
    { key: "measured", wrap: true },
  ]) + `\n\n${summarise(claims)}`;
}
