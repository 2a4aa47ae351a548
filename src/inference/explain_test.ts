/** The explanation finds a planted fault, and finds none where there is none. */
import { assert, assertEquals } from "@std/assert";
import { it } from "@std/testing/bdd";
import { foldBatchNorm } from "../models/fold.ts";
import { flattenedFirst, odd } from "../models/_small_networks.ts";
import { floatForward, measureRanges, rangesOf } from "../models/ranges.ts";
import { randomWeights, seededImage } from "../models/weights.ts";
import { buildModel } from "../models/zoo.ts";
import { QUARTIC } from "../polynomial/polynomial.ts";
import { Ring } from "../ring/ring.ts";
import { explain } from "./explain.ts";
import { planInference } from "./planner.ts";

const ring = await Ring.open();
const graph = buildModel("convnet");
const folded = foldBatchNorm(graph, randomWeights(graph, 1, QUARTIC));

const planOf = (fractionBits: number) =>
  planInference(folded.graph, {
    activation: "honeybadger",
    linear: "masked",
    fractionBits,
    function: QUARTIC,
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

it("explain finds nothing wrong with a sound network", async () => {
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

it("explain goes on where integers leave the range of doubles, by a protocol whose errors have bounds too", async () => {
  const plan = planInference(folded.graph, { activation: "lifted", linear: "masked", function: QUARTIC });
  // The first layer fills the ring with numbers of any size, the second multiplies them by weights as large as words hold.
  const weights = planted(layers[0], 2 ** 18).set(
    ...[...planted(layers[1], 2 ** 20)].find(([name]) => name === `${layers[1]}.weight`)!,
  );
  const { fixedEngineStopped, layers: reports } = await explain(
    ring,
    plan,
    weights,
    QUARTIC,
    seededImage(graph, 4),
  );
  assert(
    fixedEngineStopped !== null && reports.every(({ added }) => added === null),
    `${fixedEngineStopped}`,
  );
});

it("explain names the layer of a planted overflow and says that it wraps around", async () => {
  const weights = planted(layers[1], 2 ** 32);
  const { first, fixedEngineStopped } = await explain(
    ring,
    planOf(16),
    weights,
    QUARTIC,
    seededImage(graph, 4),
  );
  assertEquals(first?.id, layers[1]);
  assert(first!.departs!.startsWith("wrap-around"), first!.departs!);
  assert(fixedEngineStopped!.includes(layers[1]), fixedEngineStopped!);
});

it("explain names the activation whose input left the polynomial's range", async () => {
  const { first } = await explain(
    ring,
    planOf(16),
    planted(layers[1], 3000),
    QUARTIC,
    seededImage(graph, 4),
  );
  assertEquals(first?.kind, "activation");
  assert(first!.departs!.startsWith("range"), first!.departs!);
});

it("explain sees that eight fraction bits are too coarse for this quartic", async () => {
  const { first } = await explain(ring, planOf(8), folded.weights, QUARTIC, seededImage(graph, 4));
  assert(first !== null && first.departs!.startsWith("rounding"), String(first?.departs));
});

/** A plan of `lifted` with ranges from two images. */
function liftedNetwork(name: string) {
  const original = [odd, flattenedFirst].find((own) => own.name === name) ?? buildModel(name),
    { graph, weights } = foldBatchNorm(original, randomWeights(original, 1, QUARTIC));
  const images = [100, 101].map((seed) => seededImage(original, seed));
  const ranges = rangesOf(measureRanges(graph, floatForward(graph, weights, QUARTIC), images));
  const options = { activation: "lifted", linear: "masked", function: QUARTIC };
  return {
    original,
    weights,
    plain: planInference(graph, options),
    plan: planInference(graph, { ...options, ranges }),
  };
}

for (
  const [name, audited] of [
    ["odd", true],
    ["flattened-first", true],
    ["minionn-bn", true],
    ["minionn-bn", false],
    ["resnet20", true],
    ["roundnet", true],
  ] as const
) {
  it(
    `every layer of lifted ${name} ${
      audited ? "with" : "without"
    } ranges adds no more error than the bound of its note`,
    async () => {
      const { original, weights, plan, plain } = liftedNetwork(name), image = seededImage(original, 4);
      const explained = await explain(ring, audited ? plan : plain, weights, QUARTIC, image);
      assertEquals([explained.first?.departs, explained.fixedEngineStopped], [undefined, null]);
      assertEquals(explained.layers.filter(({ added }) => !added!.within).map(({ id }) => id), []);
      for (const { kind, added, fromFixed, nearWrap } of explained.layers) {
        // A bound that is never nearly reached would show nothing.
        if (kind === "activation") {
          assert(added!.max > 0.3 * added!.bound, `${added!.max} of ${added!.bound}`);
        }
        assert(fromFixed!.max < 0.1 && nearWrap === 0);
      }
    },
  );
}

it("explain finds the activation of lifted whose input the ring cannot hold", async () => {
  const { original, weights, plan } = liftedNetwork("convnet");
  const image = seededImage(original, 4).map((v) => 6 * v); // inputs up to about 25, of 16
  const { first, layers } = await explain(ring, plan, weights, QUARTIC, image);
  assertEquals(first?.id, "act1");
  assert(first!.departs!.startsWith("range") && first!.departs!.includes("ring"), first!.departs!);
  assertEquals(layers.filter(({ added }) => !added!.within)[0]?.id, "act1");
});
