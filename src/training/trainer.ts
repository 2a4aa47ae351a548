/**
 * The training loop: schedule, batches, metrics, one epoch at a time, on any engine. It knows no files; what
 * must be kept is handed to `onEpoch`. All randomness is a function of seed, epoch and image, so a run that
 * goes on from a checkpoint equals one that was never interrupted, bit for bit.
 */
import type { Dataset } from "../data/dataset.ts";
import { type FloatTensor, inferShapes, sizeOf, type Weights } from "../models/graph.ts";
import { trainingBatches } from "./batches.ts";
import { taughtSteps } from "./distillation.ts";
import type { EngineState, StepReport, TrainingEngine } from "./engine.ts";
import { evaluateSplit, finite, type Metrics } from "./evaluation.ts";
import { rangeOf, type Run } from "./recipe.ts";
import { averageDecay, stepSettings } from "./schedule.ts";
import { type PlannedStep, takeSteps } from "./take_steps.ts";

/** One epoch in numbers. Figures that are not finite, or were not measured, are null. */
export interface EpochRow {
  /** Counted from 1. */
  readonly epoch: number;
  readonly learningRate: number;
  /** Means over the steps: cross entropy, penalty, and percentages, all on augmented images, before each update. */
  readonly trainCrossEntropy: number | null;
  readonly penalty: number | null;
  readonly trainAccuracy: number | null;
  readonly trainOutOfRangePercent: number | null;
  /** Largest |input| of an activation before the clip. */
  readonly trainLargestInput: number | null;
  /** Evaluation without the clip, as in inference; null in epochs without one. */
  readonly test: Metrics | null;
  /** Evaluation with the clip. */
  readonly clipped: Metrics | null;
  /** Training alone, without the evaluation. */
  readonly seconds: number;
  readonly imagesPerSecond: number;
}

/** Where a run ended because a number was no longer finite. */
export interface Divergence {
  /** Epoch and step, counted from 1. */
  readonly epoch: number;
  readonly step: number;
  /** The activation layer with the largest input before, or with the first infinite one. */
  readonly layer: string;
  /** That input; null: infinite or NaN. */
  readonly largestInput: number | null;
}

/** Largest |input| of each activation layer in one step, in the order of the layers; null: not finite. */
export interface StepRecord {
  readonly epoch: number;
  readonly step: number;
  readonly largestInput: readonly (number | null)[];
}

/** All that is needed to go on after an epoch. */
export interface TrainingCheckpoint {
  readonly run: Run;
  readonly state: EngineState;
  /** Moving average of the weights, if the recipe asks for one. */
  readonly average: Weights | null;
  /** A row for every epoch that is done. */
  readonly history: readonly EpochRow[];
}

/** How far an epoch is. */
export interface TrainingProgress {
  /** Counted from 1. */
  readonly epoch: number;
  readonly step: number;
  readonly stepsPerEpoch: number;
  readonly imagesPerSecond: number;
  /** Of this epoch so far, in percent. */
  readonly accuracy: number;
  readonly outOfRangePercent: number;
}

/** Options of {@linkcode train}. */
export interface TrainingOptions {
  readonly resumeFrom?: TrainingCheckpoint | undefined;
  /** Called after every epoch that has not diverged, and awaited. */
  readonly onEpoch?: (checkpoint: TrainingCheckpoint) => void | Promise<void>;
  readonly onProgress?: (progress: TrainingProgress) => void;
  /** Ends the run before its next step: `train` rejects with its reason, once no step runs any more. */
  readonly signal?: AbortSignal;
  /** Epochs after which the dataset's test images are evaluated; default: each. */
  readonly evaluate?: "each" | "last";
  /** Also evaluates with the clip, to show what it hides. */
  readonly alsoClipped?: boolean;
  /** Holds the network that a recipe with distillation learns from. */
  readonly teacher?: TrainingEngine | undefined;
}

/** Outcome of a run. */
export interface TrainingResult {
  readonly history: readonly EpochRow[];
  readonly diverged: Divergence | null;
  /** Names of the activation layers, in the order of the records. */
  readonly layers: readonly string[];
  /** The last steps of this process, at most ten, the newest last. */
  readonly lastSteps: readonly StepRecord[];
  /** The weights to be used: the moving average where there is one. */
  readonly weights: Weights;
}

/** Steps that are kept for {@linkcode TrainingResult}. */
const KEPT_STEPS = 10;

/**
 * Trains to the end of the recipe, or until a loss or an activation input is not finite.
 *
 * @param engine holds the initial state; with `resumeFrom` its state is loaded first
 * @param dataset evaluated on its test split: give `holdOut(dataset)` to choose anything
 */
export async function train(
  engine: TrainingEngine,
  dataset: Dataset,
  run: Run,
  options: TrainingOptions = {},
): Promise<TrainingResult> {
  const { resumeFrom, onEpoch, evaluate = "each", teacher } = options;
  if (run.distillation && !teacher) throw new RangeError("the recipe has a teacher, but none was opened");
  const { graph } = engine, shapes = inferShapes(graph);
  const layers = graph.nodes.filter(({ op }) => op === "activation").map(({ id }) => id);
  const task: Task = {
    engine,
    dataset,
    run,
    options,
    layers,
    activations: layers.reduce((sum, id) => sum + sizeOf(shapes.get(id)!), 0),
    stepsPerEpoch: Math.floor(dataset.train.count / run.batch),
    lastSteps: [],
  };
  let state = resumeFrom?.state ?? engine.save(), average = resumeFrom?.average ?? null;
  let measured: Measured | null = null;
  if (resumeFrom) engine.load(state);
  const history = [...resumeFrom?.history ?? []];
  const resultOf = (diverged: Divergence | null, weights: Weights): TrainingResult => ({
    history,
    diverged,
    layers,
    lastSteps: task.lastSteps,
    weights,
  });
  while (history.length < run.epochs) {
    const epoch = history.length, trained = await trainEpoch(task, epoch, average);
    if (trained.diverged) {
      history.push({ ...trained.row, test: null, clipped: null });
      return resultOf(trained.diverged, average ?? state.weights);
    }
    state = engine.save();
    average = trained.average;
    const wanted = evaluate === "each" || epoch + 1 === run.epochs;
    measured = wanted ? await evaluateEpoch(task, state, average) : null;
    history.push({ ...trained.row, test: measured?.test ?? null, clipped: measured?.clipped ?? null });
    await onEpoch?.({ run, state, average, history: [...history] });
  }
  return resultOf(null, measured?.weights ?? await usableWeights(task, state, average));
}

/** One sentence about a divergence: `diverged at epoch 2, step 117: act3 reached 7.2e+23`. */
export function divergenceText({ epoch, step, layer, largestInput }: Divergence): string {
  const size = largestInput === null ? "infinity" : largestInput.toPrecision(2);
  return `diverged at epoch ${epoch}, step ${step}: ${layer} reached ${size}`;
}

interface Task {
  readonly engine: TrainingEngine;
  readonly dataset: Dataset;
  readonly run: Run;
  readonly options: TrainingOptions;
  readonly layers: readonly string[];
  /** Inputs of activations per image. */
  readonly activations: number;
  readonly stepsPerEpoch: number;
  readonly lastSteps: StepRecord[];
}

interface TrainedEpoch {
  readonly row: Omit<EpochRow, "test" | "clipped">;
  readonly average: Weights | null;
  readonly diverged: Divergence | null;
}

async function trainEpoch(task: Task, epoch: number, average: Weights | null): Promise<TrainedEpoch> {
  const { engine, run, stepsPerEpoch, options: { onProgress, teacher } } = task,
    totals = new Totals(task, run.batch);
  const { learningRate } = stepSettings(run, epoch, 0, stepsPerEpoch);
  const done = (diverged: Divergence | null): TrainedEpoch => ({
    row: { epoch: epoch + 1, learningRate, ...totals.row() },
    average,
    diverged,
  });
  let step = 0;
  const steps = plannedSteps(task, epoch), { distillation } = run;
  const taught = distillation ? taughtSteps(steps, teacher!, distillation) : steps;
  for await (const report of takeSteps(engine, taught)) {
    record(task.lastSteps, {
      epoch: epoch + 1,
      step: step + 1,
      largestInput: report.largestInput.map(finite),
    });
    if (!isSound(report)) return done(divergenceOf(task));
    totals.add(report);
    if (isAveraged(run, epoch, step)) average = updatedAverage(task, epoch, step, average);
    step++;
    onProgress?.({ epoch: epoch + 1, step, stepsPerEpoch, ...totals.progress() });
  }
  return done(null);
}

/** The steps of an epoch; throws the reason of the signal once it is aborted. */
function* plannedSteps(
  { dataset, run, stepsPerEpoch, options: { signal } }: Task,
  epoch: number,
): Generator<PlannedStep> {
  const batches = trainingBatches(dataset.train, dataset, {
    batchSize: run.batch,
    seed: run.seed,
    epoch,
    augment: run.augment,
    mixup: run.mixup ?? undefined,
    cutmix: run.cutmix ?? undefined,
    cutout: run.cutout ?? undefined,
  });
  let step = 0;
  for (const batch of batches) {
    signal?.throwIfAborted();
    yield {
      batch,
      settings: stepSettings(run, epoch, step, stepsPerEpoch),
      isStop: isAveraged(run, epoch, step),
    };
    step++;
  }
}

function record(steps: StepRecord[], step: StepRecord): void {
  steps.push(step);
  if (steps.length > KEPT_STEPS) steps.shift();
}

const isSound = ({ crossEntropy, penalty, largestInput }: StepReport): boolean =>
  [crossEntropy, penalty, ...largestInput].every(Number.isFinite);

/** Which layer is to be named: see {@linkcode Divergence}. */
function divergenceOf({ lastSteps, layers }: Task): Divergence {
  const last = lastSteps.at(-1)!, { epoch, step } = last;
  const infinite = last.largestInput.indexOf(null);
  if (infinite > 0) return { epoch, step, layer: layers[infinite], largestInput: null };
  // Either all inputs are finite, or the weights are not and the step before tells more.
  const telling = lastSteps.findLast(({ largestInput }) => largestInput[0] !== null) ?? last;
  const sizes = telling.largestInput.map((size) => size ?? 0), largest = Math.max(...sizes);
  return {
    epoch,
    step,
    layer: layers[sizes.indexOf(largest)],
    largestInput: largest > 0 ? largest : null,
  };
}

/** Sums over the steps of an epoch. */
class Totals {
  readonly #task: Task;
  readonly #batchSize: number;
  readonly #start = performance.now();
  #steps = 0;
  #crossEntropy = 0;
  #penalty = 0;
  #correct = 0;
  #outOfRange = 0;
  #largestInput = 0;

  constructor(task: Task, batchSize: number) {
    this.#task = task;
    this.#batchSize = batchSize;
  }

  add({ crossEntropy, penalty, correct, outOfRange, largestInput }: StepReport): void {
    this.#steps++;
    this.#crossEntropy += crossEntropy;
    this.#penalty += penalty;
    this.#correct += correct;
    this.#outOfRange += outOfRange;
    this.#largestInput = Math.max(this.#largestInput, ...largestInput);
  }

  progress(): Pick<TrainingProgress, "imagesPerSecond" | "accuracy" | "outOfRangePercent"> {
    const images = this.#steps * this.#batchSize;
    return {
      imagesPerSecond: images / this.#seconds(),
      accuracy: 100 * this.#correct / images,
      outOfRangePercent: 100 * this.#outOfRange / (images * this.#task.activations),
    };
  }

  /** Before the first step there is nothing to report but zeros divided by zero: nulls. */
  row(): Omit<EpochRow, "epoch" | "learningRate" | "test" | "clipped"> {
    const { imagesPerSecond, accuracy, outOfRangePercent } = this.progress();
    return {
      trainCrossEntropy: finite(this.#crossEntropy / this.#steps),
      penalty: finite(this.#penalty / this.#steps),
      trainAccuracy: finite(accuracy),
      trainOutOfRangePercent: finite(outOfRangePercent),
      trainLargestInput: this.#steps > 0 ? this.#largestInput : null,
      seconds: this.#seconds(),
      imagesPerSecond,
    };
  }

  #seconds(): number {
    return (performance.now() - this.#start) / 1000;
  }
}

/** Steps from one to the next whose weights go into the average of the last epochs. */
const TAIL_STEPS = 5;
/** Steps without descent, after which the running statistics of batch norm are those of the last hundred batches or so. */
const STATISTICS_STEPS = 100;

/** A part of less than half an epoch is one. */
const tailStart = ({ tailAverage, epochs }: Run): number =>
  tailAverage === null ? epochs : Math.min(epochs - 1, Math.round(epochs * (1 - tailAverage)));

/** Whether the weights after a step go into an average. */
const isAveraged = (run: Run, epoch: number, step: number): boolean =>
  run.average !== null
    ? step % run.average.everySteps === 0
    : epoch >= tailStart(run) && step % TAIL_STEPS === 0;

/**
 * The average after a step. A moving one is the weights themselves until the learning rate has warmed up, as in torchvision's
 * training script; that of the last epochs is a mean, and counts what it holds by epoch and step.
 */
function updatedAverage(
  { engine, run, stepsPerEpoch }: Task,
  epoch: number,
  step: number,
  average: Weights | null,
): Weights {
  const { weights } = engine.save();
  if (run.average === null) {
    const count = (epoch - tailStart(run)) * Math.ceil(stepsPerEpoch / TAIL_STEPS) + step / TAIL_STEPS;
    return average ? blend(average, weights, count / (count + 1)) : weights;
  }
  const warmedUp = epoch > run.warmUp.epochs || (epoch === run.warmUp.epochs && step > 0);
  return average && warmedUp ? blend(average, weights, averageDecay(run)) : weights;
}

function blend(average: Weights, weights: Weights, decay: number): Map<string, FloatTensor> {
  return new Map([...weights].map(([name, { shape, data }]) => {
    const old = average.get(name)!.data;
    return [name, { shape, data: data.map((value, i) => decay * old[i] + (1 - decay) * value) }];
  }));
}

/** The weights to be used after an epoch; the engine is left with them, or with the state as it is. */
async function usableWeights(task: Task, state: EngineState, average: Weights | null): Promise<Weights> {
  if (!average) return state.weights;
  task.engine.load({ ...state, weights: average });
  if (task.run.tailAverage === null) return average;
  for await (const _ of takeSteps(task.engine, statisticsSteps(task)));
  return task.engine.save().weights;
}

/** Steps that move the running statistics and nothing else, on images as after the last epoch. */
function* statisticsSteps(task: Task): Generator<PlannedStep> {
  // A short epoch comes again: what is left of the old statistics, 0.9 to the power of the steps, must be nothing.
  for (let left = STATISTICS_STEPS, before = Infinity; left > 0 && left < before;) {
    before = left;
    for (const { batch, settings } of plannedSteps(task, task.run.epochs)) {
      if (left-- === 0) return;
      yield {
        batch,
        settings: { ...settings, learningRate: 0, muon: null, penalty: null, crossEntropyWeight: 1 },
      };
    }
  }
}

interface Measured extends Pick<EpochRow, "test" | "clipped"> {
  readonly weights: Weights;
}

async function evaluateEpoch(
  task: Task,
  state: EngineState,
  average: Weights | null,
): Promise<Measured> {
  const { engine, dataset, run, options: { signal, alsoClipped = false } } = task;
  const weights = await usableWeights(task, state, average);
  const evaluated = (clip: number | null) =>
    evaluateSplit(engine, dataset.test, dataset, { batchSize: run.batch, range: rangeOf(run), clip, signal });
  const test = await evaluated(null), clipped = alsoClipped ? await evaluated(rangeOf(run)) : null;
  if (average) engine.load(state);
  return { test, clipped, weights };
}
