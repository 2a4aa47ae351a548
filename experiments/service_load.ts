/** What one server and one dealer answer to several clients at once; with one client it is session after session. */
import type { LoadResult } from "../src/reproduction/command_results.ts";
import { type Cell, defineExperiment, numberOf, runJson, type Size } from "../src/reproduction/experiment.ts";

const MODELS: Record<Size, readonly string[]> = {
  smoke: ["convnet"],
  quick: ["minionn-bn"],
  full: ["minionn-bn", "resnet18"],
};
const CLIENTS: Record<Size, readonly number[]> = { smoke: [1, 2], quick: [1, 2, 4], full: [1, 2, 4] };
/** All clients at work together. */
const SECONDS: Record<Size, number> = { smoke: 2, quick: 20, full: 120 };

interface LoadCell extends Cell {
  readonly model: string;
  readonly clients: number;
}

export const serviceLoad = defineExperiment<LoadCell>({
  key: "service_load",
  title: "A server under load",
  explanation:
    "One server, one dealer and several clients as processes on this machine, without a shaped link; every client asks without end in a " +
    "session of its own. All share the cores of the machine: what more clients add is what one leaves idle while it waits.",
  columns: {
    model: "network, random weights",
    activation: "activation protocol",
    clients: "at once",
    queries: "answered while all clients were at work",
    queries_per_s: "of all clients together",
    query_median_ms: "offline and online phase of a query, as its client saw them",
    query_p99_ms: "99th percentile",
    online_median_ms: "online phase alone",
    online_p99_ms: "99th percentile",
    rss_server_mb: "peak resident memory",
    rss_dealer_mb: "peak resident memory",
  },
  cells: (size) =>
    MODELS[size].flatMap((model) =>
      CLIENTS[size].map((clients) => ({
        id: `${model} ${clients}`,
        model,
        clients,
        seconds: SECONDS[size] + 10,
      }))
    ),
  async run({ model, clients }, { size }) {
    const found = await runJson([
      ...["--allow-net=127.0.0.1", "--allow-run", "--allow-read", "src/cli/load.ts"],
      ...["--model", model, "--clients", String(clients), "--seconds", String(SECONDS[size]), "--json"],
    ]) as LoadResult;
    return [{
      model,
      activation: found.activation,
      clients,
      queries: found.queries,
      queries_per_s: found.queriesPerSecond,
      query_median_ms: found.queryMs.median,
      query_p99_ms: found.queryMs.p99,
      online_median_ms: found.onlineMs.median,
      online_p99_ms: found.onlineMs.p99,
      rss_server_mb: found.peakRssMB.server,
      rss_dealer_mb: found.peakRssMB.dealer,
    }];
  },
  figures: () => [],
  table: (rows) =>
    rows.map((row) => ({
      network: row["model"],
      clients: numberOf(row, "clients"),
      "queries/s": numberOf(row, "queries_per_s"),
      "median ms": Math.round(numberOf(row, "query_median_ms")),
      "99th percentile ms": Math.round(numberOf(row, "query_p99_ms")),
      "server MB": numberOf(row, "rss_server_mb"),
    })),
});
