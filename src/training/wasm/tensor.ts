/** Tensors of a training step, in the memory of a shard. */
import type { Shape } from "../../models/graph.ts";

/** A batch of images in memory, NHWC, perhaps with a zero border around each. */
export interface Tensor {
  /** Address of the buffer, border included. */
  readonly base: number;
  /** Address of the first element inside the border. */
  readonly at: number;
  /** Bytes from row to row and from image to image. */
  readonly row: number;
  readonly image: number;
  readonly shape: Shape;
  readonly border: number;
}

/** Images `first` ... `first + count - 1` of a shard: what a step is run for at a time. */
export interface Images {
  readonly first: number;
  readonly count: number;
}

/** Byte steps of images of a shape with a border. */
export function stepsOf([height, width, channels]: Shape, border: number) {
  const row = (width + 2 * border) * channels * 4;
  return { row, image: (height + 2 * border) * row };
}

/** Address of an image, border included. */
export const imageAt = ({ base, image }: Tensor, index: number): number => base + index * image;

/** The loops over tensors of one shape: a single long row if none has a border. */
export function extent(images: number, ...tensors: readonly Tensor[]) {
  const [height, width, channels] = tensors[0].shape, row = width * channels;
  return tensors.every(({ border }) => border === 0)
    ? { images: 1, rows: 1, floats: images * height * row }
    : { images, rows: height, floats: row };
}

/** Least common multiple of 4 and the channels: tables repeat the entries of channels up to this length. */
export const periodOf = (channels: number): number =>
  channels * (channels % 4 === 0 ? 1 : channels % 2 === 0 ? 2 : 4);
