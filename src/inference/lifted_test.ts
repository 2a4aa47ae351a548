/** `lifted` in one process: right over ring widths and degrees, costs as declared, no gross error ever. */
import { assert, assertEquals, assertNotEquals, assertRejects, assertThrows } from "@std/assert";
import { it } from "@std/testing/bdd";
import { evaluateLogits } from "../models/float_engine.ts";
import { foldBatchNorm, foldGraph } from "../models/fold.ts";
import type { Graph } from "../models/graph.ts";
import { randomWeights, seededImage } from "../models/weights.ts";
import { activationLayer, buildModel, MODEL_NAMES } from "../models/zoo.ts";
import { memoryPair } from "../network/memory_pair.ts";
import { type Polynomial, QUARTIC } from "../polynomial/polynomial.ts";
import { liftedSpecOf } from "../protocols/activation/lifted.ts";
import { SEED_BYTES } from "../random/stream.ts";
import { Convolution } from "../ring/convolution.ts";
import { ConvolutionPool } from "../ring/pool.ts";
import { Ring } from "../ring/ring.ts";
import { runDealer } from "./dealer.ts";
import { openInProcess } from "./in_process.ts";
import { fixedPointLogits } from "./oracle.ts";
import { costOf } from "./cost.ts";
import { digestOf, type Step } from "./plan.ts";
import { planInference } from "./planner.ts";
import { query, serve } from "./parties.ts";
import { describeTag } from "./tags.ts";
import { identity, odd, twoActivations } from "../models/_small_networks.ts";

const ring = await Ring.open(), pool = new ConvolutionPool(ring, 1);
const SEXTIC: Polynomial = {
  kind: "polynomial",
  coefficients: [837, 2048, 966, 0, -48, 0, 1],
  precision: 12,
};
const QUADRATIC: Polynomial = { kind: "polynomial", coefficients: [479, 512, 96], precision: 10 };

function network(model: string, polynomial: Polynomial) {
  const graph = model === odd.name ? odd : buildModel(model);
  return { original: graph, ...foldBatchNorm(graph, randomWeights(graph, 1, polynomial)) };
}
const planOf = (graph: Graph, polynomial: Polynomial, ringBits: number) =>
  planInference(graph, { activation: "lifted", linear: "masked", function: polynomial, ringBits });
const largest = (a: ArrayLike<number>, b: ArrayLike<number>) =>
  Math.max(...Array.from(a, (v, i) => Math.abs(v - b[i])));

for (
  const [model, polynomial, ringBits, tolerance] of [
    ["convnet", QUARTIC, 30, 0.02],
    ["convnet", QUARTIC, 24, 0.1],
    ["odd", QUARTIC, 30, 0.02],
    ["convnet", QUADRATIC, 30, 0.02],
    ["convnet", SEXTIC, 30, 0.05],
    ["minionn-bn", QUARTIC, 30, 0.05],
    ["vgg16-bn-avg", QUARTIC, 30, 0.1],
    ["resnet20", QUARTIC, 30, 0.1],
  ] as const
) {
  it(`lifted ${model} of degree ${polynomial.coefficients.length - 1} with ${ringBits} ring bits agrees with its fixed-point engine`, async () => {
    const { original, graph, weights } = network(model, polynomial),
      plan = planOf(graph, polynomial, ringBits);
    const inference = await openInProcess(ring, plan, weights, 2);
    for (const seed of [7, 8]) {
      const image = seededImage(original, seed), logits = await inference.infer(image);
      const difference = largest(logits, fixedPointLogits(plan, weights, image));
      assert(difference <= tolerance, `from fixed point by ${difference}`);
      if (ringBits === 30 && model !== "resnet20") {
        const float = evaluateLogits(graph, weights, polynomial, image);
        assert(largest(logits, float) <= 2 * tolerance, `from float by ${largest(logits, float)}`);
      }
    }
    await inference.end();
  });
}

it("lifted makes no gross error in 300 inferences of ConvNet", async () => {
  const { original, graph, weights } = network("convnet", QUARTIC), plan = planOf(graph, QUARTIC, 30);
  const inference = await openInProcess(ring, plan, weights, 300);
  for (let seed = 0; seed < 300; seed++) {
    const image = seededImage(original, seed);
    assert(largest(await inference.infer(image), fixedPointLogits(plan, weights, image)) < 0.05);
  }
  await inference.end();
});

it("lifted sends, deals and waits for what its closed formulas say, in set-up and in every query", async () => {
  const { original, graph, weights } = network("minionn-bn", QUARTIC), plan = planOf(graph, QUARTIC, 30);
  const [peer, clientPeer] = memoryPair();
  const [dealerOfServer, dealer] = memoryPair({ roles: ["dealer", "server"] });
  const [dealerOfClient, clientDealer] = memoryPair({ roles: ["dealer", "client"] });
  const [, , figures] = await Promise.all([
    runDealer({ pool, plan, server: dealerOfServer, client: dealerOfClient, queries: 2 }),
    serve({ pool, peer, dealer, plan, weights }),
    query({ pool, peer: clientPeer, dealer: clientDealer, plan }, () => seededImage(original, 2), 2),
  ]);
  const cost = costOf(plan), activations = 173_056;
  for (const { exchanges, oneWayDelays, bytesSent, offlineBytes, offlinePartyBytes } of figures.queries) {
    assertEquals({ exchanges, oneWayDelays, bytesSent }, {
      exchanges: cost.total.exchanges,
      oneWayDelays: cost.oneWayDelays,
      bytesSent: { server: cost.total.bytesServer, client: cost.total.bytesClient },
    });
    assertEquals(offlineBytes, cost.total.dealtBytes + 2 * SEED_BYTES);
    assertEquals(offlinePartyBytes, 4 * activations);
    assertEquals(offlinePartyBytes, cost.offline.bytesServer + cost.offline.bytesClient);
    assert(bytesSent.server + bytesSent.client <= 5.9 * activations + 3072 * 30 / 8 + 8 * 10);
  }
  assertEquals(cost.total.exchanges, 2 * 7 + 2);
  assertEquals(figures.setup.bytes, cost.setUp.bytesServer + 2 * SEED_BYTES + 64);
});

for (const ringBits of [30, 24]) {
  it(`lifted runs one activation layer alone with ${ringBits} ring bits: its input, reply and opening`, async () => {
    const n = 300, plan = planOf(activationLayer(n), QUARTIC, ringBits), before = ring.bytesInUse;
    const { keptBits } = liftedSpecOf(plan.activations.get("activation")!);
    const image = Float32Array.from({ length: n }, (_, i) => 16 * Math.sin(i));
    const inference = await openInProcess(ring, plan, new Map(), 2);
    for (let i = 0; i < 2; i++) {
      const error = largest(await inference.infer(image), fixedPointLogits(plan, new Map(), image));
      // |P'| is at most 44 for |x| < 16, and x is rounded to one of two neighbours.
      assert(error <= 44 * 2 ** -keptBits + 0.01, `off by ${error}`);
    }
    await inference.end();
    assertEquals(ring.bytesInUse, before);
    const { total, oneWayDelays } = costOf(plan), padded = 384 / 8;
    const reply = ringBits - (ringBits - 6 - keptBits);
    assertEquals([oneWayDelays, total.bytesServer, total.bytesClient], [
      // The image and the reply; the opening follows the reply at once.
      2,
      padded * reply + 4 * n,
      padded * ringBits,
    ]);
  });
}

for (const [polynomial, limbs] of [[QUARTIC, 1], [SEXTIC, 2]] as const) {
  it(`messages of a large layer travel in parts and are counted as one, ${limbs} limb(s)`, async () => {
    const n = 2 ** 15 + 300, plan = planOf(twoActivations(n), polynomial, 30), used = ring.bytesInUse;
    const [peer, clientPeer] = memoryPair();
    const [dealerOfServer, dealer] = memoryPair({ roles: ["dealer", "server"] });
    const [dealerOfClient, clientDealer] = memoryPair({ roles: ["dealer", "client"] });
    const image = Float32Array.from({ length: n }, (_, i) => 3 * Math.sin(i)), before = peer.sent.messages;
    const [, , { queries }] = await Promise.all([
      runDealer({ pool, plan, server: dealerOfServer, client: dealerOfClient, queries: 1 }),
      serve({ pool, peer, dealer, plan, weights: identity }),
      query({ pool, peer: clientPeer, dealer: clientDealer, plan }, () => image, 1),
    ]);
    const { total, oneWayDelays } = costOf(plan),
      [figures] = queries,
      expected = fixedPointLogits(plan, identity, image);
    assert(figures.logits.every((y, i) => Math.abs(y - expected[i]) < 0.05));
    assertEquals(
      [figures.exchanges, figures.oneWayDelays, figures.bytesSent.server, figures.bytesSent.client],
      [total.exchanges, oneWayDelays, total.bytesServer, total.bytesClient],
    );
    assertEquals(total.exchanges, 5);
    // Digest, weights and set-up figures, two confirmations, three parts of each reply, the opening, figures of the query.
    assertEquals(peer.sent.messages - before, 3 + 2 + 2 * 3 + 1 + 1);
    assertEquals(ring.bytesInUse, used);
  });
}

it("every network takes at most 72 dealt bytes per activation at degree 4, 5 per linear output, and 4 early ones", () => {
  for (const name of MODEL_NAMES.filter((name) => name !== "resnet50")) {
    const plan = planOf(foldGraph(buildModel(name)), QUARTIC, 30),
      { linear, activation, offline } = costOf(plan);
    const sum = (of: (step: Step) => number) => plan.steps.reduce((total, step) => total + of(step), 0);
    const outputsOf = (kind: Step["kind"]) =>
      sum((step) => step.kind === kind ? step.outputs.reduce((total, { words }) => total + words, 0) : 0);
    const activations = outputsOf("activation"), outputs = outputsOf("linear");
    assert(activation.dealtBytes <= 72 * activations, name);
    assert(linear.dealtBytes <= 5 * outputs, name);
    assertEquals(offline, { bytesServer: 0, bytesClient: 4 * activations }, name);
  }
});

it("the server's share of the logits has no bits above the ring, which nothing would mask", async () => {
  const { original, graph, weights } = network("convnet", QUARTIC), plan = planOf(graph, QUARTIC, 24);
  const [peer, clientPeer] = memoryPair();
  const [dealerOfServer, dealer] = memoryPair({ roles: ["dealer", "server"] });
  const [dealerOfClient, clientDealer] = memoryPair({ roles: ["dealer", "client"] });
  const sent: number[] = [], send = peer.send.bind(peer), describe = describeTag(plan);
  peer.send = (tag, payload) => {
    if (describe(tag)?.includes("opening")) sent.push(...new Uint32Array(payload.slice().buffer));
    return send(tag, payload);
  };
  await Promise.all([
    runDealer({ pool, plan, server: dealerOfServer, client: dealerOfClient, queries: 3 }),
    serve({ pool, peer, dealer, plan, weights }),
    query({ pool, peer: clientPeer, dealer: clientDealer, plan }, () => seededImage(original, 2), 3),
  ]);
  // 18 fraction bits in a ring of 24, opened with 10 of them.
  const { fractionBits, ringBits } = plan.wires.get(plan.opened)!;
  assertEquals([fractionBits, ringBits], [10, 16]);
  assertEquals(sent.length, 30);
  assert(sent.every((word) => word < 2 ** 16));
  assert(sent.some((word) => word >= 2 ** 15));
});

it("a lifted session frees all ring memory that it took", async () => {
  const before = ring.bytesInUse, { original, graph, weights } = network("resnet20", QUARTIC);
  const inference = await openInProcess(ring, planOf(graph, QUARTIC, 30), weights, 2);
  await inference.infer(seededImage(original, 1));
  await inference.infer(seededImage(original, 2));
  await inference.end();
  assertEquals(ring.bytesInUse, before);
});

it("lifted opens the same logits from the same seeds with one and with two threads a role", async () => {
  const { original, graph, weights } = network("minionn-bn", QUARTIC), plan = planOf(graph, QUARTIC, 30);
  const image = seededImage(original, 3), { getRandomValues } = crypto;
  const run = async (threads: number) => {
    using pool = new ConvolutionPool(ring, threads);
    const shared: boolean[] = [], convolution = pool.convolution.bind(pool);
    pool.convolution = (...args) => {
      const made = convolution(...args);
      shared.push(!(made instanceof Convolution));
      return made;
    };
    const [peer, clientPeer] = memoryPair();
    const [dealerOfServer, dealer] = memoryPair({ roles: ["dealer", "server"] });
    const [dealerOfClient, clientDealer] = memoryPair({ roles: ["dealer", "client"] });
    let calls = 0;
    // The dealer's seeds, the same in both runs.
    crypto.getRandomValues = (bytes) => (new Uint8Array(bytes!.buffer).fill(++calls), bytes);
    try {
      const [, , { queries }] = await Promise.all([
        runDealer({ pool, plan, server: dealerOfServer, client: dealerOfClient, queries: 2 }),
        serve({ pool, peer, dealer, plan, weights }),
        query({ pool, peer: clientPeer, dealer: clientDealer, plan }, () => image, 2),
      ]);
      return { shared, logits: queries.map(({ logits }) => logits) };
    } finally {
      crypto.getRandomValues = getRandomValues;
    }
  };
  const one = await run(1), two = await run(2);
  assertEquals(two.logits, one.logits);
  // Rounding is random, so other seeds give other logits: the comparison can fail.
  assertNotEquals(one.logits[0], one.logits[1]);
  assert(!one.shared.includes(true));
  // The large layers of each of the three roles.
  assertEquals(two.shared.filter(Boolean).length % 3, 0);
  assert(two.shared.includes(true));
});

it("plans that break the bounds of lifted are refused with a sentence", () => {
  const { graph } = network("convnet", QUARTIC);
  assertThrows(() => planOf(graph, QUARTIC, 31), RangeError, "ring bits must be an integer from 16 to 30");
  assertThrows(
    () => planInference(graph, { activation: "lifted", linear: "beaver", function: QUARTIC }),
    RangeError,
    "weights in clear at the server",
  );
  assertThrows(
    () => planOf(graph, { kind: "polynomial", coefficients: [1, 2], precision: 1 }, 30),
    RangeError,
    "degree 2 or more",
  );
});

it("the default ring width, given or left out, is the same plan", async () => {
  const { graph } = network("convnet", QUARTIC);
  const left = planInference(graph, {
    activation: "lifted",
    linear: "masked",
    function: QUARTIC,
  });
  assertEquals(await digestOf(left), await digestOf(planOf(graph, QUARTIC, 30)));
});

it("a client refuses an image that its ring does not hold before it sends a word of it", async () => {
  const inference = await openInProcess(ring, planOf(activationLayer(3), QUARTIC, 30), new Map(), 1);
  const [, client] = await Promise.all([inference.server.prepare(), inference.client.prepare()]);
  // 24 fraction bits of 30: below 32 in size.
  await assertRejects(
    () => client.run([31, -32, 0]),
    RangeError,
    "image: element 1 does not fit 30-bit words",
  );
});
