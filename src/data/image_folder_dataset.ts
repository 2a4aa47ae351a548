/**
 * Images in the layout of ImageNet: `DIR/train/<class>/*` and `DIR/val/<class>/*`. The whole set is decoded
 * into memory, which suits small sets; training crops are taken from the scaled images.
 */
import type { Shape } from "../models/graph.ts";
import { SeededRandom } from "../models/seeded_random.ts";
import { type Dataset, normalisationOf, type Split } from "./dataset.ts";
import { readPixels } from "./image_file.ts";

const MAX_BYTES = 2 ** 31;
const IMAGE_NAME = /\.(jpe?g|png|webp)$/i;

interface LabelledFile {
  readonly path: string;
  readonly label: number;
}

/** How many images are taken; all of them where it is left out. */
export interface Limit {
  readonly train?: number | undefined;
  readonly test?: number | undefined;
}

/**
 * Reads an image folder. Classes are the folders below `train` sorted by name; images are scaled until they
 * cover `shape` and cropped to their centre. The files of a split are put in a fixed random order, so that its
 * first or last part holds all classes.
 *
 * @throws {Error} one sentence: a folder is missing or empty, a class is not in `train`, an image cannot be
 *   decoded, or a split would take more than 2 GiB
 */
export async function readImageFolder(folder: string, shape: Shape, limit: Limit = {}): Promise<Dataset> {
  const classes = await namesIn(`${folder}/train`, "isDirectory");
  const train = await listFiles(`${folder}/train`, classes, limit.train);
  const test = await listFiles(`${folder}/val`, classes, limit.test);
  return {
    name: "folder",
    classes: classes.length,
    shape,
    ...normalisationOf(shape),
    train: await decodeAll(train, shape),
    test: await decodeAll(test, shape),
  };
}

async function listFiles(split: string, classes: readonly string[], limit?: number): Promise<LabelledFile[]> {
  const files: LabelledFile[] = [];
  for (const name of await namesIn(split, "isDirectory")) {
    const label = classes.indexOf(name);
    if (label < 0) throw new Error(`${split}/${name} is a class that the train folder lacks`);
    for (const file of await namesIn(`${split}/${name}`, "isFile")) {
      if (IMAGE_NAME.test(file)) files.push({ path: `${split}/${name}/${file}`, label });
    }
  }
  if (files.length === 0) throw new Error(`${split} holds no images (<class>/*.jpg, .png or .webp)`);
  return shuffled(files).slice(0, limit);
}

async function namesIn(folder: string, kind: "isFile" | "isDirectory"): Promise<string[]> {
  try {
    const entries = await Array.fromAsync(Deno.readDir(folder));
    return entries.filter((entry) => entry[kind]).map(({ name }) => name).sort();
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory)) throw error;
    throw new Error(
      `${folder} is not there; an image folder has train/<class>/*.jpg and val/<class>/*.jpg; name it by --data DIR`,
    );
  }
}

function shuffled<T>(items: readonly T[]): T[] {
  const random = new SeededRandom(0, "image folder"), out = [...items];
  for (let i = out.length - 1; i > 0; i--) {
    const j = Math.floor(random.uniform(0, i + 1));
    [out[i], out[j]] = [out[j], out[i]];
  }
  return out;
}

async function decodeAll(files: readonly LabelledFile[], shape: Shape): Promise<Split> {
  const [height, width, channels] = shape, size = height * width * channels, count = files.length;
  if (count * size > MAX_BYTES) {
    throw new Error(
      `${count} images of ${height} x ${width} take ${(count * size / 2 ** 30).toFixed(1)} GiB of memory, ` +
        `more than the 2 GiB that are allowed; take fewer images`,
    );
  }
  const images = new Uint8Array(count * size), labels = Uint16Array.from(files, ({ label }) => label);
  for (const [i, { path }] of files.entries()) {
    images.set((await readPixels(path, shape)).pixels, i * size);
  }
  return { count, images, labels };
}
