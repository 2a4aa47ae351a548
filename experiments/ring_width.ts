/** What the width of the ring costs and buys in `lifted`: bytes, time and logit error for k = 16 ... 30 bits. */
import { infer } from "./_infer.ts";
import {
  type Cell,
  defineExperiment,
  numberOf,
  type Row,
  type Size,
} from "../src/reproduction/experiment.ts";

interface WidthCell extends Cell {
  readonly model: string;
  readonly ringBits: number;
}

const WIDTHS: Record<Size, readonly number[]> = {
  smoke: [24, 30],
  quick: [16, 20, 24, 28, 30],
  full: [16, 18, 20, 22, 24, 26, 28, 29, 30],
};
const MODELS: Record<Size, readonly string[]> = {
  smoke: ["convnet"],
  quick: ["convnet"],
  full: ["convnet", "minionn-bn", "vgg16-bn-avg", "resnet18"],
};
const REPETITIONS: Record<Size, number> = { smoke: 3, quick: 20, full: 50 };

export const ringWidth = defineExperiment<WidthCell>({
  key: "ring_width",
  title: "Width of the ring",
  explanation:
    "Lifted inference with linear layers modulo 2^k. Fewer bits make shorter messages and coarser weights: with every two bits weights " +
    "and values gain one each, so the error of the logits (random weights here) falls by two.",
  columns: {
    model: "network",
    ring_bits: "k",
    repetitions: "queries measured",
    bytes_server: "payload bytes that the server sends online",
    bytes_client: "payload bytes that the client sends online",
    online_ms: "online phase, median",
    offline_bytes: "bytes from the dealer per query",
    offline_party_bytes: "bytes from the client to the server per query, before the image is known",
    logit_error: "largest difference of an opened logit from the float engine",
    fixed_error: "largest difference from the fixed-point engine of the same scales: carries alone",
    largest_logit: "largest logit of the float engine",
    argmax_agrees: "whether the class is that of the float engine in every query",
  },
  cells: (size) =>
    MODELS[size].flatMap((model) =>
      WIDTHS[size].map((ringBits) => ({ id: `${model} ${ringBits}`, model, ringBits, seconds: 4 }))
    ),
  async run({ model, ringBits }, { size, seed }) {
    const run = await infer(
      ...[
        "--model",
        model,
        "--activation",
        "lifted",
        "--ring-bits",
        ringBits,
        "--repetitions",
        REPETITIONS[size],
        "--warm-up",
        5,
        "--seed",
        seed,
      ],
    );
    return [{
      model,
      ring_bits: ringBits,
      repetitions: run.repetitions,
      bytes_server: run.bytesSent.server,
      bytes_client: run.bytesSent.client,
      online_ms: run.online.medianMs,
      offline_bytes: run.offline.bytes,
      offline_party_bytes: run.offline.partyBytes,
      logit_error: run.maxAbsError,
      fixed_error: run.oracleMaxAbsError,
      largest_logit: run.largestLogit,
      argmax_agrees: run.argmaxAgrees,
    }];
  },
  figures(rows) {
    const models = [...new Set(rows.map((row) => row["model"]))];
    const line = (name: string, column: string, relative: boolean) =>
      models.map((model, style) => ({
        name: model + name,
        style,
        points: rows.filter((row) => row["model"] === model).map((row) => ({
          x: numberOf(row, "ring_bits"),
          y: numberOf(row, column) / (relative ? Math.max(1, numberOf(row, "largest_logit")) : 1),
        })),
      }));
    return [{
      kind: "lines",
      name: "ring_width_error",
      see: "four bits more of the ring cut the error to a third or less; beyond 28 they gain little.",
      caption:
        "Largest error of a logit against the float engine, relative to the largest logit (taken as at least 1), over the bits of the ring.",
      x: { title: "bits of the ring" },
      y: { title: "logit error", scale: "log" },
      series: line("", "logit_error", true),
    }];
  },
  table: (rows) =>
    rows.map((row: Row) => ({
      network: row["model"],
      k: row["ring_bits"],
      "online kB": Math.round((numberOf(row, "bytes_server") + numberOf(row, "bytes_client")) / 1000),
      "online ms": numberOf(row, "online_ms"),
      "logit error": numberOf(row, "logit_error"),
      "from fixed point": numberOf(row, "fixed_error"),
      "class agrees": row["argmax_agrees"],
    })),
});
