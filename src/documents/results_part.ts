/** docs/results.md: every table and figure that the committed CSVs give, one section a result. */
import type { Result } from "../reproduction/experiment.ts";
import { csvText, type CsvValue, type Row } from "../report/csv.ts";
import { formatNumber } from "../terminal/table.ts";
import { list, paragraph, table } from "./markdown.ts";
import { rowsOf, type Sources } from "./sources.ts";

export function resultsPart(sources: Sources): string {
  const { catalogue, claims } = sources;
  return catalogue.allResults.map((result) => {
    const rows = rowsOf(sources, result.key);
    const own = claims.filter(({ experiment }) => experiment === result.key).map(({ id }) => `\`${id}\``);
    return [
      `## \`${result.key}\`: ${result.title}`,
      paragraph(`Source: ${result.source ?? "ours"}. Claims: ${own.join(", ") || "none"}.`),
      paragraph(result.explanation),
      ...rows.length === 0 ? ["No rows are committed."] : measured(result, rows, sources),
    ].join("\n\n");
  }).join("\n\n");
}

function measured(result: Result, rows: readonly Row[], { reference }: Sources): string[] {
  const figures = result.figures(rows, reference).map(({ name, see }) =>
    `[${name}](../paper_figures/${name}.svg): ${see}`
  );
  const summary = result.table?.(rows, reference) ?? [];
  const values = (column: string) =>
    [...new Set(rows.map((row) => row[column]))].filter((text) => text !== "");
  return [
    paragraph(
      `Rows: [${result.key}.csv](../results/${result.key}.csv), ${
        ["size", "seed", "commit"].map((column) => `${column} ${values(column).join(", ")}`).join("; ")
      }.`,
    ),
    ...figures.length === 0 ? [] : [list(figures)],
    ...summary.length === 0 ? [] : [table(summary.map(shown))],
  ];
}

const shown = (row: Readonly<Record<string, CsvValue>>): Readonly<Record<string, string>> =>
  Object.fromEntries(
    Object.entries(row).map(([column, value]) => [
      column,
      typeof value === "number" ? formatNumber(value) : csvText(value),
    ]),
  );
