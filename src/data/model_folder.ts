/**
 * A network on disk: a folder with `model.json` (which network, which activation) and `weights.safetensors`, and where the network is
 * none of ours `graph.json`, its architecture.
 */
import type { Activation, Graph, Weights } from "../models/graph.ts";
import { formatGraph, parseGraph } from "../models/graph_json.ts";
import { checkRanges, type Ranges } from "../models/ranges.ts";
import { type NumberType, readSafetensors, writeSafetensors } from "../models/safetensors.ts";
import { MOST_HARMONICS, withLearnedActivations } from "../models/trigonometric.ts";
import { checkWeights } from "../models/weights.ts";
import { buildModel } from "../models/zoo.ts";
import { isThere } from "../files/is_there.ts";
import { readFile, readFileSync } from "../files/read_file.ts";
import { replaceFile } from "../files/replace_file.ts";
import { sha256 } from "../files/sha256.ts";
import { CHANNEL_ORDERS, type PixelFormat } from "./pixel_format.ts";

/** What `model.json` says. */
export interface ModelDescription {
  readonly model: string;
  readonly classes: number;
  readonly activation: Activation;
  /** What an audit has measured. Public: the scales of `lifted` and the bound of the logits, which follow from it, are known to all roles. */
  readonly ranges?: Ranges;
  /** Names of the classes in the order of their numbers, where the data set had any. */
  readonly classNames?: readonly string[];
  /** How the network takes pictures, where it is none of ours. */
  readonly pixels?: PixelFormat;
}

export interface Model extends ModelDescription {
  readonly graph: Graph;
  readonly weights: Weights;
}

/** What says which network and which activation, how it takes pictures, and its audited ranges: public. */
export const MODEL_FILE = "model.json";
const GRAPH = "graph.json", WEIGHTS = "weights.safetensors";

/** Reads a model folder; errors name the file and what is wrong with it. */
export async function readModelFolder(folder: string): Promise<Model> {
  const description = await readModelDescription(folder);
  const { model, classes } = description, bytes = await readPart(folder, WEIGHTS);
  const path = graphPath(folder), own = path === undefined ? undefined : readGraph(path);
  const graph = naming(`${folder}/${MODEL_FILE}`, () => {
    const graph = withLearnedActivations(own ?? buildModel(model, classes), description.activation);
    if (graph.name !== model || graph.classes !== classes) {
      throw new Error(
        `describes ${model} with ${classes} classes, ${GRAPH} ${graph.name} with ${graph.classes}`,
      );
    }
    if (description.ranges) checkRanges(graph, description.ranges);
    const { pixels } = description, channels = graph.inputShape[2];
    if (pixels && pixels.mean.length !== channels) {
      throw new Error(`has "pixels" of ${pixels.mean.length} channels, the network takes ${channels}`);
    }
    return graph;
  });
  return naming(`${folder}/${WEIGHTS}`, () => {
    const { weights } = readSafetensors(bytes);
    checkWeights(graph, weights);
    return { ...description, graph, weights };
  });
}

/** The file with the architecture of the network in a folder, where that is none of ours. */
export function graphPath(folder: string): string | undefined {
  const path = `${folder}/${GRAPH}`;
  return isThere(path) ? path : undefined;
}

/** Reads the architecture of a network; errors name the file. */
export function readGraph(path: string): Graph {
  let text: string;
  try {
    text = new TextDecoder().decode(readFileSync(path));
  } catch (error) {
    throw new Error(`cannot read the network ${path}: ${(error as Error).message}`);
  }
  return naming(path, () => parseGraph(text));
}

/** Reads `model.json` alone. */
export const readModelDescription = async (folder: string): Promise<ModelDescription> =>
  parseDescription(`${folder}/${MODEL_FILE}`, await readPart(folder, MODEL_FILE));

/** Size and SHA-256 of the weights of a folder, as `sha256sum` prints it. */
export async function weightsFile(folder: string): Promise<{ bytes: number; sha256: string }> {
  const file = await readPart(folder, WEIGHTS);
  return { bytes: file.length, sha256: await sha256(file) };
}

/** Errors of `work` say in which file. */
function naming<T>(file: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw new Error(`${file}: ${(error as Error).message}`);
  }
}

/** Writes a model folder, whole files at a time; `graph` is that of a network which is none of ours. */
export async function writeModelFolder(
  folder: string,
  description: ModelDescription,
  weights: Weights,
  { type = "F32", graph }: { readonly type?: NumberType; readonly graph?: Graph } = {},
): Promise<void> {
  const bytes = writeSafetensors(weights, {}, type);
  await Deno.mkdir(folder, { recursive: true });
  // From here on without a pause in which a signal could end the process.
  // Ranges and function of other weights must not stand beside these if this is cut short.
  if (isThere(`${folder}/${MODEL_FILE}`)) Deno.removeSync(`${folder}/${MODEL_FILE}`);
  if (graph) replaceFile(`${folder}/${GRAPH}`, formatGraph(graph));
  replaceFile(`${folder}/${WEIGHTS}`, bytes);
  writeDescription(folder, description);
}

/** Writes `model.json` alone: the ranges of an audit beside weights that stay. */
export function writeDescription(
  folder: string,
  { model, classes, activation, ranges, classNames, pixels }: ModelDescription,
): void {
  const description = { model, classes, activation, ranges, classNames, pixels };
  replaceFile(`${folder}/${MODEL_FILE}`, JSON.stringify(description, null, 2) + "\n");
}

async function readPart(folder: string, name: string): Promise<Uint8Array<ArrayBuffer>> {
  try {
    return await readFile(`${folder}/${name}`);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory) {
      throw new Error(
        `${folder} is not a model folder: ${name} is missing; train and import write such folders, and train --repeat makes ` +
          "the weights again where there is a training.json",
      );
    }
    throw error;
  }
}

function parseDescription(path: string, bytes: Uint8Array): ModelDescription {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder().decode(bytes));
  } catch {
    throw new Error(`${path} is not valid JSON`);
  }
  const { model, classes, activation, ranges, classNames, pixels } = (value ?? {}) as Record<string, unknown>;
  if (typeof model !== "string" || !Number.isInteger(classes) || !isActivation(activation)) {
    throw new Error(`${path} must hold "model", "classes" and "activation"`);
  }
  if (ranges !== undefined && !isRanges(ranges)) {
    throw new Error(
      `${path}: "ranges" must hold a number for every activation and the logits; audit the network again`,
    );
  }
  if (classNames !== undefined && !isNames(classNames, classes as number)) {
    throw new Error(`${path}: "classNames" must hold a text for each of the ${classes} classes`);
  }
  if (pixels !== undefined && !isPixelFormat(pixels)) {
    throw new Error(
      `${path}: "pixels" must hold "channels" (${
        CHANNEL_ORDERS.join(", ")
      }), and "mean" and "deviation" of each`,
    );
  }
  return {
    model,
    classes: classes as number,
    activation,
    ...(pixels === undefined ? {} : { pixels }),
    ...(ranges === undefined ? {} : { ranges }),
    ...(classNames === undefined ? {} : { classNames }),
  };
}

const isNames = (value: unknown, count: number): value is string[] =>
  Array.isArray(value) && value.length === count && value.every((name) => typeof name === "string");

function isPixelFormat(value: unknown): value is PixelFormat {
  const { channels, mean, deviation } = (value ?? {}) as Record<string, unknown>,
    count = channels === "grey" ? 1 : 3;
  const isList = (list: unknown, accepts: (n: number) => boolean) =>
    Array.isArray(list) && list.length === count && list.every((n) => Number.isFinite(n) && accepts(n));
  return CHANNEL_ORDERS.some((order) => order === channels) && isList(mean, () => true) &&
    isList(deviation, (n) => n > 0);
}

const isRanges = (value: unknown): value is Ranges =>
  typeof value === "object" && value !== null &&
  Object.values(value).every((range) => typeof range === "number");

function isActivation(value: unknown): value is Activation {
  const { kind, coefficients, precision, ...wave } = (value ?? {}) as Record<string, unknown>;
  if (kind === "relu" || kind === "sigmoid") return true;
  if (kind === "trigonometric") return isWave(wave);
  return kind === "polynomial" && Number.isInteger(precision) && Array.isArray(coefficients) &&
    coefficients.length >= 2 &&
    coefficients.length <= 11 && coefficients.every(Number.isInteger);
}

function isWave({ period, offset, amplitudes, learned }: Record<string, unknown>): boolean {
  return Number.isFinite(period) && (period as number) > 0 && Number.isFinite(offset) &&
    Array.isArray(amplitudes) && amplitudes.length >= 1 && amplitudes.length <= MOST_HARMONICS &&
    amplitudes.every(Number.isFinite) && (learned === undefined || learned === true);
}
