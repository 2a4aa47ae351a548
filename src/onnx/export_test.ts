import { assert, assertEquals, assertNotEquals, assertRejects, assertThrows } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { evaluateLogits } from "../models/float_engine.ts";
import type { Activation, Graph, Node } from "../models/graph.ts";
import { fittedWave, withLearnedActivations } from "../models/trigonometric.ts";
import { randomWeights, seededImage } from "../models/weights.ts";
import { buildModel } from "../models/zoo.ts";
import { QUARTIC } from "../polynomial/polynomial.ts";
import { exportOnnx } from "./export.ts";
import { imageToOnnx } from "./layout.ts";
import { askOnnxRuntime, NotLoadedError, OnnxProcess, type OnnxRuntime } from "./runtime.ts";

/** Everything that a network can have and the zoo's small ones lack: valid padding, maxima, a flattened value of several pixels. */
const nodes: readonly Node[] = [
  { id: "input", op: "input" },
  { id: "conv1", op: "conv", input: "input", kernel: 5, stride: 2, padding: 0, outputs: 7, bias: false },
  { id: "bn1", op: "batchNorm", input: "conv1" },
  { id: "act1", op: "activation", input: "bn1" },
  { id: "pool1", op: "maxPool", input: "act1", kernel: 3, stride: 2, padding: 1 },
  { id: "conv2", op: "conv", input: "pool1", kernel: 3, stride: 1, padding: 1, outputs: 7, bias: true },
  { id: "add", op: "add", input: "conv2", shortcut: "pool1" },
  { id: "act2", op: "activation", input: "add" },
  { id: "pool2", op: "averagePool", input: "act2", kernel: 2, stride: 1, padding: 0 },
  { id: "flatten", op: "flatten", input: "pool2" },
  { id: "dense1", op: "dense", input: "flatten", outputs: 11, bias: true },
  { id: "act3", op: "activation", input: "dense1" },
  { id: "dense2", op: "dense", input: "act3", outputs: 5, bias: false },
];
const odd: Graph = { name: "odd", classes: 5, inputShape: [21, 17, 3], nodes };

/** Its output is 2 x 2 x 7 numbers in a row, channels fastest. */
const flat: Graph = {
  ...{ name: "flat", classes: 140, inputShape: odd.inputShape },
  nodes: [
    ...nodes.slice(0, nodes.findIndex(({ id }) => id === "pool2") + 1),
    { id: "flatten", op: "flatten", input: "pool2" },
    { id: "act3", op: "activation", input: "flatten" },
  ],
};

const RELU = { kind: "relu" } as const, learned = fittedWave(8, 1, 1, true);
const CASES: readonly (readonly [string, Graph, Activation])[] = [
  ["ReLU", odd, RELU],
  ["a sigmoid", odd, { kind: "sigmoid" }],
  ["a cubic with all terms", odd, { kind: "polynomial", coefficients: [1, 2, 3, 4], precision: 3 }],
  ["a line", odd, { kind: "polynomial", coefficients: [0, 3], precision: 1 }],
  ["the quartic", odd, QUARTIC],
  ["a wave", odd, fittedWave(8, 2, 1)],
  ["a flattening at its end", flat, QUARTIC],
  ["learned waves", withLearnedActivations(odd, learned), learned],
  ["the quartic", buildModel("resnet20"), QUARTIC],
];

/** The largest difference of ONNX Runtime's logits from those of the float engine, beside the largest logit. */
async function errorOf(runtime: OnnxRuntime, graph: Graph, activation: Activation): Promise<number> {
  const weights = randomWeights(graph, 3, activation), [height, width, channels] = graph.inputShape;
  for (const [i, node] of graph.nodes.entries()) {
    if (node.op !== "activation" || !node.fourier) continue;
    weights.set(`${node.id}.fourier`, { shape: [2], data: Float32Array.of(i / 10, -i / 20) });
  }
  const images = [seededImage(graph, 1), seededImage(graph, 2)];
  const { outputs } = await askOnnxRuntime(
    runtime,
    exportOnnx(graph, weights, activation),
    Float32Array.from(images.flatMap((image) => [...imageToOnnx(image, graph.inputShape)])),
    { shape: [1, channels, height, width], repetitions: images.length, warmUp: 0 },
  );
  const errors = images.map((image, i) => {
    const expected = evaluateLogits(graph, weights, activation, image);
    assertEquals(outputs[i].length, expected.length);
    const largest = Math.max(...expected.map(Math.abs));
    return Math.max(...expected.map((logit, k) => Math.abs(logit - outputs[i][k]))) / largest;
  });
  return Math.max(...errors);
}

describe("exportOnnx() writes what the float engine computes, says ONNX Runtime", () => {
  for (const [name, graph, activation] of CASES) {
    it(`of ${graph.name} with ${name}`, async () => {
      const error = await errorOf("web", graph, activation);
      assert(error <= 1e-5, `${error} of the largest logit`);
    });
  }
  it("in machine code too, where that is to be had", async () => {
    const error = await errorOf("native", odd, QUARTIC).catch((error) => {
      if (error instanceof NotLoadedError) return console.log(error.message);
      throw error;
    });
    assert(error === undefined || error <= 1e-5, `${error} of the largest logit`);
  });
});

describe("OnnxProcess", () => {
  it("answers one question after another", async () => {
    const weights = randomWeights(odd, 3, QUARTIC), [height, width, channels] = odd.inputShape;
    const images = Float32Array.from(
      [1, 2].flatMap((seed) => [...imageToOnnx(seededImage(odd, seed), odd.inputShape)]),
    );
    await using process = new OnnxProcess("web", exportOnnx(odd, weights, QUARTIC), images);
    const ask = async (repetitions: number) =>
      (await process.ask({ shape: [1, channels, height, width], repetitions, warmUp: 0 })).outputs;
    const [first, second] = await ask(2);
    assertEquals(await ask(3), [first, second, first]);
    assertNotEquals(first, second);
  });
});

describe("askOnnxRuntime()", () => {
  it("says what is wrong with a file, and that a runtime does not load", async () => {
    const image = new Float32Array(3), question = { shape: [1, 3, 1, 1], repetitions: 1, warmUp: 0 };
    await assertRejects(
      () => askOnnxRuntime("web", new Uint8Array([1, 2, 3]), image, question),
      Error,
      "ONNX Runtime (web) cannot run this file: ",
    );
    await assertRejects(
      () => askOnnxRuntime("missing" as OnnxRuntime, new Uint8Array(), image, question),
      NotLoadedError,
      "ONNX Runtime (missing) does not load here: ",
    );
  });
});

it("exportOnnx() refuses a network that reads a flattened value as an image", () => {
  const graph: Graph = {
    name: "strange",
    classes: 2,
    inputShape: [2, 2, 1],
    nodes: [
      { id: "input", op: "input" },
      { id: "flatten", op: "flatten", input: "input" },
      { id: "conv", op: "conv", input: "flatten", kernel: 1, stride: 1, padding: 0, outputs: 2, bias: false },
    ],
  };
  const weights = new Map([["conv.weight", { shape: [1, 1, 4, 2], data: new Float32Array(8) }]]);
  assertThrows(
    () => exportOnnx(graph, weights, RELU),
    RangeError,
    "strange: node conv reads the flattened flatten as an image, which is not exported",
  );
});
