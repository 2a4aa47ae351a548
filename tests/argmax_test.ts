/** Fifty images through a private inference: the class is that of the plaintext network every time. */
import { assertEquals } from "@std/assert";
import { it } from "@std/testing/bdd";
import {
  buildModel,
  classOf,
  evaluateLogits,
  foldBatchNorm,
  openInProcess,
  planInference,
  QUARTIC,
  randomWeights,
  Ring,
  seededImage,
} from "../mod.ts";

it("the class of MiniONN-BN agrees with plaintext on 50 seeded images", async () => {
  const original = buildModel("minionn-bn"),
    { graph, weights } = foldBatchNorm(original, randomWeights(original, 1, QUARTIC));
  const plan = planInference(graph, {
    activation: "honeybadger",
    linear: "masked",
    function: QUARTIC,
  });
  const inference = await openInProcess(await Ring.open(), plan, weights, 50);
  const classes = new Set<number>();
  for (let seed = 1; seed <= 50; seed++) {
    const image = seededImage(original, seed),
      plain = classOf(evaluateLogits(graph, weights, QUARTIC, image));
    assertEquals(classOf(await inference.infer(image)), plain, `image ${seed}`);
    classes.add(plain);
  }
  assertEquals(classes.size > 1, true, "all images have the same class: the test would show nothing");
  await inference.end();
});
