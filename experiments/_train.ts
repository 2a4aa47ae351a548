/**
 * Trains a network by `train --json` and measures it by `evaluate --json`, as a user would. Every number that an
 * experiment chooses by comes from the held-out last tenth of the training images; the test images are measured
 * once, after the last epoch, and always without the clip.
 *
 * Several experiments need the same training. Its result is kept in `runs/training/<digest>.json`, its weights
 * and checkpoints in the folder beside it, and reused while recipe and training code are the same: that halves a
 * full run, and an interrupted one continues in the middle of a training. A fresh clone has none of them.
 */
import type { EvaluateResult, TrainResult } from "../src/reproduction/command_results.ts";
import { type Cell, runJson, type Size } from "../src/reproduction/experiment.ts";
import { FITTED_RANGE } from "../mod.ts";
import { isThere } from "../src/files/is_there.ts";
import { replaceFile } from "../src/files/replace_file.ts";
import { sha256 } from "../src/files/sha256.ts";
import { machineText } from "../src/report/environment.ts";

/** What differs between the trainings of the experiments. */
export interface Recipe {
  readonly model: string;
  /** As on the command line, for example `poly:4:real`. */
  readonly activation: string;
  readonly epochs: number;
  /** The learning rate starts at `from` times its full value and grows over so many epochs. */
  readonly warmUp: { readonly epochs: number; readonly from: number };
  readonly batch: number;
  readonly learningRate: number;
  readonly weightDecay: number;
  readonly clip: number | null;
  readonly penalty: Penalty | null;
  /** Largest number of training images; null: all. */
  readonly limit: number | null;
  /** Rules of training that are not the paper's. */
  readonly rules?: Rules;
  /** Networks of the same seed that are trained before: which one this one starts from, and which one teaches it. */
  readonly networks?: { readonly twin?: Recipe; readonly teacher?: Recipe };
}

/** Every further rule, as an option of `train`, and what stands for its absence. */
const NO_RULES = {
  "schedule": "cosine",
  "nesterov": "off",
  "decay-norms": "on",
  "decay-biases": "on",
  "label-smoothing": 0,
  "gradient-norm": "off",
  "flip": "random",
  cutout: "off",
  "tail-average": "off",
  "whitening": "off",
  "zero-residual": "off",
  "muon": "off",
  "scale-cap": "off",
  "replacement": "off",
} as const;

export type Rules = { readonly [Rule in keyof typeof NO_RULES]?: string | number };

export interface Penalty {
  readonly coefficient: number;
  readonly range: number;
  readonly exponent: number;
  readonly warmUp: "paper" | "short" | "none";
  readonly reduction: "sum" | "mean" | "hinge";
}

/** What `evaluate --json` measures, as far as it is used here. */
export type Measurement = Pick<
  EvaluateResult,
  "images" | "accuracy" | "outOfRangePercent" | "imagesOutOfRangePercent" | "outOfRangeMax" | "nonFinite"
>;

/** A training that has ended. */
export interface Training
  extends Pick<TrainResult, "lastInputs" | "trainAccuracy" | "trainImages" | "imagesPerSecond" | "seconds"> {
  readonly diverged: Pick<NonNullable<TrainResult["diverged"]>, "epoch" | "step"> | null;
  /** Null, as the accuracy in training, if it diverged. */
  readonly heldOut: Measurement | null;
  readonly test: Measurement | null;
}

/** Beyond it an activation input is out of range; where `--clip` clips. */
export const RANGE = FITTED_RANGE;

/** Training images of the data of the sweeps, the held-out ones included. */
const TRAINING_IMAGES = { cifar10: 50_000, shapes: 20_000 } as const;

/** How long and on how much the sweeps train: `shapes` has fewer images and more epochs. */
export function scheduleOf(size: Size): Pick<Recipe, "epochs" | "warmUp" | "limit"> {
  const short = sweepDataset() === "shapes", warmUp = { epochs: 1, from: 0.2 };
  if (size === "smoke") return { epochs: 2, warmUp, limit: 4096 };
  if (size === "quick") return { epochs: short ? 10 : 4, warmUp, limit: null };
  return { epochs: short ? 60 : 30, warmUp: { epochs: 2, from: 0.2 }, limit: null };
}

/** Figures 3 to 5: ConvNet with real coefficients and a penalty at full strength from the start. */
export const figureRecipe = (size: Size, degree: number, coefficient: number): Recipe => ({
  model: "convnet",
  activation: `poly:${degree}:real`,
  ...scheduleOf(size),
  batch: 256,
  learningRate: 0.1,
  weightDecay: 1e-4,
  clip: RANGE,
  penalty: { coefficient, range: 5, exponent: 10, warmUp: "none", reduction: "sum" },
});

/** The same without anything of PILLAR's but the polynomial. */
export const unmodifiedRecipe = (size: Size, degree: number, learningRate: number): Recipe => ({
  ...figureRecipe(size, degree, 0),
  learningRate,
  clip: null,
  penalty: null,
});

/** Memory of a training with its workers and data. */
export const TRAINING_MB = 1500;

/** A cell that trains one network. `run` counts the seeds from 1. */
export interface TrainingCell extends Cell {
  readonly recipe: Recipe;
  readonly run: number;
}

/** Images a second that the estimates assume, and seconds to start and to measure. */
const IMAGES_PER_SECOND: Readonly<Record<string, number>> = { "convnet": 12_000, "minionn-bn": 550 };
const OVERHEAD_SECONDS = 3;

/** @param survives the part of its steps that a training is expected to reach */
export const secondsOf = ({ model, epochs, limit }: Recipe, survives = 1): number =>
  OVERHEAD_SECONDS +
  survives * epochs * (limit ?? TRAINING_IMAGES[sweepDataset()]) * 0.9 / IMAGES_PER_SECOND[model];

/** CIFAR-10 if it lies in `data/`, else the shapes that are drawn from a seed. */
export function sweepDataset(): "cifar10" | "shapes" {
  return isThere("data/cifar-10-batches-bin/test_batch.bin") || isThere("data/test_batch.bin")
    ? "cifar10"
    : "shapes";
}

export const TRAINING_RIGHTS = ["--allow-read", "--allow-write=runs", "--allow-env", "--allow-sys"];

/** Options of `train` for a recipe. */
export function optionsOf(recipe: Recipe, dataset: string, seed: number): string[] {
  const { model, activation, epochs, warmUp, batch, learningRate, weightDecay, clip, penalty, limit } =
    recipe;
  const options: Record<string, string | number | undefined> = {
    model,
    dataset,
    activation,
    epochs,
    batch,
    "lr": learningRate,
    "warm-up": warmUp.epochs,
    "warm-up-from": warmUp.from,
    "weight-decay": weightDecay,
    clip: clip ?? "off",
    beta: penalty?.coefficient ?? "off",
    "penalty-range": penalty?.range,
    "penalty-exponent": penalty?.exponent,
    "penalty-warm-up": penalty?.warmUp,
    "penalty-reduction": penalty?.reduction,
    limit: limit ?? undefined,
    seed,
    ...NO_RULES,
    ...recipe.rules,
  };
  return Object.entries(options).flatMap(([name, value]) =>
    value === undefined ? [] : [`--${name}=${value}`]
  );
}

/** Trains a recipe, or finds that it has been done. */
export async function trainingOf(recipe: Recipe, seed: number): Promise<Training> {
  const folder = await trainingFolder(recipe, seed), file = `${folder}.json`;
  if (isThere(file)) return JSON.parse(await Deno.readTextFile(file));
  for (const network of Object.values(recipe.networks ?? {})) await trainingOf(network, seed);
  const training = await trainNow(await allOptionsOf(recipe, seed), folder);
  replaceFile(file, JSON.stringify(training));
  return training;
}

/**
 * Where the weights of a training lie: `runs/training/<digest of options, training code and machine>`. Of the machine, since
 * rows say on which one the times of a training were measured.
 */
export async function trainingFolder(recipe: Recipe, seed: number): Promise<string> {
  codeDigest ??= digestOf("src/training", "src/data", "src/models", "src/polynomial", "src/options");
  const digest = await sha256(
    JSON.stringify([await allOptionsOf(recipe, seed), await codeDigest, machineText()]),
  );
  return `runs/training/${digest.slice(0, 16)}`;
}

async function allOptionsOf(recipe: Recipe, seed: number): Promise<string[]> {
  const networks = Object.entries(recipe.networks ?? {}).map(async ([role, network]) =>
    `--${role}=${await trainingFolder(network, seed)}`
  );
  return [...optionsOf(recipe, sweepDataset(), seed), ...await Promise.all(networks)];
}

async function trainNow(options: readonly string[], folder: string): Promise<Training> {
  const place = ["--out", folder, "--results", "runs/training/logs", "--resume", "--wait"];
  const protocol = ["--hold-out", "--evaluate", "last", "--json"];
  const result = await runJson([...TRAINING_RIGHTS, "src/cli/train.ts", ...options, ...place, ...protocol], {
    timeoutSeconds: 4 * 3600,
  }) as TrainResult;
  const { diverged, lastInputs, trainAccuracy, evaluation, trainImages, imagesPerSecond, seconds } = result;
  const found = { diverged, lastInputs, trainImages, imagesPerSecond, seconds };
  return diverged
    ? { ...found, trainAccuracy: null, heldOut: null, test: null }
    : { ...found, trainAccuracy, heldOut: evaluation, test: await evaluateFolder(folder) };
}

/** Measures the weights of a folder on the test images of its dataset. */
export const evaluateFolder = async (
  folder: string,
  ...options: readonly ("--clip" | "--each")[]
): Promise<EvaluateResult> =>
  await runJson([
    ...TRAINING_RIGHTS,
    "src/cli/evaluate.ts",
    ...["--weights", folder, "--range", String(RANGE), "--json"],
    ...options,
  ], { timeoutSeconds: 4 * 3600 }) as EvaluateResult;

let codeDigest: Promise<string> | undefined;

/** Digest of the sources in folders, tests apart: independent of commits, so that other changes leave trainings alone. */
async function digestOf(...folders: string[]): Promise<string> {
  const texts: string[] = [];
  for (const folder of folders) {
    const entries = [...Deno.readDirSync(folder)].sort((a, b) => a.name < b.name ? -1 : 1);
    for (const { name, isDirectory } of entries) {
      if (isDirectory) texts.push(await digestOf(`${folder}/${name}`));
      else if (name.endsWith(".ts") && !name.endsWith("_test.ts")) {
        texts.push(name, await Deno.readTextFile(`${folder}/${name}`));
      }
    }
  }
  return await sha256(texts.join("\n"));
}
