/**
 * What is particular to the engine on TensorFlow.js; what all engines share is in `engine_contract_test.ts`.
 */
import { assert, assertAlmostEquals, assertEquals, assertRejects } from "@std/assert";
import { it } from "@std/testing/bdd";
import * as tf from "@tensorflow/tfjs";
import type { Graph } from "../models/graph.ts";
import { openTensorflow } from "../models/tensorflow_backend.ts";
import { buildModel } from "../models/zoo.ts";
import { parseActivation } from "./activations.ts";
import type { Batch, StepSettings } from "./engine.ts";
import { initialState } from "./initial.ts";
import { createTensorflowEngine } from "./tensorflow_engine.ts";

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
  clip: 5,
  penalty: { coefficient: 5e-5, exponent: 10, range: 4.8, reduction: "sum" },
  crossEntropyWeight: 1,
  labelSmoothing: 0.1,
  gradientNorm: 1,
};
const QUARTIC = parseActivation("poly:4:10");

/** Strided and padded convolutions, and pooling by maximum, which only this engine trains. */
const SMALL: Graph = {
  name: "small",
  classes: 3,
  inputShape: [9, 9, 2],
  nodes: [
    { id: "input", op: "input" },
    { id: "conv1", op: "conv", input: "input", kernel: 3, stride: 2, padding: 1, outputs: 4, bias: true },
    { id: "norm", op: "batchNorm", input: "conv1" },
    { id: "act1", op: "activation", input: "norm" },
    { id: "max", op: "maxPool", input: "act1", kernel: 3, stride: 2, padding: 1 },
    { id: "conv2", op: "conv", input: "max", kernel: 3, stride: 1, padding: 0, outputs: 3, bias: false },
    { id: "act2", op: "activation", input: "conv2" },
    { id: "flatten", op: "flatten", input: "act2" },
    { id: "dense", op: "dense", input: "flatten", outputs: 3, bias: true },
  ],
};

function waves({ inputShape: [h, w, c], classes }: Graph, size: number, k: number): Batch {
  const images = Float32Array.from({ length: size * h * w * c }, (_, i) => 1.5 * Math.sin(k + 1.7 * i));
  const targets = new Float32Array(size * classes);
  for (let i = 0; i < size; i++) targets[i * classes + (k + i) % classes] = 1;
  return { size, images, targets };
}

it("20 steps and evaluations on wasm leave no tensor behind, nor does close()", async () => {
  await openTensorflow();
  const before = tf.memory().numTensors;
  const engine = await createTensorflowEngine(SMALL, QUARTIC, {
    batchSize: 4,
    initial: initialState(SMALL, 1),
  });
  const loaded = tf.memory();
  for (let k = 0; k < 20; k++) {
    await engine.step(waves(SMALL, 4, k), SETTINGS);
    await engine.evaluate(waves(SMALL, 4, k), 5);
    assertEquals(tf.memory().numTensors, loaded.numTensors, `step ${k}`);
    assertEquals(tf.memory().numBytes, loaded.numBytes, `step ${k}`);
  }
  engine.load(engine.save());
  assertEquals(tf.memory().numTensors, loaded.numTensors);
  engine.close();
  assertEquals(tf.memory().numTensors, before);
});

it("own convolution gradients on wasm follow the built-in ones on cpu, maxPool included", async () => {
  const losses = async (backend: string) => {
    const options = { batchSize: 4, backend, initial: initialState(SMALL, 1) };
    const engine = await createTensorflowEngine(SMALL, QUARTIC, options), losses: number[] = [];
    for (let k = 0; k < 10; k++) {
      losses.push((await engine.step(waves(SMALL, 4, k), SETTINGS)).crossEntropy);
    }
    losses.push((await engine.evaluate(waves(SMALL, 4, 10), 5)).crossEntropy);
    engine.close();
    return losses;
  };
  const expected = await losses("cpu");
  (await losses("wasm")).forEach((loss, k) =>
    assertAlmostEquals(loss, expected[k], 1e-5 * loss, `step ${k}`)
  );
});

it("webgpu without a graphics card is refused by one sentence", async () => {
  const adapter = await navigator.gpu?.requestAdapter();
  if (adapter && !adapter.info.isFallbackAdapter) return; // there is one
  await assertRejects(
    () => openTensorflow("webgpu"),
    Error,
    adapter ? "the only adapter is" : "offers no graphics adapter",
  );
});

it("a network of the zoo with residual blocks takes a step on wasm and evaluates", async () => {
  const graph = buildModel("resnet20"), initial = initialState(graph, 1);
  const engine = await createTensorflowEngine(graph, QUARTIC, { batchSize: 4, initial });
  const report = await engine.step(waves(graph, 4, 0), SETTINGS);
  assert(report.crossEntropy > 0 && report.crossEntropy < 20, `${report.crossEntropy}`);
  assertEquals(report.largestInput.length, 19);
  const { images, activations } = await engine.evaluate(waves(graph, 2, 1), 5); // any number of images
  assertEquals([images, activations], [2, 2 * 188_416]);
  engine.close();
});

it("a penalty far out of range leaves loss and weights finite on wasm", async () => {
  const initial = initialState(SMALL, 1);
  initial.weights.get("norm.scale")!.data.fill(1e6);
  const engine = await createTensorflowEngine(SMALL, QUARTIC, { batchSize: 4, initial });
  const report = await engine.step(waves(SMALL, 4, 0), SETTINGS);
  assert(report.largestInput[0] > 1e6 && Number.isFinite(report.penalty), `${report.penalty}`);
  for (const { data } of engine.save().weights.values()) assert(data.every(Number.isFinite));
  engine.close();
});

it("createTensorflowEngine() refuses what does not fit by one sentence", async () => {
  const initial = initialState(SMALL, 1), options = { batchSize: 4, initial };
  const rejects = (options: Parameters<typeof createTensorflowEngine>[2], text: string) =>
    assertRejects(() => createTensorflowEngine(SMALL, QUARTIC, options), RangeError, text);
  await rejects({ ...options, backend: "webgl" }, 'unknown backend "webgl" of engine tfjs; known: wasm, cpu');
  await rejects({ ...options, batchSize: 3 }, "3 images cannot be cut into 2 equal shards");
  await rejects(
    { ...options, initial: { ...initial, momentum: new Map() } },
    "momentum of small: tensor conv1",
  );
  await rejects(
    { ...options, initial: { ...initial, weights: new Map() } },
    "conv1.weight [3,3,2,4] is missing",
  );
  const engine = await createTensorflowEngine(SMALL, QUARTIC, options);
  const batch = waves(SMALL, 4, 0), penalty = { ...SETTINGS.penalty!, exponent: 3 };
  await assertRejects(
    () => engine.step({ ...batch, size: 2 }, SETTINGS),
    RangeError,
    "takes batches of 4 images",
  );
  await assertRejects(
    () => engine.evaluate({ ...batch, size: 3 }, 5),
    RangeError,
    "3 images for small holds 486 values and 9 targets, got 648 and 12",
  );
  await assertRejects(
    () => engine.step(batch, { ...SETTINGS, penalty }),
    RangeError,
    "exponent of the penalty",
  );
  engine.close();
});
