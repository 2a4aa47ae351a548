/** The rows that open the README: ResNet-18, one by each protocol, beside the public code. */
import { numberOf, type Row } from "../report/csv.ts";
import { PUBLIC_PROTOCOLS } from "../report/public_code.ts";
import { where } from "../report/claims.ts";
import { paragraph, table } from "./markdown.ts";
import { rowsOf, type Sources } from "./sources.ts";

const MODEL = "resnet18";

export function latencyPart(sources: Sources): string {
  const own = where(rowsOf(sources, "inference_latency"), { model: MODEL, classes: 10, linear: "masked" });
  const theirs = where(sources.reference("public_code"), {
    impl: "CrypTen-ESPN",
    model: MODEL,
    mode: "online_only",
    net: "loopback",
  });
  const without = where(own, { profile: "none" });
  if (without.length === 0) return "No rows of ResNet-18 are committed.";
  const each = (column: string) => [...new Set(without.map((row) => row[column]))].join(", ");
  return [
    table(without.map((row) => latencyRow(row, own, theirs))),
    paragraph(
      `Size \`${each("size")}\`, seed ${each("seed")}, commit \`${each("commit")}\`, ${each("machine")}.`,
    ),
  ].join("\n\n");
}

function latencyRow(row: Row, own: readonly Row[], theirs: readonly Row[]): Readonly<Record<string, string>> {
  const protocol = row["activation"];
  const ms = (profile: string) => {
    const found = where(own, { profile, activation: protocol })[0];
    return found && numberOf(found, "online_ms");
  };
  const reference = where(theirs, { activation: PUBLIC_PROTOCOLS[protocol] ?? "" })[0];
  return {
    protocol: `\`${protocol}\``,
    delays: row["one_way_delays"],
    "online, MB": ((numberOf(row, "bytes_server") + numberOf(row, "bytes_client")) / 1e6).toPrecision(3),
    "dealt, MB": (numberOf(row, "offline_bytes") / 1e6).toPrecision(3),
    "no delay, ms": digits(ms("none")),
    "LAN, ms": digits(ms("lan")),
    "WAN, s": seconds(ms("wan")),
    "public code, ms": digits(reference && 1000 * numberOf(reference, "median_s")),
  };
}

const digits = (ms: number | undefined) => ms === undefined ? "-" : ms < 100 ? ms.toFixed(1) : ms.toFixed(0);
const seconds = (ms: number | undefined) => ms === undefined ? "-" : (ms / 1000).toFixed(2);
