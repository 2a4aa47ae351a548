/** `deno task reproduce`: measures, draws, and checks the claims. */
import { type Experiment, sizes, stopChildren } from "../reproduction/experiment.ts";
import * as catalogue from "../../experiments/mod.ts";
import { currentCommit, machineText, originText } from "../report/environment.ts";
import { onExit, runCommand } from "../terminal/command.ts";
import { preflight, resourcesHere } from "../reproduction/preflight.ts";
import { checkResults, experimentsOf, keysOf } from "../reproduction/check_results.ts";
import { writeDocuments } from "../documents/documents.ts";
import { ownFolder } from "../folders/own_folder.ts";
import { resultLine } from "../reproduction/claims_table.ts";
import { placesOf, presentRun, refuseCommitted } from "../reproduction/present.ts";
import { formatDuration, Progress } from "../terminal/progress.ts";
import {
  checkShard,
  isToRun,
  originsOf,
  parseShard,
  planAgain,
  type PlannedCell,
  planRun,
  runCells,
  runFolder,
  type RunIdentity,
  setAside,
} from "../reproduction/runner.ts";
import { cellsToRepeat } from "../reproduction/verdicts.ts";
import { checkWritable } from "../folders/writable.ts";

/** Whose rows stay where a cell is not measured. */
const COMMITTED = "results";

await runCommand({
  name: "reproduce",
  summary: "run the experiments, draw every figure, and check every claim",
  notes: [
    "Rows are collected in runs/SIZE/results, one CSV an experiment, written after every cell. A complete experiment " +
    "then replaces the CSV in results/ unless that one is of a larger size (smoke < quick < full), and the figures in " +
    "paper_figures/ and results/report.html are drawn again.",
    "Before it starts, a run names what this machine lacks and leaves out the cells that need it. Cells whose times noise left open " +
    "are measured once more at the end.",
    "Exit code 0: no judged claim fails; 1: one fails, or a cell or a figure broke; 2: none fails, but noise left more than a quarter " +
    "of the claims about time open.",
  ],
  time: "smoke: about 4 min, quick: about 30 min, full: about 6 hours; told again before it starts",
  disk: "a few MB, and at quick and full 0.9 GB of caches and random networks",
  examples: [
    "reproduce --size smoke",
    "reproduce --size quick --only polynomial_fit",
    "reproduce --size full --resume",
  ],
  options: {
    size: { type: "string", choices: sizes, default: "quick", help: "how much is measured" },
    only: {
      type: "list",
      choices: [...catalogue.experiments, ...catalogue.derivedTables].map(({ key }) => key),
      value: "KEY,...",
      help: "these experiments only; a table that is derived from others measures those",
    },
    resume: { type: "boolean", help: "keep the cells that an earlier run of this size and seed completed" },
    long: {
      type: "boolean",
      help: "also run the cells that are marked long, most of them of 16 minutes and more",
    },
    shard: {
      type: "string",
      pattern: /^\d+\/\d+$/,
      accepts: "I/N with I from 1 to N, for example 2/8",
      value: "I/N",
      help: "every N-th cell only, beginning with the I-th; join the parts with: deno task merge",
    },
    results: {
      type: "path",
      value: "DIR",
      help: "collect the CSVs here and leave results/ alone; figures and report go beside them",
    },
    seed: {
      type: "integer",
      default: 1,
      min: 0,
      // Trainings count on from it, and take seeds of 31 bits.
      max: 2 ** 31 - 1024,
      help: "seed of everything that is repeatable",
    },
    verbose: { type: "boolean", excludes: ["shard"], help: "print the sentences of the claims too" },
  },
  interrupted: "finished cells are kept, --resume continues from them",
  async run({ size, only, resume, long, shard: shardText, results, seed, verbose }) {
    const chosen = experimentsOf(catalogue, only);
    const shard = shardText === undefined ? undefined : parseShard(shardText);
    const folder = results ?? runFolder(size, shard);
    refuseCommitted(results);
    ownFolder(folder);
    for (const place of [...shard ? [] : placesOf(folder, results === undefined)]) {
      checkWritable(place);
    }
    const identity = { size, seed, commit: await currentCommit(), machine: machineText() };
    const whole = await planRun(chosen, identity, folder, {
      resume,
      long,
      results: COMMITTED,
      ...(shard ? { shard } : {}),
    });
    if (long && !chosen.some(({ cells }) => cells(size).some((cell) => cell.long))) {
      console.error(`--long changes nothing: no cell of this run is long at size ${size}`);
    }
    const others = originsOf(whole.flatMap(({ kept }) => kept ?? []))
      .filter((origin) => origin !== originText(identity));
    if (others.length > 0) {
      console.error(`kept cells were measured with other code or on another machine: ${others.join("; ")}`);
    }
    const { run: plan, left, notes } = preflight(whole, resourcesHere());
    for (const note of notes) console.error(note);
    if (
      plan.length === 0 && shard && left.length === 0 && chosen.some(({ cells }) => cells(size).length > 0)
    ) {
      console.error(`shard ${shard.index} of ${shard.count} has no cell that is to be measured`);
      return 0;
    }
    if (plan.length === 0) {
      const isLarger = chosen.every(({ cells }) => cells(size).length === 0 && cells("full").length > 0);
      throw new Error(
        `nothing can be measured here: at size ${size} ${chosen.map(({ key }) => key).join(", ")} ${
          chosen.length === 1 ? "has" : "have"
        } no cell for this machine${
          left.length > 0
            ? ""
            : isLarger
            ? "; it may have some at --size full"
            : "; trained networks want their test images: deno task data --get cifar10"
        }`,
      );
    }
    if (shard) await checkShard(chosen, identity, shard, folder);
    const todo = plan.filter(isToRun);
    await setAside(chosen, folder, plan);
    const borrowed = plan.filter((planned) => planned.isBorrowed && !isToRun(planned)).length;
    const done = plan.length - todo.length - borrowed;
    console.error(
      `${size} run on ${identity.machine}, commit ${identity.commit}: ${cells(todo.length)}` +
        (done > 0 ? ` (${done} are complete already)` : "") +
        (borrowed > 0 ? ` (${borrowed} keep their committed rows)` : "") +
        (left.length > 0 ? ` (${left.length} are left out)` : "") +
        (todo.length > 0 ? `, roughly ${formatDuration(weightOf(todo))}` : "") + `; rows go to ${folder}`,
    );

    onExit(stopChildren);
    const failed = await runWithProgress(plan, identity, folder);
    // Without rows, and none that a merge can do without.
    const absent = left.filter(({ kept, cell }) => kept === undefined && !cell.long);
    const complete = failed.length === 0 && (!shard || absent.length === 0);
    if (failed.length > 0) {
      console.error(`${failed.length} of ${cells(plan.length)} failed; --resume tries again`);
    }
    if (shard) {
      // A merge refuses what is missing: better to know before it.
      console.error(
        `shard ${shard.index} of ${shard.count} is ${complete ? "complete" : "incomplete"} in ${folder}` +
          (absent.length > 0 ? `: ${cells(absent.length)} left out for want of memory or disk` : ""),
      );
      return complete ? 0 : 1;
    }
    if (failed.length === plan.length) {
      console.log(resultLine([], 1));
      return 1;
    }
    await repeatNoisy(chosen, identity, folder, COMMITTED);
    return await presentRun(catalogue, chosen, size, folder, {
      publishing: results === undefined,
      refresh: () => writeDocuments(catalogue),
      broke: !complete,
      verbose,
    });
  },
});

/** Seconds that cells are expected to take. */
function weightOf(plan: readonly PlannedCell[]): number {
  return plan.reduce((sum, { cell }) => sum + (cell.seconds ?? 1), 0);
}

/** Runs a plan with a line of progress, and returns the cells that failed. */
async function runWithProgress(
  plan: readonly PlannedCell[],
  identity: RunIdentity,
  folder: string,
): Promise<PlannedCell[]> {
  const progress = new Progress("cell", plan.length);
  const total = weightOf(plan.filter(isToRun));
  let spent = 0, current = 0, label = "";
  const show = (note: string) => progress.update(current, note, [spent, total]);
  const failed = await runCells(plan, identity, folder, {
    started({ experiment, cell }, number) {
      current = number - 1;
      show(label = `${experiment.key}: ${cell.id}`);
    },
    note: (text) => show(`${label}, ${text}`),
    finished({ cell }, number) {
      current = number;
      spent += cell.seconds ?? 1;
      show(label);
    },
    failed({ cell }, error) {
      spent += cell.seconds ?? 1;
      progress.clear();
      console.error(`failed: ${error.message}`);
    },
  }, currentCommit);
  progress.finish();
  return failed;
}

/** Measures the cells once more whose times noise left open; a cell that fails then keeps its rows. */
async function repeatNoisy(
  chosen: readonly Experiment[],
  identity: RunIdentity,
  folder: string,
  results: string,
): Promise<void> {
  const noisy = cellsToRepeat(await checkResults(catalogue, folder, keysOf(catalogue, chosen)));
  const plan = await planAgain(chosen, identity, folder, noisy, results);
  const again = plan.filter(({ again }) => again);
  if (again.length === 0) return;
  console.error(
    `noise left claims about time open: ${cells(again.length)} once more, roughly ${
      formatDuration(weightOf(again))
    }`,
  );
  await runWithProgress(plan, identity, folder);
}

function cells(count: number): string {
  return `${count} ${count === 1 ? "cell" : "cells"}`;
}
