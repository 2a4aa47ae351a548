/** Image files as pixels and as the input of a network: decoded by canvas, normalised as in training. */
import { createCanvas, type Image, loadImage } from "canvas";
import type { Shape } from "../models/graph.ts";
import { type Normalisation, normalisationOf } from "./dataset.ts";

/** Normalised NHWC floats of an image file, whose size must be that of `shape`. */
export async function readImage(path: string, shape: Shape): Promise<Float32Array> {
  const image = await decode(path), [height, width] = shape;
  if (image.width !== width || image.height !== height) {
    throw new Error(
      `${path} has ${image.width} x ${image.height} pixels, the network takes ${width} x ${height}; resize it first`,
    );
  }
  return normalise(coverPixels(image, shape), normalisationOf(shape));
}

/** RGBA bytes of an image file of any size, scaled to cover `shape` and cropped to its centre. */
export async function readPixels(path: string, shape: Shape): Promise<Uint8ClampedArray> {
  return coverPixels(await decode(path), shape);
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

async function decode(path: string): Promise<Image> {
  let bytes: Uint8Array<ArrayBuffer>;
  try {
    bytes = await Deno.readFile(path);
  } catch (error) {
    throw new Error(`cannot read the image ${path}: ${(error as Error).message}`);
  }
  return await loadImage(bytes).catch(() => {
    throw new Error(`${path} is not an image that can be decoded (PNG, JPEG, WebP, GIF or AVIF)`);
  });
}

function coverPixels(image: Image, [height, width]: Shape): Uint8ClampedArray {
  const context = createCanvas(width, height).getContext("2d");
  context.imageSmoothingQuality = "high";
  const scale = Math.max(width / image.width, height / image.height);
  const drawnWidth = image.width * scale, drawnHeight = image.height * scale;
  context.drawImage(image, (width - drawnWidth) / 2, (height - drawnHeight) / 2, drawnWidth, drawnHeight);
  return context.getImageData(0, 0, width, height).data;
}
