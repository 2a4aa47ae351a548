/**
 * A trained or random network on disk: a folder with `model.json` (which network, which activation) and
 * `weights.safetensors`.
 */
import type { Activation, Graph, Weights } from "../models/graph.ts";
import { checkRanges, type Ranges } from "../models/ranges.ts";
import { readSafetensors, writeSafetensors } from "../models/safetensors.ts";
import { MOST_HARMONICS, withLearnedActivations } from "../models/trigonometric.ts";
import { checkWeights } from "../models/weights.ts";
import { buildModel } from "../models/zoo.ts";
import { replaceFile } from "../files/replace_file.ts";

/** What `model.json` says. */
export interface ModelDescription {
  readonly model: string;
  readonly classes: number;
  readonly activation: Activation;
  /** What an audit has measured. Public: the scales of `lifted` and the bound of the logits, which follow from it, are known to all roles. */
  readonly ranges?: Ranges;
  /** Names of the classes in the order of their numbers, where the data set had any. */
  readonly classNames?: readonly string[];
}

export interface Model extends ModelDescription {
  readonly graph: Graph;
  readonly weights: Weights;
}

const DESCRIPTION = "model.json", WEIGHTS = "weights.safetensors";

/** Reads a model folder; errors name the file and what is wrong with it. */
export async function readModelFolder(folder: string): Promise<Model> {
  const description = await readModelDescription(folder);
  const { model, classes } = description, bytes = await readFile(folder, WEIGHTS);
  const graph = naming(`${folder}/${DESCRIPTION}`, () => {
    const graph = withLearnedActivations(buildModel(model, classes), description.activation);
    if (description.ranges) checkRanges(graph, description.ranges);
    return graph;
  });
  return naming(`${folder}/${WEIGHTS}`, () => {
    const { weights } = readSafetensors(bytes);
    checkWeights(graph, weights);
    return { ...description, graph, weights };
  });
}

/** Reads `model.json` alone. */
export const readModelDescription = async (folder: string): Promise<ModelDescription> =>
  parseDescription(`${folder}/${DESCRIPTION}`, await readFile(folder, DESCRIPTION));

/** Errors of `work` say in which file. */
function naming<T>(file: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw new Error(`${file}: ${(error as Error).message}`);
  }
}

/** Writes a model folder, whole files at a time. */
export async function writeModelFolder(
  folder: string,
  description: ModelDescription,
  weights: Weights,
): Promise<void> {
  await Deno.mkdir(folder, { recursive: true });
  replaceFile(`${folder}/${WEIGHTS}`, writeSafetensors(weights));
  writeDescription(folder, description);
}

/** Writes `model.json` alone: the ranges of an audit beside weights that stay. */
export function writeDescription(
  folder: string,
  { model, classes, activation, ranges, classNames }: ModelDescription,
): void {
  const description = { model, classes, activation, ranges, classNames };
  replaceFile(`${folder}/${DESCRIPTION}`, JSON.stringify(description, null, 2) + "\n");
}

async function readFile(folder: string, name: string): Promise<Uint8Array> {
  try {
    return await Deno.readFile(`${folder}/${name}`);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory) {
      throw new Error(
        `${folder} is not a model folder: ${name} is missing; leave out --weights for seeded random weights`,
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
  const { model, classes, activation, ranges, classNames } = (value ?? {}) as Record<string, unknown>;
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
  return {
    model,
    classes: classes as number,
    activation,
    ...(ranges === undefined ? {} : { ranges }),
    ...(classNames === undefined ? {} : { classNames }),
  };
}

const isNames = (value: unknown, count: number): value is string[] =>
  Array.isArray(value) && value.length === count && value.every((name) => typeof name === "string");

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
