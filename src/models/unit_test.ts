import { assert, assertAlmostEquals, assertEquals, assertThrows } from "@std/assert";
import { it } from "@std/testing/bdd";
import { evaluate } from "./float_engine.ts";
import { foldBatchNorm } from "./fold.ts";
import type { Graph } from "./graph.ts";
import { fittedWave, trigonometricAt } from "./trigonometric.ts";
import { inUnit, unitOfPeriod, unitsOf, weightsInUnits } from "./unit.ts";
import { randomWeights } from "./weights.ts";
import { buildModel } from "./zoo.ts";

it("inUnit() is the same function: f_P(u x) = u f_(P/u)(x)", () => {
  const f = fittedWave(10, 2, 1.5), unit = unitOfPeriod(f), g = inUnit(f, unit);
  assertEquals([unit, g.period], [1.25, 8]);
  for (let x = -20; x < 20; x += 0.7) {
    assertAlmostEquals(trigonometricAt(f, unit * x), unit * trigonometricAt(g, x), 1e-12);
  }
});

it("a network counted in another unit has the same logits, and other values by that unit alone", () => {
  for (const [name, period] of [["convnet", 10], ["minionn-bn", 12], ["resnet20", 6]] as const) {
    const f = fittedWave(period, 1, 1), graph = buildModel(name, 10), unit = unitOfPeriod(f);
    const folded = foldBatchNorm(graph, randomWeights(graph, 1, { kind: "relu" }));
    const image = Float64Array.from(
      { length: graph.inputShape.reduce((a, b) => a * b) },
      (_, i) => Math.sin(i),
    );
    const units = unitsOf(folded.graph, unit);
    const values = evaluate(folded.graph, folded.weights, f, image);
    const scaled = evaluate(
      folded.graph,
      weightsInUnits(folded.graph, folded.weights, units),
      inUnit(f, unit),
      image,
    );
    assertEquals(units.get(folded.graph.nodes.at(-1)!.id), 1);
    assert([...units.values()].includes(unit));
    for (const [id, value] of values) {
      const size = Math.max(...value.map(Math.abs));
      scaled.get(id)!.forEach((v, i) => assertAlmostEquals(v * units.get(id)!, value[i], 1e-5 * size, id));
    }
  }
});

it("a network whose logits are an activation, or that adds the image, keeps its unit or is refused", () => {
  const graph: Graph = {
    name: "odd",
    inputShape: [4, 4, 1],
    classes: 16,
    nodes: [
      { op: "input", id: "image" },
      { op: "conv", id: "conv", input: "image", outputs: 1, kernel: 3, stride: 1, padding: 1, bias: true },
      { op: "add", id: "sum", input: "conv", shortcut: "image" },
      { op: "activation", id: "act", input: "sum" },
      { op: "flatten", id: "flat", input: "act" },
      { op: "dense", id: "dense", input: "flat", outputs: 16, bias: true },
    ],
  };
  assertThrows(() => unitsOf(graph, 1.25), RangeError, "sum reads a value that no linear layer separates");
  assertEquals(new Set(unitsOf(graph, 1).values()), new Set([1]));
  const ends = (...behind: Graph["nodes"]): Graph => ({
    ...graph,
    nodes: [...graph.nodes.slice(0, 2), { op: "activation", id: "act", input: "conv" }, ...behind],
  });
  for (
    const network of [
      ends(),
      ends({ op: "flatten", id: "flat", input: "act" }),
      ends({ op: "averagePool", id: "pool", input: "act", kernel: 2, stride: 2, padding: 0 }),
    ]
  ) {
    assertThrows(
      () => unitsOf(network, 1.25),
      RangeError,
      `no linear layer separates the logits ${network.nodes.at(-1)!.id} from an activation`,
    );
    assertEquals(new Set(unitsOf(network, 1).values()), new Set([1]));
  }
});
