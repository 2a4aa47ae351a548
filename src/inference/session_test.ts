/** Private inference with all roles in one process: right results, declared costs, correlations handed out once. */
import { fromDealer } from "../correlations/source.ts";
import { assert, assertEquals, assertNotEquals, assertRejects, assertThrows } from "@std/assert";
import { it } from "@std/testing/bdd";
import { requestSeed } from "../correlations/request.ts";
import { evaluateLogits } from "../models/float_engine.ts";
import { foldBatchNorm, foldGraph } from "../models/fold.ts";
import type { Activation, Graph } from "../models/graph.ts";
import { randomWeights, seededImage } from "../models/weights.ts";
import { buildModel } from "../models/zoo.ts";
import { type Channel, ProtocolError } from "../network/channel.ts";
import { memoryPair } from "../network/memory_pair.ts";
import { QUARTIC } from "../polynomial/polynomial.ts";
import { ACTIVATION_PROTOCOLS, activationProtocol, LINEAR_PROTOCOLS } from "../protocols/registry.ts";
import { SEED_BYTES } from "../random/stream.ts";
import { ConvolutionPool } from "../ring/pool.ts";
import { Ring } from "../ring/ring.ts";
import { scratchOf } from "../ring/scratch.ts";
import {
  branching,
  everything,
  flattenedBetween,
  odd,
  residual,
  smallWeights,
} from "../models/_small_networks.ts";
import { runDealer } from "./dealer.ts";
import { openInProcess } from "./in_process.ts";
import { fixedPointLogits } from "./oracle.ts";
import { costOf } from "./cost.ts";
import { digestOf } from "./plan.ts";
import { planInference } from "./planner.ts";
import { query, serve } from "./parties.ts";
import { openSession } from "./session.ts";

const ring = await Ring.open(), pool = new ConvolutionPool(ring, 1);
// Working memory of convolutions grows on demand and stays: as much as the largest network here takes, before anything is counted.
scratchOf(ring).reserve(1 << 23);

const SMALL = [everything, odd, branching, flattenedBetween, residual];

function network(graph: Graph, activation: Activation) {
  const weights = graph === everything || graph === odd
    ? smallWeights(graph)
    : randomWeights(graph, 1, activation);
  return { activation, ...foldBatchNorm(graph, weights) };
}

/** Every pair of protocols that go together: what reads its input early needs linear layers that make it so. */
const PAIRS = ACTIVATION_PROTOCOLS.flatMap((activation) =>
  LINEAR_PROTOCOLS.filter(({ readsMasked }) => readsMasked || !activation.readsEarly)
    .map((linear) => ({ activation: activation.name, linear: linear.name, scaling: activation.scaling }))
);

for (const { activation, linear, scaling } of PAIRS) {
  // Small rings have no comparisons, so no max pooling.
  const first = scaling.kind === "ring" ? odd : everything;
  const small = [first, branching, flattenedBetween, residual];
  for (const graph of [...small, buildModel("minionn-bn"), buildModel("resnet20")]) {
    it(`${graph.name} with ${activation} and ${linear} agrees with the float engine`, async () => {
      const { graph: folded, weights, activation: f } = network(
        graph,
        activationProtocol(activation).usual,
      );
      const plan = planInference(folded, { activation, linear, function: f }), used = ring.bytesInUse;
      const inference = await openInProcess(ring, plan, weights, 3);
      const image = seededImage(graph, 7), expected = evaluateLogits(folded, weights, f, image);
      const largest = Math.max(1, ...expected.map(Math.abs)), isSmall = scaling.kind === "ring";
      // Small rings are coarser, above all without audited ranges.
      const allowed = (isSmall ? 0.1 : 0.02) * largest, errors: number[] = [];
      for (let i = 0; i < 3; i++) {
        const logits = await inference.infer(image);
        errors.push(Math.max(...logits.map((v, k) => Math.abs(v - expected[k]))));
      }
      // Local truncation of 64-bit words fails grossly in about one inference of a thousand here (docs/fixed_point.md); two of three are right.
      const wrong = errors.filter((error) => error > allowed),
        isGross = wrong.every((error) => error > 1000 * largest);
      assert(
        wrong.length === 0 || (!isSmall && wrong.length === 1 && isGross),
        `logits differ by ${errors}, largest logit ${largest}`,
      );
      await inference.end();
      assertEquals(ring.bytesInUse, used);
    });
  }
}

it("a session frees all ring memory that it took", async () => {
  const before = ring.bytesInUse;
  const { graph, weights } = network(everything, QUARTIC);
  const plan = planInference(graph, {
    activation: "espn",
    linear: "beaver",
    function: QUARTIC,
  });
  const inference = await openInProcess(ring, plan, weights, 1);
  await inference.infer(seededImage(graph, 1));
  await inference.end();
  assertEquals(ring.bytesInUse, before);
});

for (const { activation, linear, scaling } of PAIRS) {
  it(`bytes, exchanges and dealt bytes of ${activation} with ${linear} are those of the closed formulas`, async () => {
    const { graph, weights } = network(
      scaling.kind === "ring" ? odd : everything,
      activationProtocol(activation).usual,
    );
    const plan = planInference(graph, { activation, linear, function: activationProtocol(activation).usual });
    const [peer, clientPeer] = memoryPair();
    const [dealerOfServer, dealer] = memoryPair({ roles: ["dealer", "server"] });
    const [dealerOfClient, clientDealer] = memoryPair({ roles: ["dealer", "client"] });
    const [, , figures] = await Promise.all([
      runDealer({ pool, plan, server: dealerOfServer, client: dealerOfClient, queries: 2 }),
      serve({ pool, peer, dealer, plan, weights }),
      query({ pool, peer: clientPeer, dealer: clientDealer, plan }, () => seededImage(graph, 2), 2),
    ]);
    const cost = costOf(plan), seeds = 2 * SEED_BYTES, digests = 64;
    for (const { exchanges, oneWayDelays, bytesSent, offlineBytes, offlinePartyBytes } of figures.queries) {
      assertEquals({ exchanges, oneWayDelays, bytesSent }, {
        exchanges: cost.total.exchanges,
        oneWayDelays: cost.oneWayDelays,
        bytesSent: { server: cost.total.bytesServer, client: cost.total.bytesClient },
      });
      assertEquals(offlineBytes, cost.total.dealtBytes + seeds);
      assertEquals(offlinePartyBytes, cost.offline.bytesServer + cost.offline.bytesClient);
    }
    assertEquals(figures.setup.bytes, cost.setUp.bytesServer + cost.setUp.bytesClient + seeds + digests);
  });
}

it("exchanges are those of the paper where every linear layer opens its own input", () => {
  const counts: Record<string, [number, number]> = {
    "minionn-bn": [15, 71],
    "vgg16-bn-avg": [31, 151],
    resnet18: [38, 174],
    resnet32: [65, 313],
    resnet110: [221, 1093],
  };
  for (const [model, [single, relu]] of Object.entries(counts)) {
    const graph = foldGraph(buildModel(model));
    const paper = (activation: string) =>
      costOf(planInference(graph, { activation, linear: "beaver", function: QUARTIC }))
        .paperExchanges;
    assertEquals([paper("honeybadger"), paper("espn"), paper("relu")], [single, single, relu], model);
  }
});

/** A dealer alone with two parties that ask what the test wants. */
async function dealerFor(queries: number) {
  const plan = planInference(everything, {
    activation: "honeybadger",
    linear: "masked",
    function: QUARTIC,
  });
  const [dealerOfServer, server] = memoryPair({ roles: ["dealer", "server"] });
  const [dealerOfClient, client] = memoryPair({ roles: ["dealer", "client"] });
  const running = runDealer({ pool, plan, server: dealerOfServer, client: dealerOfClient, queries });
  return { server, client, running, digest: await digestOf(plan) };
}

const both = (
  server: Channel,
  client: Channel,
  request: Parameters<typeof requestSeed>[1],
  digest: Uint8Array,
) => Promise.all([requestSeed(server, request, digest), requestSeed(client, request, digest)]);

it("the dealer refuses parties with another plan before it hands out a seed", async () => {
  const { server, client, running, digest } = await dealerFor(1);
  const refused = assertRejects(() => running, ProtocolError, "is not that of the parties");
  void both(server, client, { kind: "session" }, digest.with(3, digest[3] ^ 1)).catch(() => {});
  await refused;
  assertEquals(server.received.bytes, 0);
});

it("the dealer refuses to hand out the same correlations twice and names them", async () => {
  const { server, client, running, digest } = await dealerFor(2);
  const askBoth = (request: Parameters<typeof requestSeed>[1]) => both(server, client, request, digest);
  await askBoth({ kind: "session" });
  await askBoth({ kind: "query", number: 0 });
  const again = assertRejects(() => running, ProtocolError, "query 0 were handed out before");
  void askBoth({ kind: "query", number: 0 }).catch(() => {});
  await again;
});

it("the dealer says what ran out when more queries are asked for than agreed", async () => {
  const { server, client, running, digest } = await dealerFor(1);
  const askBoth = (request: Parameters<typeof requestSeed>[1]) => both(server, client, request, digest);
  await askBoth({ kind: "session" });
  const out = assertRejects(
    () => running,
    ProtocolError,
    "ran out of correlations: query 1 was asked for, but only 1 queries",
  );
  void askBoth({ kind: "query", number: 1 }).catch(() => {});
  await out;
});

it("a query runs once", async () => {
  const { graph, weights } = network(everything, QUARTIC);
  const plan = planInference(graph, {
    activation: "honeybadger",
    linear: "masked",
    function: QUARTIC,
  });
  const inference = await openInProcess(ring, plan, weights, 1);
  const [server, client] = await Promise.all([inference.server.prepare(), inference.client.prepare()]);
  const image = seededImage(graph, 1);
  await Promise.all([server.run(null), client.run(image)]);
  await assertRejects(() => client.run(image), Error, "used before");
  await inference.end();
});

it("parties with different plans stop before anything is sent", async () => {
  const { graph, weights } = network(everything, QUARTIC);
  const plan = (fractionBits: number) =>
    planInference(graph, { activation: "tree", linear: "masked", fractionBits, function: QUARTIC });
  const [peer, clientPeer] = memoryPair();
  const [, dealer] = memoryPair();
  const open = (role: "server" | "client", channel: typeof peer, fractionBits: number) =>
    openSession({
      role,
      pool,
      peer: channel,
      source: fromDealer(ring, role, dealer),
      plan: plan(fractionBits),
      weights: role === "server" ? weights : null,
    });
  const both = Promise.allSettled([open("server", peer, 16), open("client", clientPeer, 14)]);
  for (const result of await both) {
    assert(result.status === "rejected" && result.reason.message.includes("different plans"));
  }
});

it("a network of 4096 nodes or more is refused: the tags of its messages would collide", () => {
  const activations = (n: number): Graph => ({
    name: "long",
    classes: 1,
    inputShape: [1, 1, 1],
    nodes: [
      { id: "image", op: "input" },
      ...Array.from(
        { length: n },
        (_, i) => ({ id: `act${i}`, op: "activation", input: i === 0 ? "image" : `act${i - 1}` }) as const,
      ),
    ],
  });
  const options = { activation: "honeybadger", linear: "masked", function: QUARTIC };
  assertEquals(planInference(activations(4094), options).steps.length, 4095);
  assertThrows(() => planInference(activations(4095), options), RangeError, "4096 nodes");
});

it("two versions of the code that plan a layer otherwise do not have the same digest", async () => {
  const { graph } = network(everything, QUARTIC);
  const plan = planInference(graph, { activation: "honeybadger", linear: "masked", function: QUARTIC });
  const basis = JSON.parse(JSON.stringify(plan.basis)), otherwise = structuredClone(basis);
  assertEquals(await digestOf({ ...plan, basis }), await digestOf(plan));
  // Winograd's two bits of the first convolution, as a role whose rule differs would have them.
  const text = JSON.stringify(otherwise), changed = text.replace('"extraBits":0', '"extraBits":2');
  assertNotEquals(changed, text);
  assertNotEquals(await digestOf({ ...plan, basis: JSON.parse(changed) }), await digestOf(plan));
});

it("each activation layer computes a function of its own, and the digest covers it", async () => {
  const { graph, weights } = network(odd, QUARTIC), image = seededImage(odd, 3);
  const quadratic: Activation = { kind: "polynomial", coefficients: [479, 512, 96], precision: 10 };
  for (const activation of ["honeybadger", "lifted"]) {
    const options = { activation, linear: "masked", function: QUARTIC };
    const plan = planInference(graph, { ...options, functions: { act2: quadratic } }),
      plain = planInference(graph, options);
    assertNotEquals(await digestOf(plan), await digestOf(plain));
    const inference = await openInProcess(ring, plan, weights, 1), logits = await inference.infer(image);
    await inference.end();
    const off = (expected: Float64Array) => Math.max(...logits.map((v, i) => Math.abs(v - expected[i])));
    assert(off(fixedPointLogits(plan, weights, image)) < 0.02);
    assert(off(fixedPointLogits(plain, weights, image)) > 0.05);
  }
});

it("no two steps of a plan have one label, whatever stands between the layers that read a value", () => {
  for (const graph of SMALL) {
    for (const { activation, linear, scaling } of PAIRS) {
      if (graph === everything && scaling.kind === "ring") continue;
      const { steps } = planInference(graph, {
        activation,
        linear,
        function: activationProtocol(activation).usual,
      });
      assertEquals(new Set(steps.map(({ label }) => label)).size, steps.length, graph.name);
      const made = steps.flatMap(({ writes }) => writes);
      assertEquals(new Set(made).size, made.length, graph.name);
    }
  }
});

it("graphs whose words a plan would get wrong are refused with a sentence", () => {
  const plan = (nodes: Graph["nodes"]) =>
    planInference({ ...odd, nodes }, { activation: "honeybadger", linear: "masked", function: QUARTIC });
  const with_ = (id: string, change: Record<string, unknown>) =>
    odd.nodes.map((node) => node.id === id ? { ...node, ...change } as typeof node : node);
  assertThrows(
    () => plan(with_("act2", { id: "act1", input: "conv2" })),
    RangeError,
    "two nodes are called act1",
  );
  assertThrows(
    () => plan(with_("pool1", { padding: 1 })),
    RangeError,
    "the average pooling pool1 has a border",
  );
  const pooled = [...odd.nodes.slice(0, 3), {
    id: "end",
    op: "averagePool",
    input: "act1",
    kernel: 3,
    stride: 3,
    padding: 0,
  }] as const;
  assertThrows(() => plan(pooled), RangeError, "must feed a linear layer, not the logits");
  // A node that bears the name of a value which the planner makes is not taken for it.
  const named = odd.nodes.map((node) => {
    const rename = (id: string) => id === "act1" ? "pool1 re-masked" : id;
    return {
      ...node,
      id: rename(node.id),
      ...("input" in node ? { input: rename(node.input) } : {}),
    } as typeof node;
  });
  assertThrows(() => plan(named), RangeError, "two steps make pool1 re-masked");
});

it("a server whose weights do not fit its network sends nothing", async () => {
  const { graph, weights } = network(odd, QUARTIC), [peer] = memoryPair(), [, dealer] = memoryPair();
  const dense = weights.get("logits.weight")!, half = { ...dense, data: dense.data.slice(0, 80) };
  const plan = planInference(graph, { activation: "lifted", linear: "masked", function: QUARTIC });
  const open = openSession({
    role: "server",
    pool,
    peer,
    source: fromDealer(ring, "server", dealer),
    plan,
    weights: new Map([...weights, ["logits.weight", half]]),
  });
  await assertRejects(() => open, RangeError, "logits.weight");
  assertEquals(peer.sent.bytes, 0);
});
