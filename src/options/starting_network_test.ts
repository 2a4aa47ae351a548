import { assertEquals, assertThrows } from "@std/assert";
import { it } from "@std/testing/bdd";
import { randomWeights } from "../models/weights.ts";
import { buildModel } from "../models/zoo.ts";
import { parseActivation } from "../training/activations.ts";
import { trainingGraph } from "../training/training_graph.ts";
import {
  beginning,
  givenWeights,
  inferringProtocol,
  networkOf,
  type StartingNetwork,
} from "./starting_network.ts";

const LEARNED = "trig:10:1:2:learned";

function learned(): StartingNetwork {
  const { graph, activation } = trainingGraph(buildModel("convnet"), LEARNED);
  const weights = new Map(randomWeights(buildModel("convnet"), 1, parseActivation("trig:10:1:2")));
  for (const layer of ["act1", "act2", "act3"]) {
    weights.set(`${layer}.fourier`, { shape: [2], data: Float32Array.of(1, -2) });
  }
  const model = { model: "convnet", classes: 10, graph, activation, weights };
  return { ...model, folder: "networks/learned", sha256: "ab", isOwn: false, isTwin: false };
}

it("inferringProtocol() is the usual one of an activation, another where that cannot, or a sentence", () => {
  const of = (model: string, activation: string) => inferringProtocol(buildModel(model), activation).name;
  assertEquals(of("convnet", "relu"), "relu");
  assertEquals(of("convnet", "poly:4:10"), "lifted");
  assertEquals(of("convnet", LEARNED), "trigonometric");
  assertEquals(of("resnet50", "poly:4:10"), "tree");
  assertEquals(of("resnet50-avg", "trig:10:1:2"), "trigonometric");
  assertThrows(() => of("resnet50", "trig:10:1:2"), RangeError, "with max pooling (stemPool of resnet50)");
});

it("givenWeights() keeps what activations have learned for the same activation alone", () => {
  const count = (activation: string) =>
    [...givenWeights(learned(), { activation }).weights.keys()].filter((name) => name.endsWith(".fourier"))
      .length;
  assertEquals([LEARNED, "trig:8:1:2:learned", "trig:10:1:2", "poly:4:10"].map(count), [3, 0, 0, 0]);
});

it("beginning() tells networks from elsewhere apart by architecture and pixels, ours by weights alone", async () => {
  const start = learned(), pixels = { channels: "BGR", mean: [0, 0, 0], deviation: [1, 1, 1] } as const;
  assertEquals(await beginning(undefined), { graph: null, pixels: null, from: null, twin: null });
  assertEquals(await beginning(start), { graph: null, pixels: null, from: "ab", twin: null });
  assertEquals((await beginning({ ...start, isTwin: true })).twin, "ab");
  const own = { ...start, isOwn: true, pixels }, begun = await beginning(own);
  assertEquals([begun.pixels, begun.from], [pixels, "ab"]);
  // Numbers where learned activations start are no part of it; a name of a node is.
  const { graph } = await beginning({ ...own, graph: buildModel("convnet") });
  assertEquals(begun.graph, graph);
  const renamed = { ...own.graph, nodes: own.graph.nodes.map((node) => ({ ...node, id: `own.${node.id}` })) };
  assertEquals((await beginning({ ...own, graph: renamed })).graph === graph, false);
});

it("networkOf() is ours by its name, with the classes of the data, unless a folder brings one", () => {
  const plain = { model: "convnet", pooling: null };
  assertEquals(networkOf(plain, undefined, 7), buildModel("convnet", 7));
  assertEquals(networkOf(plain, learned(), 10), buildModel("convnet", 10));
  const graph = { ...buildModel("resnet50"), name: "own" };
  const averaged = networkOf({ model: "own", pooling: "average" }, { graph, isOwn: true });
  assertEquals([averaged.name, averaged.nodes], ["own", buildModel("resnet50-avg").nodes]);
});
