/** What tests of experiments do with hand-made rows: read them back as from a CSV, and draw them. */
import { assert, assertMatch, assertStringIncludes } from "@std/assert";
import { renderSvg } from "../src/report/charts.ts";
import { csvText } from "../src/report/csv.ts";
import { readReference } from "../src/report/results.ts";
import {
  csvColumns,
  type Experiment,
  type LineChart,
  type NewRow,
  type Row,
} from "../src/reproduction/experiment.ts";

export const reference = await readReference();

/** Rows as a CSV gives them back; a value without a column would be lost, so it must not be there. */
export function asRead(experiment: Experiment, rows: readonly NewRow[]): Row[] {
  const columns = csvColumns(experiment);
  return rows.map((row) => {
    for (const column of Object.keys(row)) {
      assert(columns.includes(column), `${experiment.key} has no column ${column}`);
    }
    return Object.fromEntries(columns.map((column) => [column, csvText(row[column])]));
  });
}

/** A sentence that goes on from "What to see:". */
const SEEN = /^(?!.*(undefined|NaN|-0(?![.\d])))[a-z].*[^.]\.$/;

/** The charts of rows, drawn. */
export function draw(experiment: Experiment, rows: readonly Row[]) {
  const charts = experiment.figures(rows, reference);
  for (const chart of charts) {
    assert(chart.name.startsWith(experiment.key), chart.name);
    assertStringIncludes(renderSvg(chart), "<svg");
    assertMatch(chart.see, SEEN);
  }
  return charts;
}

export const lineSeries = (chart: unknown, name: string) =>
  (chart as LineChart).series.find((series) => series.name === name);
