/** `deno task dealer`: deals correlated randomness to servers and clients, session by session. */
import { mostSessions } from "../inference/session_memory.ts";
import { describeTag } from "../inference/tags.ts";
import { listen } from "../network/tcp.ts";
import { ConvolutionPool } from "../ring/pool.ts";
import { Ring } from "../ring/ring.ts";
import { onExit, runCommand } from "../terminal/command.ts";
import { IDENTITY_OPTIONS, identityFrom, listenOption, parseAddress } from "../roles/endpoint.ts";
import {
  GRAPH_OPTION,
  LINK_OPTIONS,
  PLAN_OPTIONS,
  planFrom,
  THREADS_OPTION,
} from "../options/inference_options.ts";
import { dealAll, type DealingOptions, dealOnce } from "../roles/dealing.ts";
import { confine } from "../roles/confinement.ts";
import {
  logOf,
  ONCE_OPTION,
  peakRssMB,
  reportLine,
  tokensFromParent,
  WITH_PARENT_OPTION,
} from "../roles/role_report.ts";

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
    graph: GRAPH_OPTION,
    listen: listenOption(7701, "address on which servers and clients are awaited"),
    sessions: {
      type: "integer",
      min: 1,
      max: 64,
      default: 8,
      help:
        "sessions side by side, fewer where memory has no room for so many; others are told to come later",
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
    const identity = await identityFrom("dealer", options);
    const pool = new ConvolutionPool(await Ring.open(), options.threads);
    onExit(() => pool[Symbol.dispose]());
    confine(pool);
    const listener = await listen({
      ...address,
      ...identity,
      role: "dealer",
      timeoutMs: options.timeout * 1000,
      describeTag: describeTag(plan),
      onDropped: (address, reason) => log.warn(`dropped ${address}: ${reason}`),
    });
    onExit(() => listener.close());
    reportLine(
      options.json,
      { listening: listener.port },
      `dealer: waiting for servers and clients on port ${listener.port}`,
    );

    let dealt = 0;
    const dealing: DealingOptions = {
      pool,
      plan,
      queries: options.queries,
      onDealt: ({ kind }) => kind === "query" && dealt++,
    };
    if (options.once) await dealOnce(listener, dealing);
    else {
      const sessions = Math.min(options.sessions, Math.max(1, mostSessions(pool.ring, plan, 0)));
      await dealAll(listener, dealing, { sessions, draining: new AbortController(), log });
    }
    reportLine(options.json, { queries: dealt, peakRssMB: peakRssMB() }, `dealer: ${dealt} queries dealt`);
  },
});
