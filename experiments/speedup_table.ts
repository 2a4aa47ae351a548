/**
 * The paper's speed-up table: our online times beside the rivals it names, drawn from `inference_latency` and the reference
 * values, so that nothing is measured twice. We worked without the body of the paper and its tables: the rivals' times are
 * read off early plots of its authors, on their machines.
 */
import {
  type BarChart,
  type CsvValue,
  type DerivedTable,
  type NewRow,
  numberOf,
  optionalNumber,
  provenance,
  type Reference,
  type Row,
  sizes,
} from "../src/reproduction/experiment.ts";
import { predictedMs } from "./inference_latency.ts";

/** A network of the paper, under its names here and in the reference files. */
interface Network {
  readonly network: string;
  readonly dataset: string;
  readonly model: string;
  readonly classes: number;
  readonly recorded: { readonly dataset: string; readonly model: string };
}

const network = (
  network: string,
  dataset: string,
  model: string,
  classes: number,
  recordedModel: string,
): Network => ({
  ...{ network, dataset, model, classes },
  recorded: { dataset: dataset.toLowerCase().replace("-", ""), model: recordedModel },
});

const NETWORKS: readonly Network[] = [
  network("MiniONN-BN", "CIFAR-10", "minionn-bn", 10, "minionn_bn"),
  network("VGG-16", "CIFAR-10", "vgg16-bn-avg", 10, "vgg16_bn"),
  network("ResNet-18", "CIFAR-10", "resnet18", 10, "resnet18"),
  network("ResNet-110", "CIFAR-10", "resnet110", 10, "resnet110"),
  network("ResNet-32", "CIFAR-100", "resnet32", 100, "resnet32"),
  network("ResNet-18", "CIFAR-100", "resnet18", 100, "resnet18"),
  network("VGG-16", "CIFAR-100", "vgg16-bn-avg", 100, "vgg16_bn"),
  network("ResNet-50", "ImageNet", "resnet50", 1000, "resnet50"),
];

const PROTOCOLS = ["relu", "tree", "honeybadger", "espn", "lifted"] as const;
type Protocol = typeof PROTOCOLS[number];

/** `lifted` has no max pooling: it evaluates ResNet-50 with average pooling, another network. */
const LIFTED_MODEL: Readonly<Record<string, string>> = { resnet50: "resnet50-avg" };

/** The two links of the paper: round trip without a limit of bandwidth. */
export const LINKS = { lan: 0.25, wan: 100 } as const;
type LinkName = keyof typeof LINKS;

/** The rivals recorded in `timing_2023`: name in columns, name there, device of the plot. */
const RIVALS = [
  {
    rival: "cryptgpu_gpu",
    method: "CryptGPU(CrypTen ReLU 12 bit)",
    device: "gpu",
    name: "CryptGPU on a GPU",
  },
  {
    rival: "cryptgpu_cpu",
    method: "CryptGPU(CrypTen ReLU 12 bit)",
    device: "cpu",
    name: "CryptGPU on a CPU",
  },
  { rival: "coinn_gpu", method: "COINN", device: "gpu", name: "COINN, GPU plot" },
  { rival: "coinn_cpu", method: "COINN", device: "cpu", name: "COINN, CPU plot" },
  { rival: "gforce_gpu", method: "GForce", device: "gpu", name: "GForce on a GPU" },
] as const;

/** A time and where it is from. */
interface Time {
  readonly seconds: number;
  readonly predicted: boolean;
  readonly row: Row;
}

function find(
  rows: readonly Row[],
  model: string,
  classes: number | undefined,
  rest: Record<string, string>,
) {
  return rows.find((row) =>
    row["model"] === model && (classes === undefined || row["classes"] === String(classes)) &&
    row["linear"] === "masked" && Object.entries(rest).every(([column, value]) => row[column] === value)
  );
}

/**
 * The time of a protocol on a link: measured, or predicted from the row without delay, of this network or else of its twin with
 * another number of classes, which differs in the last layer alone.
 */
export function timeOf(
  rows: readonly Row[],
  model: string,
  classes: number,
  activation: string,
  link: LinkName,
): Time | undefined {
  const measured = find(rows, model, classes, { activation, profile: link });
  if (measured) return { seconds: numberOf(measured, "online_ms") / 1000, predicted: false, row: measured };
  const unshaped = find(rows, model, classes, { activation, profile: "none" }) ??
    find(rows, model, undefined, { activation, profile: "none" });
  return unshaped &&
    { seconds: predictedMs(unshaped, { rttMs: LINKS[link] }) / 1000, predicted: true, row: unshaped };
}

const column = (link: LinkName, who: string) => `${link}_${who}_s`;

/** Where derived rows come from: the least size and all commits and machines of the rows behind them. */
export function provenanceOf(rows: readonly Row[]): NewRow {
  const distinct = (name: string) => [...new Set(rows.map((row) => row[name] ?? ""))].join("; ");
  const least = sizes.find((size) => rows.some((row) => row["size"] === size)) ?? "";
  return Object.fromEntries(
    provenance.map((name) => [name, name === "size" ? least : distinct(name)]),
  );
}

/** Our times, the names of the predicted ones, and the rows behind them. */
function ourTimes({ model, classes }: Network, rows: readonly Row[]) {
  const times = new Map<string, Time>();
  for (const link of Object.keys(LINKS) as LinkName[]) {
    for (const protocol of PROTOCOLS) {
      const evaluated = protocol === "lifted" ? LIFTED_MODEL[model] ?? model : model;
      const time = timeOf(rows, evaluated, classes, protocol, link);
      if (time) times.set(column(link, protocol), time);
    }
  }
  return times;
}

/** The rivals' times as recorded; where the line leaves its plot the time on the WAN was extrapolated. */
function recordedTimes({ recorded }: Network, reference: Reference) {
  const times = new Map<string, number>(), extrapolated: string[] = [];
  for (const { rival, method, device } of RIVALS) {
    const row = reference("timing_2023").find((row) =>
      row["dataset"] === recorded.dataset && row["model"] === recorded.model && row["method"] === method &&
      row["device"] === device
    );
    if (!row) continue;
    times.set(column("lan", rival), numberOf(row, "rtt0"));
    times.set(column("wan", rival), numberOf(row, "rtt100"));
    if (row["note"] === "extrapolated") extrapolated.push(column("wan", rival));
  }
  return { times, extrapolated };
}

/** The public code's HoneyBadger by the rule that its own emulation of delay follows: a one-way delay an exchange. */
function publicCodeTimes({ recorded, dataset, model }: Network, reference: Reference) {
  const measuredClasses = model === "resnet32" ? "CIFAR-100" : "CIFAR-10";
  const row = dataset !== measuredClasses
    ? undefined
    : reference("public_code").find((row) =>
      row["impl"] === "CrypTen-ESPN" && row["model"] === recorded.model &&
      row["activation"] === "honeybadger" &&
      row["mode"] === "online_only" && row["net"] === "loopback"
    );
  return new Map(
    row === undefined ? [] : (Object.keys(LINKS) as LinkName[]).map((link) => [
      column(link, "public_code"),
      numberOf(row, "median_s") + numberOf(row, "exchanges") * LINKS[link] / 2000,
    ]),
  );
}

/** Least and largest speed-up of a protocol over the rivals recorded for one network and link. */
function speedUps(link: LinkName, protocol: Protocol, ours: Map<string, Time>, rivals: Map<string, number>) {
  const own = ours.get(column(link, protocol));
  const ratios = own === undefined ? [] : [...rivals]
    .filter(([name]) => name.startsWith(`${link}_`)).map(([, seconds]) => seconds / own.seconds);
  return ratios.length === 0 ? {} : {
    [`${link}_${protocol}_least`]: Math.min(...ratios),
    [`${link}_${protocol}_most`]: Math.max(...ratios),
  };
}

function rowOf(entry: Network, rows: readonly Row[], reference: Reference): NewRow | undefined {
  const ours = ourTimes(entry, rows);
  if (ours.size === 0) return undefined;
  const { times, extrapolated } = recordedTimes(entry, reference),
    publicCode = publicCodeTimes(entry, reference);
  const behind = [...new Set([...ours.values()].map(({ row }) => row))];
  const twins = behind.filter((row) => row["classes"] !== String(entry.classes));
  const delays = (protocol: Protocol) => ours.get(column("wan", protocol))?.row["one_way_delays"];
  const rival = reference("rival_delays").find((row) =>
    row["dataset"] === entry.recorded.dataset && row["model"] === entry.recorded.model
  );
  return {
    cell: `${entry.dataset} ${entry.network}`,
    network: entry.network,
    dataset: entry.dataset,
    model: entry.model,
    classes: entry.classes,
    lifted_model: ours.get(column("wan", "lifted"))?.row["model"],
    ...Object.fromEntries([...ours].map(([name, { seconds }]) => [name, seconds])),
    ...Object.fromEntries([...times, ...publicCode]),
    predicted: [
      ...[...ours].filter(([, { predicted }]) => predicted).map(([name]) => name),
      ...publicCode.keys(),
    ].join(" "),
    predicted_from: twins.length === 0 ? "" : `${twins[0]["model"]} (${twins[0]["classes"]})`,
    extrapolated: extrapolated.join(" "),
    relu_delays: delays("relu"),
    honeybadger_delays: delays("honeybadger"),
    lifted_delays: delays("lifted"),
    rival_delays: rival?.["one_way_delays"],
    rival_of_delays: rival?.["method"],
    rival_bound_wan_s: rival && numberOf(rival, "one_way_delays") * LINKS.wan / 2000,
    ...speedUps("lan", "honeybadger", ours, times),
    ...speedUps("lan", "lifted", ours, times),
    ...speedUps("wan", "honeybadger", ours, times),
    ...speedUps("wan", "lifted", ours, times),
    ...provenanceOf(behind),
  };
}

const LINK_TEXTS: Readonly<Record<LinkName, string>> = {
  lan: "LAN (0.25 ms round trip)",
  wan: "WAN (100 ms)",
};

const ours = (link: LinkName) =>
  Object.fromEntries(
    PROTOCOLS.map((protocol) => [
      column(link, protocol),
      `online time by ${protocol} on the ${LINK_TEXTS[link]}, s`,
    ]),
  );
const recorded = (link: LinkName) =>
  Object.fromEntries(
    RIVALS.map(({ rival, name }) => [
      column(link, rival),
      `${name}, ${link.toUpperCase()}, s: read off the authors' early plots`,
    ]),
  );
const ratios = (link: LinkName, protocol: Protocol) => ({
  [`${link}_${protocol}_least`]:
    `smallest speed-up of ${protocol} over the recorded rivals, ${link.toUpperCase()}`,
  [`${link}_${protocol}_most`]: "largest",
});

export const speedupTable: DerivedTable = {
  key: "speedup_table",
  title: "Table 1: speed-up over the paper's rivals",
  source: "the paper's headline, 3 to 110 times faster",
  explanation:
    "Online time of one image, in seconds, and how many times longer the recorded rivals took (ahead). Ours: this machine, one thread a " +
    "party, linear layers by masked weights; * is not measured at this size but predicted: delays on the critical path x one-way delay " +
    "+ time without delay (+ bytes / bandwidth, which these links do not limit), close on the WAN (claim wan-predicted), rough on the LAN, " +
    "whose delays are as short as the machine's noise (caption of inference_latency_lan). CryptGPU, COINN, GForce: read off the authors' early " +
    "plots (May 2023, their machines); \u2020 is extrapolated beyond the picture. Public code: its HoneyBadger, measured by us without " +
    "delay on an AMD EPYC, plus a one-way delay an exchange. Their delays: one-way delays of COINN or GForce, and what these alone take, " +
    "which no computing can undercut. \u2021 lifted evaluates ResNet-50 with average in place of max pooling (resnet50-avg), which is another network. " +
    "We worked without the body of the paper (arXiv 2306.08538) and its tables.",
  columns: {
    network: "network of the paper",
    dataset: "its data set",
    model: "its name here",
    classes: "its classes",
    lifted_model: "network that lifted evaluates; it has no max pooling",
    ...ours("lan"),
    ...ours("wan"),
    ...recorded("lan"),
    ...recorded("wan"),
    lan_public_code_s:
      "the public code's HoneyBadger, measured by us on loopback, plus its exchanges x one-way delay, LAN, s",
    wan_public_code_s: "the same for the WAN",
    predicted:
      "columns of this row that are predicted, not measured: delays x one-way delay + time without delay",
    predicted_from:
      "network with another number of classes whose rows they are predicted from, if not this one's",
    extrapolated: "columns of this row whose line left the plot",
    relu_delays: "one-way delays on the critical path of exact ReLU here",
    honeybadger_delays: "of honeybadger, tree and espn",
    lifted_delays: "of lifted",
    rival_delays: "one-way delays of COINN or GForce",
    rival_of_delays: "which of them",
    rival_bound_wan_s: "what these delays alone take on the WAN, s: no computing can undercut it",
    ...ratios("lan", "honeybadger"),
    ...ratios("lan", "lifted"),
    ...ratios("wan", "honeybadger"),
    ...ratios("wan", "lifted"),
  },
  from: ["inference_latency"],
  rows: (measured, reference) =>
    NETWORKS.map((entry) => rowOf(entry, measured("inference_latency"), reference))
      .filter((row) => row !== undefined),
  figures: (rows) => (["wan", "lan"] as const).map((link) => bars(rows, link)),
  table: (rows) => (["wan", "lan"] as const).flatMap((link) => rows.map((row) => summaryOf(row, link))),
};

const isMarked = (row: Row, mark: "predicted" | "extrapolated", name: string) =>
  row[mark].split(" ").includes(name);

/** Seconds with the mark of what is not measured. */
function marked(row: Row, link: LinkName, who: string): CsvValue {
  const name = column(link, who), seconds = optionalNumber(row, name);
  if (seconds === undefined) return null;
  const mark = isMarked(row, "predicted", name) ? "*" : isMarked(row, "extrapolated", name) ? "\u2020" : "";
  return `${Number(seconds.toPrecision(3))}${mark}`;
}

function span(row: Row, link: LinkName, protocol: Protocol): CsvValue {
  const least = optionalNumber(row, `${link}_${protocol}_least`),
    most = optionalNumber(row, `${link}_${protocol}_most`);
  if (least === undefined || most === undefined) return null;
  const [low, high] = [least, most].map((ratio) => ratio < 10 ? ratio.toFixed(1) : ratio.toFixed(0));
  return low === high ? `${low}x` : `${low} to ${high}x`;
}

function summaryOf(row: Row, link: LinkName): Record<string, CsvValue> {
  const isOther = row["lifted_model"] !== "" && row["lifted_model"] !== row["model"];
  return {
    network: `${row["network"]}, ${row["dataset"]}`,
    link: link.toUpperCase(),
    "lifted ahead": span(row, link, "lifted"),
    "honeybadger ahead": span(row, link, "honeybadger"),
    lifted: `${marked(row, link, "lifted")}${isOther ? "\u2021" : ""}`,
    honeybadger: marked(row, link, "honeybadger"),
    espn: marked(row, link, "espn"),
    tree: marked(row, link, "tree"),
    relu: marked(row, link, "relu"),
    "public code": marked(row, link, "public_code"),
    "CryptGPU, GPU": marked(row, link, "cryptgpu_gpu"),
    "CryptGPU, CPU": marked(row, link, "cryptgpu_cpu"),
    COINN: marked(row, link, "coinn_gpu"),
    GForce: marked(row, link, "gforce_gpu"),
    "their delays": row["rival_delays"],
    "delays alone": boundOf(row, link),
  };
}

/** What the delays of COINN or GForce alone take on a link, s. */
function boundOf(row: Row, link: LinkName): number | null {
  const delays = optionalNumber(row, "rival_delays");
  return delays === undefined ? null : delays * LINKS[link] / 2000;
}

/** Series of the figure; `tree` and `espn` differ from `honeybadger` by less than a bar's outline on the WAN. */
const SERIES = [
  { name: "lifted", who: "lifted", style: 4 },
  { name: "honeybadger", who: "honeybadger", style: 2 },
  { name: "exact ReLU here", who: "relu", style: 0 },
  { name: "public code, HoneyBadger", who: "public_code", style: 5 },
  { name: "CryptGPU, GPU (2023)", who: "cryptgpu_gpu", style: 1 },
  { name: "COINN (2023)", who: "coinn_gpu", style: 3 },
  { name: "GForce, GPU (2023)", who: "gforce_gpu", style: 7 },
] as const;

function bars(rows: readonly Row[], link: LinkName): BarChart {
  const isBounded = (row: Row, who: string) =>
    `${row["rival_of_delays"]}`.toLowerCase() === who.replace("_gpu", "");
  return {
    kind: "bars",
    name: `speedup_table_${link}`,
    see: link === "wan"
      ? "lifted and honeybadger take what their few delays take; the delays of COINN and GForce alone (diamonds) exceed our whole inference."
      : "near by, where computing counts, lifted is first on every network; the bars of 2023 are from other machines, most with a GPU.",
    caption:
      `Online time of one private inference, ${
        LINK_TEXTS[link]
      }, logarithmic. The bars of 2023 are read off the authors' early plots, on ` +
      "their machines; COINN's and GForce's on the WAN are extrapolated. Diamonds: what their one-way delays alone take. " +
      "lifted on ResNet-50: with average pooling. Which of ours are predicted is marked in the table.",
    width: "double",
    height: 290,
    categories: rows.map((row) => `${row["network"]}\n${row["dataset"]}`),
    y: { title: "online time (s)", scale: "log" },
    markName: "their delays alone",
    series: SERIES.map(({ name, who, style }) => ({
      name,
      style,
      values: rows.map((row) => optionalNumber(row, column(link, who)) ?? null),
      marks: rows.map((row) => isBounded(row, who) ? boundOf(row, link) : null),
    })),
  };
}
