/** An image file as the input of a network: decoded by canvas, normalised as in training. */
import { createCanvas, loadImage } from "canvas";
import type { Shape } from "../models/graph.ts";

/** Per-channel mean and deviation of pixel values in [0, 1]. */
export interface Normalisation {
  readonly mean: readonly number[];
  readonly deviation: readonly number[];
}

/** CIFAR-10, and used for CIFAR-100 as well by the paper's code. */
export const CIFAR: Normalisation = { mean: [0.4914, 0.4822, 0.4465], deviation: [0.2023, 0.1994, 0.2010] };
export const IMAGENET: Normalisation = { mean: [0.485, 0.456, 0.406], deviation: [0.229, 0.224, 0.225] };

/** Normalised NHWC floats of an image file, whose size must be that of `shape`. */
export async function readImage(path: string, [height, width]: Shape): Promise<Float32Array> {
  let bytes: Uint8Array<ArrayBuffer>;
  try {
    bytes = await Deno.readFile(path);
  } catch (error) {
    throw new Error(`cannot read the image ${path}: ${(error as Error).message}`);
  }
  const image = await loadImage(bytes).catch(() => {
    throw new Error(`${path} is not an image that can be decoded (PNG, JPEG, WebP, GIF or AVIF)`);
  });
  if (image.width !== width || image.height !== height) {
    throw new Error(
      `${path} has ${image.width} x ${image.height} pixels, the network takes ${width} x ${height}; resize it first`,
    );
  }
  const context = createCanvas(width, height).getContext("2d");
  context.drawImage(image, 0, 0);
  return normalise(context.getImageData(0, 0, width, height).data, height === 224 ? IMAGENET : CIFAR);
}

/** RGBA bytes to normalised RGB floats. */
export function normalise(rgba: ArrayLike<number>, { mean, deviation }: Normalisation): Float32Array {
  const out = new Float32Array(rgba.length / 4 * 3);
  for (let i = 0; i < out.length; i++) {
    const channel = i % 3;
    out[i] = (rgba[(i - channel) / 3 * 4 + channel]! / 255 - mean[channel]!) / deviation[channel]!;
  }
  return out;
}
