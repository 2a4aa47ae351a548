/** `deno task dealer`: deals correlated randomness to one server and one client. */
import { runDealer } from "../inference/dealer.ts";
import { listen } from "../network/tcp.ts";
import { ConvolutionPool } from "../ring/pool.ts";
import { Ring } from "../ring/ring.ts";
import { onExit, runCommand } from "../terminal/command.ts";
import { listening, listenOption, SECURITY_OPTIONS } from "../roles/endpoint.ts";
import {
  GRAPH_OPTION,
  LINK_OPTIONS,
  PLAN_OPTIONS,
  planFrom,
  THREADS_OPTION,
} from "../options/inference_options.ts";
import { awaitParties, describeTags, withPeers } from "../roles/meeting.ts";
import { peakRssMB, reportLine, tokenFromParent, WITH_PARENT_OPTION } from "../roles/role_report.ts";

await runCommand({
  name: "dealer",
  summary: "deal correlated randomness for private inferences to one server and one client",
  notes:
    "The dealer sees shapes and seeds. It must not collude with either party: with one of them it can read the other's secrets.",
  interrupted: "the session was ended",
  options: {
    ...PLAN_OPTIONS,
    graph: GRAPH_OPTION,
    listen: listenOption(7701, "address on which server and client are awaited"),
    queries: {
      type: "integer",
      min: 1,
      max: 1_000_000,
      default: 1000,
      help: "queries that may be dealt in this session",
    },
    timeout: LINK_OPTIONS.timeout,
    threads: THREADS_OPTION,
    ...SECURITY_OPTIONS,
    json: { type: "boolean", help: "report on standard output as JSON lines" },
    withParent: WITH_PARENT_OPTION,
  },
  async run(options) {
    if (options.withParent) void tokenFromParent();
    const plan = planFrom(options), pool = new ConvolutionPool(await Ring.open(), options.threads);
    onExit(() => pool[Symbol.dispose]());
    const listener = await listen({
      ...await listening(options, options.listen),
      role: "dealer",
      timeoutMs: options.timeout * 1000,
      describeTag: describeTags(plan),
    });
    onExit(() => listener.close());
    reportLine(
      options.json,
      { listening: listener.port },
      `dealer: waiting for server and client on port ${listener.port}`,
    );

    let dealt = 0;
    await withPeers(async (hold) => {
      const { server, client } = await awaitParties(async () => hold(await listener.accept()));
      await runDealer({
        pool,
        plan,
        server,
        client,
        queries: options.queries,
        onDealt: ({ kind }) => kind === "query" && dealt++,
      });
    }, false);
    reportLine(options.json, { queries: dealt, peakRssMB: peakRssMB() }, `dealer: ${dealt} queries dealt`);
  },
});
