/** `deno task dealer`: deals correlated randomness to one server and one client. */
import { runDealer } from "../inference/dealer.ts";
import { describeTag } from "../inference/roles.ts";
import type { FramedChannel } from "../network/framed_channel.ts";
import { type ChannelListener, listen } from "../network/tcp.ts";
import { ConvolutionPool } from "../ring/pool.ts";
import { Ring } from "../ring/ring.ts";
import { onExit, runCommand } from "./command.ts";
import { listening, listenOption, SECURITY_OPTIONS, withPeers } from "./endpoint.ts";
import { LINK_OPTIONS, PLAN_OPTIONS, planFrom, THREADS_OPTION } from "./inference_options.ts";
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
    threads: THREADS_OPTION,
    ...SECURITY_OPTIONS,
    json: { type: "boolean", help: "report on standard output as JSON lines" },
  },
  async run(options) {
    const plan = planFrom(options), pool = new ConvolutionPool(await Ring.open(), options.threads);
    onExit(() => pool[Symbol.dispose]());
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

    let dealt = 0;
    await withPeers(async (hold) => {
      const { server, client } = await acceptParties(listener, hold, options.timeout);
      await runDealer({
        pool,
        plan,
        server,
        client,
        queries: options.queries,
        onDealt: ({ kind }) => kind === "query" && dealt++,
      });
    });
    reportLine(options.json, { queries: dealt, peakRssMB: peakRssMB() }, `dealer: ${dealt} queries dealt`);
  },
});

/** One server and one client. Who comes first may have been awaited for long; the other must follow in time. */
async function acceptParties(
  listener: ChannelListener,
  hold: (channel: FramedChannel) => FramedChannel,
  timeoutSeconds: number,
): Promise<{ server: FramedChannel; client: FramedChannel }> {
  const first = hold(await listener.accept());
  const other = { server: "client", client: "server" }[first.peer];
  if (other === undefined) throw new Error(`the dealer serves a server and a client, not a ${first.peer}`);

  let late = false;
  const timer = setTimeout(() => {
    late = true;
    listener.close();
  }, timeoutSeconds * 1000);
  try {
    const second = hold(await listener.accept());
    if (second.peer !== other) throw new Error(`the dealer awaits the ${other}, not another ${second.peer}`);
    return first.peer === "server" ? { server: first, client: second } : { server: second, client: first };
  } catch (error) {
    throw late
      ? new Error(`no ${other} came to the dealer within ${timeoutSeconds} s of the ${first.peer}`)
      : error;
  } finally {
    clearTimeout(timer);
  }
}
