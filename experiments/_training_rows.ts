/** Trainings as rows of a CSV, and what is read from such rows: means over seeds, and coefficients chosen by them. */
import {
  type Cell,
  type Measured,
  type NewRow,
  numberOf,
  type Point,
  type Reference,
  type Row,
} from "../src/reproduction/experiment.ts";
import { mean, tInterval } from "../src/report/statistics.ts";
import { type Measurement, type Recipe, sweepDataset, type Training } from "./_train.ts";

/** Accuracy that counts for a network that does not exist: chance among ten classes. */
export const CHANCE = 10;

/** Columns of {@linkcode trainingRow}. */
export const TRAINING_COLUMNS = {
  model: "network",
  dataset: "cifar10, or shapes where CIFAR-10 is not in data/",
  train_images: "images trained on; the last tenth of the training images is held out",
  epochs: "epochs asked for",
  training_seed: "seed of this training",
  activation: "relu, or poly:degree:bits of the coefficients",
  batch: "images a step",
  learning_rate: "largest learning rate: linear warm-up, then a cosine to 0",
  weight_decay: "weight decay",
  clip: "bound of activation inputs in training; off: none",
  penalty: "coefficient of the penalty; off: none",
  penalty_range: "its range R",
  penalty_warm_up: "paper: four stages of an epoch; short: of an eighth of an epoch; none",
  penalty_reduction: "sum (the paper's) or mean over the inputs of a layer",
  outcome: "trained, or diverged: a loss that is no number ends the run",
  diverged_epoch: "epoch in which it diverged, from 1",
  diverged_step: "step of that epoch, from 1",
  train_accuracy: "% in the last epoch, augmented images, with the clip; empty for a diverged run",
  held_out_accuracy:
    `% on the held-out images, no clip: what choices are made by; ${CHANCE} (chance) for a diverged run`,
  test_accuracy: `% on the test images, no clip, after the last epoch; ${CHANCE} (chance) for a diverged run`,
  out_of_range_percent: "activation inputs outside [-5, 5] on the test images, %",
  images_out_of_range_percent: "test images with at least one such input, %",
  largest_input: "largest |activation input| on the test images",
  non_finite_images: "test images with a logit that is no finite number",
  images_per_second: "speed of training",
  train_seconds: "time of training, of the first run where it was reused",
} as const;

/** The authors' values, which are of CIFAR-10; none beside rows of other images, with which they cannot be compared. */
export const authorsOf = (rows: readonly Row[], reference: Reference, name: string): readonly Row[] =>
  rows.every((row) => row["dataset"] === "cifar10") ? reference(name) : [];

/** A number for a CSV where JSON has null for what is not finite. */
export const finiteOr = (value: number | null): string | number =>
  value !== null && Number.isFinite(value) ? value : "Infinity";

/** A measurement on the test images; null: there is no network. */
export function measuredRow(test: Measurement | null): NewRow {
  return {
    test_accuracy: test?.accuracy ?? CHANCE,
    out_of_range_percent: test?.outOfRangePercent,
    images_out_of_range_percent: test?.imagesOutOfRangePercent,
    largest_input: test && finiteOr(test.outOfRangeMax),
    non_finite_images: test?.nonFinite,
  };
}

export function recipeRow(recipe: Recipe, seed: number): NewRow {
  const { penalty } = recipe;
  return {
    model: recipe.model,
    dataset: sweepDataset(),
    epochs: recipe.epochs,
    training_seed: seed,
    activation: recipe.activation,
    batch: recipe.batch,
    learning_rate: recipe.learningRate,
    weight_decay: recipe.weightDecay,
    clip: recipe.clip ?? "off",
    penalty: penalty?.coefficient ?? "off",
    penalty_range: penalty?.range,
    penalty_warm_up: penalty?.warmUp,
    penalty_reduction: penalty?.reduction,
  };
}

export function trainingRow(recipe: Recipe, seed: number, training: Training): NewRow {
  const { diverged, trainAccuracy, heldOut, test, trainImages, imagesPerSecond, seconds } = training;
  return {
    ...recipeRow(recipe, seed),
    train_images: trainImages,
    outcome: diverged ? "diverged" : "trained",
    diverged_epoch: diverged?.epoch,
    diverged_step: diverged?.step,
    train_accuracy: trainAccuracy,
    held_out_accuracy: heldOut?.accuracy ?? CHANCE,
    ...measuredRow(test),
    images_per_second: Math.round(imagesPerSecond),
    train_seconds: seconds,
  };
}

/** A coefficient as people write it: 1e-5. */
export const coefficientText = (coefficient: number | string): string =>
  coefficient === "off" ? "off" : Number(coefficient).toExponential();

/** Of fewer runs a t interval says more about their number than about them: of two it is 13 standard errors wide to each side. */
const LEAST_RUNS = 5;

/** Mean over the seeds with the 95 % t interval, or, of few seeds, with each run. */
export function meanOf(rows: readonly Row[], column: string): Measured {
  const runs = rows.map((row) => numberOf(row, column));
  if (runs.length < LEAST_RUNS) return { value: mean(runs), ...(runs.length > 1 && { runs }) };
  const { mean: value, low, high } = tInterval(runs);
  return { value, low, high };
}

/** What the spread of {@linkcode meanOf} is, for captions: nothing where each value is one run. */
export function spreadText(groups: Iterable<readonly Row[]>): string {
  const sizes = Array.from(groups, ({ length }) => length);
  const said = [
    sizes.some((n) => n > 1) ? "; mean" : "",
    sizes.some((n) => n > 1 && n < LEAST_RUNS) ? ", each run a dot" : "",
    sizes.some((n) => n >= LEAST_RUNS) ? `, 95 % t interval of ${LEAST_RUNS} runs or more` : "",
  ];
  return said.join("");
}

/** Mean and interval of an accuracy, the interval cut to what an accuracy can be. */
export function accuracyOf(rows: readonly Row[], column = "test_accuracy"): Measured {
  const { low, high, ...found } = meanOf(rows, column);
  return low === undefined ? found : { ...found, low: Math.max(0, low), high: Math.min(100, high!) };
}

export const pointAt = (x: number, { value, ...spread }: Measured): Point => ({ x, y: value, ...spread });

/** A column over the seeds: its least and largest run; empty for a single one. */
export function runsText(rows: readonly Row[], column = "test_accuracy"): string {
  const runs = rows.map((row) => numberOf(row, column));
  return runs.length < 2 ? "" : `${Math.min(...runs).toFixed(1)} to ${Math.max(...runs).toFixed(1)}`;
}

/** "+3", "\u22123", "0": a difference of accuracies in whole points. */
export function points(difference: number): string {
  const whole = Math.round(Math.abs(difference));
  return whole === 0 ? "0" : `${difference < 0 ? "\u2212" : "+"}${whole}`;
}

/** How many trainings a figure has no mark of; one may have several rows. */
export function leftOutText(all: readonly Row[], shown: readonly Row[], why: string): string {
  const count = (rows: readonly Row[]) => new Set(rows.map((row) => row["cell"])).size;
  const left = count(all) - count(shown);
  return left === 0 ? "" : ` Left out: ${left} of ${count(all)} trainings, which ${why}.`;
}

/** The rows of the coefficient with the best mean accuracy on the held-out images; none of no rows. */
export function chosen(rows: readonly Row[]): Row[] {
  const byCoefficient = Map.groupBy(rows, (row) => row["penalty"]);
  return [...byCoefficient.values()].reduce(
    (best, same) => best.length === 0 || heldOutMean(same) > heldOutMean(best) ? same : best,
    [] as Row[],
  );
}

const heldOutMean = (rows: readonly Row[]) => mean(rows.map((row) => numberOf(row, "held_out_accuracy")));

/** The largest value of a column over the rows; diverged runs have none and count as infinite. */
export const largestOf = (rows: readonly Row[], column: string): number =>
  Math.max(...rows.map((row) => row[column] === "" ? Infinity : numberOf(row, column)));

/** "cifar10, 30 epochs, 2 seeds": the conditions of rows, for captions. */
export function conditions(rows: readonly Row[]): string {
  const distinct = (column: string) => [...new Set(rows.map((row) => row[column]))];
  const seeds = distinct("training_seed").length, epochs = distinct("epochs").join(" or ");
  return `${distinct("dataset").map(datasetName).join(", ")}, ${epochs} epochs, ${seeds} ${
    seeds === 1 ? "seed" : "seeds"
  }`;
}

export const datasetName = (name: string): string =>
  ({ cifar10: "CIFAR-10", cifar100: "CIFAR-100", imagenet: "ImageNet" })[name] ?? name;

/** Cells of `runs` seeds each. */
export const runsOf = <C extends Cell>(runs: number, cell: C): (C & { run: number })[] =>
  Array.from({ length: runs }, (_, i) => ({
    ...cell,
    dataset: sweepDataset(),
    run: i + 1,
    id: `${cell.id} run ${i + 1}`,
  }));
