/** Everything that decides the outcome of a training run, as plain data that can be stored and compared. */
import type { PixelFormat } from "../data/pixel_format.ts";
import { FITTED_RANGE } from "../polynomial/polynomial.ts";
import type { Augmentation } from "./batches.ts";

/** How a network is trained. A preset is a recipe with a name. */
export interface Recipe {
  /** Identifier of the network, see `src/models/zoo.ts`, or the name that a network from elsewhere has in its `graph.json`. */
  readonly model: string;
  /** SHA-256 of that `graph.json`; null: the network is one of ours. */
  readonly graph: string | null;
  /** How a network from elsewhere takes pictures; null: as ours do. */
  readonly pixels: PixelFormat | null;
  /** What takes the place of max pooling; null: it stays. */
  readonly pooling: "average" | null;
  /** Identifier of the data: `cifar10`, `cifar100`, `shapes`, `folder`. */
  readonly dataset: string;
  /** Activation as on the command line, for example `relu` or `poly:4:10` (degree, bits of the coefficients). */
  readonly activation: string;
  readonly epochs: number;
  /** Images a step. */
  readonly batch: number;
  readonly learningRate: number;
  /** The learning rate starts at the fraction `from` and reaches its full value after so many epochs. */
  readonly warmUp: { readonly epochs: number; readonly from: number };
  /** After the warm-up: half a cosine, epoch by epoch, or a line, step by step. */
  readonly schedule: "cosine" | "linear";
  readonly momentum: number;
  /** Nesterov's momentum. */
  readonly nesterov: boolean;
  readonly weightDecay: number;
  /** Whether weight decay also acts on batch norm, and on biases. */
  readonly decayNorms: boolean;
  readonly decayBiases: boolean;
  /** Largest learning rate of 3x3 filters by Muon; null: they are trained like everything else. */
  readonly muon: number | null;
  /** Largest |scale| of a batch norm right before an activation; null: unbounded. */
  readonly scaleCap: number | null;
  /** Bound of activation inputs in training; null: no clip. */
  readonly clip: number | null;
  /** Epochs from the start over which a polynomial takes the place of ReLU, step by step on a line; null: it stands there at once. */
  readonly replacement: number | null;
  readonly penalty: PenaltyRecipe | null;
  readonly labelSmoothing: number;
  /** Largest Euclidean norm of the gradient; null: unbounded. */
  readonly gradientNorm: number | null;
  readonly augment: Augmentation;
  /** Parameters of the beta distributions of MixUp and CutMix; null: off. */
  readonly mixup: number | null;
  readonly cutmix: number | null;
  /** Side in pixels of a square around a random place of each training image that gets the mean colour; null: off. */
  readonly cutout: number | null;
  /** Moving average of the weights, which is what is evaluated and kept; null: the weights themselves. */
  readonly average: { readonly decay: number; readonly everySteps: number } | null;
  /**
   * Part of the epochs, at the end, whose weights are averaged, with batch-norm statistics measured anew; null: none. What is
   * evaluated and kept, as above; not both.
   */
  readonly tailAverage: number | null;
  /** Whether the filters of the first convolution start as the principal directions of the images' patches. */
  readonly whitening: boolean;
  /** Whether the last batch norm of a residual block starts with scale 0, the block as its shortcut. */
  readonly zeroResidual: boolean;
  /** SHA-256 of the weights that training starts from, as they are; null: from the seed, or from a twin. */
  readonly from: string | null;
  /** SHA-256 of the weights of the ReLU twin that training starts from, each activation in a unit of its own; null: it does not. */
  readonly twin: string | null;
  readonly distillation: DistillationRecipe | null;
}

/** What a recipe does that says nothing of these fields: those that were stored before there were such. */
export const PLAIN_FIELDS = {
  from: null,
  graph: null,
  pixels: null,
  pooling: null,
  schedule: "cosine",
  nesterov: false,
  decayBiases: true,
  muon: null,
  scaleCap: null,
  replacement: null,
  cutout: null,
  tailAverage: null,
  whitening: false,
  zeroResidual: false,
  twin: null,
  distillation: null,
} as const satisfies Partial<Recipe>;

/** The penalty on activation inputs (PILLAR, section 4). */
export interface PenaltyRecipe {
  /**
   * beta. It multiplies a sum over the whole batch, so it belongs to the batch size of the recipe: for the
   * same strength at another batch size scale it by old / new.
   */
  readonly coefficient: number;
  /** R: inputs are divided by it before they are raised to the exponent. */
  readonly range: number;
  readonly exponent: number;
  /**
   * "sum" as in the paper; "mean" over the elements of a layer shows how much weaker that is. "hinge": not a power at all but
   * the Euclidean norm of what the inputs have beyond the range, without a gradient inside it.
   */
  readonly reduction: "sum" | "mean" | "hinge";
  readonly warmUp: "paper" | "short" | "none";
}

/** Another network's answers among the targets: see `distillation.ts`. */
export interface DistillationRecipe {
  /** SHA-256 of the weights of the teacher. */
  readonly teacher: string;
  /** Of its answers; the labels have the rest of 1. */
  readonly weight: number;
  /** By which its logits are divided. */
  readonly temperature: number;
}

/** A recipe carried out: the rest of what decides the bits of the result. The number of workers does not. */
export interface Run extends Recipe {
  readonly seed: number;
  readonly engine: string;
  /** Backend of TensorFlow.js; null for engines that have none. */
  readonly backend: string | null;
  /** Whether the last tenth of the training images takes the place of the test images. */
  readonly holdOut: boolean;
  /** Largest number of training images; null: all. */
  readonly limit: number | null;
}

/** A field in which two runs differ. */
export interface Difference {
  /** Path of the field, for example `penalty.coefficient`. */
  readonly field: string;
  readonly first: unknown;
  readonly second: unknown;
}

/** The first field in which two runs differ; undefined if they are the same. */
export function firstDifference(first: unknown, second: unknown, path = ""): Difference | undefined {
  if (!isRecord(first) && !isRecord(second)) {
    return Object.is(first, second) ? undefined : { field: path, first, second };
  }
  // Where one has no such part, the other's first field says what it is better than the whole of it.
  const [a, b] = [first, second].map((part) => isRecord(part) ? part : {});
  for (const key of new Set([...Object.keys(a), ...Object.keys(b)])) {
    const found = firstDifference(a[key], b[key], path === "" ? key : `${path}.${key}`);
    if (found) return found;
  }
  return undefined;
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null;

/** The range that activation inputs should keep: the clip, or [-5, 5] without one. */
export const rangeOf = ({ clip }: Pick<Recipe, "clip">): number => clip ?? FITTED_RANGE;
