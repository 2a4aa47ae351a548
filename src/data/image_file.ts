/** Image files as a network takes them: of its size, normalised as in training. */
import type { Shape } from "../models/graph.ts";
import { cover } from "./cover.ts";
import { normalise } from "./dataset.ts";
import { decodeImage } from "./decode_image.ts";
import { arrange, decodedShape, ownFormat, type PixelFormat } from "./pixel_format.ts";

/** An image at the size of a network. */
export interface FittedImage<T> {
  readonly pixels: T;
  /** `640 x 480` where the file has another size than the network; null: its pixels are those of the file. */
  readonly scaledFrom: string | null;
}

/** Normalised NHWC floats of an image file, scaled to cover `shape` and cropped to its centre where it has another size. */
export async function readImage(
  path: string,
  shape: Shape,
  format: PixelFormat = ownFormat(shape),
): Promise<FittedImage<Float32Array>> {
  const { pixels, scaledFrom } = await readPixels(path, decodedShape(shape));
  return { pixels: normalise(arrange(pixels, format), format), scaledFrom };
}

/** RGB bytes of an image file, scaled to cover `shape` and cropped to its centre where it has another size. */
export async function readPixels(
  path: string,
  [height, width, channels]: Shape,
): Promise<FittedImage<Uint8Array>> {
  if (channels !== 3) throw new RangeError(`images have 3 channels, the shape asked for has ${channels}`);
  const picture = await decodeImage(path);
  if (picture.width === width && picture.height === height) {
    return { pixels: picture.rgb, scaledFrom: null };
  }
  return { pixels: cover(picture, height, width), scaledFrom: `${picture.width} x ${picture.height}` };
}
