/**
 * What the generators of both widths share: the loops around the unrolled tiles.
 *
 * A tile multiplies `block` words of k. One operand lies in a panel at a constant address, the other is streamed.
 * - "weights panel": the panel holds [block][lanes] weights and every pixel passes by. For 16 pixels and more.
 * - "pixels panel": the panel holds [block][pixels] activations and the weights stream by, each word used for all
 *   pixels of the panel. For few pixels: the weights are then read once, in order.
 *
 * Weights are stored in the order in which they are read (`pack` in layout.ts): [plane][m / lanes][K][lanes] for the
 * first, [plane][K / block][m / lanes][block][lanes] for the second.
 */
import { PIXELS_PANEL_HEAD, WEIGHTS_PANEL_HEAD } from "./_heads.ts";
import { PIXELS_PANEL, WEIGHTS_PANEL } from "./_scratch.ts";

export const range = (n: number): number[] => [...Array(n).keys()];

/** Lengths of unrolled blocks: any K is a sum of them. 48 serves the 3 x 16 words of a row of 16 channels. */
export const BLOCKS = [64, 48, 32, 16, 8, 4, 2, 1];
/** Whole small convolutions of 3 channels, unrolled over all rows: [segments, words a segment]. */
export const FUSED = [[3, 9], [7, 21]] as const;
/** Blocks of the pixels panel; K is padded to a multiple of the last. */
export const PIXEL_BLOCKS = [64, 16];

export interface Tile {
  readonly segments: number;
  readonly block: number;
  /** Adds to what is in y; otherwise starts from zero. */
  readonly accumulates: boolean;
}

export function tileName({ segments, block, accumulates }: Tile): string {
  return `${segments > 1 ? `${segments}x` : ""}${block}${accumulates ? "Add" : ""}`;
}

/** Every tile that {@linkcode weightsDriver} calls. */
export function weightsTiles(): Tile[] {
  return [
    ...BLOCKS.flatMap((block) => [false, true].map((accumulates) => ({ segments: 1, block, accumulates }))),
    ...FUSED.map(([segments, block]) => ({ segments, block, accumulates: false })),
  ];
}

/**
 * The weights-panel product. y[plane][pixel][m] = sum over s, k of x[plane][pixel][s][k] * w[plane][s * length + k][m]:
 * a pixel has `segments` runs of `length` words, `segmentStep` bytes apart (the rows under a convolution kernel; one
 * run for a matrix product). Pixels are `columns` by `rows`. Expects functions `widen<size>(w, words)`, which fill
 * the panel, and `pixels<tile>(x, y, segmentStep, rows, columns, lineStep, pixelStep, outStep, outGap)`; `outGap` bytes
 * are skipped in y between two rows.
 */
export function weightsDriver(width: 32 | 64, lanes: number): string {
  const bytes = width / 8;
  const sizes = width === 64 ? [8, 4, 2] : [4, 2];
  const fill = (words: string) =>
    `${
      sizes.map((size) => `if (size == ${size}) widen${size}(w, ${words});`).join(" else ")
    } w += <usize>(${words} * size);`;
  const run = (tile: Tile, from: string) =>
    `pixels${
      tileName(tile)
    }(${from}, out, segmentStep, rows, columns, lineStep, pixelStep, outStep, outGap);`;
  return `
export function weightsPanel${width}(${WEIGHTS_PANEL_HEAD}
): void {
  const outStep = <usize>outputs * ${bytes};
  for (let plane = 0; plane < planes; plane++) {
    let out = y;
    for (let m = 0; m < outputs; m += ${lanes}) {
      ${
    FUSED.map(([segments, block]) =>
      `if (segments == ${segments} && length == ${block}) { ${fill(String(segments * block * lanes))} ${
        run({ segments, block, accumulates: false }, "x")
      } } else`
    ).join("\n      ")
  } {
        let first = true;
        for (let s = 0; s < segments; s++) {
          let from = x + <usize>s * segmentStep;
          let left = length;
          while (left > 0) {
            let block = 1;
            ${
    BLOCKS.toReversed().slice(1).map((block) => `if (left >= ${block}) block = ${block};`).join(" ")
  }
            ${fill(`block * ${lanes}`)}
            ${
    BLOCKS.map((block) =>
      `if (block == ${block}) { if (first) ${run({ segments: 1, block, accumulates: false }, "from")} else ${
        run({ segments: 1, block, accumulates: true }, "from")
      } }`
    ).join("\n            else ")
  }
            from += <usize>block * ${bytes};
            left -= block;
            first = false;
          }
        }
      }
      out += ${lanes * bytes};
    }
    x += xPlane;
    y += yPlane;
  }
}`;
}

/**
 * The pixels-panel product for `runs` times n pixels, `xStep` and `outStep` bytes apart, runs `xRun` and `yRun`; K a
 * multiple of 16. Expects functions
 * `stream<block>x<pixels>s<size>[Add](w, y, outStep)`, one for each number of pixels, and those of
 * {@linkcode fillPixels}.
 */
export function pixelsDriver(
  width: 32 | 64,
  size: number,
  lanes: number,
  pixelCounts: readonly number[],
): string {
  const bytes = width / 8;
  const group = (block: number, pixels: number) => `
        while (left >= ${pixels}) {
          fill${block}x${pixels}(from, xStep);
          let a = w, to = out;
          for (let m = 0; m < outputs; m += ${lanes}) {
            if (adds) stream${block}x${pixels}s${size}Add(a, to, outStep); else stream${block}x${pixels}s${size}(a, to, outStep);
            a += ${block * lanes * size};
            to += ${lanes * bytes};
          }
          left -= ${pixels};
          from += ${pixels} * xStep;
          out += ${pixels} * outStep;
        }`;
  return `
export function pixelsPanel${width}s${size}(${PIXELS_PANEL_HEAD}
): void {
  for (let plane = 0; plane < planes; plane++) {
    let k0 = 0, adds = accumulates;
    ${
    PIXEL_BLOCKS.map((block) => `
    while (length - k0 >= ${block}) {
      for (let run = 0; run < runs; run++) {
        let left = n, from = x + <usize>k0 * ${bytes} + <usize>run * xRun, out = y + <usize>run * yRun;
        ${pixelCounts.map((pixels) => group(block, pixels)).join("")}
      }
      w += <usize>outputs * ${block * size};
      k0 += ${block};
      adds = true;
    }`).join("")
  }
    x += xPlane;
    y += yPlane;
  }
}`;
}

/**
 * A function `fill<block>x<pixels>(x, xStep)` that brings words of pixels to the panel [block][pixels]: squares of
 * vectors are transposed by shuffles, in half the time of word-by-word copies (measured; those cost as much as the
 * product with 13 outputs).
 */
export function fillPixels(width: 32 | 64, block: number, pixels: number): string {
  const bytes = width / 8, lanes = 16 / bytes;
  const lines: string[] = [];
  const store = (k: number, pixel: number, value: string) =>
    `v128.store(${PIXELS_PANEL + (k * pixels + pixel) * bytes}, ${value});`;
  const shuffle = (a: string, b: string, order: string) => `v128.shuffle<i${width}>(${a}, ${b}, ${order})`;
  for (let k = 0; k < block; k += lanes) {
    for (let j = 0; j < pixels; j += lanes) {
      const rows = range(Math.min(lanes, pixels - j));
      const loads = rows.map((i) => `const a${i} = v128.load(x${j + i}, ${k * bytes});`).join(" ");
      if (rows.length === 1) lines.push(`{ ${loads} ${store(k, 0, "a0")} }`);
      else if (width === 64) {
        lines.push(
          `{ ${loads} ${store(k, j, shuffle("a0", "a1", "0, 2"))} ${
            store(k + 1, j, shuffle("a0", "a1", "1, 3"))
          } }`,
        );
      } else {
        const low = "0, 4, 1, 5", high = "2, 6, 3, 7";
        lines.push(
          rows.length === 2
            ? `{ ${loads} ${store(k, 0, shuffle("a0", "a1", low))} ${
              store(k + 2, 0, shuffle("a0", "a1", high))
            } }`
            : `{ ${loads}
    const l0 = ${shuffle("a0", "a1", low)}, l1 = ${shuffle("a2", "a3", low)};
    const h0 = ${shuffle("a0", "a1", high)}, h1 = ${shuffle("a2", "a3", high)};
    ${store(k, j, shuffle("l0", "l1", "0, 1, 4, 5"))} ${store(k + 1, j, shuffle("l0", "l1", "2, 3, 6, 7"))}
    ${store(k + 2, j, shuffle("h0", "h1", "0, 1, 4, 5"))} ${
              store(k + 3, j, shuffle("h0", "h1", "2, 3, 6, 7"))
            } }`,
        );
      }
    }
  }
  return `
function fill${block}x${pixels}(x0: usize, xStep: usize): void {
  ${range(pixels).slice(1).map((j) => `const x${j} = x${j - 1} + xStep;`).join(" ")}
  ${lines.join("\n  ")}
}`;
}

export { PIXELS_PANEL, WEIGHTS_PANEL };
