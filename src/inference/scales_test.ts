import { assertEquals } from "@std/assert";
import { it } from "@std/testing/bdd";
import type { Graph, Node } from "../models/graph.ts";
import { auditedLayers } from "../models/ranges.ts";
import { QUARTIC } from "../polynomial/polynomial.ts";
import { planInference } from "./planner.ts";

/** Two activations of one image; what the wide dense layer at the end reads. */
function planOf(last: readonly Node[]) {
  const conv = (id: string): Node => ({
    ...{ op: "conv", id, input: "image", kernel: 1, stride: 1, padding: 0, outputs: 64, bias: false },
  });
  const graph: Graph = {
    ...{ name: "sums", classes: 2, inputShape: [8, 8, 1] },
    nodes: [
      { op: "input", id: "image" },
      ...[conv("c1"), conv("c2")],
      { op: "activation", id: "a1", input: "c1" },
      { op: "activation", id: "a2", input: "c2" },
      ...last,
    ],
  };
  const ranges = Object.fromEntries(auditedLayers(graph).map(({ id }) => [id, id === "fc" ? 1000 : 4]));
  return planInference(graph, { activation: "lifted", linear: "masked", function: QUARTIC, ranges });
}

it("what is summed leaves the layer that reads the sum, or its average, as much room as what it reads itself", () => {
  for (const pooled of [false, true]) {
    const dense: Node = { op: "dense", id: "fc", input: "flat", outputs: 2, bias: false };
    const readersOf = (input: string): Node[] => [
      ...pooled ? [{ op: "averagePool" as const, id: "mean", input, kernel: 8, stride: 8, padding: 0 }] : [],
      { op: "flatten", id: "flat", input: pooled ? "mean" : input },
      dense,
    ];
    const summed = planOf([{ op: "add", id: "sum", input: "a1", shortcut: "a2" }, ...readersOf("sum")]);
    const alone = planOf(readersOf("a1"));
    for (const id of ["a1", "a2"]) {
      assertEquals(summed.wires.get(id)!.fractionBits, alone.wires.get("a1")!.fractionBits);
    }
  }
});

it("an activation that is summed with a value others read too leaves nothing out for the average of the sum", () => {
  const plan = planOf([
    { op: "conv", id: "c3", input: "a1", kernel: 1, stride: 1, padding: 0, outputs: 64, bias: false },
    { op: "add", id: "c4", input: "c3", shortcut: "a2" },
    { op: "activation", id: "a3", input: "c4" },
    { op: "add", id: "sum", input: "a3", shortcut: "a1" },
    { op: "averagePool", id: "mean", input: "sum", kernel: 2, stride: 2, padding: 0 },
    { op: "flatten", id: "flat", input: "mean" },
    { op: "dense", id: "fc", input: "flat", outputs: 2, bias: false },
  ]);
  const bits = (id: string) => plan.wires.get(id)!.fractionBits;
  assertEquals(bits("a3"), bits("a1"));
});
