import { assertAlmostEquals, assertEquals } from "@std/assert";
import { it } from "@std/testing/bdd";
import { evaluate } from "../models/float_engine.ts";
import { type FloatTensor, type Graph, inputsOf } from "../models/graph.ts";
import { checkWeights } from "../models/weights.ts";
import { buildModel, MODEL_NAMES } from "../models/zoo.ts";
import { evaluatePolynomial } from "../polynomial/polynomial.ts";
import { HERMITE_2, hermiteGraph } from "./hermite.ts";
import { initialState } from "./initial.ts";
import { ONE_CHANNEL } from "./_test_network.ts";

const F1 = 0.5, F2 = 0.28209479177387814;

/** Mean over a standard normal variable, by the trapezoidal rule. */
function expectation(f: (x: number) => number): number {
  const step = 1e-3;
  let sum = 0;
  for (let x = -12; x <= 12; x += step) sum += f(x) * Math.exp(-x * x / 2);
  return sum * step / Math.sqrt(2 * Math.PI);
}

const names = (graph: Graph) => graph.nodes.map(({ id }) => id);

it("hermiteGraph() puts two batch norms and their sum in the place of batch norm and activation", () => {
  const graph = hermiteGraph(buildModel("convnet"));
  assertEquals(names(graph).slice(0, 7), [
    ...["input", "conv1", "act1.norm1", "act1", "act1.norm2", "act1.sum", "pool1"],
  ]);
  const node = (id: string) => graph.nodes.find((node) => node.id === id);
  assertEquals(node("act1"), { id: "act1", op: "activation", input: "conv1" });
  assertEquals(node("act3"), { id: "act3", op: "activation", input: "dense1" });
  assertEquals(inputsOf(node("pool1")!), ["act1.sum"]);
  assertEquals(inputsOf(node("classifier")!), ["act3.sum"]);
});

it("hermiteGraph() leaves batch norms alone that something else than an activation reads", () => {
  const graph = hermiteGraph(buildModel("resnet18")), ids = names(graph);
  assertEquals(ids.includes("stage1.block1.bn1"), false);
  assertEquals(ids.includes("stage1.block1.bn2"), true);
  const add = graph.nodes.find(({ id }) => id === "stage1.block1.add")!;
  assertEquals(inputsOf(add), ["stage1.block1.bn2", "act1.sum"]);
});

it("hermiteGraph() keeps activations, their order and the layer of the logits in networks of every family", () => {
  for (const name of MODEL_NAMES.filter((name) => /convnet|minionn|resnet(18|20)/.test(name))) {
    const graph = buildModel(name), hermite = hermiteGraph(graph);
    const activations = ({ nodes }: Graph) =>
      nodes.filter(({ op }) => op === "activation").map(({ id }) => id);
    assertEquals(activations(hermite), activations(graph));
    assertEquals(names(hermite).at(-1), "classifier");
    checkWeights(hermite, initialState(hermite, 1).weights);
  }
});

it("the activation starts with the coefficients of ReLU in the normalised Hermite basis", () => {
  const h2 = (x: number) => evaluatePolynomial(HERMITE_2, x), relu = (x: number) => Math.max(0, x);
  assertAlmostEquals(expectation((x) => h2(x) ** 2), 1, 1e-9);
  assertAlmostEquals(expectation((x) => h2(x) * x), 0, 1e-9);
  assertAlmostEquals(expectation((x) => relu(x) * x), F1, 1e-6);
  assertAlmostEquals(expectation((x) => relu(x) * h2(x)), F2, 1e-6);
  const { weights } = initialState(hermiteGraph(buildModel("convnet")), 1);
  const starts = (name: string) => new Set(weights.get(name)!.data);
  assertEquals(starts("act2.norm1.scale"), new Set([F1]));
  assertEquals(starts("act2.norm2.scale"), new Set([Math.fround(F2)]));
  assertEquals(starts("act2.norm2.offset"), new Set([0]));
});

it("the network computes equation 5 of AESPA, known answers by hand", () => {
  const hermite = hermiteGraph(ONE_CHANNEL), { weights } = initialState(hermite, 1);
  const set = (name: string, value: number) => (weights.get(name) as FloatTensor).data.fill(value);
  set("conv.weight", 1);
  // x = -1, 0, 1, 2 has mean 1/2 and variance 5/4; x^2 = 1, 0, 1, 4 has mean 3/2 and variance 9/4.
  set("act.norm1.mean", 1 / 2);
  set("act.norm1.variance", 5 / 4);
  set("act.norm2.mean", (3 / 2 - 1) / Math.SQRT2);
  set("act.norm2.variance", 9 / 4 / 2);
  // gamma = 2, beta = 0.3.
  set("act.norm1.scale", 2 * F1);
  set("act.norm2.scale", 2 * F2);
  set("act.norm2.offset", 0.3);
  const y = evaluate(hermite, weights, HERMITE_2, [-1, 0, 1, 2]).get("act.sum")!;
  const first = [-3, -1, 1, 3].map((v) => v / Math.sqrt(5)), second = [-1 / 3, -1, -1 / 3, 5 / 3];
  first.forEach((h1, i) => assertAlmostEquals(y[i], 2 * (F1 * h1 + F2 * second[i]) + 0.3, 2e-5));
});
