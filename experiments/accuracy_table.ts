/**
 * The accuracy of trained networks in private inference beside plaintext (the first form of the paper's accuracy table), and
 * accuracy against the time of an inference (its Figure 1).
 */
import { evaluate as evaluateNodes, readModelFolder, writeImageList } from "../mod.ts";
import {
  type BarChart,
  type Cell,
  type ChartDescription,
  defineExperiment,
  type LineChart,
  numberOf,
  optionalNumber,
  type Row,
  type Size,
} from "../src/reproduction/experiment.ts";
import { wilsonInterval } from "../src/report/statistics.ts";
import type { Answer } from "../src/reproduction/command_results.ts";
import { infer } from "./_infer.ts";
import { type ShippedModel, shippedModels, testImages } from "./_models.ts";
import { evaluate, type Measurement, sweepDataset } from "./_train.ts";
import { finiteOr } from "./_training_rows.ts";

/** Images of a private run. */
const IMAGES: Readonly<Record<Size, number>> = { smoke: 5, quick: 50, full: 500 };
const POLYNOMIAL_PROTOCOLS = ["honeybadger", "espn", "lifted"], RELU_PROTOCOLS = ["relu"];
/** Seconds of an image of ConvNet and of MiniONN-BN, plaintext engines included; others are not shipped. */
const SECONDS_PER_IMAGE: Readonly<Record<string, number>> = { convnet: 0.03, "minionn-bn": 0.3 };

interface AccuracyCell extends Cell {
  readonly shipped: ShippedModel;
  readonly protocol: string;
}

function cells(size: Size): AccuracyCell[] {
  // Below full size ConvNet on one data set; the smallest leaves out ESPN, which differs from HoneyBadger in traffic alone.
  const models = shippedModels().filter(({ model, dataset }) =>
    size === "full" || (model === "convnet" && dataset === sweepDataset())
  );
  return models.flatMap((shipped) =>
    (shipped.activation === "relu" ? RELU_PROTOCOLS : POLYNOMIAL_PROTOCOLS)
      .filter((protocol) => size !== "smoke" || protocol !== "espn")
      .map((protocol) => ({
        id: `${shipped.name} ${protocol}`,
        shipped,
        protocol,
        seconds: 7 + IMAGES[size] * (SECONDS_PER_IMAGE[shipped.model] ?? 1),
      }))
  );
}

export const accuracyTable = defineExperiment<AccuracyCell>({
  key: "accuracy_table",
  title: "Table 2: accuracy in private inference",
  source: "the paper's accuracy table, and Figure 1",
  explanation:
    "Networks trained here and shipped under results/models/, with a ReLU network trained for as many epochs. " +
    "Plaintext accuracy is that in floating point over all test images. Private accuracy is that of two-party inference by " +
    "three processes over the first test images, each with fresh correlations; fixed-point and plaintext accuracy on the same " +
    "images stand beside it. Agreement counts equal classes of private and plaintext inference. Nothing is clipped. " +
    "A network whose test images are not in data/ has no rows.",
  columns: {
    weights: "folder of the network",
    model: "network",
    dataset: "data that it was trained on and is measured on",
    activation: "relu, or poly:degree:bits of the coefficients",
    protocol: "activation protocol; linear layers by masked weights",
    epochs: "epochs of training; its other settings are in training.json of the folder",
    training_seed: "seed of its training: one network, so intervals are over images, not over trainings",
    test_images: "test images of the plaintext measurement",
    plaintext_accuracy: "% of them, floating point",
    plaintext_low: "lower end of the 95 % Wilson interval",
    plaintext_high: "upper end",
    out_of_range_percent: "activation inputs outside [-5, 5] on them, %",
    images_out_of_range_percent: "images with at least one such input, %",
    largest_input: "largest |activation input|",
    private_images: "test images of the private run, the first ones",
    plaintext_same_accuracy: "% of these, floating point",
    fixed_accuracy: "% of these, plaintext in the fixed point of the protocol",
    private_accuracy: "% of these, private inference",
    private_low: "lower end of the 95 % Wilson interval",
    private_high: "upper end",
    agreement: "% of these whose private class is the plaintext one",
    departures:
      "the others: image, private and plaintext class, gap of the two largest plaintext logits, largest input",
    largest_difference: "largest difference of a private logit from plaintext",
    largest_logit: "largest |logit| in plaintext",
    online_ms: "online phase without delay, median",
    offline_ms: "offline phase, median",
    gross_errors:
      "private runs off by more than any rounding: truncation across a wrap-around; not in largest_difference",
    wan_ms: "online phase on the WAN (100 ms round trip), one query",
  },
  cells,
  async run({ shipped, protocol }, { size, note }) {
    note("plaintext");
    const test = await plaintext(shipped),
      whole = wilsonInterval(Math.round(test.accuracy * test.images / 100), test.images);
    const { images, labels } = await testImages(shipped.dataset, IMAGES[size]);
    const options = ["--model", shipped.model, "--weights", shipped.folder, "--activation", protocol];
    note(`${images.length} private inferences`);
    const run = await withImages(
      images,
      (file) =>
        infer(...options, "--images", file, "--repetitions", images.length, "--warm-up", 0, "--logits"),
    );
    note("on the WAN");
    const wan = await infer(...options, "--profile", "wan", "--repetitions", 1, "--warm-up", 1);
    const { name: _, folder, trainingSeed, ...described } = shipped;
    return [{
      weights: folder,
      ...described,
      protocol,
      training_seed: trainingSeed,
      test_images: test.images,
      plaintext_accuracy: test.accuracy,
      plaintext_low: 100 * whole.low,
      plaintext_high: 100 * whole.high,
      out_of_range_percent: test.outOfRangePercent,
      images_out_of_range_percent: test.imagesOutOfRangePercent,
      largest_input: finiteOr(test.outOfRangeMax),
      private_images: images.length,
      ...compareAnswers(run.answers!, labels),
      departures: await describeDepartures(folder, images, run.answers!),
      largest_difference: run.maxAbsError,
      largest_logit: run.largestLogit,
      online_ms: run.online.medianMs,
      offline_ms: run.offline.ms,
      gross_errors: run.grossErrors,
      wan_ms: wan.online.medianMs,
    }];
  },
  figures: (rows) => [accuracyChart(rows), ...overTime(rows)],
  table: (rows) =>
    rows.map((row) => ({
      network: `${row["model"]}, ${row["dataset"]}`,
      activation: row["activation"],
      protocol: row["protocol"],
      epochs: row["epochs"],
      "plaintext %": numberOf(row, "plaintext_accuracy"),
      "largest input": row["largest_input"],
      images: row["private_images"],
      "plaintext % of these": numberOf(row, "plaintext_same_accuracy"),
      "private %": numberOf(row, "private_accuracy"),
      interval: `${numberOf(row, "private_low").toFixed(1)} to ${numberOf(row, "private_high").toFixed(1)}`,
      "agreement %": numberOf(row, "agreement"),
      "logits differ by": numberOf(row, "largest_difference"),
      "WAN s": numberOf(row, "wan_ms") / 1000,
    })),
});

const measured = new Map<string, Promise<Measurement>>();

/** All protocols of a network share the measurement in plaintext. */
function plaintext({ folder }: ShippedModel): Promise<Measurement> {
  const known = measured.get(folder) ?? evaluate(folder);
  measured.set(folder, known);
  return known;
}

async function withImages<T>(images: readonly Float32Array[], use: (file: string) => Promise<T>): Promise<T> {
  await Deno.mkdir("runs", { recursive: true });
  const file = await Deno.makeTempFile({ dir: "runs", prefix: "images-" });
  try {
    await writeImageList(file, images);
    return await use(file);
  } finally {
    await Deno.remove(file);
  }
}

/** The class of the largest logit; -1 if a logit is no number (null in JSON). */
function classOf(logits: readonly (number | null)[]): number {
  return logits.includes(null) ? -1 : logits.indexOf(Math.max(...logits as number[]));
}

/** Accuracies and agreement of a private run, in percent. */
export function compareAnswers(answers: readonly Answer[], labels: readonly number[]) {
  const count = (test: (answer: Answer, i: number) => boolean) => answers.filter(test).length;
  const percent = (part: number) => 100 * part / answers.length;
  const right = count(({ logits }, i) => classOf(logits) === labels[i]),
    { low, high } = wilsonInterval(right, answers.length);
  return {
    plaintext_same_accuracy: percent(count(({ float }, i) => classOf(float) === labels[i])),
    // An image that leaves the range of fixed point has no class there.
    fixed_accuracy: percent(count(({ fixed }, i) => fixed !== null && classOf(fixed) === labels[i])),
    private_accuracy: percent(right),
    private_low: 100 * low,
    private_high: 100 * high,
    agreement: percent(count(({ logits, float }) => classOf(logits) === classOf(float))),
  };
}

/** Why the classes of images differ: a close call of two logits, or an input far out of range. */
export async function describeDepartures(
  folder: string,
  images: readonly Float32Array[],
  answers: readonly Answer[],
): Promise<string> {
  const departing = [...answers.entries()].filter(([, { logits, float }]) =>
    classOf(logits) !== classOf(float)
  );
  if (departing.length === 0) return "none";
  const { graph, weights, activation } = await readModelFolder(folder);
  return departing.map(([i, { logits, float }]) => {
    const values = evaluateNodes(graph, weights, activation, images[i]!);
    const inputs = graph.nodes.flatMap((node) => node.op === "activation" ? [values.get(node.input)!] : []);
    const largest = inputs.reduce((max, layer) => layer.reduce((m, x) => Math.max(m, Math.abs(x)), max), 0);
    const [first, second] = (float as number[]).toSorted((a, b) => b - a);
    return `image ${i}: ${classOf(logits)} for ${classOf(float)}, gap ${
      (first! - second!).toPrecision(2)
    }, input ${largest.toPrecision(3)}`;
  }).join("; ");
}

/** Colours and hatches of `inference_latency`, which also has `tree`. */
const STYLES: Readonly<Record<string, number>> = { relu: 0, honeybadger: 2, espn: 3, lifted: 4 };

/** A group a network, named by its folder; a bar a protocol. */
function accuracyChart(rows: readonly Row[]): BarChart {
  const images = Math.max(...rows.map((row) => numberOf(row, "private_images")));
  const networks = [...new Set(rows.map((row) => row["weights"]!))];
  const shown = Object.keys(STYLES).filter((protocol) => rows.some((row) => row["protocol"] === protocol));
  return {
    kind: "bars",
    name: "accuracy_table_private",
    see:
      "every bar ends at its diamond, or an image beside it: private inference costs no accuracy, whichever the protocol.",
    caption:
      `Accuracy of private inference on the first ${images} test images (95 % Wilson intervals); diamonds: plaintext on the same ` +
      "images. One trained network each.",
    width: "double",
    categories: networks.map((folder) => folder.split("/").at(-1)!.replaceAll("-", "\n")),
    y: { title: "private accuracy (%)", min: 0, max: 100 },
    markName: "plaintext, same images",
    series: shown.map((protocol) => {
      const own = networks.map((network) =>
        rows.find((row) => row["weights"] === network && row["protocol"] === protocol)
      );
      return {
        name: protocol,
        style: STYLES[protocol]!,
        values: own.map((row) =>
          row
            ? {
              value: numberOf(row, "private_accuracy"),
              low: numberOf(row, "private_low"),
              high: numberOf(row, "private_high"),
            }
            : null
        ),
        marks: own.map((row) => row ? numberOf(row, "plaintext_same_accuracy") : null),
      };
    }),
  };
}

const TIMED = [{ protocol: "relu", name: "relu" }, { protocol: "honeybadger", name: "polynomial" }];

/** Figure 1: up and to the left is better. */
function overTime(rows: readonly Row[]): ChartDescription[] {
  const all = rows.filter((row) =>
    optionalNumber(row, "wan_ms") !== undefined && TIMED.some(({ protocol }) => row["protocol"] === protocol)
  );
  // Accuracies on different images do not belong on one axis.
  const photos = all.filter((row) => row["dataset"] === "cifar10"), timed = photos.length > 0 ? photos : all;
  if (timed.length === 0) return [];
  const ticks = ticksAround(timed.map((row) => numberOf(row, "wan_ms") / 1000));
  const models = [...new Set(timed.map((row) => row["model"]!))];
  const chart: LineChart = {
    kind: "lines",
    name: "accuracy_table_over_time",
    see: "the polynomial network of each pair stands left of its ReLU twin, four times sooner, and lower.",
    caption: `Test accuracy (${timed[0]!["dataset"]}, all test images, 95 % Wilson interval) against ` +
      "the time of a private inference on the WAN (100 ms round trip). Up and to the left is better. " +
      "Polynomials by HoneyBadger; ESPN and lifted take the same number of delays.",
    x: {
      title: "online time on the WAN (s)",
      scale: "log",
      min: ticks[0]!,
      max: ticks.at(-1)!,
      ticks,
    },
    y: { title: "test accuracy (%)" },
    series: models.flatMap((model, m) =>
      TIMED.map(({ protocol, name }, p) => ({
        name: models.length > 1 ? `${model}, ${name}` : name,
        style: 2 * m + p,
        role: "points" as const,
        points: timed.filter((row) => row["model"] === model && row["protocol"] === protocol).map((row) => ({
          x: numberOf(row, "wan_ms") / 1000,
          y: numberOf(row, "plaintext_accuracy"),
          low: numberOf(row, "plaintext_low"),
          high: numberOf(row, "plaintext_high"),
        })),
      }))
    ),
  };
  return [chart];
}

/** Few ticks of a logarithmic axis, one on either side of all values. */
function ticksAround(values: readonly number[]): number[] {
  const ticks = [0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100];
  const first = ticks.findLastIndex((tick) => tick < Math.min(...values)),
    last = ticks.findIndex((tick) => tick > Math.max(...values));
  return ticks.slice(Math.max(0, first), last < 0 ? undefined : last + 1);
}
