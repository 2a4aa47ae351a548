/**
 * What every training engine must do, run for each of them: gradients against central differences in doubles,
 * reports, update rule, running statistics, saving, evaluation, and the same loss curve. Tiny networks, so
 * that the plain JavaScript backend of TensorFlow.js can take part.
 */
import { assert, assertAlmostEquals, assertEquals, assertRejects } from "@std/assert";
import { it } from "@std/testing/bdd";
import { evaluate } from "../models/float_engine.ts";
import { type Activation, type FloatTensor, type Graph, sizeOf, type Weights } from "../models/graph.ts";
import { SeededRandom } from "../models/seeded_random.ts";
import { openTensorflow } from "../models/tensorflow_backend.ts";
import { buildModel } from "../models/zoo.ts";
import { parseActivation } from "./activations.ts";
import type {
  Batch,
  CreateEngine,
  EngineState,
  EvaluationReport,
  StepReport,
  StepSettings,
  TrainingEngine,
} from "./engine.ts";
import { HERMITE_2, hermiteGraph } from "./hermite.ts";
import { initialState, isTrainable } from "./initial.ts";
import { createTensorflowEngine } from "./tensorflow_engine.ts";
import { takeSteps } from "./take_steps.ts";
import { trainingGraph } from "./training_graph.ts";
import { createWasmEngine } from "./wasm_engine.ts";
import {
  createReferenceEngine,
  differentiate,
  orthogonalised,
  type Parameters,
  parametersOf,
} from "./reference_engine.ts";
import { differences, ONE_CHANNEL, randomBatch } from "./_test_network.ts";

interface Contender {
  readonly name: string;
  readonly create: CreateEngine;
  readonly options: { readonly backend?: string; readonly workers?: number };
  /** Too slow for the networks of the zoo. */
  readonly tinyOnly?: boolean;
}

const ENGINES: Contender[] = [
  { name: "the reference", create: createReferenceEngine, options: {}, tinyOnly: true },
  { name: "tfjs on wasm", create: createTensorflowEngine, options: { backend: "wasm" } },
  { name: "tfjs on cpu", create: createTensorflowEngine, options: { backend: "cpu" }, tinyOnly: true },
  { name: "wasm with 1 worker", create: createWasmEngine, options: { workers: 1 } },
  { name: "wasm with 2 workers", create: createWasmEngine, options: { workers: 2 } },
];

try {
  await openTensorflow("webgpu");
  ENGINES.push({ name: "tfjs on webgpu", create: createTensorflowEngine, options: { backend: "webgpu" } });
} catch (error) {
  it.ignore(`tfjs on webgpu is left out: ${(error as Error).message}`, () => {});
}

// --- A tiny network with every kind of node ---

const TINY: Graph = {
  name: "tiny",
  classes: 3,
  inputShape: [8, 8, 2],
  nodes: [
    { id: "input", op: "input" },
    { id: "conv1", op: "conv", input: "input", kernel: 3, stride: 1, padding: 1, outputs: 3, bias: true },
    { id: "norm1", op: "batchNorm", input: "conv1" },
    { id: "act1", op: "activation", input: "norm1" },
    { id: "pool", op: "averagePool", input: "act1", kernel: 2, stride: 2, padding: 0 },
    { id: "conv2", op: "conv", input: "pool", kernel: 3, stride: 2, padding: 1, outputs: 4, bias: false },
    { id: "norm2", op: "batchNorm", input: "conv2" },
    { id: "convS", op: "conv", input: "pool", kernel: 1, stride: 2, padding: 0, outputs: 4, bias: false },
    { id: "normS", op: "batchNorm", input: "convS" },
    { id: "sum", op: "add", input: "norm2", shortcut: "normS" },
    { id: "act2", op: "activation", input: "sum" },
    { id: "conv3", op: "conv", input: "act2", kernel: 1, stride: 1, padding: 0, outputs: 5, bias: true },
    { id: "act3", op: "activation", input: "conv3" },
    { id: "flatten", op: "flatten", input: "act3" },
    { id: "dense1", op: "dense", input: "flatten", outputs: 5, bias: true },
    { id: "act4", op: "activation", input: "dense1" },
    { id: "classifier", op: "dense", input: "act4", outputs: 3, bias: true },
  ],
};
const BATCH = 4, SHARDS = 2;

/** Weights of ordinary size, nothing 0 or 1 that could hide a mistake. */
function tinyState(graph = TINY): EngineState {
  const { weights, momentum } = initialState(graph, 11);
  const varied = [...weights].map(([name, { shape, data }]): [string, FloatTensor] => {
    const random = new SeededRandom(12, name);
    const spread = /\.(scale|variance)$/.test(name) ? [0.8, 1.6] : [-0.7, 0.7];
    return [name, { shape, data: data.map(() => random.uniform(spread[0], spread[1])) }];
  });
  return { weights: new Map(varied), momentum };
}

const PLAIN: StepSettings = {
  learningRate: 1,
  momentum: 0,
  nesterov: false,
  decayBiases: true,
  muon: null,
  scaleCap: null,
  weightDecay: 0,
  decayNorms: true,
  clip: null,
  reluPart: 0,
  penalty: null,
  crossEntropyWeight: 1,
  labelSmoothing: 0,
  gradientNorm: null,
};
const SUM = { coefficient: 1e-5, exponent: 10, range: 1.2, reduction: "sum" } as const;
const MEAN = { coefficient: 0.01, exponent: 4, range: 1.2, reduction: "mean" } as const;
const HINGE = { coefficient: 0.5, exponent: 10, range: 1.2, reduction: "hinge" } as const;
const FAR = { coefficient: 1e-13, exponent: 10, range: 0.05, reduction: "sum" } as const;

interface Cases {
  readonly name: string;
  readonly graph: Graph;
  readonly activation: Activation;
  readonly batchSize: number;
  /** Settings that depart from the plain ones. */
  readonly settings: Readonly<Record<string, Partial<StepSettings>>>;
}

const onTiny = (name: string, settings: Cases["settings"]): Cases => ({
  name,
  graph: TINY,
  activation: parseActivation(name),
  batchSize: BATCH,
  settings,
});

const CASES: readonly Cases[] = [
  onTiny("relu", {
    "no more": {},
    "a clip": { clip: 1.3 },
  }),
  onTiny("sigmoid:exact", {
    "a clip and a summed penalty": { clip: 1.3, penalty: SUM },
  }),
  onTiny("poly:8:real", {
    "a clip": { clip: 3 },
  }),
  onTiny("poly:4:10", {
    "no more": {},
    "a clip": { clip: 1.3 },
    "a clip and a summed penalty": { clip: 1.3, penalty: SUM },
    "an averaged penalty": { penalty: MEAN },
    "inputs on the tangent of the penalty": { clip: 1.3, penalty: FAR },
    "smoothed labels": { labelSmoothing: 0.1 },
    "the penalty alone": { clip: 1.3, penalty: MEAN, crossEntropyWeight: 0 },
    "a limit on the gradient": { gradientNorm: 0.125 },
    "a limit too high to matter": { gradientNorm: 1e6 },
    "decay of everything": { weightDecay: 0.1 },
    "decay without norms": { weightDecay: 0.1, decayNorms: false, gradientNorm: 0.125 },
    "decay of weights alone": { weightDecay: 0.1, decayNorms: false, decayBiases: false },
    "a clip and a hinge": { clip: 1.3, penalty: HINGE },
    "a hinge that nothing reaches": { penalty: { ...HINGE, range: 100 } },
    "a part of ReLU, a clip and a hinge": { reluPart: 0.3, clip: 1.3, penalty: HINGE },
    "ReLU in its place": { reluPart: 1 },
  }),
  onTiny("trig:3:1:2", { "no more": {}, "a clip": { clip: 1.3 } }),
  onTiny("trig:1:2:0.25", { "no more": {} }),
  onTiny("trig:4:3:1", { "a summed penalty": { penalty: SUM } }),
  ...["trig:8:1:2:learned", "trig:12:3:1:learned"].map((name) => ({
    ...onTiny(name, {
      "no more": {},
      "a clip": { clip: 0.9 },
      "decay, which leaves its numbers alone": { weightDecay: 0.1, gradientNorm: 0.125 },
    }),
    graph: trainingGraph(TINY, name).graph,
  })),
  // Batch norms of values that no layer made, and values that two of them read. Two images a shard would be normalised to
  // plus and minus 1 after the dense layer, whatever they are, and leave rounding errors for gradients.
  {
    name: "hermite",
    graph: hermiteGraph(TINY),
    activation: HERMITE_2,
    batchSize: 4 * BATCH,
    settings: {
      "no more": {},
      "a clip and a summed penalty": { clip: 1.3, penalty: SUM },
      "decay without norms": { weightDecay: 0.1, decayNorms: false, gradientNorm: 0.125 },
    },
  },
];

/** Reference values are worked out once for all engines. */
const references = new Map<string, { gradient: Parameters; step: StepReport }>();

function reference(
  label: string,
  { graph, activation }: Pick<Cases, "graph" | "activation">,
  weights: Weights,
  batch: Batch,
  settings: StepSettings,
) {
  let known = references.get(label);
  if (!known) {
    const parameters = parametersOf(weights);
    const gradient = differences(graph, activation, parameters, batch, settings, SHARDS);
    known = {
      gradient: decayed(limited(gradient, settings.gradientNorm), parameters, settings),
      step: differentiate(graph, activation, parameters, batch, settings, SHARDS).report,
    };
    references.set(label, known);
  }
  return known;
}

function limited(gradient: Parameters, limit: number | null): Parameters {
  const norm = Math.sqrt([...gradient.values()].flatMap((g) => [...g]).reduce((sum, v) => sum + v * v, 0));
  const factor = limit === null ? 1 : Math.min(1, limit / norm);
  return new Map([...gradient].map(([name, g]) => [name, g.map((v) => v * factor)]));
}

function decayed(
  gradient: Parameters,
  parameters: Parameters,
  { weightDecay, decayNorms, decayBiases }: StepSettings,
): Parameters {
  return new Map([...gradient].map(([name, g]) => {
    const isNorm = /\.(scale|offset)$/.test(name),
      isSpared = isNorm && !decayNorms || name.endsWith(".fourier");
    const factor = isSpared || name.endsWith(".bias") && !decayBiases ? 0 : weightDecay;
    return [name, g.map((v, i) => v + factor * parameters.get(name)![i])];
  }));
}

/**
 * Largest difference as a share of the largest entry of the tensor, which must not be small beside all
 * others.
 */
function assertClose(actual: Weights, expected: ReadonlyMap<string, Float64Array>, tolerance: number): void {
  const largestOf = (values: Float64Array) => values.reduce((max, v) => Math.max(max, Math.abs(v)), 0);
  const overall = Math.max(...[...expected.values()].map(largestOf));
  assertEquals([...actual.keys()].toSorted(), [...expected.keys()].toSorted());
  for (const [name, values] of expected) {
    const { data } = actual.get(name)!, scale = largestOf(values) + overall / 100;
    values.forEach((v, i) =>
      assert(
        Math.abs(data[i] - v) <= tolerance * scale,
        `${name}[${i}] is ${data[i]}, expected ${v} within ${tolerance * scale}`,
      )
    );
  }
}

/** The parameters have gone down along the momentum, up to the rounding of float32. */
function assertDescent(after: Weights, before: Weights, momentum: Weights, learningRate: number): void {
  for (const [name, { data }] of momentum) {
    data.forEach((v, i) => {
      const start = before.get(name)!.data[i], change = learningRate * v;
      const rounding = 2e-7 * (Math.abs(start) + Math.abs(change));
      assertAlmostEquals(after.get(name)!.data[i], start - change, rounding, `${name}[${i}]`);
    });
  }
}

async function open(
  { create, options }: Contender,
  graph: Graph,
  activation: Activation,
  initial: EngineState,
  batchSize = BATCH,
): Promise<TrainingEngine> {
  return await create(graph, activation, { batchSize, shards: SHARDS, initial, ...options });
}

for (const contender of ENGINES) {
  it(`${contender.name}: step() follows the gradient of central differences`, async (t) => {
    for (const cases of CASES) {
      const { name, graph, activation, batchSize } = cases, initial = tinyState(graph);
      const batch = randomBatch(graph, batchSize, 3);
      const engine = await open(contender, graph, activation, initial, batchSize);
      for (const [label, changes] of Object.entries(cases.settings)) {
        await t.step(`with ${name} and ${label}`, async () => {
          const settings = { ...PLAIN, ...changes };
          const { gradient, step } = reference(`${name} ${label}`, cases, initial.weights, batch, settings);
          engine.load(initial);
          assertReport(await engine.step(batch, settings), step);
          const { weights, momentum } = engine.save();
          assertClose(momentum, gradient, 1e-4); // the first momentum is the gradient
          assertDescent(weights, initial.weights, momentum, settings.learningRate);
        });
      }
      engine.close();
    }
  });

  it(`${contender.name}: step() adds momentum and decay as PyTorch does`, async () => {
    const settings = {
      ...PLAIN,
      learningRate: 0.05,
      momentum: 0.9,
      weightDecay: 0.01,
      clip: 2,
      penalty: MEAN,
    };
    const activation = parseActivation("poly:4:10");
    const engine = await open(contender, TINY, activation, tinyState());
    await engine.step(randomBatch(TINY, BATCH, 3), settings);
    const before = engine.save(), batch = randomBatch(TINY, BATCH, 4);
    await engine.step(batch, settings);
    const after = engine.save();
    const tiny = { graph: TINY, activation };
    const { gradient } = reference("second step", tiny, before.weights, batch, settings);
    const expected = [...gradient].map(([name, g]): [string, Float64Array] => {
      const { data } = before.momentum.get(name)!;
      return [name, g.map((v, i) => 0.9 * data[i] + v)];
    });
    assertClose(after.momentum, new Map(expected), 1e-4);
    assertDescent(after.weights, before.weights, after.momentum, settings.learningRate);

    // Nesterov's step from the same state: the same momentum, and once more of it in the weights.
    engine.load(before);
    await engine.step(batch, { ...settings, nesterov: true });
    const ahead = engine.save();
    assertEquals(ahead.momentum, after.momentum);
    for (const [name, { data }] of after.momentum) {
      const old = before.momentum.get(name)!.data, start = before.weights.get(name)!.data;
      data.forEach((v, i) => {
        const expected = start[i] - 0.05 * (0.9 * v + (v - 0.9 * old[i]));
        const rounding = 1e-6 * (Math.abs(start[i]) + Math.abs(v) + Math.abs(old[i]));
        assertAlmostEquals(ahead.weights.get(name)!.data[i], expected, rounding, `${name}[${i}]`);
      });
    }
    engine.close();
  });

  it(`${contender.name}: step() by Muon gives 3x3 filters a norm, and a step whose singular values are near 1`, async () => {
    const settings = {
      ...PLAIN,
      learningRate: 0.01,
      momentum: 0.6,
      nesterov: true,
      weightDecay: 0.1,
      muon: 0.05,
    };
    const activation = parseActivation("poly:4:10"), batch = randomBatch(TINY, BATCH, 3);
    const engine = await open(contender, TINY, activation, tinyState());
    await engine.step(batch, settings);
    const before = engine.save();
    await engine.step(batch, { ...settings, muon: null, weightDecay: 0 });
    const plain = engine.save();
    engine.load(before);
    await engine.step(batch, settings);
    const after = engine.save();
    for (const [name, { data, shape }] of after.weights) {
      if (!/^conv[12]\.weight$/.test(name)) continue;
      const rounding = 1e-6 * Math.max(...after.momentum.get(name)!.data.map(Math.abs));
      after.momentum.get(name)!.data.forEach((v, i) =>
        assertAlmostEquals(v, plain.momentum.get(name)!.data[i], rounding, `${name}[${i}]`)
      );
      const old = before.momentum.get(name)!.data,
        v = after.momentum.get(name)!.data,
        w = before.weights.get(name)!.data;
      const direction = Float64Array.from(v, (v, i) => 0.6 * v + (v - 0.6 * old[i]));
      const expected = orthogonalised(direction, shape.at(-1)!), norm = Math.hypot(...w);
      data.forEach((value, i) =>
        assertAlmostEquals(
          value,
          Math.sqrt(shape.at(-1)!) / norm * w[i] - 0.05 * expected[i],
          1e-5,
          `${name}[${i}]`,
        )
      );
    }
    const spared = [...after.weights.keys()].filter((name) =>
      isTrainable(name) && !/^conv[12]\.weight$/.test(name)
    );
    engine.load(before);
    await engine.step(batch, { ...settings, muon: null });
    for (const name of spared) assertEquals(after.weights.get(name), engine.save().weights.get(name), name);
    engine.close();
  });

  it(`${contender.name}: step() caps the scales of batch norms right before an activation, and no others`, async () => {
    const activation = parseActivation("poly:4:10"), initial = tinyState();
    const engine = await open(contender, TINY, activation, initial), batch = randomBatch(TINY, BATCH, 3);
    const scales = async (scaleCap: number | null) => {
      engine.load(initial);
      await engine.step(batch, { ...PLAIN, learningRate: 1e-3, clip: 2, scaleCap });
      const { weights } = engine.save();
      return ["norm1", "norm2", "normS"].map((norm) => weights.get(`${norm}.scale`)!.data);
    };
    const free = await scales(null), capped = await scales(1);
    assert(free.every((scale) => scale.some((v) => v > 1)), `${free} has nothing to cap`);
    assertEquals(capped, [free[0].map((v) => Math.min(1, v)), free[1], free[2]]);
    engine.close();
  });

  it(`${contender.name}: a step asked for while another runs gives the same bits as one after it`, async () => {
    const settings = { ...PLAIN, momentum: 0.9, clip: 2, penalty: MEAN };
    const activation = parseActivation("poly:4:10");
    const batches = [1, 2, 3, 4].map((seed) => randomBatch(TINY, BATCH, seed));
    const [inTurn, ahead] = await Promise.all(
      [0, 1].map(() => open(contender, TINY, activation, tinyState())),
    ) as [TrainingEngine, TrainingEngine];
    const expected: StepReport[] = [];
    for (const batch of batches) expected.push(await inTurn.step(batch, settings));
    const steps = batches.map((batch) => ({ batch, settings }));
    assertEquals(await Array.fromAsync(takeSteps(ahead, steps)), expected);
    assertEquals(ahead.save(), inTurn.save());
    inTurn.close();
    ahead.close();
  });

  it(`${contender.name}: step() averages the statistics of the shards into the running ones`, async () => {
    const { weights, momentum } = initialState(ONE_CHANNEL, 1);
    const set = (name: string, ...values: number[]) => weights.get(name)!.data.set(values);
    set("conv.weight", 1);
    set("norm.mean", 10);
    set("norm.variance", 20);
    const engine = await open(contender, ONE_CHANNEL, { kind: "relu" }, { weights, momentum }, 2);
    // Means 2.5 and 2, unbiased variances 5/3 and 16.
    const images = Float32Array.of(1, 2, 3, 4, 0, 0, 0, 8);
    await engine.step({ size: 2, images, targets: Float32Array.of(1, 0, 0, 1) }, PLAIN);
    const after = engine.save().weights;
    assertAlmostEquals(after.get("norm.mean")!.data[0], 0.9 * 10 + 0.1 * 2.25, 1e-5);
    assertAlmostEquals(after.get("norm.variance")!.data[0], 0.9 * 20 + 0.1 * (5 / 3 + 16) / 2, 1e-5);
    engine.close();
  });

  it(`${contender.name}: evaluate() counts what is out of range, not finite and correct`, async () => {
    const graph: Graph = {
      name: "square",
      classes: 2,
      inputShape: [1, 2, 2],
      nodes: [
        { id: "input", op: "input" },
        { id: "conv", op: "conv", input: "input", kernel: 1, stride: 1, padding: 0, outputs: 2, bias: false },
        { id: "act", op: "activation", input: "conv" },
        { id: "flatten", op: "flatten", input: "act" },
        { id: "dense", op: "dense", input: "flatten", outputs: 2, bias: true },
      ],
    };
    const { weights, momentum } = initialState(graph, 1);
    weights.get("conv.weight")!.data.set([1, 0, 0, 1]);
    weights.get("dense.weight")!.data.set([1, 0, 0, 1, 0, 0, 0, 0]); // the logits are the first two squares
    weights.get("dense.bias")!.data.set([0, 0]);
    const square: Activation = { kind: "polynomial", coefficients: [0, 0, 4], precision: 2 };
    const engine = await open(contender, graph, square, { weights, momentum });
    const targets = Float32Array.of(0, 1, 1, 0, 1, 0, 1, 0);

    const finite = Float32Array.of(1, -2, 3, 5, 6, -8, 0, 1, -1, 0, -7, 0, 0, 0, 0, 0);
    const report = await engine.evaluate({ size: 4, images: finite, targets }, 5);
    const { crossEntropy, outOfRangeMean, outOfRangeDeviation, ...counts } = report;
    assertEquals(counts, {
      images: 4,
      correct: 3, // 1 < 4; 36 < 64 is wrong; 1 > 0; 0 = 0, the first
      activations: 16,
      outOfRange: 3,
      imagesOutOfRange: 2,
      largestInput: 8,
      nonFinite: 0,
    });
    const expected = (Math.log1p(Math.exp(-3)) + 28 + Math.log1p(Math.exp(-1)) + Math.log(2)) / 4;
    assertAlmostEquals(crossEntropy, expected, 1e-5);
    assertAlmostEquals(outOfRangeMean, 7, 1e-6);
    assertAlmostEquals(outOfRangeDeviation, Math.sqrt(2 / 3), 1e-6);

    const clipped = await engine.evaluate({ size: 4, images: finite, targets }, 5, 2);
    assertEquals([clipped.outOfRange, clipped.largestInput, clipped.correct], [3, 8, 4]); // 4 = 4, the first

    // The convolution spreads NaN, and 0 times infinity, over the channels of a pixel.
    const wild = Float32Array.of(1, -2, 3, 4, NaN, 0, 0, 0, 6, 1, 1, 1, 1, 1, 1, Infinity);
    const other = await engine.evaluate({ size: 4, images: wild, targets }, 5);
    assertEquals([other.outOfRange, other.imagesOutOfRange, other.largestInput], [5, 3, Infinity]);
    assertEquals([other.outOfRangeMean, other.outOfRangeDeviation], [6, 0]);
    assertEquals([other.nonFinite, other.correct], [2, 2]);
    assertAlmostEquals(other.crossEntropy, Math.log1p(Math.exp(-3)) / 2, 1e-5);
    engine.close();
  });

  it(`${contender.name}: infer() gives the logits of plaintext inference`, async () => {
    const activation = parseActivation("poly:4:10"), state = tinyState();
    const engine = await open(contender, TINY, activation, state), pixels = sizeOf(TINY.inputShape);
    for (const size of [1, 3, BATCH]) { // some do not divide into shards
      const batch = randomBatch(TINY, size, 6), logits = await engine.infer(batch);
      assertEquals(logits.length, size * TINY.classes);
      for (let i = 0; i < size; i++) {
        const image = batch.images.slice(i * pixels, (i + 1) * pixels);
        const expected = evaluate(TINY, state.weights, activation, image).get("classifier")!;
        expected.forEach((v, k) =>
          assertAlmostEquals(logits[i * TINY.classes + k], v, 1e-5 * (1 + Math.abs(v)))
        );
      }
    }
    assertEquals(engine.save().weights, state.weights);
    engine.close();
  });

  it(`${contender.name}: save() copies, and load() continues bit for bit`, async () => {
    const activation = parseActivation("poly:4:10");
    const settings = { ...PLAIN, learningRate: 0.05, momentum: 0.9, clip: 2, penalty: SUM };
    const train = async (engine: TrainingEngine, from: number, to: number) => {
      for (let k = from; k < to; k++) await engine.step(randomBatch(TINY, BATCH, k), settings);
      return engine.save();
    };
    const initial = tinyState(), untouched = structuredClone(initial);
    const engine = await open(contender, TINY, activation, initial);
    const saved = await train(engine, 0, 2), copy = structuredClone(saved);
    const unbroken = await train(engine, 2, 4);
    assertEquals(saved, copy, "a later step changed a saved state");
    assertEquals(initial, untouched, "training changed the state it started from");
    engine.load(saved);
    assertEquals(await train(engine, 2, 4), unbroken);
    engine.close();
    const other = await open(contender, TINY, activation, saved);
    assertEquals(await train(other, 2, 4), unbroken);
    assertEquals(saved, copy, "training changed a state that was loaded");
    other.close();
  });

  it(`${contender.name}: step() keeps learned amplitudes below a quarter of the period`, async () => {
    const { graph, activation } = trainingGraph(TINY, "trig:3:2:1:learned"), initial = tinyState(graph);
    const engine = await open(contender, graph, activation, initial);
    await engine.step(randomBatch(graph, BATCH, 3), { ...PLAIN, learningRate: 50 });
    const { weights, momentum } = engine.save(), free: number[] = [], kept: number[] = [];
    for (const { id } of graph.nodes.filter(({ op }) => op === "activation")) {
      const before = initial.weights.get(`${id}.fourier`)!.data, { data } = weights.get(`${id}.fourier`)!;
      momentum.get(`${id}.fourier`)!.data.forEach((v, i) => {
        const end = before[i] - 50 * v, bounded = Math.max(-0.75, Math.min(0.75, end));
        assertAlmostEquals(data[i], i === 0 ? end : bounded, 1e-5 * (1 + Math.abs(end)), `${id} ${i}`);
        (i > 0 && end !== bounded ? kept : free).push(i);
      });
    }
    assert(kept.length > 0 && free.length > 0, `${kept.length} of ${free.length} were bounded`);
    engine.close();
  });

  it(`${contender.name} refuses batches that do not fit`, async () => {
    const relu: Activation = { kind: "relu" };
    await assertRejects(
      () =>
        contender.create(TINY, relu, { batchSize: 5, shards: 2, initial: tinyState(), ...contender.options }),
      RangeError,
      "shards",
    );
    const engine = await open(contender, TINY, relu, tinyState());
    await assertRejects(() => engine.step(randomBatch(TINY, 2, 1), PLAIN), RangeError, "batches of 4 images");
    engine.close();
  });
}

/**
 * Networks of the zoo on which all engines are compared; the tolerance is the largest difference of the loss
 * from that of the first engine, as a share of the loss. ResNet-20 has the shapes that fast convolution
 * algorithms are made for.
 */
const CURVES: readonly {
  model: string;
  activation: string;
  size: number;
  steps: number;
  tolerance: number;
}[] = [
  { model: "convnet", activation: "poly:4:10", size: 16, steps: 10, tolerance: 5e-6 },
  { model: "convnet", activation: "hermite", size: 16, steps: 10, tolerance: 2e-5 },
  { model: "convnet", activation: "trig:10:1:2", size: 16, steps: 10, tolerance: 2e-5 },
  { model: "convnet", activation: "trig:16:2:1:learned", size: 16, steps: 10, tolerance: 2e-5 },
  { model: "resnet20", activation: "poly:4:10", size: 4, steps: 4, tolerance: 2e-5 },
];

for (const { model, activation: name, size, steps, tolerance } of CURVES) {
  it(`all engines go down the same loss curve on ${model} with ${name} and measure the same`, async () => {
    const { graph, activation } = trainingGraph(buildModel(model), name), initial = initialState(graph, 5);
    const settings: StepSettings = {
      ...PLAIN,
      learningRate: 0.05,
      momentum: 0.9,
      weightDecay: 5e-4,
      clip: 5,
      penalty: { coefficient: 1e-4, exponent: 10, range: 4.8, reduction: "sum" },
      gradientNorm: 5,
    };
    const batches = [randomBatch(graph, size, 0), randomBatch(graph, size, 1)]; // two, so that it learns
    const curves = new Map<string, number[]>();
    let first: { losses: number[]; evaluation: EvaluationReport } | undefined;
    for (const contender of ENGINES.filter(({ tinyOnly }) => !tinyOnly)) {
      const engine = await open(contender, graph, activation, initial, size), losses: number[] = [];
      for (let k = 0; k < steps; k++) {
        const { crossEntropy, penalty } = await engine.step(batches[k % 2], settings);
        losses.push(crossEntropy + penalty);
      }
      const evaluation = await engine.evaluate(batches[0], 2, 5);
      engine.close();
      curves.set(contender.name, losses);
      assert(losses.at(-2)! < losses[0] - 0.1, `${contender.name} does not learn: ${losses}`);
      first ??= { losses, evaluation };
      const expected = first;
      losses.forEach((loss, k) =>
        assertAlmostEquals(loss, expected.losses[k], tolerance * loss, `${contender.name}, step ${k}`)
      );
      const { activations, crossEntropy, largestInput, outOfRange } = evaluation, other = expected.evaluation;
      assertEquals(activations, other.activations);
      assertAlmostEquals(crossEntropy, other.crossEntropy, 10 * tolerance * crossEntropy, contender.name);
      assertAlmostEquals(largestInput, other.largestInput, 10 * tolerance * largestInput, contender.name);
      assertAlmostEquals(outOfRange, other.outOfRange, 3 + 10 * tolerance * outOfRange, contender.name);
    }
    assertEquals(
      curves.get("wasm with 1 worker"),
      curves.get("wasm with 2 workers"),
      "bits depend on workers",
    );
  });
}

function assertReport(actual: StepReport, expected: StepReport): void {
  assertAlmostEquals(actual.crossEntropy, expected.crossEntropy, 1e-5 * (1 + expected.crossEntropy));
  assertAlmostEquals(actual.penalty, expected.penalty, 1e-4 * expected.penalty);
  assertEquals(actual.outOfRange, expected.outOfRange);
  assertEquals(actual.largestInput.length, expected.largestInput.length);
  expected.largestInput.forEach((v, i) => assertAlmostEquals(actual.largestInput[i], v, 1e-4 * v));
}
