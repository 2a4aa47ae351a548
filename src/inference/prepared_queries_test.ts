/** Queries prepared ahead: online work only once they are there, each used at most once, and both parties mean the same one. */
import { fromDealer } from "../correlations/source.ts";
import { assert, assertEquals, assertRejects } from "@std/assert";
import { it } from "@std/testing/bdd";
import { odd } from "../models/_small_networks.ts";
import { foldBatchNorm } from "../models/fold.ts";
import { randomWeights, seededImage } from "../models/weights.ts";
import type { Channel } from "../network/channel.ts";
import { memoryPair } from "../network/memory_pair.ts";
import { QUARTIC } from "../polynomial/polynomial.ts";
import { SEED_BYTES } from "../random/stream.ts";
import { ConvolutionPool } from "../ring/pool.ts";
import { Ring } from "../ring/ring.ts";
import { runDealer } from "./dealer.ts";
import { fixedPointLogits } from "./oracle.ts";
import { costOf } from "./cost.ts";
import { planInference } from "./planner.ts";
import { PreparedQueries } from "./prepared_queries.ts";
import { query, type QueryOptions, RUN, serve } from "./parties.ts";
import { CONTROL_TAG } from "./tags.ts";
import { openSession } from "./session.ts";

const ring = await Ring.open(), pool = new ConvolutionPool(ring, 1);
const { graph, weights } = foldBatchNorm(odd, randomWeights(odd, 1, QUARTIC));
const planOf = (activation: string) =>
  planInference(graph, { activation, linear: "masked", function: QUARTIC });
const plan = planOf("lifted"), image = seededImage(odd, 5);

/** The links of a session: server and client to each other, and to their dealer. */
function links() {
  const [server, client] = memoryPair();
  const [dealerOfServer, serverDealer] = memoryPair({ roles: ["dealer", "server"] });
  const [dealerOfClient, clientDealer] = memoryPair({ roles: ["dealer", "client"] });
  return { server, client, dealerOfServer, serverDealer, dealerOfClient, clientDealer };
}

/** Sends through `tamper`, which sees every message and may change it or throw. */
const tampered = <C extends Channel>(channel: C, tamper: (tag: number, numbers: Float64Array) => void): C => {
  const send = channel.send.bind(channel);
  channel.send = (tag, payload) => {
    if (tag === CONTROL_TAG) tamper(tag, new Float64Array(payload.buffer));
    return send(tag, payload);
  };
  return channel;
};

/** A session of five queries; `events` says what was dealt and what began, in order. */
async function session(
  { plan: used = plan, most = 5, change = (_: ReturnType<typeof links>) => {}, ...options }:
    & QueryOptions
    & { plan?: typeof plan; most?: number; change?: (all: ReturnType<typeof links>) => void },
) {
  const all = links(), events: string[] = [];
  tampered(all.client, (_, [code, number]) => code === RUN && events.push(`run ${number}`));
  change(all);
  const dealing = runDealer({
    ...{ pool, plan: used, server: all.dealerOfServer, client: all.dealerOfClient, queries: 5 },
    onDealt: (request) => request.kind === "query" && events.push(`deal ${request.number}`),
  });
  const ended = async <T>(role: Promise<T>, peer: typeof all.server) => {
    try {
      return await role;
    } catch (error) {
      await Promise.all(
        [peer, all.dealerOfServer, all.dealerOfClient].map((c) => c.abort((error as Error).message)),
      );
      throw error;
    }
  };
  const results = await Promise.allSettled([
    ended(
      serve({ pool, peer: all.server, dealer: all.serverDealer, plan: used, weights }, { prepare: most }),
      all.server,
    ),
    ended(
      query({ pool, peer: all.client, dealer: all.clientDealer, plan: used }, () => image, 5, options),
      all.client,
    ),
    dealing,
  ]);
  const reasons = results.map((result) => result.status === "rejected" ? String(result.reason.message) : "");
  return { events, reasons, figures: results[1].status === "fulfilled" ? results[1].value : null };
}

for (const activation of ["lifted", "honeybadger"]) {
  it(`${activation} deals three queries ahead, then the two that are left, and each one costs what it costs alone`, async () => {
    const used = planOf(activation), { events, reasons, figures } = await session({ plan: used, prepare: 3 });
    assertEquals(reasons, ["", "", ""]);
    assertEquals(events, [
      ...["deal 0", "deal 1", "deal 2", "run 0", "run 1", "run 2"],
      ...["deal 3", "deal 4", "run 3", "run 4"],
    ]);
    const cost = costOf(used), expected = fixedPointLogits(used, weights, image);
    for (
      const { exchanges, oneWayDelays, bytesSent, offlineBytes, offlinePartyBytes, logits } of figures!
        .queries
    ) {
      assertEquals({ exchanges, oneWayDelays, bytesSent, offlineBytes, offlinePartyBytes }, {
        exchanges: cost.total.exchanges,
        oneWayDelays: cost.oneWayDelays,
        bytesSent: { server: cost.total.bytesServer, client: cost.total.bytesClient },
        offlineBytes: cost.total.dealtBytes + 2 * SEED_BYTES,
        offlinePartyBytes: cost.offline.bytesClient,
      });
      assert(logits.every((logit, i) => Math.abs(logit - expected[i]) < 0.05));
    }
  });
}

const changes: readonly [
  what: string,
  options: Parameters<typeof session>[0],
  who: "server" | "client",
  sentence: string,
][] = [
  [
    "a server holds no more queries than it allows",
    { prepare: 3, most: 2 },
    "server",
    "query 2 was to be prepared, but as many are held already as the server's --prepare allows: 2",
  ],
  [
    "a server refuses to begin a query again",
    {
      prepare: 3,
      change: ({ client }) => tampered(client, (_, all) => all[0] === RUN && all[1] === 1 && all.set([0], 1)),
    },
    "server",
    "query 0 was to begin, but the next prepared one is query 1; each is used at most once",
  ],
  [
    "a server refuses to begin a query that is not prepared",
    {
      change: ({ client }) => tampered(client, (_, all) => all[0] === 1 && all[1] === 2 && all.set([RUN], 0)),
    },
    "server",
    "query 2 was to begin, but the next prepared one is not there",
  ],
  [
    "a server refuses to prepare out of order",
    { change: ({ client }) => tampered(client, (_, all) => all[0] === 1 && all[1] === 2 && all.set([7], 1)) },
    "server",
    "query 7 was to be prepared, but the next one is query 2",
  ],
  [
    "a client notices that the server began another query",
    {
      prepare: 3,
      change: ({ server }) => tampered(server, (_, all) => all.length === 1 && all[0] === 1 && all.set([2])),
    },
    "client",
    "the server says that it began query 2, but the client means query 1",
  ],
];
for (const [what, options, who, sentence] of changes) {
  it(what, async () => {
    const { reasons, figures } = await session(options);
    assertEquals(figures, null);
    const reason = reasons[who === "server" ? 0 : 1];
    assert(reason.includes(sentence), reason);
  });
}

it("a query whose message was lost is used up at both parties, and the prepared one after it is not", async () => {
  const all = links();
  const dealing = runDealer({
    pool,
    plan,
    server: all.dealerOfServer,
    client: all.dealerOfClient,
    queries: 2,
  });
  const [server, client] = await Promise.all([
    openSession({
      role: "server",
      pool,
      peer: all.server,
      source: fromDealer(ring, "server", all.serverDealer),
      plan,
      weights,
    }),
    openSession({
      role: "client",
      pool,
      peer: all.client,
      source: fromDealer(ring, "client", all.clientDealer),
      plan,
      weights: null,
    }),
  ]);
  const held = [server, client].map((party) => new PreparedQueries(party, 2));
  for (const number of [0, 1]) await Promise.all(held.map((stock) => stock.prepare(number)));
  const [atServer, atClient] = held.map((stock) => stock.take(0));

  // The image arrives; the server's reply to it does not.
  const send = all.server.send.bind(all.server);
  let lost = 0;
  all.server.send = (tag, payload) =>
    lost++ === 0 ? all.server.abort("the cable was cut") : send(tag, payload);
  const failed = await Promise.allSettled([atServer.run(null), atClient.run(image)]);
  assertEquals([failed.map(({ status }) => status), lost], [["rejected", "rejected"], 1]);

  for (const [query, input] of [[atServer, null], [atClient, image]] as const) {
    await assertRejects(() => query.run(input), Error, "were used before");
  }
  for (const stock of held) {
    await assertRejects(
      async () => await stock.take(0).run(image),
      Error,
      "the next prepared one is query 1",
    );
  }
  await Promise.all([server.end(), client.end(), dealing]);
});
