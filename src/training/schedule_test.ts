import { assertAlmostEquals, assertEquals } from "@std/assert";
import { it } from "@std/testing/bdd";
import { presetOf } from "./presets.ts";
import { averageDecay, learningRateAt, stepSettings } from "./schedule.ts";

const paper = presetOf("cifar10-resnet18-pillar");

it("learningRateAt() warms up from a hundredth over five epochs, as the published runs do", () => {
  const factors = [0, 1, 2, 3, 4, 5].map((epoch) => learningRateAt(paper, epoch) / 0.013);
  for (const [i, expected] of [0.01, 0.208, 0.406, 0.604, 0.802, 1].entries()) {
    assertAlmostEquals(factors[i], expected, 1e-12);
  }
});

it("learningRateAt() falls along a cosine to nearly 0 in the last epoch", () => {
  assertAlmostEquals(learningRateAt(paper, 5 + 90), 0.013 / 2, 1e-12);
  assertAlmostEquals(learningRateAt(paper, 5 + 60), 0.013 * 0.75, 1e-12);
  // PyTorch's CosineAnnealingLR: (1 + cos(pi * 179 / 180)) / 2.
  assertAlmostEquals(learningRateAt(paper, 184), 0.013 * 7.615242180438042e-5, 1e-12);
});

it("learningRateAt() without warm-up starts with the full value", () => {
  const recipe = {
    learningRate: 0.1,
    epochs: 4,
    warmUp: { epochs: 0, from: 0.01 },
    schedule: "cosine",
  } as const;
  assertEquals(learningRateAt(recipe, 0), 0.1);
  assertAlmostEquals(learningRateAt(recipe, 2), 0.05, 1e-15);
});

it("stepSettings() warms the penalty up over four epochs as the paper does", () => {
  const stages = [0, 1, 2, 3, 4, 5].map((epoch) => {
    const { penalty, crossEntropyWeight } = stepSettings(paper, epoch, 390, 391);
    return [penalty!.exponent, Math.round(5e-5 / penalty!.coefficient), crossEntropyWeight];
  });
  assertEquals(stages, [[4, 100, 0], [6, 50, 1], [8, 10, 1], [10, 5, 1], [10, 1, 1], [10, 1, 1]]);
});

it("stepSettings() has the short stages done after half of the first epoch", () => {
  const short = presetOf("convnet-pillar-cpu");
  const exponents = Array.from({ length: 16 }, (_, step) => stepSettings(short, 0, step, 16))
    .map(({ penalty, crossEntropyWeight }) => crossEntropyWeight === 0 ? 0 : penalty!.coefficient / 1e-5);
  const expected = [0, 0, 0.02, 0.02, 0.1, 0.1, 0.2, 0.2, 1, 1, 1, 1, 1, 1, 1, 1];
  for (const [i, value] of expected.entries()) assertAlmostEquals(exponents[i], value, 1e-12);
});

it("stepSettings() leaves penalty and cross entropy alone where no warm-up is asked", () => {
  const figure3 = stepSettings(presetOf("convnet-pillar"), 0, 0, 10);
  assertEquals(figure3.penalty, { coefficient: 1e-6, exponent: 10, range: 5, reduction: "sum" });
  assertEquals([figure3.crossEntropyWeight, figure3.clip], [1, 5]);
  const unmodified = stepSettings(presetOf("convnet-unmodified"), 0, 0, 10);
  assertEquals([unmodified.penalty, unmodified.clip, unmodified.crossEntropyWeight], [null, null, 1]);
});

it("stepSettings() puts the polynomial in the place of ReLU on a line over the epochs of the replacement", () => {
  const recipe = { ...presetOf("convnet-pillar"), replacement: 2 };
  const parts = [[0, 0], [0, 5], [1, 0], [1, 9], [2, 0], [7, 3]].map(([epoch, step]) =>
    stepSettings(recipe, epoch, step, 10).reluPart
  );
  for (const [i, part] of [1, 0.75, 0.5, 0.05, 0, 0].entries()) assertAlmostEquals(parts[i], part, 1e-12);
  assertEquals(stepSettings({ ...recipe, replacement: null }, 0, 0, 10).reluPart, 0);
});

it("averageDecay() is that of torchvision's script for the ImageNet run", () => {
  assertAlmostEquals(averageDecay(presetOf("imagenet-resnet50-pillar")), 1 - 2e-5 * 1024 * 32 / 600, 1e-12);
});

it("learningRateAt() on a line changes from step to step, up and down", () => {
  const recipe = {
    ...paper,
    learningRate: 0.1,
    epochs: 10,
    warmUp: { epochs: 1.5, from: 0.2 },
    schedule: "linear",
  } as const;
  for (
    const [epoch, part, rate] of [
      ...[[0, 0, 0.02], [0, 0.75, 0.06], [1, 0.5, 0.1], [1, 0.75, 0.1 * 8.25 / 8.5]],
      ...[[5, 0.75, 0.05], [9, 0.5, 0.1 * 0.5 / 8.5]],
    ] as [number, number, number][]
  ) {
    assertAlmostEquals(learningRateAt(recipe, epoch, part), rate, 1e-12, `${epoch} ${part}`);
    assertEquals(
      stepSettings(recipe, epoch, part * 100, 100).learningRate,
      learningRateAt(recipe, epoch, part),
    );
  }
});
