/** `trigonometric` in one process: right in any unit and with numbers of each layer's own, costs as declared, what an escape gives. */
import { assert, assertEquals, assertNotEquals, assertThrows } from "@std/assert";
import { it } from "@std/testing/bdd";
import { activate, evaluateLogits } from "../models/float_engine.ts";
import { foldBatchNorm, foldGraph } from "../models/fold.ts";
import type { Graph, Trigonometric, Weights } from "../models/graph.ts";
import { floatForward, measureRanges, rangesOf } from "../models/ranges.ts";
import { fittedWave, layerActivation, withLearnedActivations } from "../models/trigonometric.ts";
import { randomWeights, seededImage } from "../models/weights.ts";
import { activationLayer, buildModel, MODEL_NAMES } from "../models/zoo.ts";
import { QUARTIC } from "../polynomial/polynomial.ts";
import { Ring } from "../ring/ring.ts";
import { scratchOf } from "../ring/scratch.ts";
import { costOf } from "./cost.ts";
import { explain } from "./explain.ts";
import { openInProcess } from "./in_process.ts";
import { fixedPointLogits } from "./oracle.ts";
import { digestOf, type PlanOptions } from "./plan.ts";
import { planInference } from "./planner.ts";
import { odd, twoActivations } from "../models/_small_networks.ts";

const ring = await Ring.open();
// Working memory of convolutions grows on demand and stays: as much as the largest network here takes, before anything is counted.
scratchOf(ring).reserve(1 << 24);

function network(model: string, f: Trigonometric) {
  const plain = model === odd.name ? odd : buildModel(model), graph = withLearnedActivations(plain, f);
  const weights = new Map(randomWeights(graph, 1, f));
  return { original: graph, ...foldBatchNorm(graph, weights) };
}
const planOf = (graph: Graph, f: Trigonometric, more: Partial<PlanOptions> = {}) =>
  planInference(graph, { activation: "trigonometric", linear: "masked", function: f, ...more });
const largest = (a: ArrayLike<number>, b: ArrayLike<number>) =>
  Math.max(...Array.from(a, (v, i) => Math.abs(v - b[i])));

for (
  const [model, f, ringBits, tolerance] of [
    ["convnet", fittedWave(8, 1, 1), 30, 0.02],
    ["convnet", fittedWave(10, 1, 1.5), 30, 0.02],
    ["convnet", fittedWave(12, 3, 1), 24, 0.1],
    ["odd", fittedWave(10, 1, 1.5), 30, 0.02],
    ["minionn-bn", fittedWave(10, 1, 1), 30, 0.05],
    ["vgg16-bn-avg", fittedWave(16, 2, 1), 30, 0.1],
    ["resnet20", fittedWave(6, 1, 1), 30, 0.1],
  ] as const
) {
  const name = `${model} of period ${f.period}, ${f.amplitudes.length} harmonics and ${ringBits} ring bits`;
  it(`trigonometric: ${name} agrees with its fixed-point engine, and that with floats`, async () => {
    const { original, graph, weights } = network(model, f), image = seededImage(original, 7);
    const float = evaluateLogits(graph, weights, f, image);
    const ranges = rangesOf(measureRanges(graph, floatForward(graph, weights, f), [image]));
    const plan = planOf(graph, f, { ringBits, ranges }), before = ring.bytesInUse;
    const inference = await openInProcess(ring, plan, weights, 2);
    for (let i = 0; i < 2; i++) {
      const logits = await inference.infer(image);
      assert(largest(logits, fixedPointLogits(plan, weights, image)) <= tolerance);
      assert(largest(logits, float) <= 2 * tolerance, `from float by ${largest(logits, float)}`);
    }
    await inference.end();
    assertEquals(ring.bytesInUse, before);
  });
}

it("trigonometric computes each layer's own numbers, and the digest covers them", async () => {
  const f = fittedWave(10, 1, 1, true), { original, graph, weights } = network("convnet", f);
  const own = new Map(weights);
  ["act1", "act2", "act3"].forEach((id, i) =>
    own.set(`${id}.fourier`, { shape: [2], data: Float32Array.of(1 + i / 4, -1.5 - i / 8) })
  );
  const functions = Object.fromEntries(
    ["act1", "act2", "act3"].map((id) => [id, layerActivation(f, id, own)]),
  );
  const plan = planOf(graph, f, { functions }), image = seededImage(original, 3);
  assertNotEquals(await digestOf(plan), await digestOf(planOf(graph, f)));
  const inference = await openInProcess(ring, plan, own, 1);
  assert(largest(await inference.infer(image), evaluateLogits(graph, own, f, image)) < 0.05);
  await inference.end();
  const { first, layers } = await explain(ring, plan, own, f, image);
  assertEquals(first, null);
  assert(layers.every(({ added }) => added!.within), JSON.stringify(layers));
});

it("trigonometric makes no gross error in 300 inferences of ConvNet", async () => {
  const f = fittedWave(10, 1, 1.5),
    { original, graph, weights } = network("convnet", f),
    plan = planOf(graph, f);
  const inference = await openInProcess(ring, plan, weights, 300);
  for (let seed = 0; seed < 300; seed++) {
    const image = seededImage(original, seed);
    assert(largest(await inference.infer(image), fixedPointLogits(plan, weights, image)) < 0.05);
  }
  await inference.end();
});

it("every network takes at most 24 dealt bytes per activation at one harmonic and 36 at two, and fewer bytes online than lifted", () => {
  for (const name of MODEL_NAMES.filter((name) => name !== "resnet50")) {
    const graph = foldGraph(buildModel(name));
    const lifted = costOf(
      planInference(graph, { activation: "lifted", linear: "masked", function: QUARTIC }),
    );
    for (const harmonics of [1, 2]) {
      const plan = planOf(graph, fittedWave(8, harmonics, 1)),
        { activation, total, oneWayDelays } = costOf(plan);
      const count = graph.nodes.filter(({ op }) => op === "activation")
        .reduce((sum, { id }) => sum + plan.wires.get(id)!.words, 0);
      assertEquals(activation.dealtBytes, (12 + 12 * harmonics) * count, name);
      assert(
        total.bytesServer < lifted.total.bytesServer && total.bytesClient === lifted.total.bytesClient,
        name,
      );
      assertEquals(oneWayDelays, lifted.oneWayDelays);
    }
  }
});

it("beyond the ring the wave stays right, and half the ring is missing from the line as often as the note says", async () => {
  const n = 2 ** 15,
    f = fittedWave(8, 1, 1),
    plan = planOf(activationLayer(n), f),
    { limit } = plan.activations.get("activation")!;
  assertEquals(limit, 16);
  const inference = await openInProcess(ring, plan, new Map(), 4);
  for (const [x, probability] of [[15.9, 0], [20, 1 / 8], [-20, 1 / 8], [24, 1 / 4]] as const) {
    const y = await inference.infer(new Float32Array(n).fill(x)),
      [expected] = activate(f, Float64Array.of(x));
    const off = y.map((v) => Math.round((expected - v) / (2 * limit))), wrong = off.filter((v) => v !== 0);
    y.forEach((v, i) => assert(Math.abs(v + 2 * limit * off[i] - expected) < 0.01));
    assert(wrong.every((v) => v === Math.sign(x)));
    // Six deviations.
    assert(Math.abs(wrong.length / n - probability) <= 6 * Math.sqrt(probability / n));
  }
  await inference.end();
});

it("trigonometric errs by half a step of the opened angle, twice as much with a bit less", async () => {
  const n = 4096,
    f = fittedWave(8, 1, 1),
    x = Float64Array.from({ length: n }, (_, i) => 16 * Math.sin(i));
  for (const angleBits of [6, 8, 10]) {
    const plan = planOf(activationLayer(n), f, { angleBits }),
      inference = await openInProcess(ring, plan, new Map(), 1);
    const y = await inference.infer(x),
      expected = activate(f, x),
      error = largest(y, expected),
      half = 2 ** (2 - angleBits);
    // The steepest part of the wave has a slope of 2 / pi.
    assert(error < 2 / Math.PI * half + 0.001 && error > half / 2, `${angleBits} bits: ${error}`);
    await inference.end();
  }
});

it("plans that break the bounds of trigonometric are refused with a sentence", () => {
  const graph = twoActivations(4), f = fittedWave(8, 1, 1), other = fittedWave(10, 1, 1);
  const [first] = graph.nodes.filter(({ op }) => op === "activation");
  assertThrows(
    () => planOf(graph, f, { functions: { [first.id]: other } }),
    RangeError,
    "needs the same period in all layers",
  );
  assertThrows(
    () => planOf(graph, f, { angleBits: 15 }),
    RangeError,
    "opens 4 to 14 bits of an angle, not 15",
  );
  assertThrows(() => planOf(graph, f, { linear: "beaver" }), RangeError, "weights in clear at the server");
  assertThrows(
    () => planOf(graph, QUARTIC as unknown as Trigonometric),
    RangeError,
    "computes a line and a wave",
  );
  assertThrows(() => planOf(graph, fittedWave(64, 1, 1), { ringBits: 31 }), RangeError, "16 to 30");
});

it("amplitudes of 6 bits, before an average of 256, err by less than a unit of the output; with fewer a plan is refused", async () => {
  const graph: Graph = {
    name: "pooled",
    classes: 2,
    inputShape: [16, 16, 1],
    nodes: [
      { id: "image", op: "input" },
      { id: "conv", op: "conv", input: "image", kernel: 1, stride: 1, padding: 0, outputs: 1, bias: true },
      { id: "act", op: "activation", input: "conv" },
      { id: "average", op: "averagePool", input: "act", kernel: 16, stride: 16, padding: 0 },
      { id: "flat", op: "flatten", input: "average" },
      { id: "logits", op: "dense", input: "flat", outputs: 2, bias: true },
    ],
  };
  const f = fittedWave(8, 1, 1), ranges = (logits: number) => ({ ranges: { act: 4, logits } });
  const plan = planOf(graph, f, ranges(64)), { fractionBits } = plan.wires.get("act")!;
  assertEquals(fractionBits, 4);
  const weights: Weights = new Map([
    ["conv.weight", { shape: [1, 1, 1, 1], data: Float32Array.of(1) }],
    ["conv.bias", { shape: [1], data: Float32Array.of(0) }],
    ["logits.weight", { shape: [1, 2], data: Float32Array.of(1, -1) }],
    ["logits.bias", { shape: [2], data: Float32Array.of(0, 0) }],
  ]);
  const image = Float32Array.from({ length: 256 }, (_, i) => 4 * Math.sin(i));
  const inference = await openInProcess(ring, plan, weights, 3);
  const error = largest(await inference.infer(image), evaluateLogits(graph, weights, f, image));
  assert(error < 2 ** -fractionBits, `${error}`);
  await inference.end();
  assertThrows(
    () => planOf(graph, f, ranges(1024)),
    RangeError,
    "leaves 4 bits to the amplitudes, fewer than 6",
  );
});
