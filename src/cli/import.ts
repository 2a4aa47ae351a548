/** `deno task import`: the network of an ONNX file as a model folder. */
import { basename, dirname } from "node:path";
import { graphPath, MODEL_FILE, type ModelDescription, writeModelFolder } from "../data/model_folder.ts";
import { CHANNEL_ORDERS, type PixelFormat } from "../data/pixel_format.ts";
import { shellQuoted } from "../data/shell_quoted.ts";
import { readFileSync } from "../files/read_file.ts";
import { ownFolder } from "../folders/own_folder.ts";
import { TRAINING_FILE } from "../folders/training_folder.ts";
import { planInference } from "../inference/planner.ts";
import { countModel } from "../models/counts.ts";
import { evaluateLogits } from "../models/float_engine.ts";
import { foldGraph } from "../models/fold.ts";
import type { Graph } from "../models/graph.ts";
import { formatGraph, parseGraph } from "../models/graph_json.ts";
import { seededImage } from "../models/weights.ts";
import { MODEL_NAMES } from "../models/zoo.ts";
import { decodeModel, encodeForValue } from "../onnx/format.ts";
import { type Imported, importOnnx } from "../onnx/import.ts";
import { imageToOnnx } from "../onnx/layout.ts";
import { askOnnxRuntime, NotLoadedError, type OnnxRuntime } from "../onnx/runtime.ts";
import type { ExternalData } from "../onnx/tensor.ts";
import { QUARTIC } from "../polynomial/polynomial.ts";
import { ACTIVATION_PROTOCOLS, DEFAULT_LINEAR } from "../protocols/registry.ts";
import { runCommand, UsageError } from "../terminal/command.ts";

/** Random images on which both must agree, and how far apart their logits may be, beside the largest. */
const IMAGES = 4, MOST_ERROR = 1e-4;

const numbers = {
  type: "string",
  value: "X,Y,Z",
  pattern: /^-?\d*\.?\d+(e-?\d+)?(,-?\d*\.?\d+(e-?\d+)?)*$/,
  accepts: "a number for each channel",
} as const;

await runCommand({
  name: "import",
  summary: "read a network from an ONNX file, as PyTorch or Keras write it, into a model folder",
  notes:
    "It must be a convolutional network with ReLU, for one image at a time; docs/onnx.md lists what it may consist of. A node without " +
    "a counterpart here is named. What was read is compared with ONNX Runtime on random images before it is written. A picture's " +
    "bytes are multiplied by --scale, then --mean is subtracted, then divided by --deviation.",
  time: "seconds; once more to download ONNX Runtime (113 MB)",
  examples: [
    "import digits.onnx --out networks/digits --mean 0.1307 --deviation 0.3081",
    "import resnet.onnx --out networks/resnet --mean 0.485,0.456,0.406 --deviation 0.229,0.224,0.225 --class-names names.txt",
  ],
  options: {
    onnx: { type: "path", value: "FILE", positional: true, required: true, help: "file to read" },
    out: { type: "path", value: "DIR", required: true, help: "model folder to write" },
    name: {
      type: "string",
      pattern: /^[A-Za-z0-9][\w.-]{0,60}$/,
      accepts: "letters, digits, _, . and -",
      help: "name of the network (default: that of the file)",
    },
    mean: { ...numbers, help: "what is subtracted from each channel (default: 0)" },
    deviation: { ...numbers, help: "what it is divided by (default: 1)" },
    scale: {
      type: "number",
      min: 1e-6,
      max: 1e6,
      help: "what a byte is multiplied by first (default: 1/255)",
    },
    channels: {
      type: "string",
      choices: CHANNEL_ORDERS,
      help: "order of the channels (default: RGB; of one channel: grey)",
    },
    classNames: { type: "path", value: "FILE", help: "names of the classes in their order, one a line" },
  },
  async run({ onnx: file, out, ...options }) {
    const name = options.name ?? basename(file).replace(/\.onnx$/i, "").replace(/[^\w.-]+/g, "_");
    if ((MODEL_NAMES as readonly string[]).includes(name)) {
      throw new UsageError(`${name} is the name of a network of ours; give another --name`);
    }
    const bytes = opened(file), external = besideFile(file);
    const imported = naming(file, () => importOnnx(decodeModel(bytes, external), name));
    const { weights, notes } = imported;
    // As the other roles will read it.
    const graph = naming(file, () => parseGraph(formatGraph(imported.graph)));
    naming(file, () => checkPlan(graph));
    const pixels = pixelFormat(graph, options),
      classNames = namesFrom(options.classNames, graph.classes);
    const agreement = await compare({ ...imported, graph }, encodeForValue(bytes, external, imported.logits));
    const description: ModelDescription = {
      model: name,
      classes: graph.classes,
      activation: { kind: "relu" },
      ...(pixels ? { pixels } : {}),
      ...(classNames ? { classNames } : {}),
    };
    ownFolder(out);
    checkFree(out);
    await writeModelFolder(out, description, weights, { graph });
    const { params, activations } = countModel(graph);
    console.log(
      `${name}: ${
        graph.inputShape.join(" x ")
      }, ${graph.classes} classes, ${params} parameters, ${activations} activations`,
    );
    for (const note of notes) console.log(`note: ${note}`);
    console.log(agreement);
    console.log(`${out} has it; next: deno task infer --weights ${shellQuoted(out)}`);
  },
});

/** What was trained here is not overwritten; what was imported may be imported again. */
function checkFree(folder: string): void {
  const names = [...Deno.readDirSync(folder)].map(({ name }) => name);
  const isImported = graphPath(folder) !== undefined && !names.includes(TRAINING_FILE);
  if (names.includes(MODEL_FILE) && !isImported) {
    throw new Error(`${folder} holds a network already; give another folder`);
  }
}

function opened(path: string): Uint8Array<ArrayBuffer> {
  try {
    return readFileSync(path);
  } catch (error) {
    throw new Error(`cannot read ${path}: ${(error as Error).message}`);
  }
}

/** Large networks keep their weights in files beside the first, which may lie in its folder alone. */
function besideFile(file: string): ExternalData {
  const files = new Map<string, Uint8Array>();
  return (name) => {
    if (name === "" || basename(name) !== name) {
      throw new SyntaxError(`weights lie in "${name}", which is not beside the file`);
    }
    const path = `${dirname(file)}/${name}`,
      bytes = files.get(name) ?? opened(path);
    files.set(name, bytes);
    return bytes;
  };
}

/** Errors of `work` say in which file. */
function naming<T>(file: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw new Error(`${file}: ${(error as Error).message}`);
  }
}

/** Throws where a network can be read, but not run by two parties. */
function checkPlan(graph: Graph): void {
  const { name } = ACTIVATION_PROTOCOLS.find(({ computes }) => computes?.kind === "relu")!;
  planInference(foldGraph(graph), { activation: name, linear: DEFAULT_LINEAR.name, function: QUARTIC });
}

function pixelFormat(
  { inputShape: [, , count] }: Graph,
  { mean, deviation, scale, channels }: {
    readonly mean: string | undefined;
    readonly deviation: string | undefined;
    readonly scale: number | undefined;
    readonly channels: PixelFormat["channels"] | undefined;
  },
): PixelFormat | undefined {
  if (count !== 1 && count !== 3) {
    if ([mean, deviation, scale, channels].every((option) => option === undefined)) return undefined;
    throw new UsageError(
      `the network takes ${count} channels, which are no picture; leave out --mean, --deviation, --scale, --channels`,
    );
  }
  const order = channels ?? (count === 1 ? "grey" : "RGB"), unit = 255 * (scale ?? 1 / 255);
  if ((order === "grey") !== (count === 1)) {
    throw new UsageError(`--channels ${order} does not fit a network of ${count} channels`);
  }
  const list = (flag: string, text: string | undefined, otherwise: number) => {
    const values = text?.split(",").map((part) => part.trim() === "" ? NaN : Number(part)) ??
      Array<number>(count).fill(otherwise);
    const wrong = values.find((value) => !Number.isFinite(value));
    if (wrong !== undefined) throw new UsageError(`--${flag} has a number that is none: ${text}`);
    if (values.length === count) return values.map((value) => value / unit);
    throw new UsageError(`--${flag} has ${values.length} numbers, the network ${count} channels`);
  };
  const format = { channels: order, mean: list("mean", mean, 0), deviation: list("deviation", deviation, 1) };
  if (format.deviation.some((value) => value <= 0)) throw new UsageError("--deviation must be above 0");
  return format;
}

function namesFrom(file: string | undefined, classes: number): string[] | undefined {
  if (file === undefined) return undefined;
  const names = new TextDecoder().decode(opened(file)).trim().split(/\r?\n/);
  if (names.length === classes) return names;
  throw new Error(`${file} has ${names.length} lines, the network ${classes} classes`);
}

/** Holds what was read to ONNX Runtime; the sentence says how close they are. */
async function compare({ graph, weights, input }: Imported, model: Uint8Array<ArrayBuffer>): Promise<string> {
  const images = Array.from({ length: IMAGES }, (_, i) => seededImage(graph, i));
  const inOrder = images.map((image) =>
    input.layout === "NCHW" ? imageToOnnx(image, graph.inputShape) : image
  );
  const pixels = Float32Array.from(inOrder.flatMap((image) => [...image]));
  const ask = async (runtime: OnnxRuntime) => ({
    runtime,
    ...await askOnnxRuntime(runtime, model, pixels, { shape: input.shape, repetitions: IMAGES, warmUp: 0 }),
  });
  const { runtime, outputs } = await ask("native").catch((error) => {
    if (error instanceof NotLoadedError) return ask("web");
    throw error;
  });
  let error = 0, largest = 0;
  for (const [i, image] of images.entries()) {
    const logits = evaluateLogits(graph, weights, { kind: "relu" }, image);
    for (const [k, logit] of logits.entries()) {
      error = Math.max(error, Math.abs(logit - outputs[i][k]));
      largest = Math.max(largest, Math.abs(logit));
    }
  }
  const found = `${error.toExponential(1)} on ${IMAGES} random images, largest logit ${
    largest.toPrecision(3)
  }`;
  if (!(error <= MOST_ERROR * largest)) {
    throw new Error(
      `what was read departs from ONNX Runtime (${runtime}) by ${found}; please report the file`,
    );
  }
  return `as ONNX Runtime (${runtime}) computes it: largest difference ${found}`;
}
