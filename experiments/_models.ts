/** The trained networks that are shipped under `results/models/`, and images to ask them about. */
import { openDataset, type Split } from "../mod.ts";
import { isThere, sweepDataset } from "./_train.ts";

export const MODELS_FOLDER = "results/models";

/** A folder with `model.json`, `weights.safetensors` and `training.json`. */
export interface ShippedModel {
  readonly folder: string;
  readonly name: string;
  readonly model: string;
  readonly dataset: string;
  /** As on the command line: `relu`, `poly:4:10`. */
  readonly activation: string;
  readonly epochs: number;
  readonly trainingSeed: number;
}

/** The models whose test images are there: all, `shapes` alone without CIFAR-10. */
export function shippedModels(folder = MODELS_FOLDER): ShippedModel[] {
  let names: string[];
  try {
    names = Array.from(Deno.readDirSync(folder), ({ name }) => name).sort();
  } catch {
    return [];
  }
  return names.filter((name) => isThere(`${folder}/${name}/training.json`))
    .map((name) => describe(name, `${folder}/${name}`))
    .filter(({ dataset }) => dataset === "shapes" || dataset === sweepDataset());
}

function describe(name: string, folder: string): ShippedModel {
  const { model, dataset, activation, epochs, seed } =
    JSON.parse(Deno.readTextFileSync(`${folder}/training.json`)).run;
  return { folder, name, model, dataset, activation, epochs, trainingSeed: seed };
}

/** The first test images, normalised as a network takes them, and their classes. */
export async function testImages(
  dataset: string,
  count: number,
): Promise<{ images: Float32Array[]; labels: number[] }> {
  const { test, mean, deviation } = await openDataset(dataset), size = test.images.length / test.count;
  return {
    images: Array.from(
      { length: Math.min(count, test.count) },
      (_, i) => imageOf(test, i, size, mean, deviation),
    ),
    labels: [...test.labels.subarray(0, count)],
  };
}

function imageOf(
  { images }: Split,
  index: number,
  size: number,
  mean: readonly number[],
  deviation: readonly number[],
): Float32Array {
  const channels = mean.length;
  return Float32Array.from(
    images.subarray(index * size, (index + 1) * size),
    (value, i) => (value / 255 - mean[i % channels]!) / deviation[i % channels]!,
  );
}
