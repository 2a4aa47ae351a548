/** How few bits a private inference can do with: accuracy against the bits of the ring, of an opened angle, and against fraction bits. */
import {
  activationProtocol,
  DEFAULT_LINEAR,
  foldGraph,
  layerActivation,
  planInference,
  readModelFolder,
} from "../mod.ts";
import {
  type Cell,
  type CsvValue,
  defineExperiment,
  type LineChart,
  type NewRow,
  numberOf,
  type Row,
  type Size,
} from "../src/reproduction/experiment.ts";
import { wilsonInterval } from "../src/report/statistics.ts";
import { fewestBits } from "../src/report/accuracy_claims.ts";
import { infer } from "./_infer.ts";
import { kindOf, protocolsOf, samplesOf, type ShippedModel } from "./_models.ts";
import { classificationRow } from "./accuracy_table.ts";

/** The options that set the bits of a protocol. */
const OPTIONS = ["ringBits", "fractionBits", "angleBits"] as const;
type Option = typeof OPTIONS[number];
const FLAGS: Readonly<Record<Option, string>> = {
  ringBits: "--ring-bits",
  fractionBits: "--fraction-bits",
  angleBits: "--angle-bits",
};

const BITS: Readonly<Record<Size, Readonly<Record<Option, readonly number[]>>>> = {
  smoke: { ringBits: [20, 30], fractionBits: [], angleBits: [4, 10] },
  quick: { ringBits: [20, 24, 28, 30], fractionBits: [], angleBits: [4, 6, 8, 10] },
  full: {
    ringBits: [16, 18, 20, 22, 24, 26, 28, 29, 30],
    fractionBits: [8, 10, 12, 14, 16, 18, 20],
    angleBits: [4, 5, 6, 7, 8, 9, 10, 12, 14],
  },
};
/** Networks and their images. */
const IMAGES: Readonly<Record<Size, Readonly<Record<string, number>>>> = {
  smoke: { convnet: 5 },
  quick: { convnet: 200 },
  full: { convnet: 1000, "minionn-bn": 300 },
};
const SECONDS_PER_IMAGE: Readonly<Record<string, number>> = { convnet: 0.01, "minionn-bn": 0.09 };

/**
 * What counts as no loss: so many of the classes are the same, or not significantly fewer. Accuracy differs by the rest at most, and is
 * no measure by itself: of 2 % of the classes that change at 24 bits as many become right as wrong.
 */
const LEAST_AGREEMENT = 0.997;

interface PrecisionCell extends Cell {
  readonly shipped: ShippedModel;
  readonly protocol: string;
  readonly option: Option;
  readonly bits: number;
  readonly images: number;
}

/** Of each network the first one of each kind of activation, for each kind of bits by the first protocol that takes them. */
function cells(size: Size): PrecisionCell[] {
  return Object.entries(IMAGES[size]).flatMap(([model, images]) => {
    return samplesOf(model, ({ activation }) => kindOf(activation)).flatMap((shipped) => {
      const protocols = protocolsOf(shipped.activation);
      return OPTIONS.flatMap((option) => {
        const protocol = protocols.find((name) => activationProtocol(name).takes.includes(option));
        return protocol === undefined ? [] : BITS[size][option].map((bits) => ({
          id: `${shipped.name} ${protocol} ${bits}${option === "angleBits" ? " of an angle" : ""}`,
          shipped,
          protocol,
          option,
          bits,
          images,
          seconds: Math.round(5 + images * SECONDS_PER_IMAGE[model]),
        }));
      });
    });
  });
}

/** Whether the planner refuses a network at so many bits, in its words; null: it does not. */
async function refusalOf({ shipped, protocol, option, bits }: PrecisionCell): Promise<string | null> {
  const { graph, activation, weights, ranges } = await readModelFolder(shipped.folder);
  const functions = Object.fromEntries(
    graph.nodes.flatMap(({ op, id }) =>
      op === "activation" ? [[id, layerActivation(activation, id, weights)]] : []
    ),
  );
  try {
    planInference(foldGraph(graph), {
      activation: protocol,
      linear: DEFAULT_LINEAR.name,
      function: activation,
      functions,
      [option]: bits,
      ...(ranges && { ranges }),
    });
    return null;
  } catch (error) {
    if (error instanceof RangeError) return error.message;
    throw error;
  }
}

async function runCell(cell: PrecisionCell): Promise<NewRow> {
  const { shipped, protocol, option, bits, images } = cell, refused = await refusalOf(cell);
  const row = {
    weights: shipped.folder,
    model: shipped.model,
    dataset: shipped.dataset,
    activation: shipped.activation,
    protocol,
    option: FLAGS[option],
    bits,
    refused: refused !== null,
  };
  if (refused !== null) return { ...row, is_lossless: false };
  const run = await infer(
    ...["--model", shipped.model, "--weights", shipped.folder, "--activation", protocol],
    ...["--dataset", shipped.dataset, "--limit", images, FLAGS[option], bits],
  );
  const { bytesSent, maxAbsError, largestLogit, grossErrors } = run;
  const { agree, images: asked } = run.classification!;
  return {
    ...row,
    ...classificationRow(run.classification!),
    is_lossless: wilsonInterval(agree, asked).high >= LEAST_AGREEMENT,
    largest_difference: maxAbsError,
    largest_logit: largestLogit,
    gross_errors: grossErrors,
    online_bytes: bytesSent.server + bytesSent.client,
  };
}

const byNetwork = (rows: readonly Row[]): Row[][] => [
  ...Map.groupBy(rows, (row) => `${row["weights"]} ${row["protocol"]} ${row["option"]}`).values(),
];

export const precisionSweep = defineExperiment<PrecisionCell>({
  key: "precision_sweep",
  title: "Private accuracy against the bits",
  explanation:
    "Shipped networks classify the first test images with so many bits of the ring of linear layers (lifted, trigonometric: --ring-bits), " +
    "so many fraction bits in words of 64 (honeybadger, relu: --fraction-bits) or so many opened bits of an angle " +
    "(trigonometric: --angle-bits). In a ring of few bits the fraction bits follow from it and the audited ranges. Without loss: at least " +
    `${
      100 * LEAST_AGREEMENT
    } % of the classes are those of plaintext, or not significantly fewer (95 % Wilson interval). ` +
    "Refused: the planner finds no room for the audited ranges.",
  columns: {
    weights: "folder of the network",
    model: "network",
    dataset: "whose test images",
    activation: "as on the command line",
    protocol: "activation protocol",
    option: "which bits",
    bits: "how many",
    refused: "whether the planner refuses, so that nothing runs",
    private_images: "test images of the private run, the first ones",
    plaintext_same_accuracy: "% of these, floating point",
    private_accuracy: "% of these, private inference",
    private_low: "lower end of the 95 % Wilson interval",
    private_high: "upper end",
    agreement: "% of these whose private class is the plaintext one",
    unreliable: "images without a class: logits beyond their public bound",
    is_lossless:
      "whether nothing is lost: classes as in plaintext, up to 0.3 % or what so few images leave open",
    largest_difference: "largest difference of a private logit from plaintext",
    largest_logit: "largest |logit| in plaintext",
    gross_errors:
      "private runs whose logits are further off than the largest of plaintext; not in largest_difference",
    online_bytes: "payload bytes of an inference online, both directions",
  },
  cells,
  run: async (cell) => [await runCell(cell)],
  figures: (rows) =>
    OPTIONS.flatMap((option) => {
      const own = rows.filter((row) => row["option"] === FLAGS[option] && row["refused"] === "false");
      return own.length === 0 ? [] : [accuracyChart(option, own), agreementChart(option, own)];
    }),
  table: (rows) => byNetwork(rows).map(summaryOf),
});

function summaryOf(rows: readonly Row[]): Record<string, CsvValue> {
  const row = rows[0],
    fewest = fewestBits(rows),
    at = rows.find((one) => one["bits"] === String(fewest));
  return {
    network: row["weights"].split("/").at(-1)!,
    protocol: row["protocol"],
    bits: row["option"],
    images: rows.find((one) => one["refused"] === "false")?.["private_images"] ?? null,
    "without loss from": fewest,
    "agreement % there": at === undefined ? null : numberOf(at, "agreement"),
    "kB online there": at === undefined ? null : Math.round(numberOf(at, "online_bytes") / 1000),
    refused: rows.filter((one) => one["refused"] === "true").map((one) => one["bits"]).join(", "),
  };
}

const TITLES: Readonly<Record<Option, string>> = {
  ringBits: "bits of the ring",
  fractionBits: "fraction bits",
  angleBits: "opened bits of an angle",
};

const NAMES: Readonly<Record<Option, string>> = {
  ringBits: "ring",
  fractionBits: "fraction",
  angleBits: "angle",
};

const seriesName = ([row]: readonly Row[]) => `${row["weights"].split("/").at(-1)}, ${row["protocol"]}`;

/** Bits by which the marks of two networks are set apart. */
const APART = 0.15;

function accuracyChart(option: Option, rows: readonly Row[]): LineChart {
  const images = [...new Set(rows.map((row) => row["private_images"]))].join(" or "),
    networks = byNetwork(rows);
  return {
    kind: "lines",
    name: `precision_sweep_${NAMES[option]}`,
    see: "accuracy stays that of plaintext, as far as so many images can tell, down to few bits.",
    caption:
      `Accuracy of private inference over the ${
        TITLES[option]
      } (${images} test images, the same ones for all; 95 % Wilson interval); ` +
      "without markers: plaintext. Marks of the same width stand side by side. Widths that the planner refuses are left out.",
    x: { title: TITLES[option] },
    y: { title: "accuracy (%)" },
    series: networks.flatMap((same, style) => {
      // Side by side, else one interval hides another.
      const at = (row: Row) => numberOf(row, "bits") + APART * (style - (networks.length - 1) / 2);
      const x = same.map(at),
        plaintext = numberOf(same[0], "plaintext_same_accuracy");
      const points = same.map((row) => ({
        x: at(row),
        y: numberOf(row, "private_accuracy"),
        low: numberOf(row, "private_low"),
        high: numberOf(row, "private_high"),
      }));
      const level = [Math.min(...x), Math.max(...x)].map((x) => ({ x, y: plaintext }));
      return [{ name: seriesName(same), style, points }, {
        name: "",
        style,
        role: "curve" as const,
        points: level,
      }];
    }),
  };
}

function agreementChart(option: Option, rows: readonly Row[]): LineChart {
  return {
    kind: "lines",
    name: `precision_sweep_${NAMES[option]}_agreement`,
    see:
      "the fewer bits, the more classes change; what lies above the dashed line, or not significantly below it, counts as no loss.",
    caption: `Classes of private inference that are those of plaintext, over the ${TITLES[option]} (dashed: ${
      100 * LEAST_AGREEMENT
    } %).`,
    x: { title: TITLES[option] },
    y: { title: "same class (%)", max: 100 },
    references: [{ axis: "y", value: 100 * LEAST_AGREEMENT, label: "" }],
    series: byNetwork(rows).map((same, style) => ({
      name: seriesName(same),
      style,
      points: same.map((row) => ({ x: numberOf(row, "bits"), y: numberOf(row, "agreement") })),
    })),
  };
}
