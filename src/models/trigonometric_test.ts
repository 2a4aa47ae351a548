import { assertAlmostEquals, assertEquals } from "@std/assert";
import { it } from "@std/testing/bdd";
import { evaluateLogits } from "./float_engine.ts";
import { foldBatchNorm } from "./fold.ts";
import type { FloatTensor } from "./graph.ts";
import { createTensorflowNetwork } from "./tensorflow_engine.ts";
import { openTensorflow } from "./tensorflow_backend.ts";
import { fittedWave, layerActivation, trigonometricAt, withLearnedActivations } from "./trigonometric.ts";
import { randomWeights, seededImage } from "./weights.ts";
import { buildModel } from "./zoo.ts";

it("trigonometric() with all harmonics would be ReLU on a period, and is a staircase beyond", () => {
  const f = fittedWave(8, 3, 1);
  for (const x of [-3.5, -2, -1, 1, 2, 3.5]) assertAlmostEquals(trigonometricAt(f, x), Math.max(0, x), 0.04);
  for (const x of [-3, 0.3, 2]) {
    assertAlmostEquals(trigonometricAt(f, x + 8) - trigonometricAt(f, x), 4, 1e-12);
  }
});

it("a network that learned its waves is evaluated with those of each layer, merged or not, in TensorFlow.js as well", async () => {
  const start = fittedWave(6, 2, 1, true), graph = withLearnedActivations(buildModel("convnet"), start);
  const weights = new Map<string, FloatTensor>(
    randomWeights(buildModel("convnet"), 7, fittedWave(6, 2, 1)),
  );
  for (const [i, layer] of ["act1", "act2", "act3"].entries()) {
    weights.set(`${layer}.fourier`, { shape: [3], data: Float32Array.of(0.5 + i, -1 - i / 4, 0.25 * i) });
  }
  assertEquals(layerActivation(start, "act3", weights), {
    kind: "trigonometric",
    period: 6,
    offset: 2.5,
    amplitudes: [-1.5, 0.5],
  });
  const image = seededImage(graph, 1), logits = evaluateLogits(graph, weights, start, image);
  const plain = weights.keys().filter((name) => !name.endsWith(".fourier"));
  const fixed = evaluateLogits(
    buildModel("convnet"),
    new Map(plain.map((name) => [name, weights.get(name)!])),
    fittedWave(6, 2, 1),
    image,
  );
  assertEquals(logits.some((v, i) => Math.abs(v - fixed[i]) > 0.1), true, "the learned numbers do nothing");
  const folded = foldBatchNorm(graph, weights);
  evaluateLogits(folded.graph, folded.weights, start, image).forEach((v, i) =>
    assertAlmostEquals(v, logits[i], 1e-5)
  );
  await openTensorflow();
  const engine = createTensorflowNetwork(folded.graph, folded.weights, start);
  engine.run(image).forEach((v, i) => assertAlmostEquals(v, logits[i], 1e-3));
  engine.dispose();
});
