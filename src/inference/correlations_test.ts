/** Correlations as data: the dealer's fast paths make what the lists declare, and a source that makes products alone can stand in its place. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import { it } from "@std/testing/bdd";
import { Products, productSources, refusesUndeclared } from "../correlations/_product_source.ts";
import type { Correlation } from "../correlations/correlation.ts";
import { Dealing } from "../correlations/dealing.ts";
import { StepDraw } from "../correlations/drawn.ts";
import type { Graph } from "../models/graph.ts";
import { seededImage } from "../models/weights.ts";
import { activationLayer } from "../models/zoo.ts";
import { memoryPair } from "../network/memory_pair.ts";
import { type Polynomial, QUARTIC } from "../polynomial/polynomial.ts";
import { ACTIVATION_PROTOCOLS, activationProtocol, LINEAR_PROTOCOLS } from "../protocols/registry.ts";
import { freshSeed, Seed } from "../random/stream.ts";
import { ConvolutionPool } from "../ring/pool.ts";
import { Ring } from "../ring/ring.ts";
import { scratchOf } from "../ring/scratch.ts";
import { everything, odd, smallWeights } from "../models/_small_networks.ts";
import { fixedPointLogits } from "./oracle.ts";
import { planInference } from "./planner.ts";
import { openSession } from "./session.ts";

const ring = await Ring.open(), pool = new ConvolutionPool(ring, 1);
// Working memory of convolutions grows on demand and stays.
scratchOf(ring).reserve(1 << 24);
const SEXTIC: Polynomial = {
  kind: "polynomial",
  coefficients: [837, 2048, 966, 0, -48, 0, 1],
  precision: 12,
};
const PAIRS = ACTIVATION_PROTOCOLS.flatMap(({ name: activation, scaling }) =>
  LINEAR_PROTOCOLS.map(({ name: linear }) => ({ activation, linear, scaling }))
);

/** Small enough for plain integers, with every kind of step on 64-bit words. */
const tiny: Graph = {
  ...everything,
  inputShape: [14, 14, 3],
  nodes: everything.nodes.filter(({ id }) => !["conv4", "average", "act4"].includes(id))
    .map((node) =>
      node.id === "global" ? { ...node, input: "act3", kernel: 4, stride: 4 } as typeof node : node
    ),
};
const seeds = () => ({ server: new Seed(freshSeed()), client: new Seed(freshSeed()) });
/** With the polynomial `f`, or what a protocol of other functions usually computes. */
const planOf = (graph: Graph, activation: string, linear: string, f: Polynomial, batch = 1) => {
  const { usual } = activationProtocol(activation);
  return planInference(graph, {
    activation,
    linear,
    function: usual.kind === "polynomial" ? f : usual,
    refuses: refusesUndeclared,
    batch,
  });
};

for (const { activation, linear } of PAIRS.filter(({ scaling }) => scaling.kind === "uniform")) {
  for (
    const [graph, f, batch] of [[activationLayer(70), SEXTIC, 1], [tiny, QUARTIC, 1], [
      tiny,
      QUARTIC,
      2,
    ]] as const
  ) {
    it(`what is dealt for ${activation} with ${linear} on ${batch} images by ${graph.name} is what its products say, word for word`, async () => {
      const { steps } = planOf(graph, activation, linear, f, batch), session = seeds(), query = seeds();
      const expected = new Products(ring, steps, session).query(query);
      using dealing = new Dealing(pool, steps, session);
      const dealt = new Map<number, Uint8Array[]>();
      await dealing.query(query, (label, bytes) => {
        if (!dealt.has(label)) dealt.set(label, []);
        dealt.get(label)!.push(bytes.slice());
        return Promise.resolve();
      });
      let corrections = 0;
      for (const step of steps) {
        const list = expected.get(step)!;
        assertEquals(dealt.get(step.label) ?? [], list.map((bytes) => bytes), step.kind);
        corrections += list.length;
      }
      assert(corrections > 0);
    });
  }
}

it("a session runs on a source that knows no dealer", async () => {
  for (
    const [graph, activation, linear] of [
      [tiny, "espn", "masked"],
      [tiny, "relu", "beaver"],
      [odd, "honeybadger", "masked"],
    ] as const
  ) {
    const plan = planOf(graph, activation, linear, QUARTIC), weights = smallWeights(graph);
    const sources = productSources(ring, plan.steps),
      [peer, clientPeer] = memoryPair(),
      before = ring.bytesInUse;
    const [server, client] = await Promise.all([
      openSession({ role: "server", pool, peer, source: () => sources.server, plan, weights }),
      openSession({
        role: "client",
        pool,
        peer: clientPeer,
        source: () => sources.client,
        plan,
        weights: null,
      }),
    ]);
    for (const seed of [1, 2]) {
      const image = seededImage(graph, seed),
        [atServer, atClient] = await Promise.all([server.prepare(), client.prepare()]);
      const [, { logits }] = await Promise.all([atServer.run(null), atClient.run(image)]);
      const expected = fixedPointLogits(plan, weights, image);
      assert(logits!.every((v, i) => Math.abs(v - expected[i]) < 0.01), `${logits} and ${expected}`);
    }
    await Promise.all([server.end(), client.end()]);
    assertEquals(ring.bytesInUse, before);
  }
});

it("a plan with a correlation that a source cannot make is refused when planned", () => {
  assertThrows(
    () => planOf(activationLayer(3), "lifted", "masked", QUARTIC),
    RangeError,
    "needs G(rho_0), G(rho_1), which this source of correlations cannot make: it is no sum of products of what one party knows",
  );
});

it("a party draws what is listed, in order and all of it, or its code is wrong", () => {
  const { steps } = planOf(activationLayer(3), "tree", "masked", QUARTIC), { query } = steps[0];
  const draw = (list: readonly Correlation[]) =>
    new StepDraw(ring, "client", list, new Seed(freshSeed()).stream(1), null);
  const owns = query.filter((c) => c.kind === "own");
  assertThrows(
    () => draw(query).own(owns[1]),
    Error,
    "the client drew mask of x^2, but mask of x^1 is next in the list",
  );
  assertThrows(() => draw(query).finish(), Error, "the client did not draw mask of x^1");
  const drawn = draw([owns[0]]);
  drawn.own(owns[0])[Symbol.dispose]();
  drawn.finish();
});
