/** Turns a folder of CSVs into figures, the report, and verdicts on the claims. */
import type { Experiment, Size } from "../../experiments/experiment.ts";
import { experiments } from "../../experiments/mod.ts";
import { checkClaims, type CheckedClaim } from "../report/claims.ts";
import { renderSvg, writeChart } from "../report/charts.ts";
import { type CsvTable, writeFileAtomically } from "../report/csv.ts";
import { renderReport, type ReportSection } from "../report/html.ts";
import {
  committedResults,
  dataOf,
  figuresFolder,
  isCommitted,
  readReference,
  readResults,
} from "../report/results.ts";
import { UsageError } from "./command.ts";
import { ownFolderInTurn } from "./own_folder.ts";
import { claimsTable } from "./claims_table.ts";
import { Progress } from "./progress.ts";
import { publish } from "./runner.ts";

/** What {@linkcode drawResults} has made. */
export interface Drawn {
  readonly claims: readonly CheckedClaim[];
  /** Names of the figures, without their ending. */
  readonly figures: readonly string[];
  readonly figuresFolder: string;
  readonly report: string;
}

/**
 * Draws all figures and the report from the CSVs in a folder, and checks the claims about them. `only` draws
 * the figures of some experiments; the report always shows everything that is there.
 */
export async function drawResults(folder: string, only?: readonly string[]): Promise<Drawn> {
  const reference = await readReference();
  const tables = await readResults(folder, experiments.map(({ key }) => key));
  if (![...tables.keys()].some((key) => only?.includes(key) ?? true)) {
    const keys = only ?? experiments.map(({ key }) => key);
    throw new Error(`nothing to draw: ${folder} has no rows of ${keys.join(", ")}`);
  }
  // The committed results answer for every claim, a run of some experiments only for theirs.
  const judged = isCommitted(folder) ? undefined : [...tables.keys()];
  const claims = checkClaims(dataOf(tables, reference), judged);
  const progress = new Progress("experiments drawn", tables.size);
  const target = figuresFolder(folder), names: string[] = [], sections: ReportSection[] = [];
  for (const experiment of experiments) {
    const { key, title, explanation, source, columns } = experiment, table = tables.get(key);
    if (!table) continue;
    const charts = chartsOf(experiment, table, reference), figures = [];
    for (const chart of charts) {
      progress.update(sections.length, chart.name);
      if (!only || only.includes(key)) {
        await writeChart(chart, target);
        names.push(chart.name);
      }
      figures.push({ name: chart.name, caption: chart.caption, svg: renderSvg(chart) });
    }
    const summary = experiment.table?.(table.rows, reference);
    sections.push({
      key,
      title,
      explanation,
      columns,
      figures,
      rows: table.rows,
      ...(source === undefined ? {} : { source }),
      ...(summary === undefined ? {} : { table: summary }),
    });
  }
  progress.finish();
  const report = `${folder}/report.html`;
  writeFileAtomically(
    report,
    renderReport({
      title: "Private CNN inference with polynomial activations: results",
      introduction:
        "What this artifact measured, beside what the paper \u201cFast and Private Inference of Deep " +
        "Neural Networks by Co-designing Activation Functions\u201d (USENIX Security 2024) and its public code " +
        "report. Every number on this page comes from the CSV files beside it.",
      claims,
      sections,
    }),
  );
  return { claims, figures: names, figuresFolder: target, report };
}

function chartsOf(
  experiment: Experiment,
  table: CsvTable,
  reference: Awaited<ReturnType<typeof readReference>>,
) {
  try {
    return experiment.figures(table.rows, reference);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new Error(`the figures of ${experiment.key} cannot be drawn from its CSV: ${reason}`, {
      cause: error,
    });
  }
}

/** Rows come to the committed results by {@linkcode publish} alone, which never puts a smaller run in the place of a larger one. */
export function refuseCommitted(results: string | undefined): void {
  if (results === undefined || !isCommitted(results)) return;
  throw new UsageError(
    `--results names ${results}, where the committed rows are; without --results those of a complete run go there`,
  );
}

/** Folders that {@linkcode presentRun} writes. */
export const placesOf = (folder: string, publishing: boolean): string[] =>
  (publishing ? [folder, committedResults] : [folder]).flatMap((
    results,
  ) => [results, figuresFolder(results)]);

/**
 * Ends a run: publishes what is complete, draws figures and report, prints where they are and the claims about
 * the chosen experiments.
 *
 * @returns whether every claim holds that a run of this size can judge
 */
export async function presentRun(
  chosen: readonly Experiment[],
  size: Size,
  folder: string,
  publishing: boolean,
): Promise<boolean> {
  const keys = chosen.map(({ key }) => key);
  const drawn = await drawResults(folder);
  console.error(`figures: ${drawn.figuresFolder}, report: ${drawn.report}`);
  if (publishing) {
    await ownFolderInTurn(committedResults);
    const outcome = await publish(chosen, size, folder, committedResults);
    for (const { key, published, reason } of outcome) {
      console.error(
        published ? `${committedResults}/${key}.csv is new` : `${key} stays in ${folder}: ${reason}`,
      );
    }
    const news = outcome.filter(({ published }) => published).map(({ key }) => key);
    if (news.length > 0) {
      const { figuresFolder, report } = await drawResults(committedResults, news);
      console.error(`figures: ${figuresFolder}, report: ${report}`);
    }
  }
  const claims = drawn.claims.filter(({ experiment }) => keys.includes(experiment));
  console.log(claimsTable(claims));
  return claims.every(({ verdict, needs }) =>
    verdict === "holds" || verdict === "not judged" || needs !== undefined
  );
}
