import { assert, assertAlmostEquals, assertEquals } from "@std/assert";
import { it } from "@std/testing/bdd";
import { crossEntropy, exponential } from "./cross_entropy.ts";

it("exponential() is that of Math to 2 units in the last place", () => {
  for (let x = 0; x > -690; x -= 0.0371) {
    assert(Math.abs(exponential(x) / Math.exp(x) - 1) < 2 ** -51, `at ${x}`);
  }
  assertEquals([exponential(0), exponential(-800), exponential(-Infinity), exponential(NaN)], [1, 0, 0, NaN]);
});

it("crossEntropy() and its gradient, by hand and at a distance that would overflow a plain exponential", () => {
  const logits = Float32Array.of(0, Math.log(3), 2000, 0), targets = Float32Array.of(1, 0, 0, 1);
  const gradient = new Float32Array(6);
  const report = crossEntropy(logits, targets, 2, 0, 0.5, gradient, 3);
  assertAlmostEquals(report.crossEntropy, Math.log(4) + 2000, 1e-4);
  assertEquals(report.correct, 0);
  [-0.375, 0.375, 0, 0.5, -0.5, 0].forEach((g, i) => assertAlmostEquals(gradient[i], g, 1e-6));
});
