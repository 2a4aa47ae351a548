/** `deno task reproduce`: measures, draws, and checks the claims. */
import { type Experiment, sizes, stopChildren } from "../../experiments/experiment.ts";
import { experiments } from "../../experiments/mod.ts";
import { currentCommit, machineText, originText } from "../report/environment.ts";
import { onExit, runCommand } from "./command.ts";
import { ownFolder } from "./own_folder.ts";
import { placesOf, presentRun, refuseCommitted } from "./present.ts";
import { formatDuration, Progress } from "./progress.ts";
import { checkWritable } from "./writable.ts";
import { originsOf, parseShard, planRun, runCells, runFolder } from "./runner.ts";

await runCommand({
  name: "reproduce",
  summary: "run the experiments, draw every figure, and check every claim",
  notes: [
    "Rows are collected in runs/SIZE/results, one CSV an experiment, written after every cell. A complete experiment " +
    "then replaces the CSV in results/ unless that one is of a larger size (smoke < quick < full), and the figures in " +
    "paper_figures/ and results/report.html are drawn again.",
    "Exit code 0 only if every cell ran and every claim that this size can judge holds.",
  ],
  time: "smoke: about 3 min, quick: about 20 min, full: about 5 hours; told again before it starts",
  disk: "a few MB",
  examples: [
    "reproduce --size smoke",
    "reproduce --size quick --only polynomial_fit",
    "reproduce --size full --resume",
  ],
  options: {
    size: { type: "string", choices: sizes, default: "quick", help: "how much is measured" },
    only: {
      type: "list",
      choices: experiments.map(({ key }) => key),
      value: "KEY,...",
      help: "these experiments only",
    },
    resume: { type: "boolean", help: "keep the cells that an earlier run of this size and seed completed" },
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
      max: 2 ** 32 - 1,
      help: "seed of everything that is repeatable",
    },
  },
  interrupted: "finished cells are kept, --resume continues from them",
  async run({ size, only, resume, shard: shardText, results, seed }) {
    const chosen = only ? experiments.filter(({ key }) => only.includes(key)) : experiments;
    const shard = shardText === undefined ? undefined : parseShard(shardText);
    const folder = results ?? runFolder(size, shard);
    refuseCommitted(results);
    ownFolder(folder);
    for (const place of [...shard ? [] : placesOf(folder, results === undefined)]) {
      checkWritable(place);
    }
    const identity = { size, seed, commit: await currentCommit(), machine: machineText() };
    const plan = await planRun(chosen, identity, folder, { resume, ...(shard ? { shard } : {}) });
    const others = originsOf(plan.flatMap(({ kept }) => kept ?? []))
      .filter((origin) => origin !== originText(identity));
    if (others.length > 0) {
      console.error(`kept cells were measured with other code or on another machine: ${others.join("; ")}`);
    }
    const todo = plan.filter(({ kept }) => kept === undefined),
      weight = (cells: typeof plan) => cells.reduce((sum, { cell }) => sum + (cell.seconds ?? 1), 0);
    if (!resume) await setAside(chosen, folder);
    const done = plan.length - todo.length;
    console.error(
      `${size} run on ${identity.machine}, commit ${identity.commit}: ${cells(todo.length)}` +
        (done > 0 ? ` (${done} are complete already)` : "") +
        (todo.length > 0 ? `, roughly ${formatDuration(weight(todo))}` : "") + `; rows go to ${folder}`,
    );

    onExit(stopChildren);
    const progress = new Progress("cell", plan.length);
    let spent = 0, current = 0, label = "";
    const total = weight(todo), show = (note: string) => progress.update(current, note, [spent, total]);
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
    });
    progress.finish();
    const complete = failed.length === 0;
    if (!complete) {
      console.error(`${failed.length} of ${cells(plan.length)} failed; --resume tries again`);
    }
    if (shard) {
      console.error(
        `shard ${shard.index} of ${shard.count} is ${complete ? "complete" : "incomplete"} in ${folder}`,
      );
      return complete ? 0 : 1;
    }
    if (failed.length === plan.length) return 1;
    return await presentRun(chosen, size, folder, results === undefined) && complete ? 0 : 1;
  },
});

function cells(count: number): string {
  return `${count} ${count === 1 ? "cell" : "cells"}`;
}

/** A new run must not silently cost the rows of an old one: they stay beside it until the next time. */
async function setAside(experiments: readonly Experiment[], folder: string): Promise<void> {
  for (const { key } of experiments) {
    await Deno.rename(`${folder}/${key}.csv`, `${folder}/${key}.csv.previous`).catch((error) => {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    });
  }
}
