/**
 * The gauge beside a cell: the same plaintext work before and after it, so that its row tells how fast and how steady the machine
 * was then. `src/report/gauge.ts` says what follows from it.
 */
import { GAUGE_COLUMNS } from "../src/report/gauge.ts";
import { median, quartiles } from "../src/report/statistics.ts";
import { PERMISSIONS } from "./_infer.ts";
import type { PlaintextResult } from "../src/reproduction/command_results.ts";
import { type CellContext, type Experiment, type NewRow, runJson } from "../src/reproduction/experiment.ts";

/** Seconds that a reading takes, most of them to start. */
const GAUGE_SECONDS = 3;
/** A reading is also the one before the next cell if that begins within this time. */
const FRESH_MS = 2000;

const GAUGE = "TensorFlow.js", QUERIES = 12, WARM_UP = 8;

async function readGauge(): Promise<readonly number[]> {
  const { times } = await runJson([
    ...PERMISSIONS,
    "src/cli/plaintext.ts",
    ...["--model", "resnet18", "--activation", "relu", "--json"],
    ...["--repetitions", String(QUERIES), "--warm-up", String(WARM_UP)],
  ]) as PlaintextResult;
  return times;
}

let last: { readonly times: readonly number[]; readonly at: number } | undefined;

/** Measures a cell between two readings of the gauge, which judge no time at size smoke and are left out there. */
export async function besideGauge(
  { size, note }: CellContext,
  measure: () => Promise<readonly NewRow[]>,
  read: () => Promise<readonly number[]> = readGauge,
): Promise<readonly NewRow[]> {
  if (size === "smoke") return await measure();
  const isFresh = last !== undefined && performance.now() - last.at < FRESH_MS;
  if (!isFresh) note("gauge");
  const before = isFresh ? last!.times : await read();
  const rows = await measure();
  note("gauge");
  const after = await read();
  last = { times: after, at: performance.now() };
  const all = [...before, ...after], { low, high } = quartiles(all);
  const gauge = { gauge: GAUGE, gauge_ms: median(all), gauge_q1_ms: low, gauge_q3_ms: high };
  return rows.map((row) => ({ ...row, ...gauge }));
}

/** An experiment whose cells are measured beside the gauge; its columns follow those of the experiment. */
export function withGauge(experiment: Experiment): Experiment {
  return {
    ...experiment,
    columns: { ...experiment.columns, ...GAUGE_COLUMNS },
    cells: (size) =>
      experiment.cells(size).map((cell) =>
        size === "smoke" ? cell : { ...cell, seconds: (cell.seconds ?? 1) + GAUGE_SECONDS }
      ),
    run: (cell, context) => besideGauge(context, async () => await experiment.run(cell, context)),
  };
}
