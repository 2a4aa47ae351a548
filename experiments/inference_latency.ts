/** The paper's latency table: every network, activation protocol, linear protocol and network profile. */
import { withGauge } from "./_gauge.ts";
import { FIGURE_COLUMNS, figuresOf, infer } from "./_infer.ts";
import { needsOf } from "./_needs.ts";
import { secondsPerQuery, warmUpOf } from "./_warm_up.ts";
import { ACTIVATION_PROTOCOLS, buildModel, countModel, networkProfile } from "../mod.ts";
import {
  type BarChart,
  type Cell,
  defineExperiment,
  type LineChart,
  numberOf,
  optionalNumber,
  type Reference,
  type Row,
  type Size,
} from "../src/reproduction/experiment.ts";
import { where } from "../src/report/claim.ts";
import { span } from "../src/report/statistics.ts";
import { PUBLIC_PROTOCOLS } from "../src/report/public_code.ts";

interface Model {
  readonly model: string;
  readonly classes: number;
  /** Multiply-accumulates in millions: decides how long a cell takes. */
  readonly megaMacs: number;
}

const MODELS: readonly Model[] = [
  { model: "minionn-bn", classes: 10, megaMacs: 61 },
  { model: "resnet32", classes: 100, megaMacs: 69 },
  { model: "resnet18", classes: 10, megaMacs: 555 },
  { model: "vgg16-bn-avg", classes: 10, megaMacs: 314 },
  { model: "resnet110", classes: 10, megaMacs: 253 },
  { model: "roundnet", classes: 10, megaMacs: 86 },
  { model: "convnet", classes: 10, megaMacs: 1 },
  { model: "minionn", classes: 10, megaMacs: 61 },
  { model: "vgg16", classes: 10, megaMacs: 314 },
  { model: "resnet20", classes: 10, megaMacs: 41 },
  { model: "vgg16-bn-avg", classes: 100, megaMacs: 314 },
  { model: "resnet18", classes: 100, megaMacs: 555 },
  { model: "resnet50", classes: 1000, megaMacs: 4089 },
  { model: "resnet50-avg", classes: 1000, megaMacs: 4089 },
];
const ACTIVATIONS = ACTIVATION_PROTOCOLS.map(({ name }) => name);
/** Those on small rings take weights in clear at the server, and no max pooling. */
const NARROW = ACTIVATION_PROTOCOLS.filter(({ scaling }) => scaling.kind === "ring").map(({ name }) => name);
const LINEARS = ["masked", "beaver"] as const;
const PAPER_PROFILES = ["none", "lan", "wan"],
  RATED_PROFILES = ["lan-10gbit", "wan-1gbit", "lan-3gbit", "wan-400mbit", "wan-100mbit"];

/** Gross errors of local truncation per activation at 16 fraction bits, linear layer included, if |z| = 1. */
const GROSS_PER_ACTIVATION = 2.7e-9;

interface LatencyCell extends Cell, Model {
  readonly activation: string;
  readonly linear: string;
  readonly profile: string;
}

/** The networks of the quick run, and those of its first table without delay alone. */
const QUICK = ["minionn-bn", "resnet32", "resnet18"],
  QUICK_UNSHAPED = ["vgg16-bn-avg", "resnet110", "roundnet"];

/** Which profiles a combination is measured on. */
function profilesOf(
  size: Size,
  { model, classes }: Model,
  activation: string,
  linear: string,
): readonly string[] {
  const isFirst = MODELS.find((other) => other.model === model)!.classes === classes;
  if (NARROW.includes(activation) && (linear !== "masked" || model === "resnet50")) return [];
  if (size === "full") {
    const middle = ["resnet18", "resnet110"].includes(model) && isFirst ? ["wan-50ms"] : [];
    return [...PAPER_PROFILES, ...middle, ...linear === "masked" && isFirst ? RATED_PROFILES : []];
  }
  if (size === "smoke") return model === "minionn-bn" && linear === "masked" ? ["none", "wan"] : [];
  if (!isFirst) return [];
  if (linear === "beaver") {
    return model === "minionn-bn" || QUICK.includes(model) && activation === "honeybadger" ? ["none"] : [];
  }
  // Square-and-multiply and ESPN on ResNet-50 add nothing to the quick table but minutes.
  const isSlower = ["tree", "espn"].includes(activation);
  if (model === "resnet50") return isSlower ? [] : ["none"];
  if (model === "resnet50-avg") return NARROW.includes(activation) ? ["none"] : [];
  if (QUICK_UNSHAPED.includes(model)) return isSlower ? [] : ["none"];
  if (!QUICK.includes(model)) return [];
  const hasMiddle = model === "resnet18" && ["relu", "honeybadger"].includes(activation);
  return ["none", ...isSlower ? [] : ["lan"], "wan", ...hasMiddle ? ["wan-50ms"] : []];
}

/**
 * Minutes are short at quick: a query of MiniONN-BN by lifted takes 5.0 ms after 40, 4.1 after 80, 3.7 after 200, and by HoneyBadger 11.8
 * after 10, 10.5 after 40. A query of 0.1 s is warm sooner: ResNet-18 by HoneyBadger 62 ms after 10, 68 after 36, with ReLU 112 and 109.
 */
const QUICK_WARM_UP = 40, WARM_SOONER = { fromSeconds: 0.1, queries: 10 };

/** Queries measured: many where one takes milliseconds, few where delay alone makes it seconds and its time certain. */
function repetitions(
  size: Size,
  { model, activation, profile }: LatencyCell,
): { measured: number; warmUp: number } {
  if (model.startsWith("resnet50")) return { measured: size === "full" ? 3 : 1, warmUp: 1 };
  if (profile.startsWith("wan")) {
    return { measured: size === "full" ? 3 : 1, warmUp: 1 };
  }
  if (size === "smoke") return { measured: 3, warmUp: 3 };
  const warmUp = warmUpOf(model);
  if (size === "full") return { measured: 25, warmUp };
  const isSooner = !NARROW.includes(activation) && secondsPerQuery(model) >= WARM_SOONER.fromSeconds;
  const atQuick = isSooner ? WARM_SOONER.queries : QUICK_WARM_UP;
  return { measured: profile === "none" ? 25 : 5, warmUp: Math.min(atQuick, warmUp) };
}

function cells(size: Size): LatencyCell[] {
  return MODELS.flatMap((model) =>
    ACTIVATIONS.flatMap((activation) =>
      LINEARS.flatMap((linear) =>
        profilesOf(size, model, activation, linear).map((profile) => ({
          ...model,
          id: `${model.model} ${model.classes} ${activation} ${linear} ${profile}`,
          activation,
          linear,
          profile,
          seconds: 5 + model.megaMacs / 100 +
            (profile.startsWith("wan") ? (activation === "relu" ? 20 : 5) : 0),
          ...needsOf(model.model),
        }))
      )
    )
  );
}

const label = (row: Row) => `${row["model"]} (${row["classes"]})`;
const find = (rows: readonly Row[], values: Readonly<Record<string, string>>) =>
  rows.find((row) => Object.entries(values).every(([column, value]) => row[column] === value));

/** A link: its round trip, and its bandwidth per direction if it has a limit. */
export interface Link {
  readonly rttMs: number;
  readonly gigabits?: number | undefined;
}

/**
 * Time at no delay, plus the one-way delays on the critical path, plus the bytes over the bandwidth: both directions of an exchange
 * travel at once, so the busier one counts.
 */
export function predictedMs(unshaped: Row, { rttMs, gigabits }: Link): number {
  const transfer = gigabits === undefined
    ? 0
    : 8e-6 * Math.max(numberOf(unshaped, "bytes_server"), numberOf(unshaped, "bytes_client")) / gigabits;
  return numberOf(unshaped, "online_ms") + numberOf(unshaped, "one_way_delays") * rttMs / 2 + transfer;
}

const linkOf = (row: Row): Link => ({
  rttMs: numberOf(row, "rtt_ms"),
  gigabits: optionalNumber(row, "gbit_s"),
});

/** Rows of the table: a run, its speed-up over exact ReLU and the prediction of its time. */
function latencyTable(rows: readonly Row[]) {
  return rows.map((row) => {
    const same = {
      model: row["model"],
      classes: row["classes"],
      linear: row["linear"],
      profile: row["profile"],
    };
    const relu = find(rows, { ...same, activation: "relu" }),
      unshaped = find(rows, { ...same, activation: row["activation"], profile: "none" });
    return {
      row,
      speedUp: relu === undefined ? undefined : numberOf(relu, "online_ms") / numberOf(row, "online_ms"),
      predictedMs: unshaped === undefined ? undefined : predictedMs(unshaped, linkOf(row)),
    };
  });
}

export const inferenceLatency = withGauge(defineExperiment({
  key: "inference_latency",
  title: "Private inference: time and traffic",
  source: "the paper's latency tables (LAN and WAN)",
  explanation:
    "Three processes on one machine, fresh correlations for every query, one thread a party. Online: from when " +
    "both have agreed to run a prepared query until the client has the logits, sharing and opening included. That agreement, one round " +
    "trip of control messages before the image is known, is not in it; the server begins as it confirms, one delay before the client's " +
    "clock starts. Offline: dealing, transfer from the dealer and what a party computes before " +
    "it knows the image. Set-up: sending the masked weights, once per session.",
  columns: {
    model: "network",
    classes: "its classes",
    activation: "activation protocol",
    linear: "protocol of linear layers",
    profile: "network between the parties",
    rtt_ms: "its round-trip time",
    gbit_s: "its bandwidth per direction, empty: no limit",
    ...FIGURE_COLUMNS,
    paper_exchanges:
      "exchanges if every linear layer opened its own input, opening of the result not counted",
    compute_server_ms: "the server's online time without sending, receiving and waiting",
    compute_client_ms: "the same for the client",
    rss_server_mb: "peak resident memory of the server",
    rss_client_mb: "of the client",
    rss_dealer_mb: "of the dealer",
    logit_error: "largest difference of an opened logit from the float engine",
    fixed_error: "largest difference from the fixed-point engine",
    largest_logit: "largest logit of the float engine",
    argmax_agrees: "whether the class is that of the float engine in every query without a gross error",
    gross_errors:
      "queries spoiled by a truncation across a wrap-around, warm-up included; their logits are in no error above",
    gross_expected: "their expected number if every value had size 1 (docs/fixed_point.md)",
  },
  cells,
  async run(cell, { size, seed }) {
    const { model, classes, activation, linear, profile } = cell,
      { measured, warmUp } = repetitions(size, cell);
    const run = await infer(
      ...[
        "--model",
        model,
        "--classes",
        classes,
        "--activation",
        activation,
        "--linear",
        linear,
        "--profile",
        profile,
      ],
      ...[
        "--repetitions",
        measured,
        "--warm-up",
        warmUp,
        "--seed",
        seed,
      ],
      ...["--timeout", 600],
    );
    const { rttMs, bitsPerSecond } = networkProfile(profile);
    return [{
      model,
      classes,
      activation,
      linear,
      profile,
      rtt_ms: rttMs,
      gbit_s: bitsPerSecond === null ? null : bitsPerSecond / 1e9,
      ...figuresOf(run),
      paper_exchanges: run.paperExchanges,
      compute_server_ms: run.computeMs.server,
      compute_client_ms: run.computeMs.client,
      rss_server_mb: run.peakRssMB.server,
      rss_client_mb: run.peakRssMB.client,
      rss_dealer_mb: run.peakRssMB.dealer,
      logit_error: run.maxAbsError,
      fixed_error: run.oracleMaxAbsError,
      largest_logit: run.largestLogit,
      argmax_agrees: run.argmaxAgrees,
      gross_errors: run.grossErrors,
      gross_expected: NARROW.includes(activation)
        ? 0
        : GROSS_PER_ACTIVATION * (measured + warmUp) * countModel(buildModel(model, classes)).activations,
    }];
  },
  figures: (rows, reference) => [
    ...["none", "lan", "wan"].filter((profile) => rows.some((row) => row["profile"] === profile)).map((
      profile,
    ) => bars(rows, profile)),
    ...["resnet18", "resnet110"].flatMap((model) => overRoundTrip(rows, reference, model)),
    ...publicCode(rows, reference),
  ],
  table: (rows) =>
    latencyTable(rows).map(({ row, speedUp, predictedMs }) => ({
      network: label(row),
      activation: row["activation"],
      linear: row["linear"],
      profile: row["profile"],
      "online ms": numberOf(row, "online_ms"),
      quartiles: `${numberOf(row, "online_q1_ms")} to ${numberOf(row, "online_q3_ms")}`,
      "predicted ms": row["profile"] === "none" ? null : predictedMs ?? null,
      "speed-up over relu": speedUp ?? null,
      "offline ms": numberOf(row, "offline_ms"),
      exchanges: numberOf(row, "exchanges"),
      delays: numberOf(row, "one_way_delays"),
      "server MB": numberOf(row, "bytes_server") / 1e6,
      "client MB": numberOf(row, "bytes_client") / 1e6,
      "offline MB": numberOf(row, "offline_bytes") / 1e6,
    })),
}));

const TITLES: Record<string, string> = {
  none: "without delay",
  lan: "LAN, 0.25 ms round trip",
  wan: "WAN, 100 ms round trip",
};

/** What a figure shows, with the ratios of its rows. */
const SEEN: Readonly<Record<string, (rows: readonly Row[]) => string>> = {
  none: (rows) =>
    `exact ReLU takes ${timesOf(rows, "relu", "honeybadger")} times as long as honeybadger, honeybadger ${
      timesOf(rows, "honeybadger", "lifted")
    } times as long as lifted.`,
  lan: (rows) =>
    `on a LAN exact ReLU takes ${
      timesOf(rows, "relu", "honeybadger")
    } times as long as honeybadger, honeybadger ${
      timesOf(rows, "honeybadger", "lifted")
    } times as long as lifted.`,
  wan: (rows) =>
    `distance alone decides: exact ReLU takes ${
      timesOf(rows, "relu", "honeybadger")
    } times as long, the others differ by less than the width of a line.`,
};

/** "1.1 to 1.9": the smallest and the largest ratio of the online times of two protocols over networks that have both. */
function timesOf(rows: readonly Row[], slow: string, fast: string): string {
  const ratios = where(rows, { activation: slow }).flatMap((row) => {
    const match = find(rows, { model: row["model"], classes: row["classes"], activation: fast });
    return match === undefined ? [] : [numberOf(row, "online_ms") / numberOf(match, "online_ms")];
  });
  return ratios.length === 0 ? "an unknown number of" : span(ratios, 1);
}

/** How far a link's measured times are from the delays and the time without delay: on a short link the machine's noise is as large. */
function predictionText(rows: readonly Row[], profile: string): string {
  const ratios = where(rows, { profile, linear: "masked" }).flatMap((row) => {
    const { model, classes, activation, linear } = row as Record<string, string>;
    const unshaped = find(rows, { model, classes, activation, linear, profile: "none" });
    return unshaped === undefined ? [] : [numberOf(row, "online_ms") / predictedMs(unshaped, linkOf(row))];
  });
  if (profile === "none" || ratios.length === 0) return "";
  return ` Measured over predicted (delays and the time without delay): ${span(ratios, 2)}.`;
}

/** What the bars of a figure are: of slow networks and links a run times one query. */
function repetitionsText(rows: readonly Row[]): string {
  const [once, often] = [true, false].map((isOnce) => [
    ...new Set(rows.filter((row) => (row["repetitions"] === "1") === isOnce).map(label)),
  ]);
  if (often.length === 0) return "one query each";
  return `medians with quartiles${once.length === 0 ? "" : `, one query of ${once.join(", ")}`}`;
}

/** Online time by network, one bar a protocol, with weights in clear at the server. */
function bars(rows: readonly Row[], profile: string): BarChart {
  const own = rows.filter((row) => row["profile"] === profile && row["linear"] === "masked");
  const networks = [...new Set(own.map(label))];
  return {
    kind: "bars",
    name: `inference_latency_${profile}`,
    see: SEEN[profile](own),
    caption: `Online time of one private inference, ${TITLES[profile]}; linear layers by masked weights, ${
      repetitionsText(own)
    }.${predictionText(rows, profile)}`,
    width: "double",
    categories: networks.map((name) => name.replace(" ", "\n")),
    y: { title: profile === "wan" ? "online time (s)" : "online time (ms)", scale: "log" },
    series: ACTIVATIONS.map((activation) => ({
      name: activation,
      values: networks.map((network) => {
        const row = own.find((r) => label(r) === network && r["activation"] === activation);
        const unit = profile === "wan" ? 1000 : 1;
        return row === undefined ? null : {
          value: numberOf(row, "online_ms") / unit,
          low: numberOf(row, "online_q1_ms") / unit,
          high: numberOf(row, "online_q3_ms") / unit,
        };
      }),
    })),
  };
}

/** Time over round-trip time, with the early timings of the paper. */
function overRoundTrip(rows: readonly Row[], reference: Reference, model: string): LineChart[] {
  const own = rows.filter((row) =>
    row["model"] === model && row["classes"] === "10" && row["linear"] === "masked" && row["gbit_s"] === "" &&
    row["profile"] !== "none"
  );
  if (own.length === 0) return [];
  const early = reference("timing_2023").filter((row) =>
    row["model"] === model && row["dataset"] === "cifar10" && row["device"] === "gpu"
  );
  const EARLY: Record<string, [string, number]> = {
    "CryptGPU(CrypTen ReLU 12 bit)": ["relu", 0],
    "HoneyBadger(12 bit)": ["honeybadger", 2],
    "ESPN(old form 12 bit)": ["espn", 3],
  };
  return [{
    kind: "lines",
    name: `inference_latency_rtt_${model}`,
    see:
      "straight lines through the delays: relu climbs about five times as steeply as the one-exchange protocols, here as in 2023.",
    caption:
      `${model}, 10 classes: online time over round-trip time. Hollow: the paper's early timings (May 2023, GPU, read off a plot).`,
    x: { title: "round-trip time (ms)" },
    y: { title: "online time (s)", min: 0 },
    series: [
      ...ACTIVATIONS.map((activation, style) => ({
        name: activation,
        style,
        points: own.filter((row) => row["activation"] === activation).map((row) => ({
          x: numberOf(row, "rtt_ms"),
          y: numberOf(row, "online_ms") / 1000,
        })).sort((a, b) => a.x - b.x),
      })),
      ...early.flatMap((row) => {
        const method = EARLY[row["method"]];
        if (method === undefined) return [];
        const points = [[0.25, "rtt0"], [50, "rtt50"], [100, "rtt100"]].flatMap(([x, column]) => {
          const y = optionalNumber(row, column as string);
          return y === undefined ? [] : [{ x: x as number, y }];
        });
        return [{ name: `paper 2023, ${method[0]}`, style: method[1], role: "points" as const, points }];
      }),
    ],
  }];
}

/** Online time beside the public code, both without delay and without offline work. */
function publicCode(rows: readonly Row[], reference: Reference): BarChart[] {
  const theirs = reference("public_code").filter((row) =>
    row["impl"] === "CrypTen-ESPN" && row["mode"] === "online_only" && row["net"] === "loopback"
  );
  const own = rows.filter((row) => row["profile"] === "none" && row["linear"] === "masked");
  const networks = [...new Set(own.map((row) => row["model"]))].filter((model) =>
    theirs.some((row) => row["model"] === publicName(model))
  );
  if (networks.length === 0) return [];
  const ours = (model: string, activation: string) => {
    const row = find(own, { model, activation });
    return row === undefined ? null : numberOf(row, "online_ms");
  };
  const public_ = (model: string, activation: string) => {
    const row = find(theirs, { model: publicName(model), activation: PUBLIC_PROTOCOLS[activation] });
    return row === undefined ? null : 1000 * numberOf(row, "median_s");
  };
  const protocols = Object.keys(PUBLIC_PROTOCOLS);
  const ratios = protocols.flatMap((activation) =>
    networks.flatMap((model) => {
      const one = ours(model, activation), other = public_(model, activation);
      return one === null || other === null ? [] : [other / one];
    })
  );
  if (ratios.length === 0) return [];
  return [{
    kind: "bars",
    name: "inference_latency_public_code",
    see: `diamonds stand ${span(ratios, 0)} times as high as their bars.`,
    caption:
      "Online time without delay; diamonds: the public code with all correlations recorded beforehand, on an AMD EPYC " +
      "(its secret-shared weights opened in every query). A diamond without a bar was not measured here at this size.",
    width: "double",
    categories: networks,
    y: { title: "online time (ms)", scale: "log" },
    markName: "public code",
    series: protocols.map((activation) => ({
      name: activation,
      values: networks.map((model) => ours(model, activation)),
      marks: networks.map((model) => public_(model, activation)),
    })),
  }];
}

const publicName = (model: string) =>
  ({ "minionn-bn": "minionn_bn", "vgg16-bn-avg": "vgg16_bn" })[model] ?? model;
