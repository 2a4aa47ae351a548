/**
 * What a time measured here is worth. Beside the cells that claims about time rest on, a fixed piece of plaintext work is timed,
 * the gauge. Machines of one name differ by a factor of two and neighbours slow them by three (179 ms for what takes 59 was
 * seen), so a missed time counts only where the gauge is as fast as where the recorded times come from, and steady. One thread that
 * sleeps for most of the time hardly sees a busy loop on each of two cores (7.5 ms in place of 6.8, while ResNet-18 in private took
 * twice as long), so what other processes take is counted too.
 */
import { type Data, type Obstacle, where } from "./claim.ts";
import { numberOf, optionalNumber, type Row } from "./csv.ts";

/** Columns of a row whose cell had a gauge beside it. */
export const GAUGE_COLUMNS = {
  gauge: "plaintext ResNet-18, one thread, timed before and after the cell: by what",
  gauge_ms: "its time, median",
  gauge_q1_ms: "lower quartile",
  gauge_q3_ms: "upper quartile",
  others_cores:
    "cores that other processes kept busy while the cell ran, empty where the system does not say",
} as const;

/** A gauge as it was read. */
export interface Gauge {
  readonly name: string;
  readonly ms: number;
  /** Between its quartiles, as a part of the median; absent where the rows do not have them. */
  readonly spread?: number;
  /** What it takes on a quiet machine: of the kind on which the public code was measured, or of ours where that is faster. */
  readonly quietMs: number;
}

/** How much slower than its reference a gauge may be, and how far apart its quartiles: quiet runs differed by a tenth. */
const MOST_NOISE = 0.15;
/** The same for the quartiles of a cell's own times: in quiet runs up to 22 % apart for ResNet-32, 9 % for ResNet-18. */
const MOST_OWN_SPREAD = 0.3;

/** Cores' worth of other processes that count as noise: 0.00 in quiet runs, 0.6 to 1.2 beside a busy loop on each of two cores. */
const MOST_OTHERS = 0.15;

/** What each gauge takes, in ms, on a quiet machine of that kind. */
const REFERENCE_MS: Readonly<Record<string, (data: Data) => number>> = {
  // In `results/speed_of_plaintext.csv`; quiet runs took 31.9 to 34.9 ms.
  "TensorFlow.js": () => 34,
  "ONNX Runtime": (data) =>
    1000 * numberOf(
      where(data.reference("public_code"), {
        impl: "PyTorch float32",
        model: "resnet18",
        activation: "relu",
      })[0],
      "median_s",
    ),
};

/** Experiments whose rows have a gauge. */
const GAUGED = ["inference_latency", "speed_of_plaintext"];

/** The least median of a gauge in the run of a row, on its machine: shards may be of several; infinite where the run has none. */
function fastestMs({ commit = "", size = "", machine = "", gauge = "" }: Row, data: Data): number {
  const rows = GAUGED.flatMap((key) => where(data.rows(key), { commit, size, machine, gauge }));
  return Math.min(...rows.map((row) => numberOf(row, "gauge_ms")));
}

function read(row: Row, [name, ms, q1, q3]: readonly (string | undefined)[], data: Data): Gauge {
  const reference = REFERENCE_MS[name!];
  if (reference === undefined) {
    throw new RangeError(`there is no gauge "${name}"; there are ${Object.keys(REFERENCE_MS).join(", ")}`);
  }
  const median = numberOf(row, ms!),
    low = q1 && optionalNumber(row, q1),
    high = q3 && optionalNumber(row, q3);
  return {
    name: name!,
    ms: median,
    ...(typeof low === "number" && typeof high === "number" ? { spread: (high - low) / median } : {}),
    quietMs: Math.min(reference(data), fastestMs(row, data)),
  };
}

/** The gauge beside the cell of a row, or else TensorFlow.js in `speed_of_plaintext` of the same run. */
export function gaugeOf(row: Row, data: Data): Gauge | undefined {
  if (row["gauge"]) return read(row, [row["gauge"], "gauge_ms", "gauge_q1_ms", "gauge_q3_ms"], data);
  const { commit = "", size = "", machine = "" } = row;
  const run = { commit, size, machine, profile: "none", model: "resnet18", tfjs_activation: "relu" };
  const [plaintext] = where(data.rows("speed_of_plaintext"), run);
  return plaintext && read(plaintext, ["TensorFlow.js", "tfjs_ms"], data);
}

const percent = (part: number) => `${(100 * part).toFixed(0)}\u00a0%`;
const noise = (text: string): Obstacle => ({ kind: "noise", text });

/** Why a time of this row decides nothing: other processes worked too, its gauge is slow or unsteady, or its own times are. */
export function noiseOf(row: Row, data: Data): Obstacle | undefined {
  const others = optionalNumber(row, "others_cores");
  if (others !== undefined && others > MOST_OTHERS) {
    return noise(`where other processes kept ${others.toFixed(1)} cores busy`);
  }
  const gauge = gaugeOf(row, data);
  if (gauge && gauge.ms > (1 + MOST_NOISE) * gauge.quietMs) {
    const { name, ms, quietMs } = gauge;
    return {
      // Another processor may well be slower, and stays so.
      kind: isSameKind(row) ? "noise" : "machine",
      text: `where ${name} takes ${ms.toPrecision(3)} ms in place of ${quietMs.toPrecision(3)}`,
    };
  }
  if (gauge?.spread !== undefined && gauge.spread > MOST_NOISE) {
    return noise(`where the quartiles of ${gauge.name} are ${percent(gauge.spread)} apart`);
  }
  const low = optionalNumber(row, "online_q1_ms"), high = optionalNumber(row, "online_q3_ms");
  if (low === undefined || high === undefined) return undefined;
  const spread = (high - low) / numberOf(row, "online_ms");
  return spread > MOST_OWN_SPREAD ? noise(`where its own quartiles are ${percent(spread)} apart`) : undefined;
}

/** Whether a row is from the kind of machine on which the public code was measured: an AMD EPYC, a core a party. */
export function isSameKind(row: Row): boolean {
  return /EPYC/.test(row["machine"] ?? "") && !/, 1 core,/.test(row["machine"] ?? "");
}

/** Why a time of ours is not held against a recorded one. */
export const OTHER_KIND: Obstacle = { kind: "machine", text: "on another kind of machine" };

/** The round trip that shaping adds on the LAN. */
export const LAN_RTT_MS = 0.25;
/** One loopback ping in a hundred takes 0.32 ms on a quiet machine. */
const MOST_P99_MS = 1;

/**
 * Why a time set by the shaper may be too long: without shaping, in the same run, a ping takes as long as on the LAN, or one in
 * a hundred far longer. Shaping only adds to what the machine takes to wake a receiver.
 */
export function loopbackNoise(
  { commit = "", size = "", machine = "" }: Row,
  data: Data,
): Obstacle | undefined {
  const ofRun = where(data.rows("network_calibration"), { profile: "none", commit, size });
  const loopback = ofRun.find((row) => (row["machine"] ?? "") === machine);
  if (loopback === undefined) {
    return ofRun.length === 0
      ? undefined
      : { kind: "machine", text: "where loopback was measured on another machine alone" };
  }
  const ping = numberOf(loopback, "measured_rtt_ms"), slow = optionalNumber(loopback, "rtt_p99_ms");
  if (ping >= LAN_RTT_MS) return noise(`where loopback alone takes ${ping.toFixed(3)} ms`);
  if (slow !== undefined && slow > MOST_P99_MS) {
    return noise(`where one loopback ping in a hundred takes ${slow.toPrecision(2)} ms`);
  }
  return undefined;
}

/** A ratio of times, why it may be off, and the cells behind it. */
export interface Timing {
  readonly ratio: number;
  readonly noise: Obstacle | undefined;
  readonly cells: readonly string[];
}

/** A ratio of times in some rows. */
export function timing(ratio: number, rows: readonly Row[], data: Data): Timing {
  const noise = rows.map((row) => noiseOf(row, data)).find((found) => found !== undefined);
  return { ratio, noise, cells: rows.map((row) => row["cell"] ?? "") };
}

/** Ratios of times in pairs of rows, links set by the shaper; `undefined` without pairs. */
export function timings(
  pairs: readonly [Row, Row][],
  ratio: (one: Row, other: Row) => number,
  data: Data,
): Timing[] | undefined {
  const found = pairs.map(([one, other]) => {
    const own = timing(ratio(one, other), [one, other], data);
    const link = loopbackNoise(one, data);
    // Noise is worth another try, another machine is not.
    return { ...own, noise: link?.kind === "noise" ? link : own.noise ?? link };
  });
  return found.length > 0 ? found : undefined;
}

/** Whether all ratios are as they should be. */
export const isEvery = (found: readonly Timing[], isMet: (ratio: number) => boolean): boolean =>
  found.every(({ ratio }) => isMet(ratio));

/**
 * Why ratios that are missed decide nothing: each of them has an excuse. The first one's is told, and the cells of all are worth
 * another try.
 */
export function excuse(found: readonly Timing[], isMet: (ratio: number) => boolean): Obstacle | undefined {
  const missed = found.filter(({ ratio }) => !isMet(ratio)), first = missed[0]?.noise;
  if (first === undefined || missed.some(({ noise }) => noise === undefined)) return undefined;
  return { ...first, cells: [...new Set(missed.flatMap(({ cells }) => cells))] };
}
