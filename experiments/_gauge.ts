/**
 * The gauge beside a cell: the same plaintext work before and after it, so that its row tells how fast and how steady the machine
 * was then. `src/report/gauge.ts` says what follows from it.
 */
import { GAUGE_COLUMNS } from "../src/report/gauge.ts";
import { median, quartiles } from "../src/report/statistics.ts";
import { plaintext } from "./_plaintext.ts";
import { OnnxGauge } from "../src/bench/onnx_gauge.ts";
import { coresOfOthers, processorTime } from "../src/bench/other_processes.ts";
import type { CellContext, Experiment, NewRow } from "../src/reproduction/experiment.ts";

/** Seconds that a reading takes. */
const GAUGE_SECONDS = 0.3;
/** A reading is also the one before the next cell if that begins within this time. */
const FRESH_MS = 2000;

const WORK = { model: "resnet18", activation: "relu", queries: 12, warmUp: 8 };

/** Times of one reading, and by what. */
interface Reading {
  readonly gauge: string;
  readonly times: readonly number[];
}

/** Of all experiments: the first reading starts it. */
let native: Promise<OnnxGauge | undefined> | undefined;

async function closeGauge(): Promise<void> {
  const gauge = native;
  native = undefined;
  await (await gauge?.catch(() => undefined))?.[Symbol.asyncDispose]();
}

/** ONNX Runtime in machine code is as fast as what the public code runs on; where it is not to be had, TensorFlow.js is. */
async function readGauge(): Promise<Reading> {
  try {
    const gauge = await (native ??= OnnxGauge.open(WORK.model));
    if (gauge) return { gauge: "ONNX Runtime", times: await gauge.read(WORK) };
  } catch (error) {
    // One that has died is not asked again: the next reading starts another.
    await closeGauge();
    throw error;
  }
  const web = await plaintext({ ...WORK, runtime: "tfjs" });
  if ("times" in web) return { gauge: "TensorFlow.js", times: web.times };
  throw new Error(web.notLoaded);
}

let last: Reading & { readonly at: number } | undefined;

/** Measures a cell between two readings of the gauge, which judge no time at size smoke and are left out there. */
export async function besideGauge(
  { size, note }: CellContext,
  measure: () => Promise<readonly NewRow[]>,
  read: () => Promise<Reading> = readGauge,
): Promise<readonly NewRow[]> {
  if (size === "smoke") return await measure();
  const isFresh = last !== undefined && performance.now() - last.at < FRESH_MS;
  if (!isFresh) note("gauge");
  const before = isFresh ? last! : await read();
  const start = await processorTime();
  const rows = await measure();
  const others_cores = coresOfOthers(start, await processorTime());
  note("gauge");
  const after = await read();
  last = { ...after, at: performance.now() };
  const all = [...before.times, ...after.times], { low, high } = quartiles(all);
  const gauge = {
    gauge: after.gauge,
    gauge_ms: median(all),
    gauge_q1_ms: low,
    gauge_q3_ms: high,
    others_cores,
  };
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
    close: closeGauge,
  };
}
