import { assertEquals, assertStrictEquals, assertThrows } from "@std/assert";
import { it } from "@std/testing/bdd";
import { checkWeights } from "../models/weights.ts";
import { buildModel } from "../models/zoo.ts";
import { parseActivation } from "./activations.ts";
import { HERMITE_2, hermiteGraph } from "./hermite.ts";
import { initialState } from "./initial.ts";
import { trainingGraph } from "./training_graph.ts";

it("trainingGraph() trains most activations in the network that is inferred", () => {
  const network = buildModel("resnet18");
  for (const name of ["relu", "poly:4:10", "sigmoid:4:10"]) {
    const { graph, activation, finish } = trainingGraph(network, name), weights = new Map();
    assertStrictEquals(graph, network);
    assertEquals(activation, parseActivation(name));
    assertStrictEquals(finish(weights), weights);
  }
});

it("trainingGraph() trains AESPA's in a graph of its own and gives back weights of the network", () => {
  const network = buildModel("convnet"), { graph, activation, finish } = trainingGraph(network, "hermite");
  assertEquals([graph, activation], [hermiteGraph(network), HERMITE_2]);
  checkWeights(network, finish(initialState(graph, 1).weights));
});

it("trainingGraph() refuses what it does not know and what cannot be inferred", () => {
  assertThrows(
    () => trainingGraph(buildModel("convnet"), "hermit"),
    SyntaxError,
    'unknown activation "hermit"',
  );
  assertThrows(() => trainingGraph(buildModel("resnet20"), "hermite"), RangeError, "pads act1 with zeros");
});
