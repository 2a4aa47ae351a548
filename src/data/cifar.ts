/**
 * CIFAR-10 and CIFAR-100 in the official binary version. A record is one or two label bytes and the planes
 * red, green, blue of 32 x 32 pixels. Every file is held to its SHA-256 whenever it is read.
 */
import { readFile } from "../files/read_file.ts";
import { sha256 } from "../files/sha256.ts";
import { CIFAR, type Dataset, type Split } from "./dataset.ts";
import { download, type OnProgress } from "./download.ts";
import { shellQuoted } from "./shell_quoted.ts";
import { readTar } from "./tar.ts";

interface CifarFile {
  readonly name: string;
  readonly records: number;
  readonly sha256: string;
}

/** What is known beforehand about one of the two sets. */
export interface CifarSet {
  readonly name: string;
  readonly classes: number;
  /** Folder in the archive. */
  readonly folder: string;
  readonly url: string;
  /** MD5 of the archive, as published. */
  readonly md5: string;
  /** Label bytes at the start of a record; the last one is the class that is learnt. */
  readonly labelBytes: number;
  readonly train: readonly CifarFile[];
  readonly test: readonly CifarFile[];
}

const SHAPE = [32, 32, 3] as const;
const PLANE = 32 * 32, PIXELS = 3 * PLANE;

/** Folder that datasets are kept in unless another is named. */
export const DATA_FOLDER = "data";

export const CIFAR_SETS: readonly CifarSet[] = [
  {
    name: "cifar10",
    classes: 10,
    folder: "cifar-10-batches-bin",
    url: "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
    md5: "c32a1d4ab5d03f1284b67883e8d87530",
    labelBytes: 1,
    train: [
      "cee916563c9f80d84e3cc88e17fdc0941787f1244f00a67874d45b261883ada5",
      "a591ca11fa1708a91ee40f54b3da4784ccd871ecf2137de63f51ada8b3fa57ed",
      "bbe8596564c0f86427f876058170b84dac6670ddf06d79402899d93ceea26f67",
      "014e562d6e23c72197cc727519169a60359f5eccd8945ad5a09d710285ff4e48",
      "755304fc0b379caeae8c14f0dac912fbc7d6cd469eb67a1029a08a39453a9add",
    ].map((sha256, i) => ({ name: `data_batch_${i + 1}.bin`, records: 10_000, sha256 })),
    test: [{
      name: "test_batch.bin",
      records: 10_000,
      sha256: "8e2eb146ae340b09e24670f29cabc6326dba54da8789dab6768acf480273f65b",
    }],
  },
  {
    name: "cifar100",
    classes: 100,
    folder: "cifar-100-binary",
    url: "https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz",
    md5: "03b5dce01913d631647c71ecec9e9cb8",
    labelBytes: 2,
    train: [{
      name: "train.bin",
      records: 50_000,
      sha256: "f31298fc616915fa142368359df1c4ca2ae984d6915ca468b998a5ec6aeebf29",
    }],
    test: [{
      name: "test.bin",
      records: 10_000,
      sha256: "d8b1e6b7b3bee4020055f0699b111f60b1af1e262aeb93a0b659061746f8224a",
    }],
  },
];

/**
 * Reads one of the sets.
 *
 * @param data folder that holds the folder of the archive, or its files themselves
 * @throws {Error} for a missing or damaged file, with the command that gets it
 */
export async function readCifar(set: CifarSet, data = DATA_FOLDER): Promise<Dataset> {
  const folder = await locate(set, data);
  const read = async (files: readonly CifarFile[]) =>
    decode(set, await Promise.all(files.map((file) => readChecked(set, file, folder, data))));
  return {
    name: set.name,
    classes: set.classes,
    shape: SHAPE,
    ...CIFAR,
    train: await read(set.train),
    test: await read(set.test),
  };
}

/** Checks every file of a set and returns the folder where they lie; throws as {@linkcode readCifar} does. */
export async function checkCifar(set: CifarSet, data = DATA_FOLDER): Promise<string> {
  const folder = await locate(set, data);
  for (const file of [...set.train, ...set.test]) await readChecked(set, file, folder, data);
  return folder;
}

/**
 * Downloads a set into `<data>/<folder of the archive>`. It may be interrupted and called again; an archive
 * that was put into `data` by hand is used as it is. The archive is removed in the end.
 *
 * @throws {Error} one sentence that says what went wrong
 */
export async function downloadCifar(
  set: CifarSet,
  data = DATA_FOLDER,
  onProgress?: OnProgress,
): Promise<void> {
  await Deno.mkdir(data, { recursive: true });
  const archive = `${data}/${set.url.split("/").at(-1)}`;
  await download(set.url, archive, set.md5, onProgress);
  await unpack(set, archive, `${data}/${set.folder}`);
  await Deno.remove(archive);
}

async function unpack(set: CifarSet, archive: string, folder: string): Promise<void> {
  const wanted = new Map([...set.train, ...set.test].map((file) => [file.name, file]));
  const file = await Deno.open(archive);
  await Deno.mkdir(folder, { recursive: true });
  try {
    for await (const { name, bytes } of readTar(file.readable.pipeThrough(new DecompressionStream("gzip")))) {
      const known = wanted.get(name.split("/").at(-1)!);
      if (!known) continue;
      const damage = await damageOf(set, known, bytes);
      if (damage) throw new Error(`${name} ${damage}`);
      // Written beside its place and renamed, so that a file under its own name is always whole.
      await Deno.writeFile(`${folder}/${known.name}.part`, bytes);
      await Deno.rename(`${folder}/${known.name}.part`, `${folder}/${known.name}`);
      wanted.delete(known.name);
    }
    if (wanted.size > 0) throw new Error(`it lacks ${[...wanted.keys()].join(", ")}`);
  } catch (error) {
    throw new Error(`cannot unpack ${archive}: ${(error as Error).message}`);
  }
}

/** The folder of the archive within `data`, or `data` itself if the files lie there. */
async function locate(set: CifarSet, data: string): Promise<string> {
  const official = `${data}/${set.folder}`;
  if (await exists(official)) return official;
  return await exists(`${data}/${set.train[0].name}`) ? data : official;
}

const exists = (path: string) => Deno.stat(path).then(() => true, () => false);

async function readChecked(
  set: CifarSet,
  file: CifarFile,
  folder: string,
  data: string,
): Promise<Uint8Array> {
  const path = `${folder}/${file.name}`;
  const fix = `deno task data --get ${set.name}${data === DATA_FOLDER ? "" : ` --data ${shellQuoted(data)}`}`;
  let bytes: Uint8Array<ArrayBuffer>;
  try {
    bytes = await readFile(path);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    throw new Error(`${path} is missing; this gets it: ${fix}`);
  }
  const damage = await damageOf(set, file, bytes);
  if (damage) throw new Error(`${path} ${damage}; this gets it anew: ${fix}`);
  return bytes;
}

/** What is wrong with the bytes of a file, if anything is. */
async function damageOf(
  set: CifarSet,
  { records, sha256: expected }: CifarFile,
  bytes: Uint8Array<ArrayBuffer>,
): Promise<string | undefined> {
  const size = records * (set.labelBytes + PIXELS);
  if (bytes.length !== size) return `has ${bytes.length} bytes instead of ${size}`;
  const actual = await sha256(bytes);
  if (actual !== expected) return `is damaged (its SHA-256 is ${actual})`;
}

/** Records of all files, planes turned into pixels. */
function decode(set: CifarSet, files: readonly Uint8Array[]): Split {
  const record = set.labelBytes + PIXELS;
  const count = files.reduce((sum, { length }) => sum + length, 0) / record;
  const images = new Uint8Array(count * PIXELS), labels = new Uint16Array(count);
  let image = 0, out = 0;
  for (const bytes of files) {
    for (let start = set.labelBytes; start < bytes.length; start += record) {
      labels[image++] = bytes[start - 1];
      for (let red = start; red < start + PLANE; red++) {
        images[out++] = bytes[red];
        images[out++] = bytes[red + PLANE];
        images[out++] = bytes[red + 2 * PLANE];
      }
    }
  }
  return { count, images, labels };
}
