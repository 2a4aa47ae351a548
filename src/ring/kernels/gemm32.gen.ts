/**
 * Products of 32-bit words: i32x4.mul and i32x4.add, vectors over outputs. Two pixels by four vectors is the largest
 * tile whose accumulators, weights and temporaries fit the 15 vector registers that V8 uses (measured: 3 x 3 and
 * 4 x 2 tiles are no faster, 1 x 8 takes twice as long).
 *
 * Where V8 may join vectors side by side to 256 bits (`v8_flags.ts`), it begins at two stores and goes back from there, and
 * gives up where a bounds check stands between the two of a pair. So sums leave a tile by way of a constant address, which has
 * no check, and pairs of weights come from one, from the same base, or are the halves of one vector of 16-bit words. Measured on
 * 64 channels of 32 x 32 pixels, 3 x 3: 0.46 ms, joined 0.30. Not joined: streamed weights of 32 bits, each of which has its check
 * (copied to a constant address first they take twice as long).
 */
import {
  fillPixels,
  PIXEL_BLOCKS,
  PIXELS_PANEL,
  pixelsDriver,
  range,
  type Tile,
  tileName,
  WEIGHTS_PANEL,
  weightsDriver,
  weightsTiles,
} from "./_gemm.ts";
import { TILE_SUMS } from "./_scratch.ts";

/** Vectors and outputs of a weights panel. */
const PANEL_VECTORS = 4, PANEL_LANES = 16;
/** Vectors and outputs that stream by a pixels panel together. */
const STREAM_VECTORS = 2, STREAM_LANES = 8;
const PIXEL_COUNTS = [4, 2, 1];

const pairs = (pixels: number, vectors: number) =>
  range(pixels).flatMap((j) => range(vectors).map((v) => ({ j, v })));

function multiply(
  pixels: number,
  vectors: number,
  weights: (v: number) => string,
  pixel: (j: number) => string,
): string {
  return `{ ${range(vectors).map((v) => `const w${v} = ${weights(v)};`).join(" ")} ${
    range(pixels).map((j) =>
      `{ const b = ${pixel(j)}; ${
        range(vectors).map((v) => `c${j}_${v} = i32x4.add(c${j}_${v}, i32x4.mul(w${v}, b));`).join(" ")
      } }`
    ).join(" ")
  } }`;
}

const zeroSums = (pixels: number, vectors: number): string =>
  pairs(pixels, vectors).map(({ j, v }) => `let c${j}_${v} = i32x4.splat(0);`).join(" ");

/** To y, added to what is there if the tile accumulates. */
function storeSums(pixels: number, vectors: number, accumulates: boolean): string {
  const sums = pairs(pixels, vectors).map(({ j, v }, i) => ({
    offset: 16 * v,
    y: `y${j}`,
    value: `c${j}_${v}`,
    stored: `v128.load(${TILE_SUMS}, ${16 * i})`,
  }));
  return [
    ...sums.map(({ value }, i) => `v128.store(${TILE_SUMS}, ${value}, ${16 * i});`),
    ...sums.map(({ y, offset, stored }) =>
      `v128.store(${y}, ${accumulates ? `i32x4.add(v128.load(${y}, ${offset}), ${stored})` : stored}, ${offset});`
    ),
  ].join(" ");
}

/** `pixels` pixels (1 or 2) against one panel [segments * block][16]. */
function panelTile(tile: Tile, pixels: number): string {
  const lines: string[] = [];
  for (const s of range(tile.segments)) {
    for (const k of range(tile.block)) {
      const first = (s * tile.block + k) * PANEL_VECTORS * 16;
      lines.push(multiply(
        pixels,
        PANEL_VECTORS,
        (v) => `v128.load(${WEIGHTS_PANEL}, ${first + 16 * v})`,
        (j) => `v128.load32_splat(p${j}, ${4 * k})`,
      ));
    }
    if (s < tile.segments - 1) lines.push(range(pixels).map((j) => `p${j} += segmentStep;`).join(" "));
  }
  return `
function tile${tileName(tile)}of${pixels}(${
    range(pixels).map((j) => `p${j}: usize, y${j}: usize, `).join("")
  }segmentStep: usize): void {
  ${zeroSums(pixels, PANEL_VECTORS)}
  ${lines.join("\n  ")}
  ${storeSums(pixels, PANEL_VECTORS, tile.accumulates)}
}`;
}

/** All pixels in pairs; an odd one at the end of each row alone. */
function pixelsLoop(tile: Tile): string {
  return `${panelTile(tile, 2)}${panelTile(tile, 1)}
function pixels${tileName(tile)}(
  x: usize, y: usize, segmentStep: usize, rows: i32, columns: i32, lineStep: usize, pixelStep: usize, outStep: usize,
  outGap: usize
): void {
  for (let row = 0; row < rows; row++) {
    let pixel = x, left = columns;
    for (; left >= 2; left -= 2) {
      tile${tileName(tile)}of2(pixel, y, pixel + pixelStep, y + outStep, segmentStep);
      pixel += 2 * pixelStep;
      y += 2 * outStep;
    }
    if (left) {
      tile${tileName(tile)}of1(pixel, y, segmentStep);
      y += outStep;
    }
    x += lineStep;
    y += outGap;
  }
}`;
}

/** 8 outputs of `pixels` pixels. */
function streamTile(block: number, pixels: number, size: number, accumulates: boolean): string {
  const lines = range(block).map((k) => {
    const pixel = (j: number) => `v128.load32_splat(${PIXELS_PANEL + (k * pixels + j) * 4})`;
    const words = (v: number) => `v128.load(w, ${(k * STREAM_VECTORS + v) * 16})`;
    if (size === 4) return multiply(pixels, STREAM_VECTORS, words, pixel);
    const halves = (v: number) => `i32x4.extend_${["low", "high"][v]}_i16x8_s(both)`;
    return `{ const both = v128.load(w, ${k * 16}); ${multiply(pixels, STREAM_VECTORS, halves, pixel)} }`;
  });
  return `
function stream${block}x${pixels}s${size}${
    accumulates ? "Add" : ""
  }(w: usize, y0: usize, outStep: usize): void {
  ${range(pixels).slice(1).map((j) => `const y${j} = y${j - 1} + outStep;`).join(" ")}
  ${zeroSums(pixels, STREAM_VECTORS)}
  ${lines.join("\n  ")}
  ${storeSums(pixels, STREAM_VECTORS, accumulates)}
}`;
}

/** Fills the panel from weights of 4 or 2 bytes. */
const WIDEN = `
function widen4(w: usize, words: i32): void {
  memory.copy(${WEIGHTS_PANEL}, w, <usize>words * 4);
}
function widen2(w: usize, words: i32): void {
  let to: usize = ${WEIGHTS_PANEL};
  for (const end = w + <usize>words * 2; w < end; w += 32) {
    ${range(4).map((i) => `v128.store(to, v128.load16x4_s(w, ${8 * i}), ${16 * i});`).join(" ")}
    to += 64;
  }
}`;

export default function source(): string {
  const parts = ["// asc: -O0", WIDEN, ...weightsTiles().map(pixelsLoop), weightsDriver(32, PANEL_LANES)];
  for (const block of PIXEL_BLOCKS) {
    parts.push(...PIXEL_COUNTS.map((pixels) => fillPixels(32, block, pixels)));
  }
  for (const size of [4, 2]) {
    for (const block of PIXEL_BLOCKS) {
      for (const pixels of PIXEL_COUNTS) {
        parts.push(streamTile(block, pixels, size, false), streamTile(block, pixels, size, true));
      }
    }
    parts.push(pixelsDriver(32, size, STREAM_LANES, PIXEL_COUNTS));
  }
  return parts.join("\n");
}
