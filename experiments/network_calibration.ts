/** What every network profile is configured to and what two processes on this machine really get. */
import type { CalibrateResult } from "../src/reproduction/command_results.ts";
import { defineExperiment, numberOf, optionalNumber, runJson } from "../src/reproduction/experiment.ts";
import { span } from "../src/report/statistics.ts";
import { NETWORK_PROFILES } from "../mod.ts";

/** Milliseconds for pings, and for the bulk transfer. */
const BUDGET = { smoke: 200, quick: 1000, full: 5000 };

export const networkCalibration = defineExperiment({
  key: "network_calibration",
  title: "Network profiles, configured and measured",
  explanation:
    "Two processes send 64-byte pings and a bulk transfer through each shaped link. Every time in the other " +
    "experiments was measured through these links: a profile that missed its mark would show here.",
  columns: {
    profile: "name",
    configured_rtt_ms: "round-trip time asked for",
    measured_rtt_ms: "median of the round trips of a 64-byte message",
    rtt_q1_ms: "lower quartile",
    rtt_q3_ms: "upper quartile",
    rtt_p99_ms: "99th percentile",
    pings: "round trips measured",
    configured_gbit_s: "bandwidth of each direction, empty: no limit",
    measured_gbit_s: "payload of a bulk transfer, one way",
    source: "where the profile comes from",
  },
  cells: () => NETWORK_PROFILES.map(({ name }) => ({ id: name, seconds: 3 })),
  async run({ id }, { size }) {
    const { configured, measured, source } = await runJson([
      "--allow-net=127.0.0.1",
      "--allow-run",
      "--allow-read",
      "src/cli/calibrate.ts",
      "--profile",
      id,
      "--budget",
      String(BUDGET[size]),
      "--json",
    ]) as CalibrateResult;
    return [{
      profile: id,
      configured_rtt_ms: configured.rttMs,
      measured_rtt_ms: measured.rttMs.median,
      rtt_q1_ms: measured.rttMs.q1,
      rtt_q3_ms: measured.rttMs.q3,
      rtt_p99_ms: measured.rttMs.p99,
      pings: measured.pings,
      configured_gbit_s: configured.bitsPerSecond === null ? null : configured.bitsPerSecond / 1e9,
      measured_gbit_s: measured.bitsPerSecond / 1e9,
      source,
    }];
  },
  figures(rows) {
    const rated = rows.filter((row) => row["configured_gbit_s"] !== "");
    const reached = rated.map((row) => numberOf(row, "measured_gbit_s") / numberOf(row, "configured_gbit_s"));
    if (rated.length === 0) return [];
    return [{
      kind: "bars",
      name: "network_calibration",
      see: `bars end at ${
        span(reached, 2)
      } times their diamonds: what the shaped links reach of what they say.`,
      caption:
        "Throughput of the profiles with a bandwidth, measured by a bulk transfer between two processes; diamonds: configured.",
      categories: rated.map((row) => row["profile"].replace("-", "\n")),
      y: { title: "throughput (Gbit/s)", scale: "log" },
      series: [{
        name: "measured",
        values: rated.map((row) => numberOf(row, "measured_gbit_s")),
        marks: rated.map((row) => optionalNumber(row, "configured_gbit_s") ?? null),
      }],
      markName: "configured",
    }];
  },
});
