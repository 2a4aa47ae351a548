/** Many images to classify, with the names by which an answer is told apart: those of a folder, or of one file. */
import type { Shape } from "../models/graph.ts";
import { readImageList } from "./image_list.ts";
import { ownFormat, type PixelFormat } from "./pixel_format.ts";

export interface NamedImages {
  readonly images: readonly Float32Array[];
  readonly names: readonly string[];
  /** How many there are in all, those beyond the limit included. */
  readonly available: number;
  /** What was left out of a folder or done to its images, in sentences. */
  readonly notes: readonly string[];
}

/**
 * The image files of a folder in the order of their names, or the images of a file as `image_list.ts` has them, by number.
 *
 * @throws {Error} one sentence that names what cannot be read, or a folder without images
 */
export async function readNamedImages(
  path: string,
  shape: Shape,
  { pixels = () => ownFormat(shape), limit }: {
    readonly pixels?: () => PixelFormat | Promise<PixelFormat>;
    /** The first so many; all of them if left out. */
    readonly limit?: number | undefined;
  } = {},
): Promise<NamedImages> {
  const isFolder = await Deno.stat(path).then(({ isDirectory }) => isDirectory, () => false);
  if (isFolder) return await imagesOfFolder(path, shape, await pixels(), limit);
  const all = await readImageList(path, shape), images = all.slice(0, limit);
  return { images, names: images.map((_, i) => String(i)), available: all.length, notes: [] };
}

async function imagesOfFolder(
  folder: string,
  shape: Shape,
  format: PixelFormat,
  limit: number | undefined,
): Promise<NamedImages> {
  // The decoders are loaded only when there is something to decode.
  const { IMAGE_NAME } = await import("./decode_image.ts"), { readImage } = await import("./image_file.ts");
  // Hidden files are what systems and editors leave behind.
  const entries = (await Array.fromAsync(Deno.readDir(folder))).filter(({ name }) => !name.startsWith("."));
  const all = entries.map(({ name }) => name).filter((name) => IMAGE_NAME.test(name)).sort();
  if (all.length === 0) {
    throw new Error(`${folder} holds no images; they must be named .png, .jpg, .jpeg or .webp`);
  }
  const names = all.slice(0, limit), images: Float32Array[] = [], [height, width] = shape;
  let scaled = 0;
  for (const name of names) {
    const { pixels, scaledFrom } = await readImage(`${folder}/${name}`, shape, format);
    images.push(pixels);
    if (scaledFrom !== null) scaled++;
  }
  const others = entries.length - all.length;
  return {
    images,
    names,
    available: all.length,
    notes: [
      ...others === 0 ? [] : [`left out of ${folder}: ${others} not named .png, .jpg, .jpeg or .webp`],
      ...scaled === 0
        ? []
        : [`${scaled} of ${names.length} images were scaled and cropped to ${width} x ${height}`],
    ],
  };
}
