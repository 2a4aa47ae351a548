/**
 * Accuracy against the time of a private inference on the WAN, CIFAR-10 (the paper's Figure 1): accuracies of `accuracy_table`, times of
 * `inference_latency`, since time does not depend on the weights.
 */
import {
  type DerivedTable,
  type LineChart,
  type NewRow,
  numberOf,
  type Point,
  type Row,
} from "../src/reproduction/experiment.ts";
import { isRefusedByAudit } from "../src/report/small_rings.ts";
import { mean, span } from "../src/report/statistics.ts";
import { bySeeds, isMirrored } from "./accuracy_table.ts";
import { LINKS, provenanceOf, timeOf } from "./speedup_table.ts";

const DATASET = "cifar10", CLASSES = 10;

/** Methods in the order of the legend, each with the protocol that is timed and its style. */
const METHODS = [
  { method: "ReLU", protocol: "relu", style: 0 },
  { method: "polynomial, PILLAR", protocol: "lifted", style: 1 },
  { method: "polynomial, hinge", protocol: "lifted", style: 2 },
  { method: "polynomial", protocol: "lifted", style: 4 },
  { method: "AESPA", protocol: "lifted", style: 7 },
  { method: "trigonometric", protocol: "trigonometric", style: 3 },
] as const;
const RELU = METHODS[0].method;

const NETWORK_NAMES: Readonly<Record<string, string>> = {
  convnet: "ConvNet",
  minionn: "MiniONN",
  "minionn-bn": "MiniONN-BN",
  resnet18: "ResNet-18",
  resnet20: "ResNet-20",
  resnet32: "ResNet-32",
  resnet110: "ResNet-110",
  roundnet: "roundnet",
  "vgg16-bn-avg": "VGG-16",
};

/** A network with one activation, trained by one recipe. */
interface Mark {
  readonly model: string;
  readonly method: string;
  readonly rows: readonly Row[];
  readonly accuracy: number;
  readonly seconds: number;
  readonly timeFrom: "measured" | "predicted" | "delays alone";
  readonly behind: readonly Row[];
}

function marksOf(accuracies: readonly Row[], latencies: readonly Row[]): Mark[] {
  const timed = accuracies.filter((row) =>
    row["dataset"] === DATASET && !isMirrored(row) &&
    METHODS.some(({ method, protocol }) => row["method"] === method && row["protocol"] === protocol)
  );
  return bySeeds(timed).map((rows): Mark => {
    const { model, method, protocol } = rows[0] as Record<"model" | "method" | "protocol", string>;
    const time = timeOf(latencies, model, CLASSES, protocol, "wan");
    return {
      model,
      method,
      rows,
      accuracy: mean(rows.map((row) => numberOf(row, `${kindOfRun(row)}_accuracy`))),
      seconds: time?.seconds ?? numberOf(rows[0], "one_way_delays") * LINKS.wan / 2000,
      timeFrom: time === undefined ? "delays alone" : time.predicted ? "predicted" : "measured",
      behind: [...rows, ...time ? [time.row] : []],
    };
  });
}

/** Whose accuracy counts: of private inference where all test images were asked about, else of plaintext. */
const kindOfRun = (row: Row): "private" | "plaintext" =>
  row["private_images"] === row["test_images"] ? "private" : "plaintext";

const isRefused = ({ rows: [row] }: Mark): boolean => isRefusedByAudit(row);

/** Of each network and method a recipe that the audit accepts, of several the one with most trainings, then the best. */
function shownOf(marks: readonly Mark[]): Mark[] {
  const groups = Map.groupBy(marks, ({ model, method }) => `${model} ${method}`).values();
  return [...groups].map((same) =>
    same.toSorted((a, b) =>
      Number(isRefused(a)) - Number(isRefused(b)) || b.rows.length - a.rows.length || b.accuracy - a.accuracy
    )[0]
  );
}

/** Whether no other mark is as accurate in less time, or more accurate in the same. */
const isOnFront = (mark: Mark, all: readonly Mark[]): boolean =>
  !all.some((other) =>
    other.accuracy >= mark.accuracy && other.seconds <= mark.seconds &&
    (other.accuracy > mark.accuracy || other.seconds < mark.seconds)
  );

export const accuracyOverTime: DerivedTable = {
  key: "accuracy_over_time",
  title: "Accuracy over the time of a private inference",
  source: "paper, Figure 1",
  explanation:
    "The networks that ship, trained and measured on CIFAR-10, with exact ReLU, polynomials by lifted and the trigonometric activation: " +
    "accuracy on all test images, of private inference where that was asked about all of them, else of plaintext (accuracy_table), " +
    "against the online time on the WAN " +
    "(round trip 100 ms), measured with random weights of the same network (inference_latency), or predicted from its time without " +
    "delay, or, where there is neither, what its delays alone take (both *). Of several recipes of a network and method one that the audit " +
    "accepts is drawn, the one with most trainings, of equally many the one that is best on the test images, so that a single " +
    "lucky training hides no mean. The Pareto front joins what no other is both faster and more accurate than.",
  columns: {
    model: "network",
    method: "activation and what keeps its inputs in range in training",
    activation: "as on the command line",
    protocol: "activation protocol that is timed",
    recipe: "digest of the settings of the training",
    epochs: "epochs of training",
    seeds: "trainings",
    accuracy: "% of all test images, mean over the trainings",
    accuracies: "% of each training",
    accuracy_of:
      "private: of private inference on all test images; plaintext, where it was asked about fewer",
    low: "of one training: lower end of the 95 % Wilson interval over the images",
    high: "upper end",
    wan_s: "online time on the WAN, s",
    time_from: "measured; predicted from the time without delay; delays alone",
    shown: "whether it is drawn: the best recipe of its network and method",
    pareto: "whether of those that are drawn none is faster and as accurate, or as fast and more accurate",
  },
  from: ["accuracy_table", "inference_latency"],
  rows(measured) {
    const marks = marksOf(measured("accuracy_table"), measured("inference_latency")), shown = shownOf(marks);
    return marks.map((mark) => rowOf(mark, shown));
  },
  figures: (rows) =>
    rows.some((row) => row["shown"] === "true") ? [chart(rows.filter((row) => row["shown"] === "true"))] : [],
  table: (rows) =>
    rows.map((row) => ({
      network: nameOf(row),
      method: row["method"],
      activation: row["activation"],
      epochs: row["epochs"],
      seeds: row["seeds"],
      "accuracy %": numberOf(row, "accuracy"),
      "WAN s": `${Number(numberOf(row, "wan_s").toPrecision(3))}${
        row["time_from"] === "measured" ? "" : "*"
      }`,
      "on the front": row["pareto"] === "true" ? "yes" : "",
    })),
};

function rowOf(mark: Mark, shown: readonly Mark[]): NewRow {
  const { model, method, rows, accuracy, seconds, timeFrom, behind } = mark,
    row = rows[0],
    isShown = shown.includes(mark);
  return {
    cell: `${model} ${method} ${row["recipe"]}`,
    model,
    method,
    activation: row["activation"],
    protocol: row["protocol"],
    recipe: row["recipe"],
    epochs: row["epochs"],
    seeds: rows.length,
    accuracy,
    accuracies: rows.map((one) => one[`${kindOfRun(one)}_accuracy`]).join(" "),
    accuracy_of: [...new Set(rows.map(kindOfRun))].join(", "),
    ...rows.length === 1 && { low: row[`${kindOfRun(row)}_low`], high: row[`${kindOfRun(row)}_high`] },
    wan_s: seconds,
    time_from: timeFrom,
    shown: isShown,
    pareto: isShown && isOnFront(mark, shown),
    ...provenanceOf(behind),
  };
}

const nameOf = (row: Row): string => NETWORK_NAMES[row["model"]] ?? row["model"];

/** Up and to the left is better. */
function chart(rows: readonly Row[]): LineChart {
  const ticks = ticksAround(rows.map((row) => numberOf(row, "wan_s")));
  const timesFrom = (source: Mark["timeFrom"], text: string) => {
    const names = rows.filter((row) => row["time_from"] === source).map((row) =>
      `${nameOf(row)} with ${row["method"]}`
    );
    return names.length === 0 ? "" : ` ${text}: ${names.join(", ")}.`;
  };
  return {
    kind: "lines",
    name: "accuracy_over_time",
    see: soonerText(rows),
    caption:
      "Test accuracy on CIFAR-10 (mean of the trainings, each a dot; of one training its 95 % Wilson interval) against the online " +
      "time of a private inference on the WAN (round trip 100 ms): ReLU by its exact protocol, polynomials by lifted." +
      " Times are of random weights of the same network." +
      timesFrom("predicted", "Predicted from the time without delay") +
      timesFrom("delays alone", "What their delays alone take, without computing") +
      " Up and to the left is better; dotted: the Pareto front. A name stands over the highest mark of a network at one time.",
    width: "double",
    height: 320,
    x: { title: "online time on the WAN (s)", scale: "log", min: ticks[0], max: ticks.at(-1)!, ticks },
    y: { title: "test accuracy (%)" },
    series: [
      ...METHODS.map(({ method, style }) => ({
        name: method,
        style,
        role: "marks" as const,
        points: rows.filter((row) => row["method"] === method).map((row) => pointOf(row, rows)),
      })),
      { name: "Pareto front", style: 6, role: "curve" as const, points: frontOf(rows) },
    ],
  };
}

/** How much sooner networks are with one opening an activation than with ReLU. */
function soonerText(rows: readonly Row[]): string {
  const ratios = rows.filter((row) => row["method"] !== RELU).flatMap((row) =>
    rows.filter((one) => one["method"] === RELU && one["model"] === row["model"])
      .map((relu) => numberOf(relu, "wan_s") / numberOf(row, "wan_s"))
  );
  return ratios.length === 0
    ? "no network stands here both with ReLU and with an activation of one opening."
    : `networks whose activations take one opening stand left of the same networks with ReLU, ${
      span(ratios, 1)
    } times sooner.`;
}

function pointOf(row: Row, rows: readonly Row[]): Point {
  const runs = row["accuracies"].split(" ").map(Number),
    x = numberOf(row, "wan_s"),
    y = numberOf(row, "accuracy");
  // One name for marks above each other: over the highest.
  const isHighest = !rows.some((other) =>
    other["model"] === row["model"] && Math.abs(Math.log(numberOf(other, "wan_s") / x)) < 0.3 &&
    numberOf(other, "accuracy") > y
  );
  return {
    x,
    y,
    ...runs.length > 1 ? { runs } : { low: numberOf(row, "low"), high: numberOf(row, "high") },
    ...isHighest && { label: nameOf(row) },
  };
}

/** Steps along the marks of the front: what can be had by a time. */
function frontOf(rows: readonly Row[]): Point[] {
  const front = rows.filter((row) => row["pareto"] === "true")
    .map((row) => ({ x: numberOf(row, "wan_s"), y: numberOf(row, "accuracy") }))
    .sort((a, b) => a.x - b.x);
  return front.flatMap((point, i) => i === 0 ? [point] : [{ x: point.x, y: front[i - 1].y }, point]);
}

/** Few ticks of a logarithmic axis, one on either side of all values. */
function ticksAround(values: readonly number[]): number[] {
  const ticks = [0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100];
  const first = ticks.findLastIndex((tick) => tick < Math.min(...values)),
    last = ticks.findIndex((tick) => tick > Math.max(...values));
  return ticks.slice(Math.max(0, first), last < 0 ? undefined : last + 1);
}
