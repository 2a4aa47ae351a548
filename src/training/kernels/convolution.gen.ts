/**
 * Direct float32 convolutions, NHWC, without im2col. In an image with its zero border the kernel * inputs words under
 * one kernel row are contiguous, so a convolution is a product over `segments` (kernel rows) of `length` words each.
 *
 * `multiply` (forward, input gradient, Winograd's products): a tile is 6 pixels by 8 outputs, 12 accumulators that
 * stay in registers from the first word to the last. The pixels of a tile are any six: their offsets lie in a table,
 * so tiles run over the ends of rows and images, and there are no remainders to treat.
 *
 * `multiplyTransposed` (weight gradient, Winograd's weight gradient): a tile is 6 words of a segment by 8 outputs; the
 * accumulators live over all pixels of a block. Sums of blocks are added up: one chain over all pixels of a batch would
 * lose a digit.
 *
 * Sums are chains of `relaxed_madd` in a fixed order, whatever the unrolling: the bits depend only on whether the
 * processor fuses. Panels: weights [panel][segments * length][8 outputs]; a last panel of at most 4 outputs has 4.
 */
import { BIAS, PIXEL_TABLE } from "./_conv_scratch.ts";
import { CONVOLUTION_HEADS as HEADS } from "./_heads.ts";

const range = (n: number): number[] => [...Array(n).keys()];

/** Pixels of a tile. 6 x 2 accumulators, two weights and one splat fill 15 of the 16 vector registers. */
const PIXELS = 6;
/** Bytes of a table entry: x offsets, y offsets. */
const ENTRY = 8 * PIXELS;
/** Tiles of a block: its part of x and one panel of weights stay in the first-level cache. */
const TILES = 16;
/** Words of k per turn of the innermost loop; the first that divides the length is used. */
const UNROLLS = [4, 5, 3, 1];
/** Words of k in a tile of the transposed product. */
const WORDS = 6;

const each = (rows: number, vectors: number, line: (i: number, v: number) => string) =>
  range(rows).flatMap((i) => range(vectors).map((v) => line(i, v))).join(" ");

function tile(unroll: number, vectors: number): string {
  const turn = range(unroll).map((u) =>
    `{ ${range(vectors).map((v) => `const b${v} = v128.load(w, ${16 * (u * vectors + v)});`).join(" ")}
      ${
      range(PIXELS).map((i) =>
        `{ const a = v128.load32_splat(p${i}, ${4 * u}); ${
          range(vectors).map((v) => `c${i}_${v} = f32x4.relaxed_madd(a, b${v}, c${i}_${v});`).join(" ")
        } }`
      ).join("\n      ")
    } }`
  ).join("\n      ");
  return `
function tile${unroll}x${vectors}(
  entry: usize, x: usize, w: usize, y: usize, bias: usize, segments: i32, length: i32, gap: usize, valid: i32
): void {
  ${range(PIXELS).map((i) => `let p${i} = x + load<u32>(entry, ${4 * i});`).join(" ")}
  ${each(PIXELS, vectors, (i, v) => `let c${i}_${v}: v128;`)}
  if (bias) {
    ${each(PIXELS, vectors, (i, v) => `c${i}_${v} = v128.load(bias, ${16 * v});`)}
  } else {
    ${
    range(PIXELS).map((i) =>
      `{ const q = y + load<u32>(entry, ${4 * (PIXELS + i)}); ${
        range(vectors).map((v) => `c${i}_${v} = v128.load(q, ${16 * v});`).join(" ")
      } }`
    ).join("\n    ")
  }
  }
  const step = <usize>length * ${16 * vectors};
  do {
    const end = w + step;
    do {
      ${turn}
      w += ${16 * vectors * unroll};
      ${range(PIXELS).map((i) => `p${i} += ${4 * unroll};`).join(" ")}
    } while (w < end);
    ${range(PIXELS).map((i) => `p${i} += gap;`).join(" ")}
  } while (--segments > 0);
  if (valid == ${4 * vectors}) {
    ${
    range(PIXELS).map((i) =>
      `{ const q = y + load<u32>(entry, ${4 * (PIXELS + i)}); ${
        range(vectors).map((v) => `v128.store(q, c${i}_${v}, ${16 * v});`).join(" ")
      } }`
    ).join("\n    ")
  }
  } else {
    ${
    range(PIXELS).map((i) =>
      `storeFirst(y + load<u32>(entry, ${4 * (PIXELS + i)}), c${i}_0, c${i}_${vectors - 1}, valid);`
    ).join("\n    ")
  }
  }
}`;
}

/** Stores the first n words of two vectors. */
const STORE_FIRST = `
function storeFirst(to: usize, a: v128, b: v128, n: i32): void {
  if (n >= 4) {
    v128.store(to, a);
    to += 16;
    a = b;
    n -= 4;
  }
  if (n & 2) {
    v128.store64_lane(to, a, 0);
    to += 8;
    a = i64x2.splat(i64x2.extract_lane(a, 1));
  }
  if (n & 1) v128.store32_lane(to, a, 0);
}`;

const tileCalls = (vectors: number) =>
  UNROLLS.map((unroll) =>
    `if (unroll == ${unroll}) tile${unroll}x${vectors}(entry, from, panel, to, accumulates ? 0 : bias, segments, length, gap, valid);`
  ).join(" else ");

const MULTIPLY = `
/**
 * y[plane][pixel][m] = bias[m] + sum over s, k of x[plane][pixel][s][k] * w[plane][s * length + k][m]. Pixels are
 * images by rows by columns, at any steps (bytes) in x and y; segments lie \`segmentStep\` bytes apart. If \`accumulates\`,
 * sums start from y instead of the bias; then no two of 6 successive pixels may overlap in y.
 */
export function multiply(${HEADS.multiply}
): void {
  fillBias(biases, outputs);
  const unroll = ${
  UNROLLS.slice(0, -1).map((unroll) => `length % ${unroll} == 0 ? ${unroll} : `).join("")
}1;
  const gap = segmentStep - <usize>length * 4, wordStep = <usize>(segments * length) * 4;
  const pixels = images * rows * columns;
  let image = 0, row = 0, column = 0;
  let xOffset: usize = 0, yOffset: usize = 0;
  for (let first = 0; first < pixels; first += ${TILES * PIXELS}) {
    const count = min(pixels - first, ${TILES * PIXELS}), tiles = (count + ${PIXELS - 1}) / ${PIXELS};
    let at: usize = ${PIXEL_TABLE}, slot = 0;
    for (let i = 0; i < tiles * ${PIXELS}; i++) {
      store<u32>(at, <u32>xOffset);
      store<u32>(at, <u32>yOffset, ${4 * PIXELS});
      at += 4;
      if (++slot == ${PIXELS}) {
        slot = 0;
        at += ${4 * PIXELS};
      }
      // A last tile that is not full repeats its last pixel.
      if (i < count - 1 || first + count < pixels) {
        if (++column < columns) {
          xOffset += xColumn;
          yOffset += yColumn;
        } else {
          column = 0;
          if (++row == rows) {
            row = 0;
            image++;
          }
          xOffset = <usize>image * xImage + <usize>row * xRow;
          yOffset = <usize>image * yImage + <usize>row * yRow;
        }
      }
    }
    const stop = <usize>${PIXEL_TABLE} + <usize>tiles * ${ENTRY};
    for (let plane = 0; plane < planes; plane++) {
      const from = x + <usize>plane * xPlane;
      let panel = w + <usize>plane * wPlane, to = y + <usize>plane * yPlane, bias: usize = ${BIAS};
      for (let left = outputs; left > 0; left -= 8) {
        if (left > 4) {
          const valid = min(left, 8);
          for (let entry: usize = ${PIXEL_TABLE}; entry < stop; entry += ${ENTRY}) {
            ${tileCalls(2)}
          }
        } else {
          const valid = left;
          for (let entry: usize = ${PIXEL_TABLE}; entry < stop; entry += ${ENTRY}) {
            ${tileCalls(1)}
          }
        }
        panel += wordStep * 8;
        bias += 32;
        to += 32;
      }
    }
  }
}

function fillBias(biases: usize, outputs: i32): void {
  if (biases) memory.copy(${BIAS}, biases, <usize>outputs * 4);
  else memory.fill(${BIAS}, 0, <usize>outputs * 4 + 32);
}`;

/** dw[i][m] (+)= sum over the pixels of a block of x[pixel][i] * dz[pixel][m], \`words\` rows i. */
function transposedTile(words: number, vectors: number): string {
  return `
function transposed${words}x${vectors}(
  x: usize, dz: usize, dw: usize, dwRow: usize, accumulates: bool, images: i32, rows: i32, columns: i32,
  xColumn: usize, xRowGap: usize, xImageGap: usize, zColumn: usize, zRowGap: usize, zImageGap: usize
): void {
  ${each(words, vectors, (i, v) => `let c${i}_${v} = f32x4.splat(0);`)}
  const zRow = <usize>columns * zColumn;
  do {
    let row = rows;
    do {
      const end = dz + zRow;
      do {
        ${range(vectors).map((v) => `const b${v} = v128.load(dz, ${16 * v});`).join(" ")}
        ${
    range(words).map((i) =>
      `{ const a = v128.load32_splat(x, ${4 * i}); ${
        range(vectors).map((v) => `c${i}_${v} = f32x4.relaxed_madd(a, b${v}, c${i}_${v});`).join(" ")
      } }`
    ).join("\n        ")
  }
        x += xColumn;
        dz += zColumn;
      } while (dz < end);
      x += xRowGap;
      dz += zRowGap;
    } while (--row > 0);
    x += xImageGap;
    dz += zImageGap;
  } while (--images > 0);
  if (accumulates) {
    let q = dw;
    ${
    range(words).map((i) =>
      `${range(vectors).map((v) => `c${i}_${v} = f32x4.add(c${i}_${v}, v128.load(q, ${16 * v}));`).join(" ")} q += dwRow;`
    ).join("\n    ")
  }
  }
  ${
    range(words).map((i) =>
      `${range(vectors).map((v) => `v128.store(dw, c${i}_${v}, ${16 * v});`).join(" ")} dw += dwRow;`
    ).join("\n  ")
  }
}`;
}

const transposedCalls = (vectors: number) =>
  range(WORDS).map((i) =>
    `if (words == ${i + 1}) transposed${
      i + 1
    }x${vectors}(from, zFrom, to, dwRow, accumulates, imageCount, rowCount, columns,
              xColumn, xRowGap, xImageGap, zColumn, zRowGap, zImageGap);`
  ).toReversed().join("\n            else ");

const MULTIPLY_TRANSPOSED = `
/**
 * dw[plane][s * length + k][m] = sum over pixels of x[plane][pixel][s][k] * dz[plane][pixel][m]; added to what is there
 * if \`accumulates\`. Rows of dw are \`dwRow\` bytes apart, at least outputs rounded up to a multiple of 4.
 */
export function multiplyTransposed(${HEADS.multiplyTransposed}
): void {
  const xRowGap = xRow - <usize>columns * xColumn, zRowGap = zRow - <usize>columns * zColumn;
  const tiles = (length + ${WORDS - 1}) / ${WORDS};
  for (let image = 0; image < images; image += blockImages) {
    const imageCount = min(blockImages, images - image);
    for (let row = 0; row < rows; row += blockRows) {
      const rowCount = min(blockRows, rows - row);
      const xImageGap = xImage - <usize>rowCount * xRow, zImageGap = zImage - <usize>rowCount * zRow;
      for (let plane = 0; plane < planes; plane++) {
        const xBlock = x + <usize>image * xImage + <usize>row * xRow + <usize>plane * xPlane;
        let zFrom = dz + <usize>image * zImage + <usize>row * zRow + <usize>plane * zPlane;
        let column = dw + <usize>plane * dwPlane;
        for (let left = outputs; left > 0; left -= 8) {
          let to = column;
          for (let segment = 0; segment < segments; segment++) {
            let from = xBlock + <usize>segment * segmentStep;
            for (let i = 0; i < tiles; i++) {
              // Tiles of nearly equal heights: 16 words are 6 + 5 + 5.
              const words = (length + tiles - 1 - i) / tiles;
              if (left > 4) {
                ${transposedCalls(2)}
              } else {
                ${transposedCalls(1)}
              }
              from += <usize>words * 4;
              to += <usize>words * dwRow;
            }
          }
          zFrom += 32;
          column += 32;
        }
      }
      accumulates = true;
    }
  }
}`;

const PACK = `
/**
 * Brings words [rows][columns], at the given steps in bytes, into rows firstRow, ... of panels [panel][allRows][8 columns];
 * a last panel of at most 4 columns has 4. Missing columns are zero.
 */
export function packPanels(
  from: usize, rows: i32, rowStep: usize, columns: i32, columnStep: usize, to: usize, firstRow: i32, allRows: i32
): void {
  for (let left = columns; left > 0; left -= 8) {
    const lanes = left > 4 ? 8 : 4, valid = min(left, lanes);
    let source = from, target = to + <usize>(firstRow * lanes) * 4;
    for (let row = 0; row < rows; row++) {
      let p = source;
      for (let lane = 0; lane < lanes; lane++) {
        store<f32>(target, lane < valid ? load<f32>(p) : 0);
        p += columnStep;
        target += 4;
      }
      source += rowStep;
    }
    from += 8 * columnStep;
    to += <usize>allRows * 32;
  }
}

/** Copies rows of \`bytes\` (a multiple of 4). */
export function copyRows(from: usize, fromStep: usize, to: usize, toStep: usize, rows: i32, bytes: usize): void {
  for (let row = 0; row < rows; row++) {
    for (let i: usize = 0; i < bytes; i += 4) store<u32>(to + i, load<u32>(from + i));
    from += fromStep;
    to += toStep;
  }
}

export function zero(at: usize, bytes: usize): void {
  memory.fill(at, 0, bytes);
}

/** a * b + c as the kernels compute it: with (1 + 2^-12)^2 - (1 + 2^-11) it is 2^-24 if fused, 0 if not. */
export function multiplyAdd(a: f32, b: f32, c: f32): f32 {
  return f32x4.extract_lane(f32x4.relaxed_madd(f32x4.splat(a), f32x4.splat(b), f32x4.splat(c)), 0);
}`;

export default function source(): string {
  return [
    "// asc: -O0 --enable relaxed-simd",
    STORE_FIRST,
    ...UNROLLS.flatMap((unroll) => [tile(unroll, 2), tile(unroll, 1)]),
    MULTIPLY,
    ...range(WORDS).flatMap((i) => [transposedTile(i + 1, 2), transposedTile(i + 1, 1)]),
    MULTIPLY_TRANSPOSED,
    PACK,
  ].join("\n");
}
