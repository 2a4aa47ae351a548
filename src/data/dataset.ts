/** Labelled images as training and evaluation see them, whatever they were read from. */
import type { Shape } from "../models/graph.ts";

/** Labelled images of one size. */
export interface Split {
  readonly count: number;
  /** Pixels [count][height][width][channels], 0...255. */
  readonly images: Uint8Array;
  /** Class of each image, 0...classes - 1. */
  readonly labels: Uint16Array;
}

/** Mean and standard deviation of each channel, as fractions of 255: what is subtracted and divided by. */
export interface Normalisation {
  readonly mean: readonly number[];
  readonly deviation: readonly number[];
}

/** A classification task. The test images are for one final measurement of a run; choices use {@linkcode holdOut}. */
export interface Dataset extends Normalisation {
  /** Identifier as on the command line: `cifar10`, `cifar100`, `shapes`, or `folder`. */
  readonly name: string;
  readonly classes: number;
  readonly shape: Shape;
  readonly train: Split;
  readonly test: Split;
  /** In the order of their numbers, where classes have names. */
  readonly classNames?: readonly string[];
  /** What was left out of a user's folder or changed on the way from it, in sentences. */
  readonly notes?: readonly string[];
}

/** CIFAR-10, and used for CIFAR-100 as well by the paper's code. */
export const CIFAR: Normalisation = { mean: [0.4914, 0.4822, 0.4465], deviation: [0.2023, 0.1994, 0.2010] };
export const IMAGENET: Normalisation = { mean: [0.485, 0.456, 0.406], deviation: [0.229, 0.224, 0.225] };

/**
 * The normalisation of images of a shape. The size decides and nothing else, so that inference, which knows
 * the network but not its training data, does the same as training.
 */
export function normalisationOf([height]: Shape): Normalisation {
  return height === 224 ? IMAGENET : CIFAR;
}

/** Bytes to normalised floats, as a network takes them. */
export function normalise(bytes: ArrayLike<number>, { mean, deviation }: Normalisation): Float32Array {
  const channels = mean.length;
  return Float32Array.from(
    bytes,
    (value, i) => (value / 255 - mean[i % channels]) / deviation[i % channels],
  );
}

/** Images `from`...`to` of a split, without a copy. */
export function sliceSplit(split: Split, from: number, to: number): Split {
  const size = split.images.length / split.count;
  return {
    count: to - from,
    images: split.images.subarray(from * size, to * size),
    labels: split.labels.subarray(from, to),
  };
}

/** The same task with the last `count` training images in place of the test images: for choosing anything. */
export function holdOut(dataset: Dataset, count = Math.floor(dataset.train.count / 10)): Dataset {
  const kept = dataset.train.count - count;
  if (count < 1 || kept < 1) {
    throw new Error(
      `${dataset.train.count} training images are too few to hold some out; take 10 at least`,
    );
  }
  return {
    ...dataset,
    train: sliceSplit(dataset.train, 0, kept),
    test: sliceSplit(dataset.train, kept, dataset.train.count),
  };
}
