/** Many images in one file, as the network takes them: little-endian float32 [count][height][width][channels], normalised. */
import { readFile } from "../files/read_file.ts";
import { type Shape, sizeOf } from "../models/graph.ts";

/** The images of a file, each as long as `shape` says. Throws one sentence that names the file and what is wrong with it. */
export async function readImageList(path: string, shape: Shape): Promise<Float32Array[]> {
  let bytes: Uint8Array<ArrayBuffer>;
  try {
    bytes = await readFile(path);
  } catch (error) {
    throw new Error(`cannot read the images ${path}: ${(error as Error).message}`);
  }
  const size = sizeOf(shape), count = bytes.length / (4 * size);
  if (count === 0 || !Number.isInteger(count)) {
    throw new Error(
      `${path} has ${bytes.length} bytes, not a multiple of ${4 * size}: it must hold float32 images of ` +
        `${shape.join("x")}`,
    );
  }
  const values = new Float32Array(count * size), view = new DataView(bytes.buffer);
  for (let i = 0; i < values.length; i++) values[i] = view.getFloat32(4 * i, true);
  return Array.from({ length: count }, (_, i) => values.subarray(i * size, (i + 1) * size));
}

/** Writes images as {@linkcode readImageList} reads them. */
export async function writeImageList(path: string, images: readonly Float32Array[]): Promise<void> {
  const length = images.reduce((sum, image) => sum + image.length, 0),
    view = new DataView(new ArrayBuffer(4 * length));
  let at = 0;
  for (const image of images) {
    for (const value of image) {
      view.setFloat32(at, value, true);
      at += 4;
    }
  }
  await Deno.writeFile(path, new Uint8Array(view.buffer));
}
