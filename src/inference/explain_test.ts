/** The explanation finds a planted fault, and finds none where there is none. */
import { assert, assertEquals } from "@std/assert";
import { foldBatchNorm } from "../models/fold.ts";
import { randomWeights, seededImage } from "../models/weights.ts";
import { buildModel } from "../models/zoo.ts";
import { QUARTIC } from "../polynomial/polynomial.ts";
import { Ring } from "../ring/ring.ts";
import { explain } from "./explain.ts";
import { planInference } from "./plan.ts";

const ring = await Ring.open();
const graph = buildModel("convnet");
const folded = foldBatchNorm(graph, randomWeights(graph, 1, QUARTIC));

const planOf = (fractionBits: number) =>
  planInference(folded.graph, {
    activation: "honeybadger",
    linear: "masked",
    fractionBits,
    polynomial: QUARTIC,
  });

/** The weights with those of one layer multiplied. */
function planted(id: string, factor: number) {
  const weights = new Map(folded.weights), tensor = weights.get(`${id}.weight`)!;
  weights.set(`${id}.weight`, { ...tensor, data: tensor.data.map((w) => w * factor) });
  return weights;
}

const layers = folded.graph.nodes.filter((node) => node.op === "conv" || node.op === "dense").map(({ id }) =>
  id
);

Deno.test("explain finds nothing wrong with a sound network", async () => {
  const { first, layers: reports, fixedEngineStopped } = await explain(
    ring,
    planOf(16),
    folded.weights,
    QUARTIC,
    seededImage(graph, 4),
  );
  assertEquals([first, fixedEngineStopped], [null, null]);
  assert(reports.every(({ fromFixed, nearWrap }) => fromFixed!.max < 0.01 && nearWrap === 0));
});

Deno.test("explain names the layer of a planted overflow and says that it wraps around", async () => {
  const weights = planted(layers[1]!, 2 ** 32);
  const { first, fixedEngineStopped } = await explain(
    ring,
    planOf(16),
    weights,
    QUARTIC,
    seededImage(graph, 4),
  );
  assertEquals(first?.id, layers[1]);
  assert(first!.departs!.startsWith("wrap-around"), first!.departs!);
  assert(fixedEngineStopped!.includes(layers[1]!), fixedEngineStopped!);
});

Deno.test("explain names the activation whose input left the polynomial's range", async () => {
  const { first } = await explain(
    ring,
    planOf(16),
    planted(layers[1]!, 3000),
    QUARTIC,
    seededImage(graph, 4),
  );
  assertEquals(first?.kind, "activation");
  assert(first!.departs!.startsWith("range"), first!.departs!);
});

Deno.test("explain sees that eight fraction bits are too coarse for this quartic", async () => {
  const { first } = await explain(ring, planOf(8), folded.weights, QUARTIC, seededImage(graph, 4));
  assert(first !== null && first.departs!.startsWith("rounding"), String(first?.departs));
});
