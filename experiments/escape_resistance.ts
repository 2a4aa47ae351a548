/** What becomes of trained networks when their images get brighter than any that they have seen: inputs multiplied by 1 to 8. */
import { floatForward, foldBatchNorm, measureRanges, readModelFolder, writeImageList } from "../mod.ts";
import {
  type Cell,
  defineExperiment,
  type LineChart,
  numberOf,
  type Row,
  type Size,
} from "../src/reproduction/experiment.ts";
import { infer } from "./_infer.ts";
import { kindOf, methodOf, protocolsOf, samplesOf, type ShippedModel, testImages } from "./_models.ts";
import { classificationRow } from "./accuracy_table.ts";
import { finiteOr } from "./_training_rows.ts";

const FACTORS: Readonly<Record<Size, readonly number[]>> = {
  smoke: [1, 8],
  quick: [1, 4],
  full: [1, 1.5, 2, 3, 4, 6, 8],
};
const IMAGES: Readonly<Record<Size, number>> = { smoke: 5, quick: 100, full: 1000 };
/** Images whose activation inputs are looked at, in plain JavaScript. */
const MEASURED_IMAGES = 100;
const MODEL = "convnet";

interface ResistanceCell extends Cell {
  readonly shipped: ShippedModel;
  readonly protocol: string;
  readonly factor: number;
}

/** Of each way to keep inputs in range the first network, by the first protocol of its activation. */
function cells(size: Size): ResistanceCell[] {
  return samplesOf(MODEL, methodOf).flatMap((shipped) =>
    protocolsOf(shipped.activation).slice(0, 1).flatMap((protocol) =>
      FACTORS[size].map((factor) => ({
        id: `${shipped.name} ${factor}x`,
        shipped,
        protocol,
        factor,
        seconds: 6 + 0.012 * IMAGES[size],
      }))
    )
  );
}

async function withFile<T>(
  write: (path: string) => Promise<void>,
  use: (path: string) => Promise<T>,
): Promise<T> {
  await Deno.mkdir("runs", { recursive: true });
  const file = await Deno.makeTempFile({ dir: "runs" });
  try {
    await write(file);
    return await use(file);
  } finally {
    await Deno.remove(file);
  }
}

export const escapeResistance = defineExperiment<ResistanceCell>({
  key: "escape_resistance",
  title: "Images that are too bright",
  explanation:
    "Shipped networks classify test images whose normalised pixels are multiplied by 1 to 8, as of a photograph that is too bright: in " +
    "plaintext and in private, by exact ReLU, by lifted for polynomials, by trigonometric for waves. A polynomial grows with the fourth " +
    "power of what leaves its range, ReLU and the waves grow like a line, but waves were trained on a few turns and meet others here. Beyond twice the audited range lifted " +
    "has no room at all; how often trigonometric still gives the class of plaintext stands under agreement.",
  columns: {
    weights: "folder of the network",
    model: "network",
    activation: "as on the command line",
    method: "activation and what keeps its inputs in range in training",
    protocol: "activation protocol",
    factor: "what the normalised pixels are multiplied by",
    largest_input: `largest |activation input| over the first ${MEASURED_IMAGES} images in plaintext`,
    private_images: "test images, the first ones",
    plaintext_same_accuracy: "% of these, floating point",
    private_accuracy: "% of these, private inference",
    private_low: "lower end of the 95 % Wilson interval",
    private_high: "upper end",
    agreement: "% of these whose private class is the plaintext one",
    unreliable: "images without a class: logits beyond their public bound",
    wrong_unnoticed: "images with another class than in plaintext that the client does not report",
  },
  cells,
  async run({ shipped, protocol, factor }, { size }) {
    const { images, labels } = await testImages(shipped.dataset, IMAGES[size]);
    const scaled = images.map((image) => image.map((value) => factor * value));
    const model = await readModelFolder(shipped.folder),
      { graph, weights } = foldBatchNorm(model.graph, model.weights);
    const layers = measureRanges(
      graph,
      floatForward(graph, weights, model.activation),
      scaled.slice(0, MEASURED_IMAGES),
    ).filter(({ kind }) => kind === "activation");
    const { classification } = await withFile(
      (file) => writeImageList(file, scaled),
      (file) =>
        withFile((path) => Deno.writeTextFile(path, labels.join("\n")), (path) =>
          infer(
            ...["--model", shipped.model, "--weights", shipped.folder, "--activation", protocol],
            ...["--images", file, "--labels", path],
          )),
    );
    return [{
      weights: shipped.folder,
      model: shipped.model,
      activation: shipped.activation,
      method: methodOf(shipped),
      protocol,
      factor,
      largest_input: finiteOr(Math.max(...layers.map(({ largest }) => largest))),
      ...classificationRow(classification!),
      wrong_unnoticed: classification!.departures.filter((one) => one.private !== null).length,
    }];
  },
  figures: (rows) => [chart(rows)],
  table: (rows) =>
    rows.map((row) => ({
      network: row["weights"].split("/").at(-1)!,
      method: row["method"],
      protocol: row["protocol"],
      factor: row["factor"],
      "largest input": row["largest_input"],
      images: row["private_images"],
      "plaintext %": numberOf(row, "plaintext_same_accuracy"),
      "private %": numberOf(row, "private_accuracy"),
      "agreement %": numberOf(row, "agreement"),
      unreliable: row["unreliable"],
      "wrong, not noticed": row["wrong_unnoticed"],
    })),
});

const STYLES: Readonly<Record<string, number>> = { relu: 0, trigonometric: 3 };

function chart(rows: readonly Row[]): LineChart {
  const methods = [...Map.groupBy(rows, (row) => row["method"])];
  const brightest = Math.max(...rows.map((row) => numberOf(row, "factor")));
  return {
    kind: "lines",
    name: "escape_resistance",
    see:
      "with the brightness ReLU loses accuracy slowly and waves sooner; the polynomial falls to chance, in private below its plaintext.",
    caption: `Accuracy of ConvNet on ${
      Math.max(...rows.map((row) => numberOf(row, "private_images")))
    } test images whose pixels are multiplied: private (lines) and plaintext (hollow).`,
    x: {
      title: "factor of the pixels",
      scale: "log",
      min: 1,
      max: brightest,
      ticks: [1, 2, 4, 8].filter((tick) => tick <= brightest),
    },
    y: { title: "accuracy (%)", min: 0 },
    references: [{ axis: "y", value: 10, label: "chance" }],
    series: methods.flatMap(([method, same], i) => {
      const style = STYLES[kindOf(same[0]["activation"])!] ?? [1, 2, 4, 7][i % 4];
      const points = (column: string) =>
        same.map((row) => ({ x: numberOf(row, "factor"), y: numberOf(row, column) }));
      return [
        { name: method, style, points: points("private_accuracy") },
        { name: "", style, role: "points" as const, points: points("plaintext_same_accuracy") },
      ];
    }),
  };
}
