/** Claims on the terminal: one line each, fitted to the width; what fails or stays open says why below its line. */
import type { CheckedClaim } from "../report/claims.ts";
import { summarise } from "../report/html.ts";
import { formatTable, terminalWidth, wrapText } from "../terminal/table.ts";
import { type ExitCode, exitText } from "./verdicts.ts";

const OPEN = "\x1b[33m";
const COLOURS = { holds: "\x1b[32m", fails: "\x1b[1;31m", "not judged here": OPEN, "not measured": OPEN };

function painted(verdict: CheckedClaim["verdict"]): string {
  const paint = Deno.stdout.isTerminal() && !Deno.noColor;
  return paint ? `${COLOURS[verdict]}${verdict}\x1b[0m` : verdict;
}

/** Options of {@linkcode claimsTable}. */
export interface ClaimsTableOptions {
  /** Sentences, tolerances and sources too. */
  readonly verbose?: boolean | undefined;
  readonly width?: number;
}

/** Formats claims, verdict first. */
export function claimsTable(
  claims: readonly CheckedClaim[],
  { verbose = false, width = terminalWidth() }: ClaimsTableOptions = {},
): string {
  if (claims.length === 0) return "No claim is about these results.";
  const rows = claims.map((claim) => ({
    ...claim,
    verdict: painted(claim.verdict),
    claim: `${claim.sentence} (${claim.source})`,
    accepted: `${claim.expected}; ${claim.tolerance}`,
  }));
  if (verbose) {
    return formatTable(rows, [
      "verdict",
      "id",
      { key: "claim", wrap: true },
      { key: "accepted", wrap: true, title: "expected; accepted" },
      { key: "measured", wrap: true },
    ], width);
  }
  const id = { key: "id", cut: width < NARROW };
  const columns = ["verdict", id, { key: "measured", cut: true }, { key: "expected", cut: true }];
  const [heading, rule, ...lines] = formatTable(rows, columns, width).split("\n");
  return [heading, rule, ...lines.flatMap((line, i) => [line, ...reasons(claims[i], width)])].join("\n");
}

/** Below this width names of claims are cut too. */
const NARROW = 80;
const INDENT = "    ";

/** Why a claim fails or stays open, where the line itself does not say it. */
function reasons(claim: CheckedClaim, width: number): string[] {
  const { verdict, sentence, measured, expected, tolerance, broken } = claim;
  const text = verdict === "fails"
    ? `${sentence} Measured: ${measured}. Expected: ${expected} (accepted: ${tolerance}).`
    : verdict === "not judged here"
    ? `${measured}.`
    : broken
    ? `could not be computed: ${measured}.`
    : undefined;
  return text === undefined ? [] : wrapText(text, width - INDENT.length).map((line) => INDENT + line);
}

/** The last line of a run, for whoever searches a log: `result: 35 of 35 claims hold; exit code 0 (...)`. */
export function resultLine(claims: readonly CheckedClaim[], code: ExitCode): string {
  return `result: ${summarise(claims).replace(/\.$/, "")}; ${exitText(code)}`;
}
