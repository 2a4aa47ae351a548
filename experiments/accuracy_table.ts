/** The accuracy of trained networks in private inference beside plaintext: the paper's accuracy table. */
import { evaluate, MODEL_NAMES, readModelFolder, weightsFile } from "../mod.ts";
import type { Classification, EvaluateResult } from "../src/reproduction/command_results.ts";
import {
  type BarChart,
  type Cell,
  type CsvValue,
  defineExperiment,
  type NewRow,
  numberOf,
  optionalNumber,
  type Reference,
  type Row,
  type Size,
} from "../src/reproduction/experiment.ts";
import { isRefusedByAudit } from "../src/report/small_rings.ts";
import { mean, pairedDifference, wilsonInterval } from "../src/report/statistics.ts";
import { infer } from "./_infer.ts";
import {
  fittedRangeOf,
  hasRanges,
  kindOf,
  lackOf,
  madeBy,
  methodOf,
  protocolsOf,
  recipeDigest,
  reluTwinOf,
  type ShippedModel,
  shippedModels,
  testImages,
} from "./_models.ts";
import { evaluateFolder, sweepDataset } from "./_train.ts";
import { datasetName, finiteOr, meanOf, runsText, spreadText } from "./_training_rows.ts";

/** Images of a private run by the first protocol of an activation, and by the others; null: all test images. */
const IMAGES: Readonly<Record<Size, readonly [first: number | null, others: number]>> = {
  smoke: [5, 5],
  quick: [100, 100],
  full: [null, 1000],
};
/** Seconds of a private image, offline phase and plaintext included. */
const SECONDS_PER_IMAGE: Readonly<Record<string, number>> = {
  convnet: 0.008,
  resnet20: 0.055,
  resnet32: 0.09,
  roundnet: 0.06,
  "minionn-bn": 0.07,
};
const OTHER_SECONDS_PER_IMAGE = 0.15, ALL_TEST_IMAGES = 10_000;
const LONG_SECONDS = 20 * 60;
/** Images that depart and are described in a row; the others are counted. */
const DESCRIBED = 8;

interface AccuracyCell extends Cell {
  readonly shipped: ShippedModel;
  readonly protocol: string;
  readonly images: number | null;
  /** Whether each image is asked about together with its mirror image, which costs bytes and no delay. */
  readonly mirrored: boolean;
}

/** The network made for few delays, for which a batch of two pays most. */
const MIRRORED = "roundnet";

/** Below full size one training of each activation of ConvNet, on one data set, and only of the first polynomial all protocols. */
export function cellsOf(all: readonly ShippedModel[], size: Size): AccuracyCell[] {
  const first = (of: (one: ShippedModel) => boolean) => all.find((one) => isSample(one) && of(one));
  const shown = size === "full"
    ? all
    : all.filter((one) => first(({ activation }) => activation === one.activation) === one);
  return shown.flatMap((shipped) => {
    const protocols = protocolsOf(shipped.activation);
    const isWhole = size === "full" ||
      first(({ activation }) => kindOf(activation) === kindOf(shipped.activation)) === shipped;
    return (isWhole ? protocols : protocols.slice(0, 1))
      // The smallest leaves out ESPN, which differs from HoneyBadger in traffic alone.
      .filter((protocol) => size !== "smoke" || protocol !== "espn")
      .flatMap((protocol, i) => {
        const images = IMAGES[size][protocolImages(shipped, i)];
        const isMirrored = size === "full" && shipped.model === MIRRORED && i === 0;
        return [false, ...isMirrored ? [true] : []].map((mirrored) =>
          cellOf(shipped, protocol, images, mirrored)
        );
      });
  });
}

const isSample = ({ model, dataset }: ShippedModel) => model === "convnet" && dataset === sweepDataset();

/** All images for the protocols that are ours; the paper's serve for comparison, and exact ReLU is exact. */
const protocolImages = ({ activation }: ShippedModel, protocol: number): 0 | 1 =>
  protocol === 0 && activation !== "relu" ? 0 : 1;

function cellOf(
  shipped: ShippedModel,
  protocol: string,
  images: number | null,
  mirrored: boolean,
): AccuracyCell {
  // An image and its mirror image share the rounds of a query.
  const count = (images ?? ALL_TEST_IMAGES) * (mirrored ? 1.5 : 1),
    lacks = lackOf(shipped),
    seconds = Math.round(12 + count * (SECONDS_PER_IMAGE[shipped.model] ?? OTHER_SECONDS_PER_IMAGE));
  return {
    id: `${shipped.name} ${protocol}${mirrored ? " mirrored" : ""}`,
    shipped,
    protocol,
    images,
    mirrored,
    seconds,
    ...(seconds > LONG_SECONDS && { long: true }),
    ...lacks !== undefined && { lacks },
  };
}

export const accuracyTable = defineExperiment<AccuracyCell>({
  key: "accuracy_table",
  title: "Table 2: accuracy in private inference",
  source: "the paper's accuracy table",
  explanation:
    "Networks trained here and shipped under results/models/, beside a ReLU network trained for as many epochs. Where weights do not " +
    "ship or test images are not in data/, the rows stay as committed. " +
    "Plaintext accuracy is that in floating point over all test images. Private accuracy is that of two-party inference by " +
    "three processes, each image with fresh correlations; plaintext accuracy on the same images stands beside it. An image whose " +
    "logits are beyond their public bound has no class. Agreement counts equal classes of private and plaintext inference. " +
    "Nothing is clipped. Paper: the one network whose accuracy could " +
    "be recovered, from a third party's notes.",
  columns: {
    weights: "folder of the network",
    sha256: "of its weights",
    made_by: "what makes these weights again",
    model: "network",
    dataset: "data that it was trained on and is measured on",
    activation:
      "relu, poly:degree:bits of the coefficients, trig:period:harmonics:multiple of the amplitudes",
    method: "activation and what keeps its inputs in range in training",
    audited:
      "whether its ranges were audited, from which lifted takes its scales: of an escaping network they are refused",
    protocol: "activation protocol; linear layers by masked weights",
    mirrored:
      "true: the private run, and plaintext on the same images, take the mean of the logits of an image and its mirror image",
    epochs: "epochs of training; its other settings are in training.json of the folder",
    recipe: "digest of all settings of its training but the seed",
    training_seed: "seed of its training: one network, so intervals are over images, not over trainings",
    test_images: "test images of the plaintext measurement",
    plaintext_accuracy: "% of them, floating point",
    plaintext_low: "lower end of the 95 % Wilson interval",
    plaintext_high: "upper end",
    relu_weights: "its twin with ReLU, same epochs and seed; empty: there is none",
    relu_difference:
      "points by which it is above the twin, over the same images; only at full size and where the twin's weights are there",
    relu_low: "lower end of the interval, paired over the images: one-sided 95 %",
    relu_high: "upper end, alike",
    out_of_range_percent: "activation inputs outside [-5, 5] on the test images, %",
    images_out_of_range_percent: "images with at least one such input, %",
    largest_input: "largest |activation input|",
    largest_relative_input:
      "the same over the range of the polynomial's fit, or over half a wave; empty: there is no range",
    private_images: "test images of the private run, the first ones",
    plaintext_same_accuracy: "% of these, floating point",
    private_accuracy: "% of these, private inference",
    private_low: "lower end of the 95 % Wilson interval",
    private_high: "upper end",
    agreement: "% of these whose private class is the plaintext one",
    departures:
      `the others: image, private and plaintext class, gap of the two largest plaintext logits, largest input; the first ${DESCRIBED}`,
    unreliable: "images without a class: logits beyond their public bound",
    largest_difference: "largest difference of a private logit from plaintext",
    largest_logit: "largest |logit| in plaintext",
    one_way_delays: "of an inference, on its critical path",
    gross_errors:
      "private runs whose logits are further off than the largest of plaintext; not in largest_difference",
  },
  cells: (size) => cellsOf(shippedModels(), size),
  async run({ shipped, protocol, images, mirrored }, { size, note }) {
    note("plaintext");
    const isFull = size === "full",
      test = await plaintext(shipped, isFull),
      whole = wilsonInterval(Math.round(test.accuracy * test.images / 100), test.images);
    const largest = finiteOr(test.outOfRangeMax), range = fittedRangeOf(shipped.activation);
    note(`${images ?? "all"} private inferences`);
    const run = await infer(
      ...["--model", shipped.model, "--weights", shipped.folder, "--activation", protocol],
      ...["--dataset", shipped.dataset, ...images === null ? [] : ["--limit", images]],
      ...mirrored ? ["--mirror"] : [],
    );
    const { classification } = run, { name: _, run: __, folder, trainingSeed, ...described } = shipped;
    return [{
      weights: folder,
      sha256: (await weightsFile(folder)).sha256,
      made_by: madeBy(shipped),
      ...described,
      method: methodOf(shipped),
      audited: hasRanges(shipped),
      protocol,
      mirrored: mirrored ? true : null,
      recipe: await recipeDigest(shipped),
      training_seed: trainingSeed,
      test_images: test.images,
      plaintext_accuracy: test.accuracy,
      plaintext_low: 100 * whole.low,
      plaintext_high: 100 * whole.high,
      ...isFull ? await besideRelu(shipped) : {},
      out_of_range_percent: test.outOfRangePercent,
      images_out_of_range_percent: test.imagesOutOfRangePercent,
      largest_input: largest,
      largest_relative_input: range === null ? null : typeof largest === "number" ? largest / range : largest,
      ...classificationRow(classification!),
      departures: await describeDepartures(shipped, classification!),
      largest_difference: run.maxAbsError,
      largest_logit: run.largestLogit,
      one_way_delays: run.oneWayDelays,
      gross_errors: run.grossErrors,
    }];
  },
  figures: (rows) => [accuracyChart(rows)],
  table: (rows, reference) => [...bySeeds(rows).map(summaryOf), ...untrained(rows), ...paperRows(reference)],
});

const measured = new Map<string, Promise<EvaluateResult>>();

/** All protocols of a network share the measurement in plaintext. */
function plaintext({ folder }: ShippedModel, each: boolean): Promise<EvaluateResult> {
  const known = measured.get(folder) ?? evaluateFolder(folder, ...each ? ["--each"] as const : []);
  measured.set(folder, known);
  return known;
}

/** How far the accuracy is above that of the twin with ReLU. */
async function besideRelu(shipped: ShippedModel): Promise<NewRow> {
  const twin = reluTwinOf(shipped, shippedModels());
  if (twin === undefined || twin.folder === shipped.folder) return {};
  if (lackOf(twin) !== undefined) return { relu_weights: twin.folder };
  const [own, relu] = [await plaintext(shipped, true), await plaintext(twin, true)];
  const { value, low, high } = pairedDifference(own.right!, relu.right!);
  return {
    relu_weights: twin.folder,
    relu_difference: 100 * value,
    relu_low: 100 * low,
    relu_high: 100 * high,
  };
}

/** Accuracies and agreement of a private run, in percent. */
export function classificationRow({ images, classes, agree, accuracy }: Classification): NewRow {
  return {
    private_images: images,
    plaintext_same_accuracy: accuracy!.plaintext.percent,
    private_accuracy: accuracy!.private.percent,
    private_low: accuracy!.private.low,
    private_high: accuracy!.private.high,
    agreement: 100 * agree / images,
    unreliable: classes.filter((label) => label === null).length,
  };
}

/** Why the classes of images differ: a close call of two logits, or an input far out of range. */
export async function describeDepartures(
  { folder, dataset }: Pick<ShippedModel, "folder" | "dataset">,
  { departures }: Pick<Classification, "departures">,
): Promise<string> {
  if (departures.length === 0) return "none";
  const shown = departures.slice(0, DESCRIBED), rest = departures.length - shown.length;
  const { images } = await testImages(dataset, shown.at(-1)!.image + 1);
  const { graph, weights, activation } = await readModelFolder(folder);
  const texts = shown.map(({ image, private: found, plaintext, gap }) => {
    const values = evaluate(graph, weights, activation, images[image]);
    const inputs = graph.nodes.flatMap((node) => node.op === "activation" ? [values.get(node.input)!] : []);
    const largest = inputs.reduce((max, layer) => layer.reduce((m, x) => Math.max(m, Math.abs(x)), max), 0);
    return `image ${image}: ${found ?? "none"} for ${plaintext}, gap ${gap.toPrecision(2)}, input ${
      largest.toPrecision(3)
    }`;
  });
  return [...texts, ...rest === 0 ? [] : [`${rest} more`]].join("; ");
}

/** Rows that differ in the seed of the training alone. */
export const bySeeds = (rows: readonly Row[]): Row[][] => [
  ...Map.groupBy(rows, (row) => `${row["recipe"]} ${row["protocol"]} ${row["mirrored"]}`).values(),
];

export const isMirrored = (row: Row): boolean => row["mirrored"] === "true";

/** The folder's name without the seed. */
const nameOf = (row: Row): string =>
  row["weights"].split("/").at(-1)!.replace(new RegExp(`-(s|seed)?${row["training_seed"]}$`), "");

/** "convnet-trig-s1 to -s3". */
function foldersText(rows: readonly Row[]): string {
  const [first, ...others] = rows.map((row) => row["weights"].split("/").at(-1)!).sort(),
    last = others.at(-1);
  return last === undefined ? first : `${first} to ${last.slice(last.lastIndexOf("-"))}`;
}

const largestOf = (rows: readonly Row[], column: string): CsvValue => {
  const values = rows.flatMap((row) => optionalNumber(row, column) ?? []);
  return values.length === 0 ? null : Math.max(...values);
};

function summaryOf(rows: readonly Row[]): Record<string, CsvValue> {
  const row = rows[0], average = (column: string) => meanOf(rows, column).value;
  return {
    network: `${row["model"]}, ${datasetName(row["dataset"])}`,
    folder: foldersText(rows),
    method: row["method"],
    activation: row["activation"],
    protocol: `${row["protocol"]}${isMirrored(row) ? ", mirrored" : ""}`,
    epochs: row["epochs"],
    seeds: rows.length,
    "plaintext %": average("plaintext_accuracy"),
    runs: runsText(rows, "plaintext_accuracy"),
    "above ReLU": rows.every((one) => one["relu_difference"] !== "")
      ? Number(mean(rows.map((one) => numberOf(one, "relu_difference"))).toFixed(2))
      : null,
    "largest input": largestOf(rows, "largest_input"),
    "relative": largestOf(rows, "largest_relative_input"),
    images: row["private_images"],
    "plaintext % of these": average("plaintext_same_accuracy"),
    "private %": average("private_accuracy"),
    interval: rows.length === 1
      ? `${numberOf(row, "private_low").toFixed(1)} to ${numberOf(row, "private_high").toFixed(1)}`
      : "",
    "agreement %": average("agreement"),
    "logits differ by": largestOf(rows, "largest_difference"),
    "paper": null,
  };
}

/** The networks that a reader may look for and that have no trained weights. */
function untrained(rows: readonly Row[]): Record<string, CsvValue>[] {
  const names = MODEL_NAMES.filter((name) => rows.every((row) => row["model"] !== name));
  return names.length === 0 ? [] : [{ network: names.join(", "), method: "not trained here" }];
}

/** What is known of the paper's own accuracies, which are of a network that is not trained here. */
const paperRows = (reference: Reference): Record<string, CsvValue>[] =>
  reference("accuracy").map((row) => ({
    network: `${row["model"]}, ${datasetName(row["dataset"])}`,
    activation: row["activation"],
    "paper": `${row["plaintext_accuracy"]} %` +
      (row["private_accuracy"] === "" ? "" : `, private ${row["private_accuracy"]} %`) +
      " (a third party's notes)",
  }));

/** Colours and hatches of `inference_latency`, which also has `tree`. */
const STYLES: Readonly<Record<string, number>> = {
  relu: 0,
  honeybadger: 2,
  espn: 3,
  lifted: 4,
  trigonometric: 5,
};

/** A group a network, a bar a protocol. */
function accuracyChart(rows: readonly Row[]): BarChart {
  const shown = Object.keys(STYLES).filter((protocol) => rows.some((row) => row["protocol"] === protocol));
  // Recipes of one name are told apart by their epochs.
  const epochs = (row: Row) =>
    rows.some((other) => nameOf(other) === nameOf(row) && other["epochs"] !== row["epochs"])
      ? `\n${row["epochs"]} epochs`
      : "";
  // Folders of networks of drawn shapes say so in their name.
  const otherData = ({ dataset }: Row) =>
    ["cifar10", "shapes"].includes(dataset) ? "" : `\n${datasetName(dataset)}`;
  const kinds = Map.groupBy(rows, (row) => `${row["recipe"]} ${row["mirrored"]}`).values().map((same) => ({
    same,
    name: nameOf(same[0]).replaceAll("-", "\n") + epochs(same[0]) + otherData(same[0]) +
      (isMirrored(same[0]) ? "\nmirrored" : "") + seedsText(same),
  })).toArray();
  return {
    kind: "bars",
    name: "accuracy_table_private",
    see: departuresText(rows),
    caption: `Accuracy of private inference (${imagesText(rows)}); diamonds: plaintext on the same images${
      spreadText(bySeeds(rows))
    }; of a single training its 95 % Wilson interval over the images.`,
    width: "double",
    categories: kinds.map(({ name }) => name),
    y: { title: "private accuracy (%)", min: 0, max: 100 },
    centred: true,
    markName: "plaintext, same images",
    series: shown.map((protocol) => {
      const own = kinds.map(({ same }) => same.filter((row) => row["protocol"] === protocol));
      return {
        name: protocol,
        style: STYLES[protocol],
        values: own.map((same) => {
          if (same.length === 0) return null;
          if (same.length > 1) return meanOf(same, "private_accuracy");
          const [value, low, high] = ["private_accuracy", "private_low", "private_high"].map((column) =>
            numberOf(same[0], column)
          );
          return { value: value, low: low, high: high };
        }),
        marks: own.map((same) => same.length === 0 ? null : meanOf(same, "plaintext_same_accuracy").value),
      };
    }),
  };
}

/** How far bars end from their diamonds: of networks that the audit accepts or 64-bit words carry, and of what it refuses. */
function departuresText(rows: readonly Row[]): string {
  const difference = (row: Row) =>
    numberOf(row, "private_accuracy") - numberOf(row, "plaintext_same_accuracy");
  const largest = (own: readonly Row[]) =>
    own.toSorted((a, b) => Math.abs(difference(b)) - Math.abs(difference(a)))[0];
  const kept = largest(rows.filter((row) => !isRefusedByAudit(row))),
    refused = largest(rows.filter(isRefusedByAudit));
  const points = (row: Row) =>
    `${Math.abs(difference(row)).toFixed(2)} points (${nameOf(row)} by ${row["protocol"]}, ${
      row["private_images"]
    } images)`;
  return (kept === undefined ? "" : `bars end within ${points(kept)} of their diamonds`) +
    (refused === undefined
      ? "."
      : `${kept === undefined ? "" : "; "}a network whose inputs escape, which the audit refuses, within ${
        points(refused)
      }.`);
}

/** A line for what several trainings share a group with; one recipe with one seed needs none. */
function seedsText(rows: readonly Row[]): string {
  const seeds = new Set(rows.map((row) => row["training_seed"])).size;
  return seeds > 1 ? `\n${seeds} seeds` : "";
}

/** "10000 test images by lifted, the first 1000 by relu". */
function imagesText(rows: readonly Row[]): string {
  const byProtocol = Map.groupBy(rows, (row) => row["protocol"]);
  return [...byProtocol].map(([protocol, same]) => {
    const counts = [...new Set(same.map((row) => numberOf(row, "private_images")))].sort((a, b) => a - b);
    return `${counts.join(" or ")} test images by ${protocol}`;
  }).join(", ");
}
