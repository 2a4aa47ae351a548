/** Runs `infer --json` as a user would. */
import type { InferResult } from "../src/reproduction/command_results.ts";
import { type NewRow, runJson } from "../src/reproduction/experiment.ts";

export const PERMISSIONS = [
  "--allow-net=127.0.0.1",
  "--allow-run",
  "--allow-read",
  "--allow-write",
  "--allow-env",
  "--allow-sys",
];

export const infer = async (...options: (string | number)[]): Promise<InferResult> =>
  await runJson([...PERMISSIONS, "src/cli/infer.ts", "--json", ...options.map(String)], {
    // 10,000 images of a network of 40 ms take seven minutes of a quiet machine, and hours of a busy one.
    timeoutSeconds: 4 * 3600,
  }) as InferResult;

/** The columns of {@linkcode figuresOf}. */
export const FIGURE_COLUMNS = {
  repetitions: "queries measured, after a warm-up",
  exchanges: "messages and exchanges of the client in the online phase, the opening of the result included",
  one_way_delays: "one-way delays on its critical path, by logical clocks: overlapping messages count once",
  bytes_server: "payload bytes that the server sends online",
  bytes_client: "payload bytes that the client sends online",
  setup_ms: "set-up, once per session",
  setup_bytes: "bytes of the set-up, all links",
  offline_ms: "offline phase of a query, median; the dealer's link is not shaped",
  offline_bytes: "bytes from the dealer per query",
  offline_party_bytes: "bytes between the parties per query, before the image is known",
  online_ms: "online phase from image to logits at the client, median",
  online_q1_ms: "lower quartile",
  online_q3_ms: "upper quartile",
  cores: "cores to which server and client were bound; empty: left to the scheduler",
} as const;

/** The figures of a run that every table wants. */
export const figuresOf = (run: InferResult): NewRow => ({
  repetitions: run.repetitions,
  exchanges: run.exchanges,
  one_way_delays: run.oneWayDelays,
  bytes_server: run.bytesSent.server,
  bytes_client: run.bytesSent.client,
  setup_ms: run.setup.ms,
  setup_bytes: run.setup.bytes,
  offline_ms: run.offline.ms,
  offline_bytes: run.offline.bytes,
  offline_party_bytes: run.offline.partyBytes,
  online_ms: run.online.medianMs,
  online_q1_ms: run.online.q1Ms,
  online_q3_ms: run.online.q3Ms,
  cores: run.cores?.join(" ") ?? "",
});
