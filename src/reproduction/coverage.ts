/** What each size of a run decides, from the cells of the experiments as they are planned. */
import { MEMORY_MB } from "./experiment.ts";
import { derivedTables, experiments } from "../../experiments/mod.ts";
import { claims, type Size } from "../report/claims.ts";
import { type Cost, type Coverage, coverage, entryText } from "../report/coverage.ts";

/** What an experiment takes, or those that a derived table is drawn from. */
export function costOf(key: string, size: Size): Cost {
  const sources = derivedTables.find((table) => table.key === key)?.from ?? [key];
  const cells = experiments.filter((experiment) => sources.includes(experiment.key))
    .flatMap((experiment) => experiment.cells(size));
  return {
    minutes: cells.reduce((sum, { seconds = 1 }) => sum + seconds, 0) / 60,
    memoryMB: Math.max(0, ...cells.map(({ memoryMB = MEMORY_MB }) => memoryMB)),
  };
}

/** The matrix of all claims. */
export const claimCoverage = (): Coverage[] => coverage(claims, costOf);

/** The matrix as a Markdown table. */
export function coverageTable(): string {
  const line = (cells: readonly string[]) => `| ${cells.join(" | ")} |`;
  const rows = claimCoverage().map(({ id, sizes: { smoke, quick, full } }) =>
    line([`\`${id}\``, ...[smoke, quick, full].map(entryText)])
  );
  return [line(["claim", "smoke", "quick", "full"]), line(["---", "---", "---", "---"]), ...rows].join("\n");
}
