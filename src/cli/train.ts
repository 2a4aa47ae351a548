/** `deno task train`: trains a network so that its activations can be polynomials (PILLAR), or with ReLU. */
import { type Dataset, holdOut } from "../data/dataset.ts";
import { openDataset } from "../data/open_dataset.ts";
import { shellQuoted } from "../data/shell_quoted.ts";
import type { Graph } from "../models/graph.ts";
import { protocolFor } from "../protocols/registry.ts";
import type { TrainResult } from "../reproduction/command_results.ts";
import { currentCommit, machineText, originText } from "../report/environment.ts";
import { EXACT_SIGMOID, parseActivation } from "../training/activations.ts";
import { checkEnoughImages } from "../training/batches.ts";
import type { Metrics } from "../training/evaluation.ts";
import { stateOf } from "../training/initial.ts";
import { PRESETS } from "../training/presets.ts";
import { type DistillationRecipe, firstDifference, PLAIN_FIELDS, type Run } from "../training/recipe.ts";
import { startOf } from "../training/start.ts";
import { divergenceText, train, type TrainingProgress, type TrainingResult } from "../training/trainer.ts";
import { trainingGraph } from "../training/training_graph.ts";
import { onExit, type OptionSpecs, type OptionValues, runCommand, UsageError } from "../terminal/command.ts";
import { ownFolder, ownFolderInTurn } from "../folders/own_folder.ts";
import { formatDuration, Progress } from "../terminal/progress.ts";
import { formatTable } from "../terminal/table.ts";
import {
  ENGINE_OPTIONS,
  type EngineChoice,
  engineChoice,
  fusedMultiplyAdd,
  openEngine,
} from "../options/training_engine.ts";
import {
  checkClassNames,
  checkUnseen,
  claimLog,
  openRun,
  type Origin,
  readDescription,
  releaseLog,
  saveCheckpoint,
  speedOf,
  splitOf,
  withOrigin,
  writeLog,
  writeResult,
} from "../folders/training_folder.ts";
import { reportNotes } from "../terminal/report_notes.ts";
import {
  beginning,
  givenWeights,
  inferringProtocol,
  networkOf,
  type StartingNetwork,
  startingNetwork,
  type TrainedNetwork,
  trainedNetwork,
} from "../options/starting_network.ts";
import { RECIPE_OPTIONS, recipeFrom } from "../options/training_options.ts";
import { checkWritable } from "../folders/writable.ts";

/** Weight and temperature of a teacher that is given without them. */
const TEACHER = { weight: 0.5, temperature: 1 };

const OPTIONS = {
  ...RECIPE_OPTIONS,
  repeat: {
    type: "path",
    value: "DIR",
    help: "the training that this folder's training.json describes, in place of all options of a recipe",
  },
  from: {
    type: "path",
    value: "DIR",
    help: "start from this network, ours or one that import wrote, with its activation or another",
  },
  twin: {
    type: "path",
    value: "DIR",
    help: "start from this network with ReLU, each activation in a unit of its own",
  },
  teacher: {
    type: "path",
    value: "DIR",
    help: "mix the answers of this network into the targets, to the same images",
  },
  teacherWeight: {
    type: "number",
    min: 0,
    max: 1,
    help: `weight of its answers beside the labels (default: ${TEACHER.weight})`,
  },
  teacherTemperature: {
    type: "number",
    min: 0.1,
    max: 100,
    help: `by which its logits are divided (default: ${TEACHER.temperature})`,
  },
  seed: {
    type: "integer",
    min: 0,
    max: 2 ** 31 - 1,
    help: "of weights, order, augmentation (default: 1)",
  },
  ...ENGINE_OPTIONS,
  data: { type: "path", value: "DIR", help: "folder of the dataset" },
  limit: { type: "integer", min: 2, help: "at most so many images for training, and for evaluation" },
  holdOut: { type: "boolean", help: "evaluate on the last tenth of the training images" },
  evaluate: {
    type: "string",
    choices: ["each", "last"],
    default: "each",
    help: "epochs after which to evaluate",
  },
  alsoClipped: { type: "boolean", help: "evaluate with the clip as well, to show what it hides" },
  out: {
    type: "path",
    value: "DIR",
    help: "folder of the run (default: runs/ and a name that says what)",
  },
  results: {
    type: "path",
    value: "DIR",
    default: "results/training",
    help: "folder of the CSV, one row an epoch",
  },
  wait: {
    type: "boolean",
    help: "where another process writes to the folder of the run, wait for its end",
  },
  resume: { type: "boolean", help: "go on where the run in --out stopped, or begin it" },
  json: { type: "boolean", help: "print one JSON object on one line; a divergence is a result" },
} as const satisfies OptionSpecs;

await runCommand({
  name: "train",
  summary: "train a network with polynomial activations (PILLAR or AESPA) or with ReLU",
  notes: [
    "The folder of a run holds a checkpoint after every epoch; a run that was ended goes on with --resume and gives the " +
    "same bits as an unbroken one. The result is the last epoch, never the best one; --hold-out measures on the last tenth " +
    "of the training images instead of the test images, for choosing anything.",
    "The coefficient beta multiplies a sum over the batch: for another --batch scale it by old / new.",
    "With --activation hermite (AESPA) the folder holds an equivalent network whose activation is the square, for any private " +
    "protocol. Inputs out of range are here those of the trained activation, which has no range to keep; for evaluate they are " +
    "those of the square, whose root mean square is 1.",
    `Presets: ${Object.keys(PRESETS).join(", ")}`,
  ],
  time:
    "ConvNet on two cores about 4 s an epoch of CIFAR-10, ResNet-20 and MiniONN-BN one and a half minutes",
  disk: "three times the weights",
  examples: [
    "train --preset convnet-pillar-cpu",
    "train --model minionn-bn --dataset shapes --activation poly:4:10 --epochs 10 --out runs/shapes",
    "train --model convnet --dataset cifar10 --activation hermite",
    "train --preset convnet-pillar-cpu --resume",
    "train --repeat results/models/convnet-relu --out runs/again",
    "train --from networks/digits --activation trig:10:1:2 --pooling average --dataset folder --data DIR",
  ],
  interrupted: "the last whole epoch is kept: give the same command with --resume to go on",
  options: OPTIONS,
  async run(options) {
    const choice = engineChoice(options), start = await startingNetwork(options);
    const teacher = options.teacher === undefined ? undefined : await trainedNetwork(options.teacher);
    const run = await runOf(options, choice, start, teacher);
    for (const one of [start, teacher]) if (one) await checkUnseen(one.folder, run);
    const out = options.out ?? `runs/${runName(options.preset, run)}`;
    if (options.wait) await ownFolderInTurn(out);
    else ownFolder(out);
    checkWritable(options.results);
    const stored = openRun(out, run, options.resume), resumeFrom = stored?.checkpoint;
    const dataset = await datasetOf(run, options.data, start);
    reportNotes(dataset);
    // Before anything is written: the same folder is free for the next try.
    checkEnoughImages(dataset.train, run.batch);
    if (start) checkClassNames(start.folder, start.classNames, dataset);
    checkClassNames(out, stored?.classNames, dataset);
    if (teacher) checkTeacher(teacher, run, dataset);
    const network = networkOf(run, start, dataset.classes);
    const { graph, activation, finish } = trainingGraph(network, run.activation);
    const given = start && givenWeights(start, run);
    const state = resumeFrom?.state ?? startOf(graph, run, dataset, given);
    const engine = await openEngine(choice, graph, activation, run.batch, state);
    const taught = teacher &&
      await openEngine(choice, teacher.graph, teacher.activation, run.batch, stateOf(teacher.weights));
    const done = resumeFrom?.history.length ?? 0;
    const origins = await originsOf(choice, stored?.origins ?? [], done, run.epochs);
    const classNames = dataset.classNames ?? start?.classNames ?? null, labels = { origins, classNames };
    claimLog(out, options.results);
    onExit(() => releaseLog(out, options.results));
    if (!resumeFrom) saveCheckpoint(out, { run, state, average: null, history: [] }, labels);
    const progress = options.json
      ? null
      : new Progress(`${run.model}, ${run.activation}`, run.epochs, { unit: "epochs" });
    const result = await train(engine, dataset, run, {
      resumeFrom,
      evaluate: options.evaluate,
      alsoClipped: options.alsoClipped,
      teacher: taught,
      onProgress: (now) => progress && showProgress(progress, now, done, run.epochs),
      onEpoch(checkpoint) {
        saveCheckpoint(out, checkpoint, labels);
        writeLog(out, options.results, { ...checkpoint, diverged: null, origins });
      },
    });
    progress?.finish();
    writeLog(out, options.results, { run, ...result, origins });
    // A finished run that is resumed keeps its folder as it is: an audit may have written ranges there since.
    if (done < run.epochs || await readDescription(out) === undefined) {
      await writeResult(out, {
        run,
        dataset,
        classNames,
        origins,
        graph: start?.isOwn ? network : undefined,
        result: { ...result, weights: finish(result.weights) },
      });
    }

    if (options.json) {
      console.log(JSON.stringify(resultLine(out, run, dataset.train.count, result)));
    } else if (result.diverged) throw new Error(divergenceText(result.diverged));
    else print(out, run, network, result);
  },
});

/** Everything that decides the outcome, as it is asked for. */
async function runOf(
  options: OptionValues<typeof OPTIONS>,
  { engine, backend }: EngineChoice,
  start: StartingNetwork | undefined,
  teacher: TrainedNetwork | undefined,
): Promise<Run> {
  const repeated = await repeatedRun(options), recipe = repeated ?? recipeFrom(options, start);
  const run: Run = {
    ...recipe,
    ...await beginning(start),
    distillation: distillationFrom(options, teacher?.sha256, repeated),
    seed: repeated?.seed ?? options.seed ?? 1,
    engine,
    backend,
    holdOut: repeated?.holdOut ?? options.holdOut,
    limit: repeated?.limit ?? options.limit ?? null,
  };
  if (repeated !== undefined) checkRepeated(options.repeat!, repeated, run);
  return run;
}

/** By what code and where the epochs are trained, those before the `done`-th and those that are left; others than now are told. */
async function originsOf(
  choice: EngineChoice,
  earlier: readonly Origin[],
  done: number,
  epochs: number,
): Promise<readonly Origin[]> {
  const now = {
    workers: choice.workers,
    flags: choice.flags,
    fma: await fusedMultiplyAdd(choice),
    commit: await currentCommit(),
    machine: machineText(),
    v8: Deno.version.v8,
  };
  const others = earlier.map(originText).filter((origin) => origin !== originText(now));
  if (others.length > 0) {
    console.error(`earlier epochs were trained with other code or on another machine: ${others.join("; ")}`);
  }
  return done < epochs ? withOrigin(earlier, now, done) : earlier;
}

/** The run of the folder that is to be repeated; undefined where none is. */
async function repeatedRun(
  { repeat, ...options }: { readonly repeat: string | undefined } & Readonly<Record<string, unknown>>,
): Promise<Run | undefined> {
  if (repeat === undefined) return undefined;
  const settings = [...Object.keys(RECIPE_OPTIONS), "teacherWeight", "teacherTemperature", "seed", "limit"];
  const given = settings.find((name) => options[name] !== undefined) ??
    (options["holdOut"] ? "holdOut" : undefined);
  if (given !== undefined) {
    const flag = given.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
    throw new UsageError(`--repeat takes every setting from its folder; leave out --${flag}`);
  }
  const trained = await readDescription(repeat);
  if (trained === undefined) {
    throw new UsageError(`${repeat} does not say how it was trained: training.json is missing`);
  }
  return { ...PLAIN_FIELDS, ...trained.run };
}

/** What the options of engine and other networks must say, since they are no settings of a recipe. */
function checkRepeated(folder: string, repeated: Run, run: Run): void {
  const difference = firstDifference(repeated, run);
  if (difference === undefined) return;
  const { field, first, second } = difference;
  throw new UsageError(
    `${folder} was trained with ${field} ${first ?? "off"}, this would be with ${
      second ?? "off"
    }; give --engine, --backend, --from, --twin and --teacher to match`,
  );
}

/** What a teacher adds to the recipe; null without one. */
function distillationFrom(
  { teacherWeight, teacherTemperature }: Partial<
    Record<"teacherWeight" | "teacherTemperature", number | undefined>
  >,
  teacher: string | undefined,
  repeated: Run | undefined,
): DistillationRecipe | null {
  if (teacher !== undefined) {
    const { weight, temperature } = repeated?.distillation ?? TEACHER;
    return { teacher, weight: teacherWeight ?? weight, temperature: teacherTemperature ?? temperature };
  }
  if (teacherWeight === undefined && teacherTemperature === undefined) return null;
  throw new UsageError("options of the teacher are given without one; give --teacher DIR as well");
}

function checkTeacher(
  { folder, graph, classNames, pixels }: TrainedNetwork,
  run: Run,
  dataset: Dataset,
): void {
  checkClassNames(folder, classNames, dataset);
  const { inputShape, classes } = graph,
    isSeenAlike = firstDifference(pixels ?? null, run.pixels) === undefined;
  if (isSeenAlike && inputShape.join() === dataset.shape.join() && classes === dataset.classes) return;
  throw new UsageError(
    `--teacher must take the images of ${dataset.name} as they are trained on and know its ${dataset.classes} classes; ` +
      `${folder} takes [${inputShape}] and knows ${classes}`,
  );
}

/** A name for a run that says what it is, without characters that a file system might refuse. */
function runName(preset: string | undefined, { dataset, model, activation, seed }: Run): string {
  return `${preset ?? `${dataset}-${model}-${activation}`}-seed${seed}`.replaceAll(":", "-");
}

async function datasetOf(run: Run, folder: string | undefined, start: StartingNetwork | undefined) {
  const { inputShape: shape } = networkOf(run, start), classes = start?.graph.classes;
  const limit = run.limit === null ? {} : { train: run.limit, test: run.limit };
  const pixels = run.pixels ?? undefined;
  const dataset = await openDataset(run.dataset, { folder, shape, pixels, classes, limit });
  return run.holdOut ? holdOut(dataset) : dataset;
}

/** Shows how far a run is of which `done` epochs were there before this process: they took it no time. */
function showProgress(progress: Progress, now: TrainingProgress, done: number, epochs: number): void {
  const { epoch, step, stepsPerEpoch, imagesPerSecond, accuracy, outOfRangePercent } = now;
  const note = `${Math.round(imagesPerSecond)} images/s, accuracy ${accuracy.toFixed(1)} %, ` +
    `out of range ${outOfRangePercent.toPrecision(2)} %`;
  const steps = (epoch - 1 - done) * stepsPerEpoch + step;
  progress.update(epoch - 1, note, [steps, (epochs - done) * stepsPerEpoch]);
}

/** What `--json` prints: null stands for numbers that are not finite. */
function resultLine(out: string, run: Run, trainImages: number, result: TrainingResult): TrainResult {
  const { history, diverged, layers, lastSteps } = result;
  return {
    out,
    run,
    trainImages,
    epochsDone: history.length - (diverged ? 1 : 0),
    evaluatedOn: splitOf(run),
    evaluation: diverged ? null : history.at(-1)?.test ?? null,
    clipped: diverged ? null : history.at(-1)?.clipped ?? null,
    trainAccuracy: history.at(-1)?.trainAccuracy ?? null,
    diverged,
    layers,
    lastInputs: lastSteps.map(({ largestInput }) => largestInput),
    ...speedOf(history),
  };
}

function print(out: string, run: Run, network: Graph, { history }: TrainingResult): void {
  const { test, clipped, trainAccuracy } = history.at(-1)!, { seconds, imagesPerSecond } = speedOf(history);
  const row = (inference: string, metrics: Metrics | null) =>
    metrics === null ? [] : [{
      inference,
      images: metrics.images,
      "accuracy %": metrics.accuracy,
      "out of range %": metrics.outOfRangePercent,
      "images with any %": metrics.imagesOutOfRangePercent,
      "largest input": metrics.outOfRangeMax ?? "infinite",
      "not finite": metrics.nonFinite,
    }];
  console.log(
    `${run.model} on ${run.dataset}, ${run.activation}: ${run.epochs} epochs in ${
      formatDuration(seconds)
    }, ` +
      `${Math.round(imagesPerSecond)} images/s; ${trainAccuracy?.toFixed(1)} % of the training images\n`,
  );
  const images = `${splitOf(run)} images`;
  console.log(formatTable([...row(`${images}, as inferred`, test), ...row(`${images}, clipped`, clipped)]));
  console.log(`\nWritten to ${out}: ${nextCommand(out, run, network)}`);
}

function nextCommand(out: string, { activation }: Run, network: Graph): string {
  const weights = `--weights ${shellQuoted(out)}`;
  if (activation === EXACT_SIGMOID) {
    return `deno task evaluate ${weights} (no protocol computes ${activation})`;
  }
  const { name } = inferringProtocol(network, activation), usual = protocolFor(parseActivation(activation));
  return `deno task infer ${weights}${name === usual.name ? "" : ` --activation ${name}`}`;
}
