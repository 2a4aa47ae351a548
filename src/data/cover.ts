/**
 * A picture brought to the size of a network: scaled until it covers that size, and cropped to its centre. Scaling is
 * linear with a filter as wide as the step between the pixels it leaves (as `Resize` of torchvision and PIL do), so that
 * nothing is skipped; a picture that needs none keeps its values.
 */
import type { Picture } from "./decode_image.ts";

/** RGB bytes [height][width][3] of the picture at that size. */
export function cover(picture: Picture, height: number, width: number): Uint8Array {
  const scale = Math.max(width / picture.width, height / picture.height);
  const across = taps(picture.width, width, scale), down = taps(picture.height, height, scale);
  const out = new Uint8Array(height * width * 3), rows = new Map<number, Float32Array>();
  for (const [y, { first, weights }] of down.entries()) {
    const sum = new Float64Array(width * 3);
    for (const [i, weight] of weights.entries()) {
      const source = first + i, row = rows.get(source) ?? filterRow(picture, source, across);
      rows.set(source, row);
      for (let x = 0; x < sum.length; x++) sum[x] += weight * row[x];
    }
    for (const source of rows.keys()) if (source < first) rows.delete(source);
    for (let x = 0; x < sum.length; x++) out[y * width * 3 + x] = Math.round(sum[x]);
  }
  return out;
}

/** What one pixel is made of: neighbouring pixels from `first` on, by weights of sum 1. */
interface Taps {
  readonly first: number;
  readonly weights: readonly number[];
}

function taps(from: number, to: number, scale: number): Taps[] {
  const step = 1 / scale, reach = Math.max(1, step), margin = (from - to * step) / 2;
  // Whole pixels where nothing is scaled.
  const start = scale === 1 ? Math.floor(margin) : margin;
  return Array.from({ length: to }, (_, i) => {
    const centre = start + (i + 0.5) * step - 0.5;
    const first = Math.max(0, Math.ceil(centre - reach)),
      last = Math.min(from - 1, Math.floor(centre + reach));
    const weights = Array.from(
      { length: last - first + 1 },
      (_, j) => Math.max(0, 1 - Math.abs(first + j - centre) / reach),
    );
    const total = weights.reduce((sum, weight) => sum + weight, 0);
    return { first, weights: weights.map((weight) => weight / total) };
  });
}

function filterRow({ width, rgb }: Picture, y: number, across: readonly Taps[]): Float32Array {
  const row = new Float32Array(across.length * 3);
  for (const [x, { first, weights }] of across.entries()) {
    for (let channel = 0; channel < 3; channel++) {
      let sum = 0;
      for (const [i, weight] of weights.entries()) {
        sum += weight * rgb[(y * width + first + i) * 3 + channel];
      }
      row[x * 3 + channel] = sum;
    }
  }
  return row;
}
