/** Datasets by the names that the command line knows. */
import type { Shape } from "../models/graph.ts";
import { CIFAR_SETS, readCifar } from "./cifar.ts";
import { type Dataset, sliceSplit, type Split } from "./dataset.ts";
import type { Limit } from "./image_folder_dataset.ts";
import { decodedShape, inFormat, type PixelFormat } from "./pixel_format.ts";
import { shapesDataset } from "./shapes.ts";

export const DATASET_NAMES = ["cifar10", "cifar100", "shapes", "folder"] as const;

/** How a dataset is opened. */
export interface OpenOptions {
  /** Where the files lie (`cifar10`, `cifar100`, `folder`). */
  readonly folder?: string | undefined;
  /** Seed of `shapes`. */
  readonly seed?: number | undefined;
  /** Only the first images; for `shapes` the numbers that are drawn. */
  readonly limit?: Limit | undefined;
  /** Size that the images of `folder` are brought to; 224 x 224 if left out. */
  readonly shape?: Shape | undefined;
  /** How the network takes pictures; as ours do if left out. */
  readonly pixels?: PixelFormat | undefined;
  /** Number of classes that the dataset must have. */
  readonly classes?: number | undefined;
}

/**
 * Opens a dataset.
 *
 * @throws {Error} one sentence with what to do: an unknown name, a missing or damaged file, a dataset that
 *   does not have the shape or the classes asked for
 *
 * @example
 * ```ts
 * import { openDataset } from "./open_dataset.ts";
 *
 * const { classes, shape, train } = await openDataset("shapes", { limit: { train: 100, test: 20 } });
 * console.log(classes, shape, train.count); // 10 [ 32, 32, 3 ] 100
 * ```
 */
export async function openDataset(name: string, options: OpenOptions = {}): Promise<Dataset> {
  const { shape, classes, pixels } = options, found = await read(name, options);
  const dataset = pixels === undefined ? found : inFormat(found, pixels);
  if (shape && shape.join() !== dataset.shape.join()) {
    throw new Error(`${name} has images of ${dataset.shape.join(" x ")}, not of ${shape.join(" x ")}`);
  }
  if (classes !== undefined && classes !== dataset.classes) {
    throw new Error(`${name} has ${dataset.classes} classes, not ${classes}`);
  }
  return dataset;
}

async function read(name: string, options: OpenOptions): Promise<Dataset> {
  const { folder, seed, limit = {}, shape = [224, 224, 3] } = options;
  if (name === "shapes") {
    if (folder !== undefined) throw new Error("shapes are drawn, not read: leave out --data");
    return shapesDataset({ seed, ...limit });
  }
  if (name === "folder") {
    if (folder === undefined) throw new Error("an image folder needs its place: --data DIR");
    // Loaded here only, since it brings the image decoder with it.
    const { readImageFolder } = await import("./image_folder_dataset.ts");
    return await readImageFolder(folder, decodedShape(shape), limit);
  }
  const set = CIFAR_SETS.find((set) => set.name === name);
  if (!set) throw new RangeError(`unknown dataset "${name}"; known datasets: ${DATASET_NAMES.join(", ")}`);
  const dataset = await readCifar(set, folder);
  return { ...dataset, train: first(dataset.train, limit.train), test: first(dataset.test, limit.test) };
}

const first = (split: Split, count = split.count) => sliceSplit(split, 0, Math.min(count, split.count));
