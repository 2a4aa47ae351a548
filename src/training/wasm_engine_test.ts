import { assertAlmostEquals, assertEquals, assertNotEquals, assertRejects } from "@std/assert";
import { it } from "@std/testing/bdd";
import type { Activation, Graph, Node } from "../models/graph.ts";
import { fittedWave, trigonometricAt } from "../models/trigonometric.ts";
import { SeededRandom } from "../models/seeded_random.ts";
import type { StepSettings } from "./engine.ts";
import { initialState } from "./initial.ts";
import { differentiate, parametersOf } from "./reference_engine.ts";
import { createWasmEngine } from "./wasm_engine.ts";
import { randomBatch } from "./_test_network.ts";

const QUARTIC: Activation = { kind: "polynomial", coefficients: [322, 512, 160, 0, -3], precision: 10 };
const SEXTIC: Activation = { kind: "polynomial", coefficients: [200, 512, 190, 0, -9, 0, 1], precision: 10 };

/** The gradient is left in the momentum: one step at momentum 0 without decay. */
const PLAIN: StepSettings = {
  learningRate: 0.05,
  momentum: 0,
  nesterov: false,
  decayBiases: true,
  muon: null,
  scaleCap: null,
  reluPart: 0,
  weightDecay: 0,
  decayNorms: false,
  clip: 1.5,
  penalty: { coefficient: 0.01, exponent: 6, range: 1.2, reduction: "sum" },
  crossEntropyWeight: 0.7,
  labelSmoothing: 0.1,
  gradientNorm: null,
};
const USUAL: StepSettings = { ...PLAIN, momentum: 0.9, weightDecay: 1e-3, decayNorms: true, gradientNorm: 2 };

const build = (name: string, inputShape: Graph["inputShape"], nodes: readonly Node[]): Graph => ({
  name,
  classes: 3,
  inputShape,
  nodes: [{ id: "input", op: "input" }, ...nodes],
});

/** A ConvNet with odd sides and channels: rows that end inside a vector, pooling that leaves a rest. */
const TINY_CONVNET = build("tiny-convnet", [11, 9, 3], [
  { id: "conv1", op: "conv", input: "input", kernel: 3, stride: 1, padding: 1, outputs: 5, bias: true },
  { id: "bn1", op: "batchNorm", input: "conv1" },
  { id: "act1", op: "activation", input: "bn1" },
  { id: "pool1", op: "averagePool", input: "act1", kernel: 2, stride: 2, padding: 0 },
  { id: "conv2", op: "conv", input: "pool1", kernel: 3, stride: 1, padding: 1, outputs: 6, bias: true },
  { id: "act2", op: "activation", input: "conv2" },
  { id: "pool2", op: "averagePool", input: "act2", kernel: 3, stride: 1, padding: 0 },
  { id: "flatten", op: "flatten", input: "pool2" },
  { id: "dense1", op: "dense", input: "flatten", outputs: 7, bias: true },
  { id: "act3", op: "activation", input: "dense1" },
  { id: "classifier", op: "dense", input: "act3", outputs: 3, bias: true },
]);

/** Residual blocks, by identity and by projection, maximum pooling, a value with three readers, Winograd shapes. */
const TINY_RESNET = build("tiny-resnet", [8, 8, 3], [
  { id: "conv1", op: "conv", input: "input", kernel: 3, stride: 1, padding: 1, outputs: 8, bias: false },
  { id: "bn1", op: "batchNorm", input: "conv1" },
  { id: "act1", op: "activation", input: "bn1" },
  { id: "conv2", op: "conv", input: "act1", kernel: 3, stride: 1, padding: 1, outputs: 8, bias: false },
  { id: "bn2", op: "batchNorm", input: "conv2" },
  { id: "add1", op: "add", input: "bn2", shortcut: "act1" },
  { id: "act2", op: "activation", input: "add1" },
  { id: "conv3", op: "conv", input: "act2", kernel: 3, stride: 2, padding: 1, outputs: 12, bias: false },
  { id: "bn3", op: "batchNorm", input: "conv3" },
  { id: "shortcut", op: "conv", input: "act2", kernel: 1, stride: 2, padding: 0, outputs: 12, bias: false },
  { id: "shortcutBn", op: "batchNorm", input: "shortcut" },
  { id: "add2", op: "add", input: "bn3", shortcut: "shortcutBn" },
  { id: "act3", op: "activation", input: "add2" },
  { id: "pool1", op: "maxPool", input: "act2", kernel: 3, stride: 2, padding: 1 },
  { id: "conv4", op: "conv", input: "pool1", kernel: 1, stride: 1, padding: 0, outputs: 12, bias: true },
  { id: "add3", op: "add", input: "act3", shortcut: "conv4" },
  { id: "bn4", op: "batchNorm", input: "add3" },
  { id: "pool2", op: "averagePool", input: "bn4", kernel: 4, stride: 4, padding: 0 },
  { id: "flatten", op: "flatten", input: "pool2" },
  { id: "classifier", op: "dense", input: "flatten", outputs: 3, bias: true },
]);

/** Images so large that a shard is worked on in several pieces. */
const WIDE = build("wide", [64, 64, 2], [
  { id: "conv1", op: "conv", input: "input", kernel: 1, stride: 1, padding: 0, outputs: 16, bias: true },
  { id: "bn1", op: "batchNorm", input: "conv1" },
  { id: "act1", op: "activation", input: "bn1" },
  { id: "pool1", op: "averagePool", input: "act1", kernel: 2, stride: 2, padding: 0 },
  { id: "conv2", op: "conv", input: "pool1", kernel: 3, stride: 2, padding: 1, outputs: 4, bias: false },
  { id: "bn2", op: "batchNorm", input: "conv2" },
  { id: "act2", op: "activation", input: "bn2" },
  { id: "pool2", op: "averagePool", input: "act2", kernel: 16, stride: 16, padding: 0 },
  { id: "flatten", op: "flatten", input: "pool2" },
  { id: "classifier", op: "dense", input: "flatten", outputs: 3, bias: true },
]);

/** A state whose scales, offsets and running statistics are not the trivial ones. */
function variedState(graph: Graph) {
  const state = initialState(graph, 5), random = new SeededRandom(6, "norms");
  for (const [name, { data }] of state.weights) {
    if (/scale$|offset$|mean$/.test(name)) data.forEach((v, i) => data[i] = v + 0.3 * random.normal());
  }
  return state;
}

const gradientCases = [
  [TINY_CONVNET, QUARTIC, PLAIN],
  [TINY_CONVNET, { kind: "relu" }, { ...PLAIN, clip: null, penalty: null }],
  [TINY_CONVNET, SEXTIC, {
    ...PLAIN,
    penalty: { coefficient: 3, exponent: 10, range: 1.2, reduction: "mean" },
  }],
  [TINY_RESNET, QUARTIC, PLAIN],
  [TINY_RESNET, { kind: "relu" }, { ...PLAIN, penalty: { ...PLAIN.penalty!, exponent: 2, range: 0.05 } }],
  [WIDE, QUARTIC, PLAIN],
  [TINY_RESNET, fittedWave(1.5, 2, 1), { ...PLAIN, clip: null, penalty: null }],
  [WIDE, fittedWave(2, 1, 2), { ...PLAIN, clip: null, penalty: null }],
] as const;

for (const [graph, activation, settings] of gradientCases) {
  const kind = activation.kind === "polynomial"
    ? `degree ${activation.coefficients.length - 1}`
    : activation.kind;
  const exponent = settings.penalty?.exponent ?? "no";
  it(`WasmEngine.step() has the gradients of the reference: ${graph.name}, ${kind}, penalty ${exponent}`, async () => {
    const initial = variedState(graph), batch = randomBatch(graph, 6, 1);
    const engine = await createWasmEngine(graph, activation, { batchSize: 6, workers: 1, initial });
    try {
      const parameters = parametersOf(initial.weights);
      const { gradients, report: expected } = differentiate(
        graph,
        activation,
        parameters,
        batch,
        settings,
        2,
      );
      const report = await engine.step(batch, settings);
      assertAlmostEquals(report.crossEntropy, expected.crossEntropy, 1e-5);
      assertAlmostEquals(report.penalty, expected.penalty, 1e-4 * expected.penalty);
      assertEquals([report.correct, report.outOfRange], [expected.correct, expected.outOfRange]);
      report.largestInput.forEach((value, i) => assertAlmostEquals(value, expected.largestInput[i], 1e-4));
      const { weights, momentum } = engine.save();
      for (const [name, { data }] of momentum) {
        const gradient = gradients.get(name)!, largest = Math.max(...gradient.map(Math.abs));
        const before = initial.weights.get(name)!.data, after = weights.get(name)!.data;
        gradient.forEach((g, i) => {
          assertAlmostEquals(data[i], g, 1e-4 * largest + 1e-7, `${name}[${i}]`);
          assertAlmostEquals(after[i], before[i] - settings.learningRate * g, 1e-5 * (1 + largest), name);
        });
      }
    } finally {
      engine.close();
    }
  });
}

it("WasmEngine gives the same bits with 1 and 2 workers, and goes on from a saved state bit for bit", async () => {
  const graph = TINY_RESNET, initial = variedState(graph), options = { batchSize: 8, initial };
  const batches = Array.from({ length: 20 }, (_, i) => randomBatch(graph, 8, i));
  const one = await createWasmEngine(graph, QUARTIC, { ...options, workers: 1 });
  const two = await createWasmEngine(graph, QUARTIC, { ...options, workers: 2 });
  try {
    const reports = [];
    for (const batch of batches.slice(0, 10)) reports.push(await one.step(batch, USUAL));
    const middle = one.save();
    for (const batch of batches.slice(10)) reports.push(await one.step(batch, USUAL));
    const end = one.save();
    assertNotEquals(middle, end);

    // All at once: the engine lines them up.
    assertEquals(await Promise.all(batches.map((batch) => two.step(batch, USUAL))), reports);
    assertEquals(two.save(), end);

    two.load(middle);
    assertEquals(two.save(), middle);
    for (const batch of batches.slice(10)) await two.step(batch, USUAL);
    assertEquals(two.save(), end);
    const evaluations = await Promise.all(
      [one, two].map((engine) => engine.evaluate(randomBatch(graph, 5, 3), 1)),
    );
    assertEquals(evaluations[0], evaluations[1]);
  } finally {
    one.close();
    two.close();
  }
});

it("WasmEngine.step() limits the gradient, decays weights, and keeps running statistics", async () => {
  const graph = TINY_CONVNET, initial = variedState(graph), batch = randomBatch(graph, 4, 2);
  const engine = await createWasmEngine(graph, QUARTIC, { batchSize: 4, initial });
  try {
    const settings = { ...PLAIN, weightDecay: 0.1, gradientNorm: 0.5 };
    const parameters = parametersOf(initial.weights);
    const { gradients, statistics } = differentiate(graph, QUARTIC, parameters, batch, settings, 2);
    const norm = Math.hypot(...[...gradients.values()].flatMap((g) => [...g]));
    await engine.step(batch, settings);
    const { weights, momentum } = engine.save();
    for (const name of ["conv1.weight", "dense1.bias", "bn1.scale"]) {
      const decay = name === "bn1.scale" ? 0 : 0.1, w = initial.weights.get(name)!.data;
      gradients.get(name)!.forEach((g, i) => {
        assertAlmostEquals(momentum.get(name)!.data[i], g * 0.5 / norm + decay * w[i], 1e-5, name);
      });
    }
    for (const [name, measured] of statistics) {
      measured.forEach((v, i) => {
        const expected = 0.9 * initial.weights.get(name)!.data[i] + 0.1 * v;
        assertAlmostEquals(weights.get(name)!.data[i], expected, 1e-5, name);
      });
    }
  } finally {
    engine.close();
  }
});

it("WasmEngine.evaluate() measures range and accuracy of any number of images", async () => {
  // One dense layer after the activation: everything can be followed by hand.
  const graph = build("by-hand", [1, 1, 3], [
    { id: "act1", op: "activation", input: "input" },
    { id: "flatten", op: "flatten", input: "act1" },
    { id: "classifier", op: "dense", input: "flatten", outputs: 3, bias: true },
  ]);
  const initial = initialState(graph, 1);
  initial.weights.get("classifier.weight")!.data.set([1, 0, 0, 0, 1, 0, 0, 0, 1]);
  initial.weights.get("classifier.bias")!.data.fill(0);
  const engine = await createWasmEngine(graph, { kind: "relu" }, { batchSize: 4, initial });
  const images = Float32Array.of(9, 1, -7, 0, 2, 0, NaN, 0, 0),
    targets = Float32Array.of(1, 0, 0, 0, 0, 1, 1, 0, 0);
  try {
    const report = await engine.evaluate({ size: 3, images, targets }, 5);
    const losses = [Math.log(1 + Math.exp(-8) + Math.exp(-9)), Math.log(2 + Math.exp(2))];
    assertAlmostEquals(report.crossEntropy, (losses[0] + losses[1]) / 2, 1e-6);
    assertEquals({ ...report, crossEntropy: 0 }, {
      images: 3,
      correct: 1,
      crossEntropy: 0,
      activations: 9,
      outOfRange: 3,
      imagesOutOfRange: 2,
      largestInput: Infinity,
      outOfRangeMean: 8,
      outOfRangeDeviation: 1,
      nonFinite: 1,
    });
    const clipped = await engine.evaluate(
      { size: 1, images: images.subarray(0, 3), targets: targets.subarray(0, 3) },
      5,
      2,
    );
    assertAlmostEquals(clipped.crossEntropy, Math.log(1 + Math.exp(-1) + Math.exp(-2)), 1e-6);
    assertEquals([clipped.correct, clipped.outOfRange, clipped.largestInput], [1, 2, 9]);
  } finally {
    engine.close();
  }
});

it("WasmEngine reports NaN instead of crashing", async () => {
  const batch = randomBatch(TINY_CONVNET, 4, 1), initial = initialState(TINY_CONVNET, 1);
  batch.images[0] = NaN;
  const engine = await createWasmEngine(TINY_CONVNET, QUARTIC, { batchSize: 4, initial });
  try {
    const report = await engine.step(batch, USUAL);
    assertEquals(report.largestInput[0], Infinity);
    assertEquals([report.crossEntropy, report.outOfRange > 0], [NaN, true]);
    assertEquals((await engine.evaluate(batch, 5)).nonFinite, 4); // the weights are NaN now
  } finally {
    engine.close();
  }
});

it("WasmEngine takes no more memory after 500 steps", async () => {
  const initial = initialState(TINY_CONVNET, 1), batch = randomBatch(TINY_CONVNET, 32, 1);
  const engine = await createWasmEngine(TINY_CONVNET, QUARTIC, { batchSize: 32, initial });
  try {
    const steps = async (count: number) => {
      for (let i = 0; i < count; i++) await engine.step(batch, USUAL);
      return Deno.memoryUsage().rss;
    };
    const before = await steps(250), after = await steps(500);
    // A batch kept for each step would be 19 MB; garbage that waits for its collection is less.
    assertEquals(after - before < 14e6, true, `${after - before} bytes more`);
  } finally {
    engine.close();
  }
});

it("createWasmEngine() refuses what it cannot train in one sentence", async () => {
  const initial = initialState(TINY_CONVNET, 1);
  const open = (graph: Graph, activation: Activation, batchSize: number, state = initial) =>
    createWasmEngine(graph, activation, { batchSize, initial: state }).then((engine) => engine.close());
  await assertRejects(
    () => open(TINY_CONVNET, QUARTIC, 7),
    RangeError,
    "7 does not divide into 2 equal shards",
  );
  await assertRejects(
    () => open(TINY_CONVNET, { ...QUARTIC, coefficients: new Array(12).fill(1) } as Activation, 4),
    Error,
    "polynomials up to degree 10, got 11",
  );
  await assertRejects(
    () => open(TINY_CONVNET, QUARTIC, 4, { weights: new Map(), momentum: new Map() }),
    RangeError,
    "weight tensor conv1.weight must have shape [3,3,3,5], found none",
  );
  const headless = { ...TINY_CONVNET, nodes: TINY_CONVNET.nodes.slice(0, 4) };
  await assertRejects(
    () => open(headless, QUARTIC, 4, initialState(headless, 1)),
    Error,
    "training needs logits from a dense layer, found activation",
  );
  const engine = await createWasmEngine(TINY_CONVNET, QUARTIC, { batchSize: 4, initial });
  await assertRejects(
    () => engine.step(randomBatch(TINY_CONVNET, 2, 1), USUAL),
    RangeError,
    "batches of 4 images",
  );
  const unfinished = engine.step(randomBatch(TINY_CONVNET, 4, 1), USUAL);
  engine.close();
  await assertRejects(() => unfinished, Error, "closed");
  await assertRejects(
    () => engine.step(randomBatch(TINY_CONVNET, 4, 1), USUAL),
    Error,
    "the wasm engine is closed",
  );
});

it("the kernels of the trigonometric activation are exact to a few units of float32, far out as well", async () => {
  const size = 1024, activation = fittedWave(10, 3, 1);
  const graph = build("wave", [1, 1, size], [
    { id: "act1", op: "activation", input: "input" },
    { id: "flatten", op: "flatten", input: "act1" },
    { id: "classifier", op: "dense", input: "flatten", outputs: 3, bias: false },
  ]);
  const initial = initialState(graph, 1),
    engine = await createWasmEngine(graph, activation, { batchSize: 2, initial });
  // The gradient of the first logit's weights is f(x) times a factor that the bias-free zero weights make 1/3.
  initial.weights.get("classifier.weight")!.data.fill(0);
  engine.load(initial);
  const images = Float32Array.from(
    { length: 2 * size },
    (_, i) => (i % size - size / 2) / 8 + 1e-3 * (i % 7),
  );
  const targets = Float32Array.of(1, 0, 0, 1, 0, 0);
  try {
    await engine.step({ size: 2, images, targets }, {
      ...PLAIN,
      clip: null,
      penalty: null,
      labelSmoothing: 0,
      crossEntropyWeight: 1,
    });
    const { data } = engine.save().momentum.get("classifier.weight")!;
    for (let i = 0; i < size; i++) {
      const x = images[i],
        mean = (trigonometricAt(activation, x) + trigonometricAt(activation, images[size + i])) / 2;
      assertAlmostEquals(-data[3 * i] * 1.5, mean, 3e-7 * (4 + Math.abs(x)), `f(${x})`);
    }
  } finally {
    engine.close();
  }
});
