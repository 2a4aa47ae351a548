/** `deno task load`: one server, one dealer and several clients at work at once on this machine. */
import type { LoadResult } from "../reproduction/command_results.ts";
import { quantile } from "../report/statistics.ts";
import { LINK_OPTIONS, PLAN_OPTIONS, planFrom } from "../options/inference_options.ts";
import { measureLoad } from "../roles/load.ts";
import { kebab, runCommand } from "../terminal/command.ts";

await runCommand({
  name: "load",
  summary: "measure what a server and a dealer answer to several clients at once on this machine",
  notes:
    "Clients ask without end, each in a session of its own; a query's time is that of its offline and online phase. With --disturb " +
    "others die at random moments beside them, and strangers connect; no query of the counted clients may be lost.",
  time: "some seconds more than --seconds",
  examples: [
    "load --model minionn-bn --clients 4",
    "load --model minionn-bn --clients 2 --seconds 900 --disturb",
  ],
  interrupted: "all processes were ended",
  options: {
    ...PLAN_OPTIONS,
    clients: { type: "integer", min: 1, max: 16, default: 2, help: "clients at once" },
    seconds: {
      type: "integer",
      min: 1,
      max: 86_400,
      default: 10,
      help: "how long they are at work together",
    },
    disturb: { type: "boolean", help: "with clients that die, and strangers" },
    timeout: LINK_OPTIONS.timeout,
    json: { type: "boolean", help: "print one JSON object on one line" },
  },
  async run(options) {
    const plan = planFrom({ ...options, graph: undefined });
    const { answered, seconds, lost, disturbances, queries, peakRssMB, serverRssMB } = await measureLoad({
      plan: [...given(options), "--timeout", String(options.timeout)],
      clients: options.clients,
      seconds: options.seconds,
      disturbed: options.disturb,
    });
    const all = answered.flat().map(({ figures }) => figures);
    if (all.length === 0) {
      throw new Error(lost[0] ?? `no query was answered within ${options.seconds} s; give more --seconds`);
    }
    const times = all.map(({ offlineMs, onlineMs }) => offlineMs + onlineMs),
      online = all.map(({ onlineMs }) => onlineMs);
    const result = {
      model: plan.graph.name,
      activation: options.activation,
      clients: options.clients,
      seconds,
      queries: all.length,
      queriesPerSecond: all.length / seconds,
      queryMs: { median: quantile(times, 0.5), p99: quantile(times, 0.99) },
      onlineMs: { median: quantile(online, 0.5), p99: quantile(online, 0.99) },
      peakRssMB,
      serverRssMB,
      lost,
      disturbances,
      ...{ answered: queries.answered, dealt: queries.dealt },
    } satisfies LoadResult;
    if (options.json) {
      console.log(JSON.stringify(result));
      for (const sentence of lost) console.error(`error: lost ${sentence}`);
    } else print(result);
    return lost.length === 0 ? 0 : 1;
  },
});

/** The options of the plan as they were given. */
function given(options: Readonly<Record<string, unknown>>): string[] {
  return Object.keys(PLAN_OPTIONS).flatMap((name) => {
    const value = options[name], flag = `--${kebab(name)}`;
    // The default network is none where a number of elements was given.
    const isLeftOut = name === "model" && options["elements"] !== undefined;
    return isLeftOut || value === undefined || value === false
      ? []
      : [value === true ? flag : `${flag}=${value}`];
  });
}

function print(result: LoadResult): void {
  const { model, activation, clients, queries, seconds, queriesPerSecond, queryMs, onlineMs } = result;
  const { peakRssMB, serverRssMB } = result;
  const ms = ({ median, p99 }: LoadResult["queryMs"]) =>
    `median ${median.toFixed(1)} ms, 99th percentile ${p99.toFixed(1)} ms`;
  console.log(
    `${model}, ${activation}: ${queries} queries of ${clients} clients in ${seconds.toFixed(1)} s, ${
      queriesPerSecond.toFixed(1)
    } a second`,
  );
  console.log(`offline and online: ${ms(queryMs)}; online alone: ${ms(onlineMs)}`);
  const course = serverRssMB.length === 0
    ? ""
    : ` (${serverRssMB[0]} at first, ${serverRssMB.at(-1)} at last)`;
  console.log(`memory at most: server ${peakRssMB.server}${course}, dealer ${peakRssMB.dealer} MB`);
  const { killed, strangers } = result.disturbances;
  if (killed + strangers > 0) {
    console.log(`beside them ${killed} clients were killed and ${strangers} strangers came`);
  }
  for (const sentence of result.lost) console.log(`lost: ${sentence}`);
}
