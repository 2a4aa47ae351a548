import { assert, assertAlmostEquals, assertEquals, assertNotEquals } from "@std/assert";
import { it } from "@std/testing/bdd";
import type { FloatTensor } from "../models/graph.ts";
import { checkWeights } from "../models/weights.ts";
import { buildModel, MODEL_NAMES } from "../models/zoo.ts";
import { initialState, isTrainable } from "./initial.ts";

/** Root mean square over the values, and the largest of them. */
function size({ data }: FloatTensor): { rms: number; max: number } {
  let sum = 0, max = 0;
  for (const value of data) {
    sum += value * value;
    max = Math.max(max, Math.abs(value));
  }
  return { rms: Math.sqrt(sum / data.length), max };
}

it("initialState() gives every small network its tensors, and momentum to the trainable ones", () => {
  for (const name of MODEL_NAMES.filter((name) => /convnet|minionn|resnet(20|32)/.test(name))) {
    const graph = buildModel(name), { weights, momentum } = initialState(graph, 1);
    checkWeights(graph, weights);
    assertEquals([...momentum.keys()], [...weights.keys()].filter(isTrainable));
    for (const { data } of momentum.values()) assert(data.every((v) => v === 0));
  }
});

it("initialState() starts a batch norm at the scale that its node names", () => {
  const graph = buildModel("convnet"),
    start = (scale?: number) => {
      const nodes = graph.nodes.map((node) =>
        node.op === "batchNorm" && scale !== undefined ? { ...node, initialScale: scale } : node
      );
      return initialState({ ...graph, nodes }, 1).weights;
    };
  assertEquals(new Set(start().get("bn1.scale")!.data), new Set([1]));
  assertEquals(new Set(start(0.25).get("bn1.scale")!.data), new Set([0.25]));
  assertEquals(start(0.25).get("conv1.weight"), start().get("conv1.weight"));
});

it("initialState() draws ConvNet uniformly within 1 / sqrt(fan in), weights and biases", () => {
  const { weights } = initialState(buildModel("convnet"), 1);
  for (
    const [layer, fanIn] of [["conv1", 75], ["conv2", 150], ["dense1", 400], ["classifier", 120]] as const
  ) {
    const bound = 1 / Math.sqrt(fanIn), weight = size(weights.get(`${layer}.weight`)!);
    assert(weight.max < bound, layer);
    assertAlmostEquals(weight.rms / bound, 1 / Math.sqrt(3), 0.04, layer);
    const bias = size(weights.get(`${layer}.bias`)!);
    assert(bias.max < bound && bias.rms > bound / 4, layer);
  }
});

it("initialState() draws ResNet-20 and MiniONN by Kaiming's rule, by fan in and by fan out", () => {
  const resnet = initialState(buildModel("resnet20"), 1).weights;
  assertAlmostEquals(size(resnet.get("stage2.block1.conv1.weight")!).rms, Math.sqrt(2 / (9 * 16)), 0.003);
  assertAlmostEquals(size(resnet.get("classifier.weight")!).rms, Math.sqrt(2 / 64), 0.01);
  const minionn = initialState(buildModel("minionn-bn"), 1).weights;
  // 64 -> 16 channels, kernel 1: fan in would give half of this.
  assertAlmostEquals(size(minionn.get("conv7.weight")!).rms, Math.sqrt(2 / 16), 0.02);
  assertAlmostEquals(size(minionn.get("classifier.weight")!).rms, 1 / Math.sqrt(3 * 1024), 0.001);
});

it("initialState() starts batch norm as the identity", () => {
  const { weights } = initialState(buildModel("convnet"), 1);
  const parts = ["scale", "offset", "mean", "variance"].map((part) => weights.get(`bn1.${part}`)!.data[0]);
  assertEquals(parts, [1, 0, 0, 1]);
});

it("initialState() repeats itself for a seed and differs for another", () => {
  const graph = buildModel("convnet");
  assertEquals(initialState(graph, 7), initialState(graph, 7));
  const first = (seed: number) => initialState(graph, seed).weights.get("conv1.weight")!.data[0];
  assertNotEquals(first(7), first(8));
});
