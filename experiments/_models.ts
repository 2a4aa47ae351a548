/** The trained networks that are shipped under `results/models/`, and images to ask them about. */
import { isThere } from "../src/files/is_there.ts";
import { sha256 } from "../src/files/sha256.ts";
import { PLAIN_FIELDS } from "../src/training/recipe.ts";
import { ACTIVATION_PROTOCOLS, openDataset } from "../mod.ts";
import { RANGE } from "./_train.ts";

const MODELS_FOLDER = "results/models";

/** A folder with `model.json`, `weights.safetensors` and `training.json`, as `deno task publish` writes it. */
export interface ShippedModel {
  readonly folder: string;
  readonly name: string;
  readonly model: string;
  readonly dataset: string;
  /** As on the command line: `relu`, `poly:4:10`. */
  readonly activation: string;
  readonly epochs: number;
  readonly trainingSeed: number;
  /** Every setting of its training. */
  readonly run: Readonly<Record<string, unknown>>;
}

/** Where the test images of a dataset lie, if it is not drawn. */
const TEST_FILES: Readonly<Record<string, readonly string[]>> = {
  cifar10: ["data/cifar-10-batches-bin/test_batch.bin", "data/test_batch.bin"],
  cifar100: ["data/cifar-100-binary/test.bin", "data/test.bin"],
};

/** The shipped networks in the order of their names, whether or not they can be measured here: see {@linkcode lackOf}. */
export function shippedModels(folder = MODELS_FOLDER): ShippedModel[] {
  let names: string[];
  try {
    names = Array.from(Deno.readDirSync(folder), ({ name }) => name).sort();
  } catch {
    return [];
  }
  return names.filter((name) => isThere(`${folder}/${name}/training.json`))
    .map((name) => describe(name, `${folder}/${name}`));
}

function describe(name: string, folder: string): ShippedModel {
  const { run } = JSON.parse(Deno.readTextFileSync(`${folder}/training.json`));
  const { model, dataset, activation, epochs, seed } = run;
  return { folder, name, model, dataset, activation, epochs, trainingSeed: seed, run };
}

/**
 * The first network of each value of `by`, one whose ranges were audited before one whose scales are for any. Networks trained on
 * drawn shapes are for first steps.
 */
export function samplesOf<T>(model: string, by: (one: ShippedModel) => T): ShippedModel[] {
  const samples = new Map<T, ShippedModel>();
  const isSample = (one: ShippedModel) =>
    one.model === model && one.dataset !== "shapes" && lackOf(one) === undefined;
  for (const shipped of shippedModels().filter(isSample)) {
    const known = samples.get(by(shipped));
    if (!known || (!hasRanges(known) && hasRanges(shipped))) samples.set(by(shipped), shipped);
  }
  return [...samples.values()];
}

/** What a measurement of the network lacks here and how to get it, if it lacks anything: its weights, or its test images. */
export function lackOf(shipped: ShippedModel): string | undefined {
  const { folder, dataset } = shipped, files = TEST_FILES[dataset];
  if (!isThere(weightsOf(folder))) {
    return `the weights of ${folder} are not there; this makes them: ${madeBy(shipped)}`;
  }
  const hasImages = files === undefined ? dataset === "shapes" : files.some(isThere);
  return hasImages
    ? undefined
    : `the test images of ${dataset} are not in data/; this gets them: deno task data --get ${dataset}`;
}

/** The commands that make the weights, to the last bit. */
export function madeBy(shipped: ShippedModel): string {
  const { folder, name, dataset } = shipped, out = `runs/${name}`;
  return [
    `deno task train --repeat ${folder} --out ${out}`,
    ...isHalved(folder) ? [`deno task publish --weights ${out}`] : [],
    // What is published has no ranges yet.
    ...isHalved(folder) && hasRanges(shipped)
      ? [`deno task audit --weights ${folder} --dataset ${dataset} --write`]
      : [],
  ].join(" && ");
}

const weightsOf = (folder: string) => `${folder}/weights.safetensors`;

/** Whether publishing rounded the weights, which it does to large ones. Only large ones do not ship. */
function isHalved(folder: string): boolean {
  if (!isThere(weightsOf(folder))) return true;
  // A safetensors file begins with the length of its header, which names the type of each tensor.
  const file = Deno.readFileSync(weightsOf(folder)),
    header = Number(new DataView(file.buffer).getBigUint64(0, true));
  return new TextDecoder().decode(file.subarray(8, 8 + header)).includes('"F16"');
}

/** Whether an audit has said how large inputs and logits get. */
export const hasRanges = ({ folder }: ShippedModel): boolean =>
  JSON.parse(Deno.readTextFileSync(`${folder}/model.json`)).ranges !== undefined;

/**
 * The settings of a training, with those that it was stored before; of other networks that it began with or was taught by only that
 * there were such, since theirs differ from seed to seed.
 */
function settingsOf({ run }: ShippedModel): Record<string, unknown> {
  const settings: Record<string, unknown> = { ...PLAIN_FIELDS, ...run };
  const distillation = settings["distillation"] as Record<string, unknown> | null;
  return {
    ...settings,
    from: settings["from"] !== null,
    twin: settings["twin"] !== null,
    distillation: distillation && { ...distillation, teacher: true },
  };
}

/** Names the settings of a training apart from its seed: trainings that have it in common are runs of one recipe. */
export async function recipeDigest(shipped: ShippedModel): Promise<string> {
  const { seed: _, ...recipe } = settingsOf(shipped);
  const text = JSON.stringify(Object.entries(recipe).sort(([a], [b]) => a < b ? -1 : 1));
  return (await sha256(text)).slice(0, 12);
}

/**
 * The network with ReLU in the place of the activation: same network, data, epochs and seed. Of several the one whose other settings
 * differ least; undefined where none ships.
 */
export function reluTwinOf(one: ShippedModel, all: readonly ShippedModel[]): ShippedModel | undefined {
  const own = settingsOf(one);
  const differences = (other: ShippedModel) => {
    const settings = settingsOf(other);
    return Object.keys(own).filter((key) => JSON.stringify(settings[key]) !== JSON.stringify(own[key]))
      .length;
  };
  return all.filter((other) =>
    other.activation === "relu" && other.model === one.model && other.dataset === one.dataset &&
    other.epochs === one.epochs && other.trainingSeed === one.trainingSeed
  ).sort((a, b) => differences(a) - differences(b))[0];
}

/** What an activation is, as figures and claims tell them apart. */
export type Kind = "relu" | "polynomial" | "trigonometric";

/** Undefined for what no protocol computes. */
export function kindOf(activation: string): Kind | undefined {
  if (activation === "relu") return "relu";
  if (activation.startsWith("trig:")) return "trigonometric";
  return activation === "sigmoid:exact" ? undefined : "polynomial";
}

/** An activation and what keeps its inputs in range, in words. */
export function methodOf({ activation, run }: ShippedModel): string {
  const kind = kindOf(activation);
  if (kind !== "polynomial") return kind === "relu" ? "ReLU" : "trigonometric";
  if (activation === "hermite") return "AESPA";
  const { reduction } = (run["penalty"] ?? {}) as { reduction?: string };
  return reduction === undefined
    ? "polynomial"
    : reduction === "hinge"
    ? "polynomial, hinge"
    : "polynomial, PILLAR";
}

/** Protocols by the kind of activation that they compute, the one to use first. */
const PROTOCOLS: Readonly<Record<Kind, readonly string[]>> = {
  relu: ["relu"],
  polynomial: ["lifted", "honeybadger", "espn"],
  trigonometric: ["trigonometric"],
};

/** The protocols that compute an activation, of those that there are. */
export function protocolsOf(activation: string): string[] {
  const kind = kindOf(activation), known = ACTIVATION_PROTOCOLS.map(({ name }) => name);
  return kind === undefined ? [] : PROTOCOLS[kind].filter((name) => known.includes(name));
}

/** Size of an input up to which an activation is what it was made for: where a polynomial was fitted, half a wave; null: any. */
export function fittedRangeOf(activation: string): number | null {
  const kind = kindOf(activation);
  if (kind === "trigonometric") return Number(activation.split(":")[1]) / 2;
  return kind === "polynomial" && activation !== "hermite" ? RANGE : null;
}

/** The first test images, normalised as a network takes them, and their classes. */
export async function testImages(
  dataset: string,
  count: number,
): Promise<{ images: Float32Array[]; labels: number[] }> {
  const { test, mean, deviation } = await openDataset(dataset), size = test.images.length / test.count;
  const numbers = Array.from({ length: Math.min(count, test.count) }, (_, i) => i), channels = mean.length;
  const imageAt = (i: number) =>
    Float32Array.from(
      test.images.subarray(i * size, (i + 1) * size),
      (value, at) => (value / 255 - mean[at % channels]) / deviation[at % channels],
    );
  return { images: numbers.map(imageAt), labels: [...test.labels.subarray(0, count)] };
}
