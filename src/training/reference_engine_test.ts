/** What the contract of engines leaves out, as not all of them have it. */
import { assertAlmostEquals } from "@std/assert";
import { it } from "@std/testing/bdd";
import type { Graph } from "../models/graph.ts";
import { parseActivation } from "./activations.ts";
import type { StepSettings } from "./engine.ts";
import { initialState } from "./initial.ts";
import { differentiate, parametersOf } from "./reference_engine.ts";
import { differences, randomBatch } from "./_test_network.ts";

/** Windows that overlap and reach over the border. */
const POOLED: Graph = {
  name: "pooled",
  classes: 3,
  inputShape: [6, 5, 2],
  nodes: [
    { id: "input", op: "input" },
    { id: "conv", op: "conv", input: "input", kernel: 3, stride: 1, padding: 1, outputs: 3, bias: true },
    { id: "largest", op: "maxPool", input: "conv", kernel: 3, stride: 2, padding: 1 },
    { id: "act", op: "activation", input: "largest" },
    { id: "flatten", op: "flatten", input: "act" },
    { id: "dense", op: "dense", input: "flatten", outputs: 3, bias: true },
  ],
};

const SETTINGS: StepSettings = {
  learningRate: 1,
  momentum: 0,
  nesterov: false,
  weightDecay: 0,
  decayNorms: true,
  decayBiases: true,
  muon: null,
  scaleCap: null,
  reluPart: 0,
  clip: null,
  penalty: null,
  crossEntropyWeight: 1,
  labelSmoothing: 0,
  gradientNorm: null,
};

it("differentiate() follows central differences through maximum pooling", () => {
  const activation = parseActivation("poly:4:10"), batch = randomBatch(POOLED, 4, 1);
  const parameters = parametersOf(initialState(POOLED, 2).weights);
  const { gradients } = differentiate(POOLED, activation, parameters, batch, SETTINGS, 2);
  for (const [name, expected] of differences(POOLED, activation, parameters, batch, SETTINGS, 2)) {
    expected.forEach((g, i) => assertAlmostEquals(gradients.get(name)![i], g, 1e-7, `${name}[${i}]`));
  }
});
