/** Model folders, sound or spoilt in one way. */
import { writeModelFolder } from "../../src/data/model_folder.ts";
import type { Activation, FloatTensor } from "../../src/models/graph.ts";
import type { Ranges } from "../../src/models/ranges.ts";
import { randomWeights } from "../../src/models/weights.ts";
import { buildModel } from "../../src/models/zoo.ts";
import { QUARTIC } from "../../src/polynomial/polynomial.ts";

export interface FolderOptions {
  readonly activation?: Activation;
  readonly ranges?: Ranges;
  /** Changes the weights before they are written. */
  readonly change?: (weights: Map<string, FloatTensor>) => void;
}

const WEIGHTS = randomWeights(buildModel("convnet"), 1, QUARTIC);

/** Writes a folder with random weights of `convnet`. */
export async function writeFolder(
  folder: string,
  { activation = QUARTIC, ranges, change }: FolderOptions = {},
): Promise<void> {
  const weights = new Map(
    [...WEIGHTS].map(([name, { shape, data }]) => [name, { shape, data: data.slice() }]),
  );
  change?.(weights);
  await writeModelFolder(folder, {
    model: "convnet",
    classes: 10,
    activation,
    ...(ranges ? { ranges } : {}),
  }, weights);
}
