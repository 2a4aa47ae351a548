/**
 * Image files as pixels, by decoders in WebAssembly: a file that means harm stays in their memory. Values are those of the
 * file: no gamma, no colour profile, 16 bits a sample cut to the upper eight. Only the orientation that a camera has
 * written into a JPEG is followed, and what is transparent is laid on white.
 */
import { crc32 } from "node:zlib";
import decodeJpeg, { init as initJpeg } from "@jsquash/jpeg/decode.js";
import decodePng, { init as initPng } from "@jsquash/png/decode.js";
import decodeWebp, { init as initWebp } from "@jsquash/webp/decode.js";
import { imageDimensionsFromData } from "image-dimensions";
import { readFile } from "../files/read_file.ts";
import * as codecs from "./image_codecs.js";

/** Names of the files that are decoded. */
export const IMAGE_NAME = /\.(jpe?g|png|webp)$/i;

/** A decoded image: RGB bytes [height][width][3]. */
export interface Picture {
  readonly width: number;
  readonly height: number;
  readonly rgb: Uint8Array;
}

/** A decoded image takes at most 256 MiB as RGBA. */
const MOST_PIXELS = 2 ** 26;

/** What is transparent shows white, as paper and viewers do. */
const BACKGROUND = 255;

/** Decodes a PNG, JPEG or WebP file; any error is one sentence that names it. */
export async function decodeImage(path: string): Promise<Picture> {
  let bytes: Uint8Array<ArrayBuffer>;
  try {
    bytes = await readFile(path);
  } catch (error) {
    throw new Error(`cannot read the image ${path}: ${(error as Error).message}`);
  }
  const { type = "", width = 0, height = 0 } = imageDimensionsFromData(bytes) ?? {}, decode = DECODERS[type];
  if (!decode) throw new Error(`${path} is not an image that can be decoded (PNG, JPEG or WebP)`);
  if (width * height > MOST_PIXELS) {
    throw new Error(
      `${path} has ${width} x ${height} pixels, more than the ${MOST_PIXELS} that are decoded; make it smaller first`,
    );
  }
  try {
    return onBackground(await decode(bytes));
  } catch (error) {
    const reason = error instanceof DamageError ? error.message : "the decoder gives it up";
    throw new Error(`${path} is damaged: ${reason}`);
  }
}

/** What is wrong with a file, in words for its owner. */
class DamageError extends Error {}

const DECODERS: Readonly<Record<string, (bytes: Uint8Array<ArrayBuffer>) => Promise<ImageData>>> = {
  async png(bytes) {
    checkChunks(bytes);
    await initPng(codecs.png);
    return await decodePng(bytes.buffer);
  },
  async jpeg(bytes) {
    // A decoder of its own for each file: an error leaves one unusable. What it warns about is a picture of which a part is made up.
    const warnings: string[] = [];
    await instantiate(initJpeg, codecs.jpeg, { printErr: (text) => warnings.push(text) });
    const image = await decodeJpeg(bytes.buffer, { preserveOrientation: true }).catch((error) => {
      throw warnings.length > 0 ? new DamageError(warnings[0]) : error;
    });
    const serious = warnings.find((text) => !/extraneous bytes before marker/.test(text));
    if (serious !== undefined) throw new DamageError(serious);
    return image;
  },
  async webp(bytes) {
    await instantiate(initWebp, codecs.webp);
    return await decodeWebp(bytes.buffer);
  },
};

interface ModuleOptions {
  printErr?(text: string): void;
}

/** The packages' own types leave out that `init` takes the compiled module first. */
async function instantiate(
  init: (...args: never[]) => Promise<void>,
  module: WebAssembly.Module,
  options: ModuleOptions = {},
): Promise<void> {
  await (init as (module: WebAssembly.Module, options: ModuleOptions) => Promise<void>)(module, options);
}

/** The decoder of PNG overlooks wrong checksums, and then shows wrong pixels. */
function checkChunks(bytes: Uint8Array): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength), SIGNATURE = 8;
  for (let at = SIGNATURE, type = ""; type !== "IEND";) {
    const length = at + 12 <= bytes.length ? view.getUint32(at) : Infinity, end = at + 8 + length;
    if (end + 4 > bytes.length) throw new DamageError("its end is missing");
    type = String.fromCharCode(...bytes.subarray(at + 4, at + 8));
    if (crc32(bytes.subarray(at + 4, end)) !== view.getUint32(end)) {
      throw new DamageError(`the checksum of its part ${type} is wrong`);
    }
    at = end + 4;
  }
}

function onBackground({ width, height, data }: ImageData): Picture {
  const rgb = new Uint8Array(width * height * 3);
  for (let from = 0, to = 0; from < data.length; from += 4) {
    const alpha = data[from + 3];
    for (let channel = 0; channel < 3; channel++) {
      const value = data[from + channel];
      rgb[to++] = alpha === 255 ? value : Math.round((value * alpha + BACKGROUND * (255 - alpha)) / 255);
    }
  }
  return { width, height, rgb };
}
