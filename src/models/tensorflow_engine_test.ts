import { assert, assertEquals, assertThrows } from "@std/assert";
import { it } from "@std/testing/bdd";
import * as tf from "@tensorflow/tfjs";
import { QUARTIC } from "../polynomial/polynomial.ts";
import { evaluate, evaluateLogits } from "./float_engine.ts";
import { foldBatchNorm } from "./fold.ts";
import type { Activation } from "./graph.ts";
import { openTensorflow } from "./tensorflow_backend.ts";
import { createTensorflowNetwork } from "./tensorflow_engine.ts";
import { randomWeights, seededImage } from "./weights.ts";
import { pools as graph } from "./_small_networks.ts";
import { fittedWave } from "./trigonometric.ts";
import { buildModel } from "./zoo.ts";

await openTensorflow();
await openTensorflow(); // allowed

const RELU: Activation = { kind: "relu" };
/** All terms, the odd ones last. */
const QUINTIC: Activation = { kind: "polynomial", coefficients: [90, 500, 120, -7, 2, 3], precision: 10 };
const CASES: readonly (readonly [string, Activation])[] = [
  ["convnet", RELU],
  ["convnet", { kind: "sigmoid" }],
  ["convnet", QUARTIC],
  ["convnet", QUINTIC],
  ["convnet", { kind: "polynomial", coefficients: [0, 3], precision: 2 }],
  ["convnet", fittedWave(10, 1, 2)],
  ["convnet", fittedWave(4, 3, 1)],
  ["minionn-bn", RELU],
  ["minionn-bn", QUARTIC],
  ["resnet20", RELU],
  ["resnet20", QUARTIC],
];

for (const [name, activation] of CASES) {
  const label = activation.kind === "polynomial"
    ? `degree ${activation.coefficients.length - 1}`
    : activation.kind;
  it(`TensorFlow.js computes the logits of the float engine, ${name} with ${label}`, () => {
    const model = buildModel(name);
    const { graph, weights } = foldBatchNorm(model, randomWeights(model, 7, activation));
    const before = tf.memory().numTensors;
    const engine = createTensorflowNetwork(graph, weights, activation), loaded = tf.memory().numTensors;
    for (const seed of [1, 2]) {
      const image = seededImage(graph, seed);
      const logits = engine.run(image), expected = evaluateLogits(graph, weights, activation, image);
      assertEquals(logits.length, expected.length);
      const difference = Math.max(...logits.map((v, i) => Math.abs(v - expected[i])));
      assert(difference < 1e-3, `logits differ by ${difference}`);
    }
    const batch = [1, 2, 3].map((seed) => seededImage(graph, seed)), logits = engine.runBatch(batch);
    for (const [i, image] of batch.entries()) assertEquals(logits[i], engine.run(image), `image ${i}`);
    assertEquals(tf.memory().numTensors, loaded, "a run leaves tensors behind");
    engine.dispose();
    assertEquals(tf.memory().numTensors, before, "the engine leaves tensors behind");
  });
}

it("forward() shows the float engine's value of every node, the image's too", () => {
  const { graph, weights } = foldBatchNorm(
    buildModel("convnet"),
    randomWeights(buildModel("convnet"), 7, RELU),
  );
  const engine = createTensorflowNetwork(graph, weights, QUARTIC);
  const image = seededImage(graph, 1),
    expected = evaluate(graph, weights, QUARTIC, image),
    seen: string[] = [];
  engine.forward(image, (id, read) => {
    const values = read(), own = expected.get(id)!;
    seen.push(id);
    assertEquals(values.length, own.length, id);
    own.forEach((v, i) => assert(Math.abs(values[i] - v) < 1e-3, id));
  });
  engine.dispose();
  assertEquals(seen, graph.nodes.map(({ id }) => id));
});

it("TensorFlow.js pools beyond the border like the float engine, and keeps a value that is read twice", () => {
  const random = (shape: readonly number[]) => {
    const data = Float32Array.from({ length: shape.reduce((a, b) => a * b) }, (_, i) => Math.sin(1 + 7 * i));
    return { shape, data };
  };
  const weights = new Map([
    ["conv.weight", random([3, 3, 2, 4])],
    ["conv.bias", { shape: [4], data: Float32Array.of(-20, -1, 0, 1) }], // a channel of negative values
    ["dense.weight", random([64, 3])],
  ]);
  const engine = createTensorflowNetwork(graph, weights, RELU), image = random([9 * 9 * 2]).data;
  const expected = evaluateLogits(graph, weights, RELU, image);
  engine.run(image).forEach((v, i) =>
    assert(Math.abs(v - expected[i]) < 1e-3, `${v}, expected ${expected[i]}`)
  );
  engine.dispose();
});

it("createTensorflowNetwork refuses batch norm and constant activations, run() a wrong image", () => {
  const model = buildModel("convnet"), weights = randomWeights(model, 7, RELU);
  assertThrows(() => createTensorflowNetwork(model, weights, RELU), RangeError, "merge batch norm first");
  const folded = foldBatchNorm(model, weights);
  const constant: Activation = { kind: "polynomial", coefficients: [1, 0], precision: 0 };
  assertThrows(() => createTensorflowNetwork(folded.graph, folded.weights, constant), RangeError, "constant");
  const engine = createTensorflowNetwork(folded.graph, folded.weights, RELU);
  assertThrows(() => engine.run([1, 2, 3]), RangeError, "takes an image of 32x32x3");
  engine.dispose();
});
