import { assert, assertAlmostEquals, assertEquals, assertRejects } from "@std/assert";
import { it } from "@std/testing/bdd";
import type { Dataset, Split } from "../data/dataset.ts";
import type { FloatTensor } from "../models/graph.ts";
import { buildModel } from "../models/zoo.ts";
import type { Batch, EngineState, StepReport, StepSettings, TrainingEngine } from "./engine.ts";
import { presetOf } from "./presets.ts";
import type { Run } from "./recipe.ts";
import { rangeOf } from "./recipe.ts";
import { divergenceText, type EpochRow, train, type TrainingCheckpoint } from "./trainer.ts";

const IMAGES = 12, BATCH = 4, STEPS = IMAGES / BATCH;

function split(count: number, salt: number): Split {
  return {
    count,
    images: Uint8Array.from({ length: count * 3072 }, (_, i) => (i * 7 + salt) % 251),
    labels: Uint16Array.from({ length: count }, (_, i) => i % 10),
  };
}

const DATASET: Dataset = {
  name: "shapes",
  classes: 10,
  shape: [32, 32, 3],
  mean: [0.5, 0.5, 0.5],
  deviation: [0.25, 0.25, 0.25],
  train: split(IMAGES, 0),
  test: split(6, 3),
};

const RUN: Run = {
  ...presetOf("convnet-pillar-cpu"),
  dataset: "shapes",
  epochs: 4,
  batch: BATCH,
  seed: 3,
  engine: "fake",
  backend: null,
  holdOut: false,
  limit: null,
};

/** An engine of one weight that moves with the pixels, the settings and its momentum, and notes every call. */
class FakeEngine implements TrainingEngine {
  readonly name = "fake";
  readonly graph = buildModel("convnet");
  readonly calls: string[] = [];
  readonly settings: StepSettings[] = [];
  readonly evaluated: number[] = [];
  #w = 1;
  #m = 0;
  readonly #report: (step: number) => Partial<StepReport>;

  constructor(report: (step: number) => Partial<StepReport> = () => ({})) {
    this.#report = report;
  }

  async step(batch: Batch, settings: StepSettings): Promise<StepReport> {
    this.calls.push("step");
    const pixels = batch.images.reduce((sum, v) => sum + v, 0) / batch.images.length;
    await Promise.resolve();
    this.settings.push(settings);
    this.#m = Math.fround(settings.momentum * this.#m + pixels + batch.targets.indexOf(1));
    this.#w = Math.fround(this.#w - settings.learningRate * this.#m);
    return {
      crossEntropy: 2,
      penalty: 0.5,
      correct: 1,
      largestInput: [1, 2, 3],
      outOfRange: 6424,
      ...this.#report(this.settings.length),
    };
  }

  evaluate(batch: Batch, range: number, clip: number | null = null) {
    this.calls.push(clip === null ? `evaluate ${batch.size}` : `evaluate ${batch.size} clip ${clip}`);
    this.evaluated.push(this.#w);
    return Promise.resolve({
      images: batch.size,
      correct: 1,
      crossEntropy: Math.abs(this.#w),
      activations: 6424 * batch.size,
      outOfRange: 1,
      imagesOutOfRange: 1,
      largestInput: range + batch.size,
      outOfRangeMean: range + 1,
      outOfRangeDeviation: 0,
      nonFinite: 0,
    });
  }

  infer({ size }: Batch): Promise<Float32Array> {
    return Promise.resolve(new Float32Array(10 * size));
  }

  save(): EngineState {
    return { weights: tensor(this.#w), momentum: tensor(this.#m) };
  }

  load({ weights, momentum }: EngineState): void {
    this.calls.push("load");
    this.#w = valueOf(weights);
    this.#m = valueOf(momentum);
  }

  close(): void {}
}

const tensor = (value: number): Map<string, FloatTensor> =>
  new Map([["w", { shape: [1], data: Float32Array.of(value) }]]);
const valueOf = (weights: ReadonlyMap<string, FloatTensor>): number => weights.get("w")!.data[0];
/** Rows without the times, which no run repeats. */
const withoutTimes = (rows: readonly EpochRow[]) =>
  rows.map((row) => ({ ...row, seconds: 0, imagesPerSecond: 0 }));

it("train() takes every step of an epoch, then evaluates, then hands over a checkpoint", async () => {
  const engine = new FakeEngine(), run = { ...RUN, epochs: 2 };
  await train(engine, DATASET, run, { onEpoch: () => void engine.calls.push("checkpoint") });
  const epoch = ["step", "step", "step", "evaluate 4", "evaluate 2", "checkpoint"];
  assertEquals(engine.calls, [...epoch, ...epoch]);
  const rates = engine.settings.map(({ learningRate }) => learningRate.toFixed(6));
  assertEquals(rates, [...Array(STEPS).fill("0.010000"), ...Array(STEPS).fill("0.050000")]);
});

it("train() hands the engine each step, and draws the batch after it, before the last one is done", async () => {
  const engine = new FakeEngine(), events: string[] = [];
  const step = engine.step.bind(engine);
  engine.step = async (batch, settings) => {
    const before = batch.images.slice();
    events.push("start");
    await new Promise((done) => setTimeout(done));
    assertEquals(batch.images, before, "the next batch was written over this one");
    events.push("end");
    return await step(batch, settings);
  };
  // A batch is made when labels are read.
  const labels = new Proxy(DATASET.train.labels, {
    get(target, key) {
      if (events.at(-1) !== "make") events.push("make");
      return Reflect.get(target, key);
    },
  });
  await train(engine, { ...DATASET, train: { ...DATASET.train, labels } }, { ...RUN, epochs: 1 });
  assertEquals(events.slice(0, 5), ["make", "start", "make", "start", "end"]);
  assertEquals(events.filter((event) => event === "end").length, STEPS);
});

it("train() reports means over the steps and the metrics of the test images", async () => {
  const { history: [row] } = await train(new FakeEngine(), DATASET, { ...RUN, epochs: 1 }, {
    alsoClipped: true,
  });
  assertEquals([row.epoch, row.trainCrossEntropy, row.penalty, row.trainAccuracy], [1, 2, 0.5, 25]);
  assertAlmostEquals(row.trainOutOfRangePercent!, 25, 1e-12);
  assertEquals(row.trainLargestInput, 3);
  const { test, clipped } = row;
  assertEquals([test!.images, test!.outOfRange, test!.imagesOutOfRange, test!.outOfRangeMax], [6, 2, 2, 9]);
  assertAlmostEquals(test!.accuracy, 100 / 3, 1e-12);
  assertEquals(clipped, test);
});

it("train() shows each batch to the teacher before the step that takes its answers for targets", async () => {
  const engine = new FakeEngine(), teacher = new FakeEngine(), seen: number[][] = [], taken: number[][] = [];
  const sumsOf = ({ images, size }: Batch) =>
    Array.from(
      { length: size },
      (_, i) => images.subarray(3072 * i, 3072 * (i + 1)).reduce((a, b) => a + b, 0),
    );
  teacher.infer = (batch) => {
    seen.push(sumsOf(batch));
    // It is sure of the class after the right one.
    return Promise.resolve(
      Float32Array.from(batch.targets, (_, i) => 100 * batch.targets[i - i % 10 + (i + 9) % 10]),
    );
  };
  const step = engine.step.bind(engine);
  engine.step = (batch, settings) => {
    taken.push(sumsOf(batch));
    for (let at = 0; at < batch.targets.length; at += 10) {
      const row = [...batch.targets.subarray(at, at + 10)], label = row.indexOf(0.75);
      assert(label >= 0, `${row}`);
      assertEquals(row[(label + 1) % 10], 0.25);
    }
    return step(batch, settings);
  };
  const distillation = { teacher: "a digest", weight: 0.25, temperature: 1 },
    run = { ...RUN, epochs: 2, distillation };
  await train(engine, DATASET, run, { teacher });
  assertEquals(taken.length, 2 * STEPS);
  assertEquals(seen, taken);
  await assertRejects(() => train(new FakeEngine(), DATASET, run), RangeError, "none was opened");
});

it("train() leaves the test images alone until the end where asked", async () => {
  const engine = new FakeEngine();
  const { history } = await train(engine, DATASET, RUN, { evaluate: "last" });
  assertEquals(history.map(({ test }) => test?.images ?? null), [null, null, null, 6]);
  assertEquals(engine.evaluated.length, 2);
});

it("train() resumed after any epoch equals an unbroken run", async () => {
  for (const change of [{}, { average: { decay: 0.9, everySteps: 2 } }, { tailAverage: 0.7 }]) {
    const run = { ...RUN, ...change }, checkpoints: TrainingCheckpoint[] = [];
    const unbroken = await train(new FakeEngine(), DATASET, run, {
      onEpoch: (c) => void checkpoints.push(c),
    });
    for (const resumeFrom of checkpoints) {
      const resumed = await train(new FakeEngine(), DATASET, run, { resumeFrom });
      assertEquals(resumed.weights, unbroken.weights);
      assertEquals(withoutTimes(resumed.history), withoutTimes(unbroken.history));
    }
  }
});

it("train() evaluates and returns the moving average and goes on with the weights", async () => {
  const average = { decay: 0.9, everySteps: 1 }, warmUp = { epochs: 1, from: 0.2 };
  const run = { ...RUN, epochs: 2, average, warmUp }, seen: number[] = [];
  const engine = new FakeEngine(), load = engine.step.bind(engine);
  engine.step = async (batch, settings) => {
    const report = await load(batch, settings);
    seen.push(valueOf(engine.save().weights));
    return report;
  };
  const result = await train(engine, DATASET, run);
  // One warm-up epoch, in which the average is the last weights; so it is after the first step that follows.
  const decay = 1 - 0.1 * BATCH / 2,
    expected = seen.slice(STEPS + 1).reduce(
      (mean, w) => Math.fround(decay * mean + (1 - decay) * w),
      seen[STEPS],
    );
  assertAlmostEquals(valueOf(result.weights), expected, 1e-6);
  assertEquals(engine.evaluated, [seen[2], seen[2], valueOf(result.weights), valueOf(result.weights)]);
  assertEquals(valueOf(engine.save().weights), seen.at(-1));
  const plain = await train(new FakeEngine(), DATASET, { ...run, average: null });
  assertEquals(valueOf(plain.weights), seen.at(-1));
});

it("train() averages the weights of the last epochs, measures their statistics by steps without descent, and uses them", async () => {
  const run = { ...RUN, epochs: 4, tailAverage: 0.5 }, kept: number[] = [], steps = { taken: 0, idle: 0 };
  const engine = new FakeEngine(), step = engine.step.bind(engine);
  engine.step = async (batch, settings) => {
    const report = await step(batch, settings);
    if (settings.learningRate === 0) steps.idle++;
    else if (steps.taken++ >= 2 * STEPS && (steps.taken - 1) % STEPS % 5 === 0) {
      kept.push(valueOf(engine.save().weights));
    }
    return report;
  };
  const { weights } = await train(engine, DATASET, run, { evaluate: "last" });
  // More steps than an epoch has, which is short here.
  assertEquals([kept.length, steps], [2, { taken: 4 * STEPS, idle: 100 }]);
  const mean = (kept[0] + kept[1]) / 2;
  assertAlmostEquals(valueOf(weights), mean, 1e-5 * Math.abs(mean));
  assertEquals(engine.evaluated.at(-1), valueOf(weights));
  const each = await train(new FakeEngine(), DATASET, run);
  assertEquals(each.weights, weights, "evaluating more often changed the result");
});

it("train() averages the last epoch of a run so short that the part is less than half of one", async () => {
  const engine = new FakeEngine(), step = engine.step.bind(engine);
  let idle = 0;
  engine.step = (batch, settings) => (idle += Number(settings.learningRate === 0), step(batch, settings));
  await train(engine, DATASET, { ...RUN, epochs: 2, tailAverage: 0.2 }, { evaluate: "last" });
  assertEquals(idle, 100);
});

it("train() ends where it diverges and names epoch, step, layer and range", async () => {
  const inputs = (step: number) =>
    step < 4 ? [step, 1, 2] : step === 4 ? [4.1e5, 7.1e4, 7.2e23] : [Infinity, Infinity, Infinity];
  const engine = new FakeEngine((step) => ({
    largestInput: inputs(step),
    crossEntropy: step > 4 ? NaN : 2,
  }));
  const { diverged, history, lastSteps, layers } = await train(engine, DATASET, RUN);
  assertEquals(divergenceText(diverged!), "diverged at epoch 2, step 2: act3 reached 7.2e+23");
  assertEquals(layers, ["act1", "act2", "act3"]);
  assertEquals(lastSteps.at(-2), { epoch: 2, step: 1, largestInput: [4.1e5, 7.1e4, 7.2e23] });
  assertEquals(lastSteps.at(-1)!.largestInput, [null, null, null]);
  // The row of the epoch holds the steps that were sound.
  assertEquals(history.length, 2);
  assertEquals([history[1].trainCrossEntropy, history[1].trainLargestInput, history[1].test], [
    2,
    7.2e23,
    null,
  ]);
});

it("train() names the first layer that overflows while others are finite", async () => {
  const engine = new FakeEngine(() => ({ largestInput: [3, Infinity, Infinity], penalty: NaN }));
  const { diverged, history } = await train(engine, DATASET, RUN);
  assertEquals(diverged, { epoch: 1, step: 1, layer: "act2", largestInput: null });
  assertEquals(divergenceText(diverged!), "diverged at epoch 1, step 1: act2 reached infinity");
  assertEquals([history[0].trainAccuracy, history[0].penalty, history[0].trainLargestInput], [
    null,
    null,
    null,
  ]);
});

it("train() keeps the last ten steps", async () => {
  const engine = new FakeEngine((step) => ({ largestInput: [step, 0, 0] }));
  const { lastSteps } = await train(engine, DATASET, RUN);
  assertEquals(lastSteps.map(({ largestInput }) => largestInput[0]), [3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
  assertEquals(lastSteps[0], { epoch: 1, step: 3, largestInput: [3, 0, 0] });
});

it("train() takes at most one step more when its signal ends it", async () => {
  const controller = new AbortController(), engine = new FakeEngine();
  await assertRejects(
    () =>
      train(engine, DATASET, RUN, {
        signal: controller.signal,
        onProgress: ({ epoch, step }) => epoch === 2 && step === 1 && controller.abort(new Error("enough")),
      }),
    Error,
    "enough",
  );
  assertEquals(engine.settings.length, STEPS + 2);
});

it("train() reports progress after each step", async () => {
  const seen: [number, number, number][] = [];
  await train(new FakeEngine(), DATASET, { ...RUN, epochs: 2 }, {
    onProgress: ({ epoch, step, stepsPerEpoch, accuracy, imagesPerSecond }) => {
      seen.push([epoch, step, stepsPerEpoch]);
      assertEquals(accuracy, 25);
      assert(imagesPerSecond > 0);
    },
  });
  assertEquals(seen, [[1, 1, 3], [1, 2, 3], [1, 3, 3], [2, 1, 3], [2, 2, 3], [2, 3, 3]]);
});

it("rangeOf() is the clip, and 5 without one", () => {
  assertEquals([rangeOf({ clip: 3 }), rangeOf({ clip: null })], [3, 5]);
});
