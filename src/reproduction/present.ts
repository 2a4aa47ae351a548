/** Turns a folder of CSVs into figures, the report, and verdicts on the claims; publishes the CSVs, and has the documents renewed. */
import type { Catalogue, Experiment, Reference, Result, Size } from "./experiment.ts";
import { checkClaims, type CheckedClaim } from "../report/claims.ts";
import type { ChartDescription } from "../report/chart.ts";
import { renderSvg, writeChart } from "../report/charts.ts";
import { replaceFile } from "../files/replace_file.ts";
import type { CsvTable } from "../report/csv.ts";
import { renderReport, type ReportFigure, type ReportSection } from "../report/html.ts";
import { committedResults, dataOf, figuresFolder, isCommitted, readReference } from "../report/results.ts";
import { UsageError } from "../terminal/command.ts";
import { ownFolderInTurn } from "../folders/own_folder.ts";
import { claimsTable, resultLine } from "./claims_table.ts";
import { claimCoverage } from "./claim_coverage.ts";
import { keysOf, readTables } from "./check_results.ts";
import { writeDerived } from "./derived.ts";
import { Progress } from "../terminal/progress.ts";
import { publish } from "./runner.ts";
import { type ExitCode, exitCodeOf } from "./verdicts.ts";

/** What {@linkcode drawResults} has made. */
export interface DrawnResults {
  readonly claims: readonly CheckedClaim[];
  /** Names of the figures, without their ending. */
  readonly figures: readonly string[];
  readonly figuresFolder: string;
  readonly report: string;
  /** What could not be drawn, of which result, and why; the rest was. */
  readonly failures: readonly DrawingFailure[];
}

interface DrawingFailure {
  readonly key: string;
  readonly text: string;
}

/**
 * Draws all figures and the report from the CSVs in a folder, and checks the claims about them. `only` draws
 * the figures of some results; the report always shows everything that is there. What cannot be drawn is told and left out.
 */
export async function drawResults(
  catalogue: Catalogue,
  folder: string,
  only?: readonly string[],
): Promise<DrawnResults> {
  const { leading, allResults } = catalogue;
  const reference = await readReference();
  const { tables, derived } = await readTables(catalogue, folder, reference);
  if (![...tables.keys()].some((key) => only?.includes(key) ?? true)) {
    const keys = only ?? allResults.map(({ key }) => key);
    throw new Error(`nothing to draw: ${folder} has no rows of ${keys.join(", ")}`);
  }
  writeDerived(folder, derived.tables);
  // The committed results answer for every claim, a run of some experiments only for theirs.
  const judged = isCommitted(folder) ? undefined : [...tables.keys()];
  const claims = checkClaims(dataOf(tables, reference), judged);
  const progress = new Progress("tables drawn", tables.size), target = figuresFolder(folder);
  const names: string[] = [],
    failures: DrawingFailure[] = [...derived.failures],
    drawn = new Map<string, ReportSection>();
  for (const result of allResults) {
    const table = tables.get(result.key);
    if (!table) continue;
    const note = (text: string) => progress.update(drawn.size, text);
    const isWritten = only === undefined || only.includes(result.key);
    const section = await drawSection(result, table, reference, isWritten ? target : undefined, note);
    drawn.set(result.key, section.section);
    failures.push(...section.failures.map((text) => ({ key: result.key, text })));
    if (isWritten) names.push(...section.section.figures.map(({ name }) => name));
  }
  progress.finish();
  const sectionsOf = (results: readonly Result[]) => results.flatMap(({ key }) => drawn.get(key) ?? []);
  const report = `${folder}/report.html`;
  replaceFile(
    report,
    renderReport({
      title: "Private CNN inference with polynomial activations: results",
      introduction:
        "What this artifact measured, beside what the paper \u201cFast and Private Inference of Deep " +
        "Neural Networks by Co-designing Activation Functions\u201d (USENIX Security 2024) and its public code " +
        "report. Every number on this page comes from the CSV files beside it.",
      claims,
      coverage: claimCoverage(catalogue).filter(({ id }) => claims.some((claim) => claim.id === id)),
      failures: failures.map(({ text }) => text),
      leading: sectionsOf(leading),
      sections: sectionsOf(allResults.filter((result) => !leading.includes(result))),
    }),
  );
  return { claims, figures: names, figuresFolder: target, report, failures };
}

/** Draws what belongs to one table; `target` is the folder of the figures' files, if they are to be written. */
async function drawSection(
  result: Result,
  { rows }: CsvTable,
  reference: Reference,
  target: string | undefined,
  note: (text: string) => void,
): Promise<{ section: ReportSection; failures: string[] }> {
  const { key, title, explanation, source, columns } = result, failures: string[] = [];
  const attempt = async <T>(what: string, make: () => T | Promise<T>): Promise<T | undefined> => {
    try {
      return await make();
    } catch (error) {
      failures.push(`${what}: ${error instanceof Error ? error.message : String(error)}`);
    }
  };
  const figures: ReportFigure[] = [];
  const charts: readonly ChartDescription[] =
    await attempt(`the figures of ${key}`, () => result.figures(rows, reference)) ?? [];
  for (const chart of charts) {
    note(chart.name);
    const figure = await attempt(`figure ${chart.name}`, async () => {
      const { name, caption, see } = chart, svg = renderSvg(chart);
      if (target !== undefined) await writeChart(chart, target);
      return { name, caption, svg, see };
    });
    if (figure) figures.push(figure);
  }
  const table = await attempt(`the table of ${key}`, () => result.table?.(rows, reference));
  return {
    section: {
      ...{ key, title, explanation, columns, figures, rows },
      ...(source === undefined ? {} : { source }),
      ...(table === undefined ? {} : { table }),
    },
    failures,
  };
}

/** How {@linkcode presentRun} ends a run. */
export interface PresentOptions {
  /** Whether complete results replace the committed ones. */
  readonly publishing: boolean;
  /** Writes what else follows from the committed rows, and names the files that were stale. */
  readonly refresh: () => Promise<readonly string[]>;
  /** Whether a cell broke. */
  readonly broke?: boolean;
  readonly verbose?: boolean | undefined;
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
 * @returns the exit code
 */
export async function presentRun(
  catalogue: Catalogue,
  chosen: readonly Experiment[],
  size: Size,
  folder: string,
  { publishing, refresh, broke = false, verbose }: PresentOptions,
): Promise<ExitCode> {
  const drawn = await drawResults(catalogue, folder), keys = keysOf(catalogue, chosen);
  const failures = new Set(drawn.failures.map(({ text }) => text));
  // What lies in the folder from an earlier run is no fault of this one.
  let isWhole = drawn.failures.every(({ key }) => !keys.includes(key));
  console.error(`figures: ${drawn.figuresFolder}, report: ${drawn.report}`);
  if (publishing) {
    await ownFolderInTurn(committedResults);
    const outcome = await publish(chosen, size, folder, committedResults);
    for (const { key, published, reason } of outcome) {
      console.error(
        published ? `${committedResults}/${key}.csv is new` : `${key} stays in ${folder}: ${reason}`,
      );
    }
    const news = keysOf(
      catalogue,
      chosen.filter(({ key }) => outcome.some((one) => one.published && one.key === key)),
    );
    if (news.length > 0) {
      const committed = await drawResults(catalogue, committedResults, news);
      console.error(`figures: ${committed.figuresFolder}, report: ${committed.report}`);
      for (const { text } of committed.failures) failures.add(text);
      // Also of what is derived from the new rows and others that were there.
      const fromNews = catalogue.derivedTables.filter(({ from }) => from.some((key) => news.includes(key)));
      const own = [...keys, ...fromNews.map(({ key }) => key)];
      if (committed.failures.some(({ key }) => own.includes(key))) isWhole = false;
      await refresh().then(
        (paths) => paths.forEach((path) => console.error(`${path} is new`)),
        (error) => {
          failures.add(`the documents: ${error instanceof Error ? error.message : String(error)}`);
          isWhole = false;
        },
      );
    }
  }
  for (const failure of failures) console.error(`not drawn: ${failure}`);
  const claims = drawn.claims.filter(({ experiment }) => keys.includes(experiment));
  const code = exitCodeOf(claims, broke || !isWhole);
  console.log(`${claimsTable(claims, { verbose })}\n\n${resultLine(claims, code)}`);
  return code;
}
