import { assertEquals, assertThrows } from "@std/assert";
import { it } from "@std/testing/bdd";
import { buildModel } from "../models/zoo.ts";
import { defaultRecipe, presetOf, PRESETS, withActivation } from "./presets.ts";
import { firstDifference } from "./recipe.ts";

it("presetOf() holds the published runs", () => {
  const published: [string, ...(number | string)[]][] = [
    ["cifar10-resnet18-pillar", 185, 0.013, 128, 5e-4, "poly:4:10", 4.8, 5e-5, "paper"],
    ["cifar10-resnet110-pillar", 185, 0.013, 128, 5e-4, "poly:4:10", 4.8, 5e-5, "paper"],
    ["cifar10-minionn-bn-pillar", 180, 0.06, 128, 5e-4, "poly:6:10", 4.4, 5e-5, "paper"],
    ["cifar10-vgg16-bn-avg-pillar", 300, 0.0025, 128, 5e-4, "poly:4:10", 4.8, 1e-6, "paper"],
    ["cifar100-resnet18-pillar", 185, 0.013, 128, 5e-4, "poly:6:10", 4.8, 5e-5, "paper"],
    ["cifar100-resnet32-pillar", 150, 0.1, 128, 1e-4, "poly:5:10", 4, 0.01, "paper"],
    ["cifar100-vgg16-bn-avg-pillar", 300, 0.0025, 128, 5e-4, "poly:4:10", 4.8, 1e-6, "paper"],
    ["convnet-pillar", 150, 0.1, 256, 1e-4, "poly:4:real", 5, 1e-6, "none"],
  ];
  for (const [name, ...expected] of published) {
    const { epochs, learningRate, batch, weightDecay, activation, penalty, clip } = presetOf(name);
    const { range, coefficient, warmUp, exponent } = penalty!;
    assertEquals(
      [epochs, learningRate, batch, weightDecay, activation, range, coefficient, warmUp],
      expected,
      name,
    );
    assertEquals([clip, exponent], [5, 10], name);
  }
});

it("every preset is of a network that exists, and ReLU twins differ by activation, clip and penalty alone", () => {
  for (const [name, recipe] of Object.entries(PRESETS)) {
    buildModel(recipe.model);
    if (!name.includes("relu")) continue;
    const { activation, clip, penalty } = presetOf(name.replace("relu", "pillar"));
    assertEquals([recipe.activation, recipe.clip, recipe.penalty], ["relu", null, null]);
    assertEquals(
      firstDifference({ ...recipe, activation, clip, penalty }, PRESETS[name.replace("relu", "pillar")]),
      undefined,
      name,
    );
  }
});

it("presetOf() names the presets when it knows none of that name", () => {
  assertThrows(() => presetOf("toString"), RangeError, "convnet-pillar-cpu");
});

it("defaultRecipe() prefers the shortened recipe of a network", () => {
  assertEquals(defaultRecipe("convnet"), PRESETS["convnet-pillar-cpu"]);
  assertEquals(defaultRecipe("resnet110"), PRESETS["cifar10-resnet110-pillar"]);
  assertEquals(defaultRecipe("minionn"), { ...PRESETS["resnet20-pillar-cpu"], model: "minionn" });
});

it("the sigmoids of the paper's review are ResNet-18's run with other activations", () => {
  const run = presetOf("cifar10-resnet18-pillar");
  assertEquals(presetOf("cifar10-resnet18-sigmoid"), withActivation(run, "sigmoid:exact"));
  assertEquals(presetOf("cifar10-resnet18-poly-sigmoid"), withActivation(run, "sigmoid:4:10"));
});

it("withActivation() takes clip and penalty away where no polynomial was fitted", () => {
  const recipe = presetOf("convnet-pillar");
  assertEquals(withActivation(recipe, "relu"), presetOf("convnet-relu"));
  for (const activation of ["hermite", "sigmoid:exact", "trig:10:1:2:learned"]) {
    assertEquals(withActivation(recipe, activation), { ...presetOf("convnet-relu"), activation });
  }
  assertEquals(withActivation(recipe, "poly:2"), { ...recipe, activation: "poly:2" });
});

it("firstDifference() names the path of the field", () => {
  const recipe = presetOf("convnet-pillar");
  assertEquals(firstDifference(recipe, structuredClone(recipe)), undefined);
  assertEquals(
    firstDifference(recipe, { ...recipe, penalty: { ...recipe.penalty, coefficient: 1 } }),
    { field: "penalty.coefficient", first: 1e-6, second: 1 },
  );
  const without = { ...recipe, penalty: null };
  assertEquals(firstDifference(recipe, without)?.field, "penalty.coefficient");
  assertEquals(firstDifference(without, recipe)?.second, 1e-6);
});
