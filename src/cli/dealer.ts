/** `deno task dealer`: deals correlated randomness to servers and clients, session by session. */
import { runDealer } from "../inference/dealer.ts";
import type { FramedChannel } from "../network/framed_channel.ts";
import { listen } from "../network/tcp.ts";
import { ConvolutionPool } from "../ring/pool.ts";
import { Ring } from "../ring/ring.ts";
import { onExit, runCommand } from "../terminal/command.ts";
import { IDENTITY_OPTIONS, identityFrom, listenOption, parseAddress } from "../roles/endpoint.ts";
import { LINK_OPTIONS, PLAN_OPTIONS, planFrom, THREADS_OPTION } from "../options/inference_options.ts";
import { describeTags, Meetings, type Parties, type SessionScope, withinSession } from "../roles/meeting.ts";
import {
  logOf,
  ONCE_OPTION,
  peakRssMB,
  reportLine,
  tokensFromParent,
  WITH_PARENT_OPTION,
} from "../roles/role_report.ts";
import { serveAll } from "../roles/service.ts";

await runCommand({
  name: "dealer",
  summary: "deal correlated randomness for private inferences to servers and clients",
  notes: [
    "The dealer sees shapes and seeds. It must not collude with either party: with one of them it can read the other's secrets.",
    "Serves until SIGTERM, which lets what is being dealt end and begins nothing new, or Ctrl-C.",
  ],
  interrupted: "the sessions were ended",
  options: {
    ...PLAN_OPTIONS,
    listen: listenOption(7701, "address on which servers and clients are awaited"),
    sessions: {
      type: "integer",
      min: 1,
      max: 64,
      default: 8,
      help: "sessions side by side; others are told to come later",
    },
    queries: {
      type: "integer",
      min: 1,
      max: 1_000_000,
      default: 1000,
      help: "queries that may be dealt in a session",
    },
    timeout: LINK_OPTIONS.timeout,
    threads: THREADS_OPTION,
    ...IDENTITY_OPTIONS,
    once: ONCE_OPTION,
    json: { type: "boolean", help: "report on standard output as JSON lines" },
    withParent: WITH_PARENT_OPTION,
  },
  async run(options) {
    if (options.withParent) void tokensFromParent();
    const plan = planFrom(options),
      log = logOf("dealer", options.json),
      address = parseAddress(options.listen);
    const identity = await identityFrom(options);
    const pool = new ConvolutionPool(await Ring.open(), options.threads);
    onExit(() => pool[Symbol.dispose]());
    const listener = await listen({
      ...address,
      ...identity,
      role: "dealer",
      timeoutMs: options.timeout * 1000,
      describeTag: describeTags(plan),
      onDropped: (address, reason) => log.warn(`dropped ${address}: ${reason}`),
    });
    onExit(() => listener.close());
    reportLine(
      options.json,
      { listening: listener.port },
      `dealer: waiting for servers and clients on port ${listener.port}`,
    );

    let dealt = 0;
    const draining = new AbortController();
    const deal = ({ pool, hold }: SessionScope, { server, client }: Parties) =>
      runDealer({
        pool,
        plan,
        server: hold(server),
        client: hold(client),
        queries: options.queries,
        draining: draining.signal,
        onDealt: ({ kind }) => kind === "query" && dealt++,
      });
    if (options.once) {
      await withinSession(pool, async (scope) => {
        const parties = await firstMeeting(async () => scope.hold(await listener.accept()));
        listener.close();
        await deal(scope, parties);
      });
    } else {
      let sessions = 0;
      const meetings = new Meetings((waiting) =>
        sessions + waiting < options.sessions
          ? null
          : `the dealer is busy with ${sessions + waiting} sessions; try again later`
      );
      await serveAll(listener, draining, log, async (party) => {
        const parties = await meetings.join(party);
        if (parties === null) return;
        sessions++;
        try {
          const { name, server, client } = parties;
          log.info(`session ${name} of ${server.address} and ${client.address}`);
          await withinSession(pool, (scope) => deal(scope, parties));
          log.info(`session ${name} is over`);
        } finally {
          sessions--;
        }
      });
    }
    reportLine(options.json, { queries: dealt, peakRssMB: peakRssMB() }, `dealer: ${dealt} queries dealt`);
  },
});

/** The first two that come, who must meet. */
async function firstMeeting(accept: () => Promise<FramedChannel>): Promise<Parties> {
  const meetings = new Meetings(), met = Promise.withResolvers<Parties>();
  const awaitBoth = async () => {
    for (let i = 0; i < 2; i++) {
      const party = await accept();
      meetings.join(party).then((parties) => parties && met.resolve(parties), met.reject);
    }
  };
  awaitBoth().catch(met.reject);
  return await met.promise;
}
