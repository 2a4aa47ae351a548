import { assertAlmostEquals, assertEquals } from "@std/assert";
import { it } from "@std/testing/bdd";
import { mixTargets } from "./distillation.ts";

it("mixTargets() adds the softmax of the teacher's logits, divided by the temperature, to what is left of the label", () => {
  const log = Math.log,
    batch = {
      size: 2,
      images: new Float32Array(),
      targets: Float32Array.of(1, 0, 0, 0, 0.5, 0.5),
    };
  // At temperature 2 the probabilities are those of the square roots: 1 : 2 : 1 and 3 : 1 : 1. Logits matter up to a constant.
  const logits = Float32Array.of(1000, 1000 + log(4), 1000, log(9), 0, 0);
  mixTargets(batch, logits, { teacher: "", weight: 0.4, temperature: 2 });
  const expected = [0.6 + 0.1, 0.2, 0.1, 0.24, 0.3 + 0.08, 0.3 + 0.08];
  expected.forEach((v, i) => assertAlmostEquals(batch.targets[i], v, 1e-4));
});

it("mixTargets() without weight leaves the targets as they are", () => {
  const batch = { size: 1, images: new Float32Array(), targets: Float32Array.of(0, 1) };
  mixTargets(batch, Float32Array.of(3, -1), { teacher: "", weight: 0, temperature: 1 });
  assertEquals(batch.targets, Float32Array.of(0, 1));
});
