/** What each size of a run decides, from the cells of the experiments as they are planned. */
import { type Catalogue, MEMORY_MB } from "./experiment.ts";
import { claims, type Size } from "../report/claims.ts";
import { type Cost, type Coverage, coverage, entryText } from "../report/coverage.ts";

/** What an experiment takes, or those that a derived table is drawn from. */
function costOf({ experiments, derivedTables }: Catalogue, key: string, size: Size): Cost {
  const sources = derivedTables.find((table) => table.key === key)?.from ?? [key];
  const cells = experiments.filter((experiment) => sources.includes(experiment.key))
    .flatMap((experiment) => experiment.cells(size));
  return {
    minutes: cells.reduce((sum, { seconds = 1 }) => sum + seconds, 0) / 60,
    memoryMB: Math.max(0, ...cells.map(({ memoryMB = MEMORY_MB }) => memoryMB)),
  };
}

/** The matrix of all claims. */
export const claimCoverage = (catalogue: Catalogue): Coverage[] =>
  coverage(claims, (key, size) => costOf(catalogue, key, size));

/** The matrix as a Markdown table. */
export function coverageTable(catalogue: Catalogue): string {
  const line = (cells: readonly string[]) => `| ${cells.join(" | ")} |`;
  const rows = claimCoverage(catalogue).map(({ id, sizes: { smoke, quick, full } }) =>
    line([`\`${id}\``, ...[smoke, quick, full].map(entryText)])
  );
  return [line(["claim", "smoke", "quick", "full"]), line(["---", "---", "---", "---"]), ...rows].join("\n");
}
