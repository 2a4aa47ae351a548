/**
 * Images in the layout of ImageNet: `DIR/train/<class>/*` and `DIR/val/<class>/*`. The whole set is decoded
 * into memory, which suits small sets; training crops are taken from the scaled images.
 */
import type { Shape } from "../models/graph.ts";
import { SeededRandom } from "../models/seeded_random.ts";
import { type Dataset, normalisationOf, type Split } from "./dataset.ts";
import { IMAGE_NAME } from "./decode_image.ts";
import { readPixels } from "./image_file.ts";

const MAX_BYTES = 2 ** 31;

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
 * Reads an image folder. Classes are the folders below `train` sorted by name; images of another size are scaled until they
 * cover `shape` and cropped to its centre. The files of a split are put in a fixed random order, so that its first or last part
 * holds all classes. Nothing is left out without a note.
 *
 * @throws {Error} one sentence: a folder is missing or empty, a class has no images or is not in `train`, an image cannot be
 *   decoded, or a split would take more than 2 GiB
 */
export async function readImageFolder(folder: string, shape: Shape, limit: Limit = {}): Promise<Dataset> {
  const leftOut = new LeftOut();
  const classes = await classesIn(`${folder}/train`, leftOut);
  const { files: trainFiles } = await listFiles(`${folder}/train`, classes, leftOut);
  const { files: testFiles, missing } = await listFiles(`${folder}/val`, classes, leftOut);
  const train = await decodeAll(shuffled(trainFiles).slice(0, limit.train), shape);
  const test = await decodeAll(shuffled(testFiles).slice(0, limit.test), shape);
  const scaled = train.scaled + test.scaled, [height, width] = shape;
  const notes = [
    ...leftOut.notes(folder),
    ...missing.length === 0 ? [] : [`${folder}/val has no images of ${missing.join(", ")}`],
    ...scaled === 0
      ? []
      : [`${scaled} of ${train.count + test.count} images were scaled and cropped to ${width} x ${height}`],
  ];
  return {
    name: "folder",
    classes: classes.length,
    classNames: classes,
    shape,
    ...normalisationOf(shape),
    train: train.split,
    test: test.split,
    notes,
  };
}

/** What is not taken from a folder, by the reason. */
class LeftOut {
  readonly #paths = new Map<string, string[]>();

  add(reason: string, path: string): void {
    const paths = this.#paths.get(reason);
    if (paths) paths.push(path);
    else this.#paths.set(reason, [path]);
  }

  notes(folder: string): string[] {
    return [...this.#paths].map(([reason, paths]) =>
      `left out of ${folder}: ${paths.length} ${reason} (${paths[0].slice(folder.length + 1)}${
        paths.length > 1 ? ", ..." : ""
      })`
    );
  }
}

interface Entry {
  readonly name: string;
  readonly path: string;
  readonly isFile: boolean;
  readonly isDirectory: boolean;
}

/** What lies in a folder, links followed; hidden ones, as systems and editors leave behind, are left out. */
async function entriesIn(folder: string, leftOut: LeftOut): Promise<Entry[]> {
  const entries: Entry[] = [];
  for (const name of await namesIn(folder)) {
    const path = `${folder}/${name}`;
    if (name.startsWith(".")) {
      leftOut.add("hidden", path);
      continue;
    }
    const found = await Deno.stat(path).catch(() => null);
    if (found) entries.push({ name, path, isFile: found.isFile, isDirectory: found.isDirectory });
    else leftOut.add("that cannot be opened", path);
  }
  return entries;
}

async function classesIn(split: string, leftOut: LeftOut): Promise<string[]> {
  const entries = await entriesIn(split, leftOut);
  for (const { path } of entries.filter(({ isDirectory }) => !isDirectory)) {
    leftOut.add("outside the folders of classes", path);
  }
  return entries.filter(({ isDirectory }) => isDirectory).map(({ name }) => name);
}

async function listFiles(
  split: string,
  classes: readonly string[],
  leftOut: LeftOut,
): Promise<{ files: LabelledFile[]; missing: string[] }> {
  const files: LabelledFile[] = [], isTraining = split.endsWith("/train");
  // The training folder's own entries have been looked at.
  for (const name of isTraining ? classes : await classesIn(split, leftOut)) {
    const label = classes.indexOf(name);
    if (label < 0) throw new Error(`${split}/${name} is a class that the train folder lacks`);
    for (const { name: file, path, isFile } of await entriesIn(`${split}/${name}`, leftOut)) {
      if (!isFile) leftOut.add("folders inside a class", path);
      else if (!IMAGE_NAME.test(file)) leftOut.add("not named .png, .jpg, .jpeg or .webp", path);
      else files.push({ path, label });
    }
  }
  if (files.length === 0) throw new Error(`${split} holds no images (<class>/*.jpg, .png or .webp)`);
  const present = new Set(files.map(({ label }) => label));
  const missing = classes.filter((_, label) => !present.has(label));
  if (isTraining && missing.length > 0) {
    throw new Error(
      `${split}/${missing[0]} holds no images, yet would count as a class; remove it, or put images there`,
    );
  }
  return { files, missing };
}

async function namesIn(folder: string): Promise<string[]> {
  try {
    return (await Array.fromAsync(Deno.readDir(folder), ({ name }) => name)).sort();
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

/** The images of a split, and how many of them were scaled. */
async function decodeAll(
  files: readonly LabelledFile[],
  shape: Shape,
): Promise<{ split: Split; count: number; scaled: number }> {
  const [height, width, channels] = shape, size = height * width * channels, count = files.length;
  if (count * size > MAX_BYTES) {
    throw new Error(
      `${count} images of ${height} x ${width} take ${(count * size / 2 ** 30).toFixed(1)} GiB of memory, ` +
        `more than the 2 GiB that are allowed; take fewer images`,
    );
  }
  const images = new Uint8Array(count * size), labels = Uint16Array.from(files, ({ label }) => label);
  let scaled = 0;
  for (const [i, { path }] of files.entries()) {
    const { pixels, scaledFrom } = await readPixels(path, shape);
    images.set(pixels, i * size);
    if (scaledFrom !== null) scaled++;
  }
  return { split: { count, images, labels }, count, scaled };
}
