/**
 * The folder of a training run: `checkpoint.safetensors` after every epoch; in the end `model.json` and
 * `weights.safetensors`, which inference reads, and `training.json`, which says how they came about. The log, a
 * row an epoch, is `log.csv` there and `<run>.csv` among the results.
 */
import { basename, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { readCheckpoint, writeCheckpoint } from "../data/checkpoint.ts";
import type { Dataset } from "../data/dataset.ts";
import { writeModelFolder } from "../data/model_folder.ts";
import { isThere } from "../files/is_there.ts";
import { replaceFile } from "../files/replace_file.ts";
import type { Graph } from "../models/graph.ts";
import { formatCsv, type NewRow, parseCsv } from "../report/csv.ts";
import { parseActivation } from "../training/activations.ts";
import type { Metrics } from "../training/evaluation.ts";
import { firstDifference, PLAIN_FIELDS, type Run } from "../training/recipe.ts";
import {
  type Divergence,
  divergenceText,
  type EpochRow,
  type TrainingCheckpoint,
  type TrainingResult,
} from "../training/trainer.ts";

/** Says how the network of a folder came about. */
export const TRAINING_FILE = "training.json";
export const CHECKPOINT = "checkpoint.safetensors";
const LOG = "log.csv";

/** Where and how a run is carried out: recorded beside the result, without influence on it. */
export interface Circumstances {
  readonly workers: number;
  readonly flags: readonly string[];
  /** Whether a product and a sum are rounded once; null where the engine leaves that open. */
  readonly fma: boolean | null;
  readonly commit: string;
  readonly machine: string;
  readonly v8: string;
}

/** Circumstances from an epoch on: a run may go on with other code, or on another machine. */
export interface Origin extends Circumstances {
  readonly fromEpoch: number;
}

/** A run that goes on. */
export interface StoredRun {
  readonly checkpoint: TrainingCheckpoint;
  readonly origins: readonly Origin[];
  readonly classNames: readonly string[] | null;
}

/** Epochs that were trained before runs recorded where. */
const UNKNOWN: Origin = {
  fromEpoch: 1,
  workers: 0,
  flags: [],
  fma: null,
  commit: "unknown",
  machine: "unknown",
  v8: "unknown",
};

/** The origins of a run that goes on after `done` epochs; the last ones once more where nothing has changed. */
export function withOrigin(
  origins: readonly Origin[],
  circumstances: Circumstances,
  done: number,
): readonly Origin[] {
  const { fromEpoch: _, ...last } = origins.at(-1) ?? UNKNOWN;
  if (origins.length > 0 && JSON.stringify(last) === JSON.stringify(circumstances)) return origins;
  return [...origins.filter(({ fromEpoch }) => fromEpoch <= done), { fromEpoch: done + 1, ...circumstances }];
}

/** The circumstances of an epoch. */
const originOfEpoch = (origins: readonly Origin[], epoch: number): Origin =>
  origins.findLast(({ fromEpoch }) => fromEpoch <= epoch) ?? UNKNOWN;

/**
 * The checkpoint of a run that goes on; undefined where a new one begins.
 *
 * @throws {Error} one sentence, if the folder holds a run and `resume` is false, or another run
 */
export function openRun(out: string, run: Run, resume: boolean): StoredRun | undefined {
  const stored = readCheckpoint(`${out}/${CHECKPOINT}`);
  if (!stored) {
    if (!isThere(`${out}/model.json`)) return undefined;
    throw new Error(`${out} holds a model without a checkpoint to go on from; give another --out`);
  }
  const { run: begun, history, origins = [UNKNOWN], classNames = null } = stored.description as
    & Pick<TrainingCheckpoint, "run" | "history">
    & Partial<Omit<StoredRun, "checkpoint">>;
  const difference = firstDifference({ ...PLAIN_FIELDS, ...begun }, run);
  if (difference) {
    const { field, first, second } = difference;
    throw new Error(
      `${out} holds a run with ${field} ${show(first)}, this one has ${show(second)}; ` +
        "give the same options, or another --out",
    );
  }
  if (!resume) {
    const epochs = history.length === run.epochs ? "all" : history.length;
    throw new Error(
      `${out} holds this run already, ${epochs} of its ${run.epochs} epochs done; ` +
        "give --resume to go on, or another --out",
    );
  }
  const { weights, momentum, average } = stored.groups;
  return {
    checkpoint: { run, history, state: { weights, momentum }, average: average ?? null },
    origins,
    classNames,
  };
}

/** Refuses a dataset whose classes have other names than those that were learnt: labels would mean something else. */
export function checkClassNames(
  folder: string,
  learnt: readonly string[] | null | undefined,
  { name, classNames }: Pick<Dataset, "name" | "classNames">,
): void {
  if (!learnt || !classNames || learnt.join("\0") === classNames.join("\0")) return;
  const at = Math.max(0, learnt.findIndex((name, i) => name !== classNames[i]));
  throw new Error(
    `class ${at} of ${folder} is "${learnt[at]}", but "${
      classNames[at] ?? "nothing"
    }" in the dataset ${name}`,
  );
}

/** Refuses a folder without a trained network: a run that has not ended, or none at all. */
export function checkFinished(folder: string): void {
  if (isThere(`${folder}/model.json`)) return;
  throw new Error(
    isThere(`${folder}/${CHECKPOINT}`)
      ? `${folder} holds a run that has not ended, or has diverged; deno task train --resume goes on with it`
      : `${folder} is not a model folder: model.json is missing`,
  );
}

const show = (value: unknown): string => value === null || value === undefined ? "off" : String(value);

/** Replaces the checkpoint in the folder, which is made if it is missing. */
export function saveCheckpoint(
  out: string,
  { run, state, average, history }: TrainingCheckpoint,
  { origins, classNames }: Omit<StoredRun, "checkpoint">,
): void {
  Deno.mkdirSync(out, { recursive: true });
  writeCheckpoint(`${out}/${CHECKPOINT}`, {
    groups: { ...state, ...average && { average } },
    description: { run, history, origins, classNames },
  });
}

/** Writes what a run has found, with the network's own weights: a diverged one leaves no model behind. */
export async function writeResult(
  out: string,
  { run, dataset, classNames, origins, graph, result }: {
    run: Run;
    dataset: Dataset;
    classNames: readonly string[] | null;
    origins: readonly Origin[];
    /** Of a network that is none of ours. */
    graph: Graph | undefined;
    result: TrainingResult;
  },
): Promise<void> {
  const { diverged, history, weights, layers, lastSteps } = result;
  if (!diverged) {
    const { model, pixels } = run, { classes } = dataset, activation = parseActivation(run.activation);
    const description = {
      model,
      classes,
      activation,
      ...classNames && { classNames },
      ...pixels && { pixels },
    };
    await writeModelFolder(out, description, weights, graph && { graph });
  }
  const images = {
    name: dataset.name,
    classes: dataset.classes,
    trainImages: dataset.train.count,
    evaluationImages: dataset.test.count,
    evaluatedOn: splitOf(run),
  };
  const description = {
    run,
    dataset: images,
    origins,
    ...speedOf(history),
    diverged,
    layers,
    lastSteps,
    history,
  };
  replaceFile(`${out}/${TRAINING_FILE}`, JSON.stringify(description, null, 2) + "\n");
}

/** What `train` has written into a folder; undefined if it has written nothing there. */
export async function readDescription(folder: string): Promise<{ run: Run } | undefined> {
  const file = `${folder}/${TRAINING_FILE}`;
  if (!isThere(file)) return undefined;
  let description: { run?: Run } | null;
  try {
    description = JSON.parse(await Deno.readTextFile(file));
  } catch (error) {
    throw new Error(`${file} cannot be read: ${(error as Error).message}`);
  }
  if (description?.run) return { run: description.run };
  throw new Error(`${file} does not say how the network was trained: it has no "run"`);
}

/**
 * Refuses to measure on held-out images what has learned from them. Of a user's own folder of images nobody knows whether it is the
 * same one.
 *
 * @param folder of the network, or of one that it starts from or is taught by
 */
export async function checkUnseen(
  folder: string,
  { holdOut, dataset, limit }: Pick<Run, "holdOut" | "dataset" | "limit">,
): Promise<void> {
  if (!holdOut || dataset === "folder") return;
  const trained = (await readDescription(folder))?.run;
  // Held out is the last tenth of the first `limit` images, so another limit holds out others.
  if (!trained || trained.dataset !== dataset || trained.holdOut && trained.limit === limit) return;
  const same = trained.holdOut ? "the same --limit" : "--hold-out too";
  throw new Error(
    `${folder} has learned from the held-out images of ${dataset}; leave out --hold-out, or train it with ${same}`,
  );
}

/** Whether a run is measured on test images or on held-out ones. */
export const splitOf = ({ holdOut }: Pick<Run, "holdOut">): "held-out" | "test" =>
  holdOut ? "held-out" : "test";

/** Seconds of all epochs, and images per second over them. */
export function speedOf(history: readonly EpochRow[]): { seconds: number; imagesPerSecond: number } {
  const seconds = history.reduce((sum, row) => sum + row.seconds, 0);
  const images = history.reduce((sum, row) => sum + row.seconds * row.imagesPerSecond, 0);
  return { seconds, imagesPerSecond: seconds > 0 ? images / seconds : 0 };
}

const CHECKOUT = fileURLToPath(new URL("../../", import.meta.url));

/** Where a folder is: from the checkout on, if it is in there, so that rows name no machine. */
function placeOf(folder: string): string {
  const path = resolve(folder);
  return path.startsWith(CHECKOUT) ? relative(CHECKOUT, path) : path;
}

/** The file of a run among the results, and the comment in it that says whose it is. */
const logOf = (out: string, results: string) => ({
  path: `${results}/${basename(out)}.csv`,
  comment: `The run in ${placeOf(out)}`,
});

/**
 * Takes the name of this run among the results.
 *
 * @throws {Error} one sentence, if another run has it: two folders of the same last name, or no run at all
 */
export function claimLog(out: string, results: string): void {
  const { path, comment } = logOf(out, results);
  Deno.mkdirSync(results, { recursive: true });
  try {
    // An empty file is what a kill or a full disk leaves.
    if (isThere(path) && Deno.statSync(path).size === 0) Deno.removeSync(path);
    Deno.writeTextFileSync(path, formatCsv(["run"], [], [comment]), { createNew: true });
  } catch (error) {
    if (!(error instanceof Deno.errors.AlreadyExists)) throw error;
    const { comments, rows } = parseCsv(Deno.readTextFileSync(path), path);
    // Logs of old say no folder.
    const isOld = comments.length === 0 && rows[0]?.["run"] === basename(out);
    if (comments[0] === comment || isOld) return;
    throw new Error(
      `${path} holds other rows${
        comments[0] ? ` (${comments[0]})` : ""
      }; give another --results, or --out another name`,
    );
  }
}

/** Gives the name back where the run has no row yet. */
export function releaseLog(out: string, results: string): void {
  const { path } = logOf(out, results);
  if (parseCsv(Deno.readTextFileSync(path), path).rows.length === 0) Deno.removeSync(path);
}

/** What the log of a run is made of. */
interface Log {
  readonly run: Run;
  readonly history: readonly EpochRow[];
  readonly diverged: Divergence | null;
  readonly origins: readonly Origin[];
}

/** Writes the log of a run into its folder and among the results. */
export function writeLog(out: string, results: string, log: Log): void {
  const { path, comment } = logOf(out, results);
  const rows = log.history.map((row) => logRow(basename(out), row, log));
  if (rows.length === 0) return;
  const text = formatCsv(Object.keys(rows[0]), rows, [comment]);
  replaceFile(`${out}/${LOG}`, text);
  Deno.mkdirSync(results, { recursive: true });
  replaceFile(path, text);
}

function logRow(
  name: string,
  row: EpochRow,
  { run, history, diverged, origins }: Log,
): NewRow {
  const { workers, flags, fma, commit, machine } = originOfEpoch(origins, row.epoch);
  return {
    run: name,
    epoch: row.epoch,
    learning_rate: row.learningRate,
    train_cross_entropy: row.trainCrossEntropy,
    penalty: row.penalty,
    train_accuracy_percent: row.trainAccuracy,
    train_out_of_range_percent: row.trainOutOfRangePercent,
    train_largest_input: row.trainLargestInput,
    evaluated_on: splitOf(run),
    ...metricColumns(row.test),
    clipped_accuracy_percent: row.clipped?.accuracy,
    clipped_out_of_range_percent: row.clipped?.outOfRangePercent,
    clipped_out_of_range_max: row.clipped?.outOfRangeMax,
    images_per_second: Math.round(row.imagesPerSecond),
    seconds: row.seconds,
    diverged: diverged && row === history.at(-1) ? divergenceText(diverged) : "",
    model: run.model,
    dataset: run.dataset,
    activation: run.activation,
    epochs: run.epochs,
    batch: run.batch,
    clip: run.clip ?? "off",
    beta: run.penalty?.coefficient ?? "off",
    engine: run.backend === null ? run.engine : `${run.engine}-${run.backend}`,
    workers,
    flags: flags.join(" "),
    fma,
    seed: run.seed,
    commit,
    machine,
  };
}

const metricColumns = (metrics: Metrics | null): NewRow => ({
  images: metrics?.images,
  accuracy_percent: metrics?.accuracy,
  cross_entropy: metrics?.crossEntropy,
  out_of_range: metrics?.outOfRange,
  out_of_range_percent: metrics?.outOfRangePercent,
  images_out_of_range: metrics?.imagesOutOfRange,
  images_out_of_range_percent: metrics?.imagesOutOfRangePercent,
  out_of_range_max: metrics?.outOfRangeMax,
  out_of_range_mean: metrics?.outOfRangeMean,
  out_of_range_deviation: metrics?.outOfRangeDeviation,
  non_finite_images: metrics?.nonFinite,
});
