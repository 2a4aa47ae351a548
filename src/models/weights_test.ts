/** Which weights fit a network, and what random ones are like. */
import {
  assert,
  assertEquals,
  assertGreater,
  assertLessOrEqual,
  assertNotEquals,
  assertThrows,
} from "@std/assert";
import { it } from "@std/testing/bdd";
import { evaluate } from "./float_engine.ts";
import type { Activation, FloatTensor, Graph, Weights } from "./graph.ts";
import { checkWeights, randomWeights, seededImage, weightShapes } from "./weights.ts";
import { buildModel, MODEL_NAMES } from "./zoo.ts";
import { QUARTIC } from "../polynomial/polynomial.ts";

const RELU: Activation = { kind: "relu" };
const convnet = buildModel("convnet"), convnetWeights = randomWeights(convnet, 1, QUARTIC);

it("checkWeights() names the tensor, what was expected and what was found", () => {
  const refuse = (change: (weights: Map<string, FloatTensor>) => void, message: string) => {
    const weights = new Map(convnetWeights);
    change(weights);
    assertThrows(() => checkWeights(convnet, weights), RangeError, message);
  };
  checkWeights(convnet, convnetWeights);
  refuse((w) => w.delete("bn2.mean"), "weights of convnet (10 classes): tensor bn2.mean [16] is missing");
  refuse(
    (w) => w.set("conv1.weight", { shape: [5, 5, 6, 3], data: new Float32Array(450) }),
    "tensor conv1.weight must have shape [5,5,3,6], found [5,5,6,3]",
  );
  refuse(
    (w) => w.set("conv1.bias", { shape: [6], data: new Float32Array(5) }),
    "must hold 6 values, found 5",
  );
  refuse(
    (w) => w.set("extra", { shape: [1], data: new Float32Array(1) }),
    "tensor extra [1] belongs to no layer",
  );
  for (const value of [NaN, Infinity, -Infinity]) {
    refuse(
      (w) => w.set("conv1.bias", { shape: [6], data: Float32Array.of(0, 0, value, 0, 0, 0) }),
      `tensor conv1.bias holds ${value} at index 2`,
    );
  }
  refuse(
    (w) => w.set("bn1.variance", { shape: [6], data: new Float32Array(6).fill(-1) }),
    "tensor bn1.variance holds a negative variance",
  );
  assertThrows(() => checkWeights(buildModel("convnet", 100), convnetWeights), RangeError, "[120,100]");
});

it("randomWeights() gives every tensor of every small network, the same for the same seed", () => {
  for (const name of ["convnet", "minionn", "minionn-bn", "resnet20"]) {
    const graph = buildModel(name), weights = randomWeights(graph, 5, QUARTIC);
    checkWeights(graph, weights);
    assertEquals([...weights.keys()].sort(), [...weightShapes(graph).keys()].sort());
    assertEquals(randomWeights(graph, 5, QUARTIC), weights);
    assertNotEquals(randomWeights(graph, 6, QUARTIC), weights);
  }
});

it("seededImage() is standard normal, clipped to [-3, 3], and depends on the seed", () => {
  const graph = buildModel("resnet18"), image = seededImage(graph, 1);
  assertEquals(image.length, 32 * 32 * 3);
  assertEquals(seededImage(graph, 1), image);
  assertNotEquals(seededImage(graph, 2), image);
  let sum = 0, squares = 0;
  for (let seed = 0; seed < 50; seed++) {
    for (const value of seededImage(graph, seed)) {
      assertLessOrEqual(Math.abs(value), 3);
      sum += value;
      squares += value * value;
    }
  }
  // Half of the variance lies in 50 * 48 patches: one deviation of the mean is 0.015, of the variance 0.015.
  const n = 50 * image.length;
  assertLessOrEqual(Math.abs(sum / n), 0.06);
  assertLessOrEqual(Math.abs(squares / n - 1), 0.06);
});

/** Largest |input of an activation|, largest |logit| and the predicted classes on images with these seeds. */
function behaviour(graph: Graph, weights: Weights, activation: Activation, seeds: readonly number[]) {
  let largestInput = 0, largestLogit = 0;
  const classes = new Set<number>();
  for (const seed of seeds) {
    const values = evaluate(graph, weights, activation, seededImage(graph, seed));
    for (const node of graph.nodes) {
      if (node.op !== "activation") continue;
      for (const value of values.get(node.input)!) largestInput = Math.max(largestInput, Math.abs(value));
    }
    const logits = [...values.get(graph.nodes.at(-1)!.id)!];
    largestLogit = Math.max(largestLogit, ...logits.map(Math.abs));
    classes.add(logits.indexOf(Math.max(...logits)));
  }
  return { largestInput, largestLogit, classes: classes.size };
}

for (const name of MODEL_NAMES.filter((name) => !name.startsWith("resnet50"))) {
  for (const activation of name === "vgg16" ? [QUARTIC] : [QUARTIC, RELU]) {
    it(`randomWeights() of ${name} keep other images in [-5, 5] and tell them apart, ${activation.kind}`, () => {
      const graph = buildModel(name), weights = randomWeights(graph, 1, activation);
      const { largestInput, largestLogit, classes } = behaviour(graph, weights, activation, [1, 2, 3, 4, 5]);
      assertLessOrEqual(largestInput, 5);
      assertGreater(largestInput, 1);
      assertGreater(largestLogit, 0.3);
      assert(classes > 1, "all images have the same class");
    });
  }
}

it("randomWeights() of resnet50-avg keep another image in [-5, 5]", () => {
  const graph = buildModel("resnet50-avg"), weights = randomWeights(graph, 1, QUARTIC);
  const { largestInput, largestLogit } = behaviour(graph, weights, QUARTIC, [1]);
  assertLessOrEqual(largestInput, 5);
  assertGreater(largestLogit, 0.3);
});
