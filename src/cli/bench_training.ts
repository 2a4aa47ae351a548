/**
 * `deno task bench:training`: images per second of whole training steps (augmentation, forward, backward, exchange of
 * gradients, update) on both engines, and the speed of the convolution kernels. Random images: the time of a step does
 * not depend on them.
 */
import { CIFAR, type Dataset } from "../data/dataset.ts";
import { isLinear } from "../models/fold.ts";
import { type Graph, inferShapes, windowOf } from "../models/graph.ts";
import { SeededRandom } from "../models/seeded_random.ts";
import { buildModel, MODEL_NAMES } from "../models/zoo.ts";
import { FITTED_RANGE } from "../polynomial/polynomial.ts";
import { median } from "../report/statistics.ts";
import { parseActivation } from "../training/activations.ts";
import { trainingBatches } from "../training/batches.ts";
import {
  type ConvolutionKernels,
  type ConvolutionShape,
  hasFusedMultiplyAdd,
  instantiateConvolutionKernels,
  loadConvolutionModules,
} from "../training/convolution.ts";
import type { CreateEngine, StepSettings } from "../training/engine.ts";
import { initialState } from "../training/initial.ts";
import { type PlannedStep, takeSteps } from "../training/take_steps.ts";
import { createWasmEngine } from "../training/wasm_engine.ts";
import { placeConvolution } from "../bench/timed_convolution.ts";
import { Gauge, NOMINAL_GFLOPS } from "../bench/kernel_gauge.ts";
import { measure } from "../bench/measure.ts";
import { runCommand } from "../terminal/command.ts";
import { formatTable } from "../terminal/table.ts";

const DEFAULT_MODELS = ["convnet", "resnet20", "minionn-bn"] as const;
/** PILLAR as the presets train it. */
const SETTINGS: StepSettings = {
  learningRate: 0.01,
  momentum: 0.9,
  nesterov: false,
  decayBiases: true,
  muon: null,
  scaleCap: null,
  reluPart: 0,
  weightDecay: 5e-4,
  decayNorms: true,
  clip: FITTED_RANGE,
  penalty: { coefficient: 5e-5, exponent: 10, range: 4.8, reduction: "sum" },
  crossEntropyWeight: 1,
  labelSmoothing: 0,
  gradientNorm: 5,
};
const ACTIVATION = "poly:4:10";
/** Batch of the TensorFlow.js engine: larger ones of the deep networks fill its memory. */
const TFJS_BATCH = 16;
const TFJS_STEPS = 2;
const ROUNDS = 12, SECONDS_PER_ROUND = 0.4;
/** Before each round and after the last. */
const GAUGE_MS = 150;
const SECONDS_PER_KERNEL = 0.3;

/** Milliseconds of a training step. */
interface StepTiming {
  readonly medianMs: number;
  readonly bestMs: number;
}

/** Random images in the form of a dataset, enough for a number of steps. */
function randomTask({ inputShape, classes }: Graph, count: number): Dataset {
  const random = new SeededRandom(1, "bench"), pixels = inputShape.reduce((product, n) => product * n, 1);
  const split = {
    count,
    images: Uint8Array.from({ length: count * pixels }, () => random.nextUint32() >>> 24),
    labels: Uint16Array.from({ length: count }, (_, i) => i % classes),
  };
  return { name: "random", classes, shape: inputShape, ...CIFAR, train: split, test: split };
}

interface TimingOptions {
  readonly batchSize: number;
  readonly workers?: number;
  /** Timed steps of a round; default: as many as fit in its seconds, 1 at least. */
  readonly stepsOfRound?: number | undefined;
  readonly rounds?: number;
  /** Runs before each round and after the last. */
  readonly between?: () => Promise<void>;
}

/** Times training steps as the trainer takes them, from report to report. */
async function timeSteps(
  create: CreateEngine,
  graph: Graph,
  { stepsOfRound, rounds = 1, between = async () => {}, ...options }: TimingOptions,
): Promise<StepTiming> {
  const { batchSize } = options, task = randomTask(graph, 4 * batchSize);
  const planned = function* (count: number): Generator<PlannedStep> {
    for (let epoch = 0, step = 0;; epoch++) {
      const augment = { crop: 4, flip: true };
      for (const batch of trainingBatches(task.train, task, { batchSize, seed: 1, epoch, augment })) {
        if (step++ === count) return;
        yield { batch, settings: SETTINGS };
      }
    }
  };
  const engine = await create(graph, parseActivation(ACTIVATION), {
    ...options,
    initial: initialState(graph, 1),
  });
  const timesOf = async (steps: number) => {
    const reports: number[] = [];
    for await (const _ of takeSteps(engine, planned(steps + 1))) reports.push(performance.now());
    return reports.slice(1).map((at, i) => at - reports[i]);
  };
  try {
    const warmUp = await timesOf(2); // compiled and in place
    const steps = stepsOfRound ?? Math.max(1, Math.round(1000 * SECONDS_PER_ROUND / warmUp.at(-1)!));
    const times: number[] = [];
    for (let round = 0; round < rounds; round++) {
      await between();
      times.push(...await timesOf(steps));
    }
    await between();
    return { medianMs: median(times), bestMs: Math.min(...times) };
  } finally {
    engine.close();
  }
}

/** Of a network, rounded; per second of whole training steps. */
interface ModelSpeed {
  readonly model: string;
  readonly stepMs: number;
  readonly imagesPerSecond: number;
  readonly best: number;
  readonly gaugeGflops: number;
  readonly atNominalPace: number;
  readonly tfjs?: number;
}

async function timeModel(
  model: string,
  options: {
    readonly batchSize: number;
    readonly workers: number;
    readonly stepsOfRound: number | undefined;
  },
  gauge: Gauge,
): Promise<ModelSpeed> {
  const { medianMs, bestMs } = await timeSteps(createWasmEngine, buildModel(model), {
    ...options,
    rounds: ROUNDS,
    between: () => gauge.read(GAUGE_MS),
  });
  const gflops = gauge.take(), speed = 1000 * options.batchSize / medianMs;
  return {
    model,
    stepMs: rounded(medianMs),
    imagesPerSecond: rounded(speed),
    best: rounded(1000 * options.batchSize / bestMs),
    gaugeGflops: rounded(gflops),
    atNominalPace: rounded(speed * NOMINAL_GFLOPS / gflops),
  };
}

/** Images per second of the other engine. */
async function timeInTensorflow(model: string, batch: number): Promise<number> {
  const { createTensorflowEngine } = await import("../training/tensorflow_engine.ts");
  const batchSize = Math.min(batch, TFJS_BATCH);
  const { medianMs } = await timeSteps(
    (graph, activation, options) =>
      createTensorflowEngine(graph, activation, { ...options, backend: "wasm" }),
    buildModel(model),
    { batchSize, stepsOfRound: TFJS_STEPS },
  );
  return rounded(1000 * batchSize / medianMs);
}

const rowOf = ({ model, stepMs, imagesPerSecond, best, gaugeGflops, atNominalPace, tfjs }: ModelSpeed) => ({
  model,
  "step ms": stepMs,
  "images/s": imagesPerSecond,
  "best images/s": best,
  "gauge GFLOP/s": gaugeGflops,
  [`images/s at ${NOMINAL_GFLOPS}`]: atNominalPace,
  ...(tfjs === undefined ? {} : { "tfjs images/s": tfjs, ratio: rounded(imagesPerSecond / tfjs) }),
});

/** The different convolutions and dense layers of some networks. */
function linearShapes(models: readonly string[], batch: number): ConvolutionShape[] {
  const shapes = new Map<string, ConvolutionShape>();
  for (const graph of models.map((model) => buildModel(model))) {
    const values = inferShapes(graph);
    for (const node of graph.nodes) {
      if (!isLinear(node)) continue;
      const [height, width, inputs] = values.get(node.input)!, { kernel, stride, padding } = windowOf(node);
      const shape = { batch, height, width, inputs, outputs: node.outputs, kernel, stride, padding };
      shapes.set(JSON.stringify(shape), shape);
    }
  }
  return [...shapes.values()];
}

interface KernelSpeed extends ConvolutionShape {
  readonly method: string;
  /** 10^9 operations a second on one thread, 2 for each multiplication of the direct convolution. */
  readonly forward: number;
  readonly inputGradient: number;
  readonly weightGradient: number;
}

function timeKernels(modules: readonly WebAssembly.Module[], shape: ConvolutionShape): KernelSpeed {
  const { method, operations, forward, inputGradient, weightGradient } = placeConvolution(modules, shape);
  const timings = measure([
    { name: "forward", run: forward },
    { name: "inputGradient", run: inputGradient },
    { name: "weightGradient", run: weightGradient },
  ], SECONDS_PER_KERNEL);
  const speed = (name: string) => operations / timings.get(name)!.bestMs / 1e6;
  return {
    ...shape,
    method,
    forward: speed("forward"),
    inputGradient: speed("inputGradient"),
    weightGradient: speed("weightGradient"),
  };
}

const kernelRow = (k: KernelSpeed) => ({
  layer: `${k.kernel}x${k.kernel}${
    k.stride > 1 ? `/${k.stride}` : ""
  } ${k.inputs}->${k.outputs} @${k.height}`,
  method: k.method,
  forward: rounded(k.forward),
  "input gradient": rounded(k.inputGradient),
  "weight gradient": rounded(k.weightGradient),
});

function fusesMultiplyAdd(modules: readonly WebAssembly.Module[]): boolean {
  const kernels: ConvolutionKernels = instantiateConvolutionKernels(
    new WebAssembly.Memory({ initial: 16, maximum: 65536 }),
    modules,
  );
  return hasFusedMultiplyAdd(kernels);
}

const rounded = (value: number) => Number(value.toPrecision(4));

await runCommand({
  name: "bench:training",
  summary: "images per second of training on both engines, and the speed of the convolution kernels",
  time: "about a minute, half of it for tfjs",
  examples: ["bench:training", "bench:training --models convnet --no-tfjs --no-kernels --json"],
  options: {
    models: {
      type: "list",
      choices: MODEL_NAMES,
      default: DEFAULT_MODELS,
      help: "networks to train",
    },
    batch: { type: "integer", min: 2, max: 4096, default: 128, help: "images in a batch" },
    workers: { type: "integer", min: 1, max: 2, default: 2, help: "threads of the wasm engine" },
    steps: {
      type: "integer",
      min: 1,
      max: 10_000,
      help: "timed steps (default: as many as fit in 5 s, 12 at least)",
    },
    noTfjs: { type: "boolean", help: "leave the tfjs engine out" },
    noKernels: { type: "boolean", help: "leave the convolution kernels out" },
    json: { type: "boolean", help: "print one JSON object on one line" },
  },
  async run({ models, batch, workers, steps, noTfjs, noKernels, json }) {
    const say = json ? () => {} : console.log;
    const modules = await loadConvolutionModules(), fma = fusesMultiplyAdd(modules);
    const gauge = await Gauge.open(workers), speeds: ModelSpeed[] = [];
    for (const model of models) {
      const stepsOfRound = steps === undefined ? undefined : Math.ceil(steps / ROUNDS);
      const speed = await timeModel(model, { batchSize: batch, workers, stepsOfRound }, gauge);
      speeds.push(noTfjs ? speed : { ...speed, tfjs: await timeInTensorflow(model, batch) });
    }
    gauge.close();
    say(`training steps, batch ${batch}, ${workers} worker${workers > 1 ? "s" : ""}, ${ACTIVATION}, median:`);
    say(formatTable(speeds.map(rowOf)));
    say(
      `gauge: GFLOP/s a thread of the direct 3x3 convolution of 64 channels, in turns with the steps and on as many ` +
        `threads;\n"at ${NOMINAL_GFLOPS}": images/s scaled to that nominal gauge, to compare machines or moments`,
    );
    const images = Math.max(1, batch >> 1);
    const kernels = noKernels ? [] : linearShapes(models, images).map((s) => timeKernels(modules, s));
    if (kernels.length > 0) {
      say(`\nconvolution kernels, ${images} images, one thread, best GFLOP/s:`);
      say(formatTable(kernels.map(kernelRow)));
    }
    if (json) {
      const settings = { batch, workers, activation: ACTIVATION, fma, v8: Deno.version.v8 };
      const by = (figure: (speed: ModelSpeed) => number | undefined) =>
        Object.fromEntries(
          speeds.flatMap((speed) => figure(speed) === undefined ? [] : [[speed.model, figure(speed)]]),
        );
      console.log(JSON.stringify({
        imagesPerSecond: by(({ imagesPerSecond }) => imagesPerSecond),
        best: by(({ best }) => best),
        gaugeGflops: by(({ gaugeGflops }) => gaugeGflops),
        atNominalPace: by(({ atNominalPace }) => atNominalPace),
        tfjs: by(({ tfjs }) => tfjs),
        ...settings,
        kernels,
      }));
    }
  },
});
