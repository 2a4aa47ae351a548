/** `deno task dealer`: deals correlated randomness to one server and one client. */
import { runDealer } from "../inference/dealer.ts";
import { describeTag } from "../inference/roles.ts";
import type { FramedChannel } from "../network/framed_channel.ts";
import { listen } from "../network/tcp.ts";
import { Ring } from "../ring/ring.ts";
import { onExit, runCommand } from "./command.ts";
import { listening, listenOption, SECURITY_OPTIONS } from "./endpoint.ts";
import { LINK_OPTIONS, PLAN_OPTIONS, planFrom } from "./inference_options.ts";
import { peakRssMB, reportLine } from "./role_report.ts";

await runCommand({
  name: "dealer",
  summary: "deal correlated randomness for private inferences to one server and one client",
  notes:
    "The dealer sees shapes and seeds. It must not collude with either party: with one of them it can read the other's secrets.",
  options: {
    ...PLAN_OPTIONS,
    listen: listenOption(7701, "address on which server and client are awaited"),
    queries: {
      type: "integer",
      min: 1,
      max: 1_000_000,
      default: 1000,
      help: "queries that may be dealt in this session",
    },
    timeout: LINK_OPTIONS.timeout,
    ...SECURITY_OPTIONS,
    json: { type: "boolean", help: "report on standard output as JSON lines" },
  },
  async run(options) {
    const plan = planFrom(options), ring = await Ring.open();
    const listener = await listen({
      ...await listening(options, options.listen),
      role: "dealer",
      timeoutMs: options.timeout * 1000,
      describeTag: describeTag(plan),
    });
    onExit(() => listener.close());
    reportLine(
      options.json,
      { listening: listener.port },
      `dealer: waiting for server and client on port ${listener.port}`,
    );

    const parties = new Map<string, FramedChannel>();
    while (parties.size < 2) {
      const channel = await listener.accept();
      onExit(() => channel.close());
      if (!["server", "client"].includes(channel.peer) || parties.has(channel.peer)) {
        const reason = `the dealer serves one server and one client, not another ${channel.peer}`;
        await channel.abort(reason);
        throw new Error(reason);
      }
      parties.set(channel.peer, channel);
    }
    const server = parties.get("server")!, client = parties.get("client")!;
    let dealt = 0;
    try {
      await runDealer({
        ring,
        plan,
        server,
        client,
        queries: options.queries,
        onDealt: ({ kind }) => kind === "query" && dealt++,
      });
    } catch (error) {
      const reason = (error as Error).message;
      await Promise.allSettled([server.abort(reason), client.abort(reason)]);
      throw error;
    }
    reportLine(options.json, { queries: dealt, peakRssMB: peakRssMB() }, `dealer: ${dealt} queries dealt`);
  },
});
