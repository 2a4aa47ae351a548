/** Audited ranges become scales with a bit of head-room; what has none is refused; escaped logits are seen. */
import { assert, assertEquals, assertNotEquals, assertThrows } from "@std/assert";
import { it } from "@std/testing/bdd";
import { activate, evaluate, evaluateLogits } from "../models/float_engine.ts";
import { foldBatchNorm } from "../models/fold.ts";
import type { Graph, Weights } from "../models/graph.ts";
import { auditedLayers, floatForward, type Ranges } from "../models/ranges.ts";
import { fittedWave } from "../models/trigonometric.ts";
import { randomWeights, seededImage } from "../models/weights.ts";
import { activationLayer, buildModel } from "../models/zoo.ts";
import { QUARTIC } from "../polynomial/polynomial.ts";
import { Ring } from "../ring/ring.ts";
import { audit, ringLimits } from "./audit.ts";
import { isUnreliable, logitBound, precisionNote } from "./guard.ts";
import { openInProcess } from "./in_process.ts";
import { fixedPointLogits } from "./oracle.ts";
import { digestOf } from "./plan.ts";
import { planInference } from "./planner.ts";

const ring = await Ring.open();
const original = buildModel("convnet");
const { graph, weights } = foldBatchNorm(original, randomWeights(original, 1, QUARTIC));
const images = Array.from({ length: 6 }, (_, i) => seededImage(original, 100 + i));
const OPTIONS = { activation: "lifted", linear: "masked", function: QUARTIC };

const auditOf = (weights: Weights, ringBits = 30) =>
  audit(graph, { ...OPTIONS, ringBits }, floatForward(graph, weights, QUARTIC), images);
const planOf = (ranges?: Ranges, options = {}, activation = "lifted") =>
  planInference(graph, { ...OPTIONS, activation, ...(ranges && { ranges }), ...options });
/** The weights with the bias of one channel of a layer moved. */
function moved(id: string, by: number): Weights {
  const changed = new Map(weights), bias = changed.get(`${id}.bias`)!;
  changed.set(`${id}.bias`, { ...bias, data: bias.data.map((b, i) => i === 0 ? b + by : b) });
  return changed;
}

it("audit() finds the largest values of the float engine and what lies beyond", () => {
  const { layers, ranges } = auditOf(moved("conv2", 20));
  for (const { id, value } of auditedLayers(graph)) {
    const values = images.flatMap((x) => [...evaluate(graph, moved("conv2", 20), QUARTIC, x).get(value)!]);
    const largest = Math.max(...values.map(Math.abs)), layer = layers.find((layer) => layer.id === id)!;
    assertEquals([layer.largest, layer.values], [largest, values.length]);
    assertEquals(layer.beyondInterval, values.filter((v) => Math.abs(v) > 5).length / values.length);
    // Without ranges the ring holds values below 16, logits below 32.
    const limit = id === "classifier" ? 32 : 16;
    assertEquals(layer.beyondRing, values.filter((v) => Math.abs(v) >= limit).length / values.length);
    assert(ranges[id] >= largest && ranges[id] < 1.01 * largest);
  }
  assert(layers.find(({ id }) => id === "act2")!.beyondRing > 0.05);
});

it("a plan from ranges keeps at least one bit of head-room, and no bit more at activations", () => {
  for (const by of [0, 3, 6, 12]) {
    const { ranges, refused } = auditOf(moved("dense1", by));
    assertEquals(refused, null);
    for (const [id, limit] of ringLimits(planOf(ranges))) {
      assert(limit >= 2 * ranges[id], `${id}: ${ranges[id]} of ${limit}`);
      if (id !== "classifier") assert(limit < 4 * ranges[id], `${id}: ${ranges[id]} of ${limit}`);
    }
  }
});

it("a network without head-room is refused with a sentence that names the layer, unless forced", () => {
  const ranges = { ...auditOf(weights).ranges, act2: 40 };
  assertThrows(() => planOf(ranges), RangeError, "convnet: inputs of act2 up to 40 leave no head-room");
  assert(ringLimits(planOf(ranges, { force: true })).get("act2")! < 2 * ranges.act2);
  const { refused } = auditOf(moved("dense1", 400));
  assert(refused!.startsWith("convnet: logits of classifier"), refused!);
  // The wide ring holds what the narrow one refuses.
  const logits = { ...auditOf(weights).ranges, classifier: 60 };
  planOf(logits);
  assertThrows(() => planOf(logits, { ringBits: 16 }), RangeError, "classifier");
});

for (const flattened of ["classifier", "act1"]) {
  it(`the range of the logits counts where a network ends with a flattening of ${flattened}`, async () => {
    const nodes = graph.nodes.slice(0, graph.nodes.findIndex(({ id }) => id === flattened) + 1);
    const flat: Graph = { ...graph, nodes: [...nodes, { id: "flat", op: "flatten", input: flattened }] };
    const isKept = (name: string) => nodes.some(({ id }) => name.startsWith(`${id}.`));
    const shifted = new Map([...moved("classifier", 55)].filter(([name]) => isKept(name)));
    const forward = floatForward(flat, shifted, QUARTIC);
    const { ranges, layers, refused } = audit(flat, OPTIONS, forward, images);
    assertEquals(refused, null);
    assert(layers.every(({ headRoomBits }) => headRoomBits >= 1));
    const plan = planInference(flat, { ...OPTIONS, ranges });
    assertEquals(logitBound(plan), 2 * ranges.flat);
    assert(ringLimits(plan).get("flat")! >= 2 * ranges.flat);
    assertNotEquals(
      await digestOf(plan),
      await digestOf(planInference(flat, { ...OPTIONS, ranges: { ...ranges, flat: 1.01 * ranges.flat } })),
    );
    const inference = await openInProcess(ring, plan, shifted, 3), [image] = images;
    const logits = await inference.infer(image), exact = evaluateLogits(flat, shifted, QUARTIC, image);
    await inference.end();
    assert(Math.max(...exact.map(Math.abs)) > (flattened === "act1" ? 1 : 50));
    logits.forEach((v, i) => assert(Math.abs(v - exact[i]) < 0.05, `${v}, not ${exact[i]}`));
    assert(!isUnreliable(plan, logits));
  });
}

it("inputs of an activation that a network ends with have the room of any other, and do not bound its outputs", async () => {
  const layer = activationLayer(8),
    planned = (range: number, force = false) =>
      planInference(layer, { ...OPTIONS, ranges: { activation: range }, force });
  assertThrows(() => planned(40), RangeError, "inputs of activation up to 40 leave no head-room");
  assertEquals([3, 12].map((range) => ringLimits(planned(range)).get("activation")), [8, 32]);
  const plan = planned(12), x = new Float32Array(8).fill(-12);
  const inference = await openInProcess(ring, plan, new Map(), 3), y = await inference.infer(x);
  await inference.end();
  const [exact] = activate(QUARTIC, Float64Array.from(x));
  assert(Math.abs(exact) > 24 && y.every((v) => Math.abs(v - exact) < 1), `${y[0]}, not ${exact}`);
  assert(!isUnreliable(plan, y));
  // A wave whose period needs more integer bits than an unknown range.
  planInference(layer, { ...OPTIONS, activation: "trigonometric", function: fittedWave(128, 1, 1) });
});

it("ranges that do not belong to the network are refused", () => {
  const { ranges } = auditOf(weights);
  assertThrows(() => planOf({ ...ranges, act9: 1 }), RangeError, "act9");
  assertThrows(() => planOf({ ...ranges, act2: NaN }), RangeError, "act2");
  assertThrows(() => planOf({ act1: 3 }), RangeError, "act2 is missing");
});

it("ranges are part of what the roles compare for lifted, and not for 64-bit words", async () => {
  const { ranges } = auditOf(weights);
  const differ = async (activation: string) =>
    (await digestOf(planOf(ranges, {}, activation))).join() !==
      (await digestOf(planOf(undefined, {}, activation))).join();
  assertEquals([await differ("lifted"), await differ("honeybadger")], [true, false]);
});

for (const ringBits of [30, 20]) {
  it(`with ${ringBits} ring bits audited ranges make the logits at least twice as precise`, () => {
    const { ranges } = auditOf(weights, ringBits);
    const errorOf = (plan: ReturnType<typeof planOf>) =>
      Math.max(...[1, 2, 3].map((seed) => {
        const image = seededImage(original, seed), exact = evaluateLogits(graph, weights, QUARTIC, image);
        return Math.max(...fixedPointLogits(plan, weights, image).map((v, i) => Math.abs(v - exact[i])));
      }));
    const before = errorOf(planOf(undefined, { ringBits })), after = errorOf(planOf(ranges, { ringBits }));
    assert(2 * after < before, `${before} and ${after}`);
  });
}

for (const activation of ["lifted", "honeybadger"]) {
  it(`${activation}: logits of an input that escapes are unreliable, those of an honest run are not`, async () => {
    const { ranges } = auditOf(weights), plan = planOf(ranges, {}, activation);
    const run = async (size: number) => {
      const inference = await openInProcess(ring, plan, weights, 3);
      const flags = [];
      for (const seed of [1, 2, 3]) {
        const image = seededImage(original, seed).map((v) => size * v);
        flags.push(isUnreliable(plan, await inference.infer(image)));
      }
      await inference.end();
      return flags;
    };
    assertEquals(await run(1), [false, false, false]);
    assertEquals(await run(30), [true, true, true]);
  });
}

it("logits have a bound where ranges or a small ring give one", () => {
  const { ranges } = auditOf(weights);
  assertEquals(logitBound(planOf(ranges)), 2 * ranges["classifier"]);
  assertEquals(logitBound(planOf()), 16);
  // 64-bit words: half of what is left above the scale of the logits.
  assertEquals(logitBound(planOf(undefined, {}, "espn")), 2 ** (64 - 16 - 2 - 16));
  assertEquals(logitBound(planOf(ranges, {}, "espn")), 2 * ranges["classifier"]);
  assert(isUnreliable(planOf(ranges), [0, NaN]));
});

it("a ring so small that logits are of no use is said, with the layer and what would help", () => {
  assertEquals([30, 24].map((ringBits) => precisionNote(planOf(undefined, { ringBits }))), [null, null]);
  assertEquals(precisionNote(planOf(undefined, {}, "honeybadger")), null);
  const note = precisionNote(planOf(undefined, { ringBits: 18 }))!;
  assert(
    note.startsWith("18 ring bits leave 5 fraction bits for the weights of conv1: logits may be of no use"),
    note,
  );
});
