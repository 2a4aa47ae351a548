/** PNG files whose bytes a test decides: canvas premultiplies alpha, and writes neither palettes nor 16 bits. */
import { crc32, deflateSync } from "node:zlib";

/** Colour types of the PNG specification. */
export const GREY = 0, RGB = 2, PALETTE = 3, GREY_ALPHA = 4, RGBA = 6;

export interface PngOptions {
  readonly width: number;
  readonly height: number;
  readonly colour: number;
  readonly bits?: number;
  /** Samples row by row, as bytes. */
  readonly samples: ArrayLike<number>;
  /** Parts before the pixels, for example `["gAMA", [0, 0, 0x27, 0x10]]`. */
  readonly parts?: readonly (readonly [type: string, data: readonly number[]])[];
}

export function png({ width, height, colour, bits = 8, samples, parts = [] }: PngOptions): Uint8Array {
  const header = new Uint8Array(13), view = new DataView(header.buffer), row = samples.length / height;
  view.setUint32(0, width);
  view.setUint32(4, height);
  header.set([bits, colour], 8);
  // Every row begins with its filter: none.
  const rows = new Uint8Array(height * (row + 1));
  for (let y = 0; y < height; y++) {
    rows.set(Array.from(samples).slice(y * row, (y + 1) * row), y * (row + 1) + 1);
  }
  return joined([
    Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a),
    part("IHDR", header),
    ...parts.map(([type, data]) => part(type, Uint8Array.from(data))),
    part("IDAT", new Uint8Array(deflateSync(rows))),
    part("IEND", new Uint8Array()),
  ]);
}

function part(type: string, data: Uint8Array): Uint8Array {
  const out = new Uint8Array(12 + data.length), view = new DataView(out.buffer);
  view.setUint32(0, data.length);
  out.set(new TextEncoder().encode(type), 4);
  out.set(data, 8);
  view.setUint32(8 + data.length, crc32(out.subarray(4, 8 + data.length)));
  return out;
}

export function joined(pieces: readonly Uint8Array[]): Uint8Array {
  const out = new Uint8Array(pieces.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const piece of pieces) {
    out.set(piece, at);
    at += piece.length;
  }
  return out;
}
