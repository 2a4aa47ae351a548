/** How a network that is none of ours was given its pictures: which channels, in which order, and normalised by what. */
import type { Shape } from "../models/graph.ts";
import { type Dataset, type Normalisation, normalisationOf, type Split } from "./dataset.ts";

export const CHANNEL_ORDERS = ["RGB", "BGR", "grey"] as const;

export interface PixelFormat extends Normalisation {
  readonly channels: typeof CHANNEL_ORDERS[number];
}

/** That of our own networks, by their size. */
export const ownFormat = (shape: Shape): PixelFormat => ({ channels: "RGB", ...normalisationOf(shape) });

/** The channels of RGB bytes as a network takes them. */
export function arrange(rgb: Uint8Array, { channels }: PixelFormat): Uint8Array {
  if (channels === "RGB") return rgb;
  if (channels === "BGR") return rgb.map((_, i) => rgb[i + 2 - 2 * (i % 3)]);
  // Luma as PIL and torchvision have it, in their integers (ITU-R 601).
  return Uint8Array.from(
    { length: rgb.length / 3 },
    (_, i) => (19595 * rgb[3 * i] + 38470 * rgb[3 * i + 1] + 7471 * rgb[3 * i + 2] + 0x8000) >> 16,
  );
}

/** The size at which pictures are decoded for a network: they always are RGB first. */
export const decodedShape = ([height, width]: Shape): Shape => [height, width, 3];

/** A data set of RGB pictures in the format of a network. */
export function inFormat(dataset: Dataset, format: PixelFormat): Dataset {
  const [height, width] = dataset.shape, { mean, deviation } = format;
  const split = (split: Split): Split => ({ ...split, images: arrange(split.images, format) });
  return {
    ...dataset,
    mean,
    deviation,
    shape: [height, width, mean.length],
    train: split(dataset.train),
    test: split(dataset.test),
  };
}
