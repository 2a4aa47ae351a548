/**
 * Products of 64-bit words: plain scalar multiplications. V8 needs 8 instructions for one i64x2.mul but 3 for a load,
 * multiply and add of words; the core's limit of two 64-bit multiplications a cycle is reached to 93-99 % (measured).
 * One streamed word meets 8 words of the panel: more accumulators do not fit the registers.
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

const LANES = 8;
const PIXEL_COUNTS = [8, 4, 2, 1];

/** All pixels against one panel [segments * block][8]. */
function pixelsLoop(tile: Tile): string {
  const { segments, block, accumulates } = tile;
  const lines: string[] = [];
  for (const s of range(segments)) {
    for (const k of range(block)) {
      const panel = WEIGHTS_PANEL + (s * block + k) * LANES * 8;
      lines.push(
        `{ const b = load<u64>(p, ${8 * k}); ` +
          `${range(LANES).map((i) => `c${i} += load<u64>(${panel + 8 * i}) * b;`).join(" ")} }`,
      );
    }
    if (s < segments - 1) lines.push("p += segmentStep;");
  }
  return `
function pixels${tileName(tile)}(
  x: usize, y: usize, segmentStep: usize, rows: i32, columns: i32, lineStep: usize, pixelStep: usize, outStep: usize,
  outGap: usize
): void {
  for (let row = 0; row < rows; row++) {
    let pixel = x;
    for (let left = columns; left > 0; left--) {
      let p = pixel;
      ${
    range(LANES).map((i) => `let c${i}: u64 = ${accumulates ? `load<u64>(y, ${8 * i})` : "0"};`).join(" ")
  }
      ${lines.join("\n      ")}
      ${range(LANES).map((i) => `store<u64>(y, c${i}, ${8 * i});`).join(" ")}
      pixel += pixelStep;
      y += outStep;
    }
    x += lineStep;
    y += outGap;
  }
}`;
}

/** Words of a row of weights, widened, at a constant address. */
const ROW = WEIGHTS_PANEL;

function widenRow(block: number, size: number): string {
  if (size === 4) {
    return range(block / 2).map((i) => `v128.store(${ROW + 16 * i}, v128.load32x2_s(w, ${8 * i}));`).join(
      "\n  ",
    );
  }
  return range(block / 4).map((i) =>
    `{ const a = v128.load16x4_s(w, ${8 * i}); v128.store(${ROW + 32 * i}, i64x2.extend_low_i32x4_s(a)); ` +
    `v128.store(${ROW + 32 * i + 16}, i64x2.extend_high_i32x4_s(a)); }`
  ).join("\n  ");
}

/**
 * One output of `pixels` pixels. Small weights are widened to a constant address first: a checked, sign-extending load
 * of each costs more (measured: 4.7 instead of 5.4 G products/s with 4 pixels), a checked load of words less.
 */
function streamTile(block: number, pixels: number, size: number, accumulates: boolean): string {
  const lines = range(block).map((k) =>
    `{ const a = ${size === 8 ? `i64.load(w, ${8 * k})` : `i64.load(${ROW + 8 * k})`}; ` +
    `${
      range(pixels).map((j) => `c${j} += i64.load(${PIXELS_PANEL + (k * pixels + j) * 8}) * a;`).join(" ")
    } }`
  );
  return `
function stream${block}x${pixels}s${size}${
    accumulates ? "Add" : ""
  }(w: usize, y0: usize, outStep: usize): void {
  ${range(pixels).slice(1).map((j) => `const y${j} = y${j - 1} + outStep;`).join(" ")}
  ${range(pixels).map((j) => `let c${j}: i64 = ${accumulates ? `i64.load(y${j})` : "0"};`).join(" ")}
  ${size === 8 ? "" : widenRow(block, size)}
  ${lines.join("\n  ")}
  ${range(pixels).map((j) => `i64.store(y${j}, c${j});`).join(" ")}
}`;
}

/** Fills the panel from weights of 8, 4 or 2 bytes. */
const WIDEN = `
function widen8(w: usize, words: i32): void {
  memory.copy(${WEIGHTS_PANEL}, w, <usize>words * 8);
}
function widen4(w: usize, words: i32): void {
  let to: usize = ${WEIGHTS_PANEL};
  for (const end = w + <usize>words * 4; w < end; w += 32) {
    ${range(4).map((i) => `v128.store(to, v128.load32x2_s(w, ${8 * i}), ${16 * i});`).join(" ")}
    to += 64;
  }
}
function widen2(w: usize, words: i32): void {
  let to: usize = ${WEIGHTS_PANEL};
  for (const end = w + <usize>words * 2; w < end; w += 16) {
    const low = v128.load16x4_s(w), high = v128.load16x4_s(w, 8);
    v128.store(to, i64x2.extend_low_i32x4_s(low));
    v128.store(to, i64x2.extend_high_i32x4_s(low), 16);
    v128.store(to, i64x2.extend_low_i32x4_s(high), 32);
    v128.store(to, i64x2.extend_high_i32x4_s(high), 48);
    to += 64;
  }
}`;

export default function source(): string {
  const parts = ["// asc: -O0", WIDEN, ...weightsTiles().map(pixelsLoop), weightsDriver(64, LANES)];
  for (const block of PIXEL_BLOCKS) {
    parts.push(...PIXEL_COUNTS.map((pixels) => fillPixels(64, block, pixels)));
  }
  for (const size of [8, 4, 2]) {
    for (const block of PIXEL_BLOCKS) {
      for (const pixels of PIXEL_COUNTS) {
        parts.push(streamTile(block, pixels, size, false), streamTile(block, pixels, size, true));
      }
    }
    parts.push(pixelsDriver(64, size, 1, PIXEL_COUNTS));
  }
  return parts.join("\n");
}
