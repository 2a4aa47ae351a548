/**
 * Transforms of float32 Winograd convolutions F(4x4, 3x3), points 0, 1, -1, 2, -2, infinity (Lavin and Gray, "Fast
 * Algorithms for Convolutional Neural Networks"): 36 products for 16 outputs instead of 144.
 *
 * Vectors run over channels, whose numbers are multiples of 4. Each transform goes over the columns into a buffer at a
 * constant address, then over the rows. Tiles are counted over the whole batch, [image][row][column], and a call takes
 * `count` of them from tile `first`. Planes are [plane][tile][channels], `planeStep` bytes apart: not a multiple of
 * 4 KiB, or the 36 streams fall into one set of the first-level cache.
 */
import { TRANSFORM } from "./_conv_scratch.ts";
import { CONVOLUTION_HEADS as HEADS } from "./_heads.ts";

const range = (n: number): number[] => [...Array(n).keys()];

/** Outputs of a one-dimensional transform as expressions in its inputs; `setup` declares what they share. */
type Transform = (d: readonly string[]) => { setup: string; outputs: readonly string[] };

const add = (...terms: readonly string[]) => terms.reduce((sum, term) => `f32x4.add(${sum}, ${term})`);
const sub = (a: string, b: string) => `f32x4.sub(${a}, ${b})`;
const mul = (factor: string, a: string) => `f32x4.mul(${factor}, ${a})`;
/** factor * a + b */
const madd = (factor: string, a: string, b: string) => `f32x4.relaxed_madd(${factor}, ${a}, ${b})`;

/** Names of splats that every function declares. */
const CONSTANTS = { two: 2, four: 4, eight: 8, minusFour: -4, minusFive: -5, minusTwo: -2 };
const WEIGHT_CONSTANTS = { quarter: 1 / 4, minusSixth: -1 / 6, sixth: 1 / 6, twelfth: 1 / 12, twentyFourth: 1 / 24 };
const declare = (constants: Record<string, number>) =>
  `const ${Object.entries(constants).map(([name, value]) => `${name} = f32x4.splat(${value})`).join(", ")};`;

/** B^T d. */
const INPUT: Transform = ([d0, d1, d2, d3, d4, d5]) => ({
  setup: `const s = ${madd("minusFour", d2!, d4!)}, t = ${madd("minusFour", d1!, d3!)};
      const u = ${sub(d4!, d2!)}, v = ${mul("two", sub(d3!, d1!))};`,
  outputs: [
    madd("four", d0!, madd("minusFive", d2!, d4!)),
    add("s", "t"),
    sub("s", "t"),
    add("u", "v"),
    sub("u", "v"),
    madd("four", d1!, madd("minusFive", d3!, d5!)),
  ],
});

/** A^T m. */
const OUTPUT: Transform = ([m0, m1, m2, m3, m4, m5]) => ({
  setup: `const s = ${add(m1!, m2!)}, t = ${sub(m1!, m2!)}, u = ${add(m3!, m4!)}, v = ${sub(m3!, m4!)};`,
  outputs: [add(m0!, "s", "u"), madd("two", "v", "t"), madd("four", "u", "s"), add(madd("eight", "v", "t"), m5!)],
});

/** A y, the transpose of the output transform. */
const GRADIENT: Transform = ([y0, y1, y2, y3]) => ({
  setup: `const s = ${add(y0!, y2!)}, t = ${add(y1!, y3!)};
      const u = ${madd("four", y2!, y0!)}, v = ${mul("two", madd("four", y3!, y1!))};`,
  outputs: [y0!, add("s", "t"), sub("s", "t"), add("u", "v"), sub("u", "v"), y3!],
});

/** G g. */
const WEIGHTS: Transform = ([g0, g1, g2]) => ({
  setup: `const s = ${mul("minusSixth", add(g0!, g2!))}, t = ${mul("sixth", g1!)};
      const u = ${madd("twentyFourth", g0!, mul("sixth", g2!))}, v = ${mul("twelfth", g1!)};`,
  outputs: [mul("quarter", g0!), sub("s", "t"), add("s", "t"), add("u", "v"), sub("u", "v"), g2!],
});

/** G^T u, for the gradient of the weights. */
const WEIGHT_GRADIENT: Transform = ([u0, u1, u2, u3, u4, u5]) => ({
  setup: `const s = ${mul("minusSixth", add(u1!, u2!))}, t = ${add(u3!, u4!)};
      const v = ${mul("sixth", sub(u2!, u1!))}, w = ${sub(u3!, u4!)};`,
  outputs: [
    madd("quarter", u0!, madd("twentyFourth", "t", "s")),
    madd("twelfth", "w", "v"),
    add(madd("sixth", "t", "s"), u5!),
  ],
});

/**
 * Transform of a square of vectors, columns first: `load(i, j)` reads the element of row i and column j,
 * `store(i, j, value)` writes the result.
 */
function square(
  side: number,
  transform: Transform,
  load: (row: number, column: number) => string,
  store: (row: number, column: number, value: string) => string,
): string {
  const names = range(side).map((i) => `d${i}`);
  const { setup, outputs } = transform(names);
  const buffer = (row: number, column: number) => TRANSFORM + 16 * (row * side + column);
  const pass = (read: (i: number) => string, write: (value: string, i: number) => string) =>
    `{ ${names.map((name, i) => `const ${name} = ${read(i)};`).join(" ")}
      ${setup}
      ${outputs.map(write).join("\n      ")} }`;
  return [
    ...range(side).map((j) =>
      pass((i) => load(i, j), (value, i) => `v128.store(${buffer(i, j)}, ${value});`)
    ),
    ...outputs.map((_, i) => pass((j) => `v128.load(${buffer(i, j)})`, (value, j) => store(i, j, value))),
  ].join("\n      ");
}

/** Declares name1 = step, name2 = 2 * step, ... and, by {@linkcode offset}, uses them. */
const offsets = (name: string, step: string, n: number) =>
  `const ${range(n).slice(1).map((i) => `${name}${i} = ${i} * ${step}`).join(", ")};`;
const offset = (base: string, name: string, i: number) => i === 0 ? base : `${base} + ${name}${i}`;
/** Declares name0 = base, name1 = name0 + step, ... */
const pointers = (name: string, base: string, step: string, n: number) =>
  `const ${range(n).map((i) => `${name}${i} = ${i ? `${name}${i - 1} + ${step}` : base}`).join(", ")};`;

/** Walks over tiles: `at` is the offset in the image buffer of tile `first + i`, `body` uses it. */
const overTiles = (body: string) => `
  let column = first % tileColumns, line = first / tileColumns;
  for (let i = 0; i < count; i++) {
    const at = <usize>(line / tileRows) * imageStep + <usize>(line % tileRows) * 4 * rowStep + <usize>column * 4 * pixel;
    ${body}
    if (++column == tileColumns) {
      column = 0;
      line++;
    }
  }`;

/** From squares of `side` pixels, 4 apart, to planes. */
function toPlanes(name: "winogradInput" | "winogradGradient", comment: string, side: number, transform: Transform): string {
  return `
/** ${comment} */
export function ${name}(${HEADS[name]}
): void {
  ${declare(CONSTANTS)}
  const pixel = <usize>channels * 4, planeRow = 6 * planeStep;
  ${offsets("column", "pixel", side)} ${offsets("plane", "planeStep", 6)}
  let to = planes;
  ${
    overTiles(`let from = x + at;
    for (const end = from + pixel; from < end; from += 16) {
      ${pointers("row", "from", "rowStep", side)} ${pointers("to", "to", "planeRow", 6)}
      ${
      square(
        side,
        transform,
        (i, j) => `v128.load(${offset(`row${i}`, "column", j)})`,
        (i, j, value) => `v128.store(${offset(`to${i}`, "plane", j)}, ${value});`,
      )
    }
      to += 16;
    }`)
  }
}`;
}

const FROM_PLANES = `
/** Outputs of tiles, without border, plus bias if its address is not 0. */
export function winogradOutput(${HEADS.winogradOutput}
): void {
  ${declare(CONSTANTS)}
  const pixel = <usize>channels * 4, planeRow = 6 * planeStep;
  ${offsets("column", "pixel", 4)} ${offsets("plane", "planeStep", 6)}
  let from = planes;
  ${
  overTiles(`let to = y + at, b = bias;
    for (const end = to + pixel; to < end; to += 16) {
      let shift = f32x4.splat(0);
      if (bias) {
        shift = v128.load(b);
        b += 16;
      }
      ${pointers("row", "to", "rowStep", 4)} ${pointers("from", "from", "planeRow", 6)}
      ${
    square(
      6,
      OUTPUT,
      (i, j) => `v128.load(${offset(`from${i}`, "plane", j)})`,
      (i, j, value) => `v128.store(${offset(`row${i}`, "column", j)}, ${add(value, "shift")});`,
    )
  }
      from += 16;
    }`)
}
}`;

const WEIGHT_TRANSFORMS = `
/**
 * Weights of 9 taps at the given steps (bytes), [rows][columns] each, to panels [plane][column / 8][row][8]; a last panel
 * of 4 columns has 4.
 */
export function winogradWeights(
  w: usize, tapStep: usize, rows: i32, rowStep: usize, columns: i32, columnStep: usize, panels: usize, planeStep: usize
): void {
  ${declare(WEIGHT_CONSTANTS)}
  const planeRow = 6 * planeStep;
  ${offsets("tap", "tapStep", 9)} ${offsets("plane", "planeStep", 6)}
  for (let column = 0; column < columns; column += 8) {
    const vectors = columns - column > 4 ? 2 : 1;
    let fromRow = w + <usize>column * columnStep, to = panels + <usize>(column * rows) * 4;
    for (let row = 0; row < rows; row++) {
      let from = fromRow;
      for (let i = 0; i < vectors; i++) {
        ${pointers("to", "to", "planeRow", 6)}
        ${
  square(
    3,
    WEIGHTS,
    (i, j) => `gather(${offset("from", "tap", i * 3 + j)}, columnStep)`,
    (i, j, value) => `v128.store(${offset(`to${i}`, "plane", j)}, ${value});`,
  )
}
        from += 4 * columnStep;
        to += 16;
      }
      fromRow += rowStep;
    }
  }
}

/** Four words, \`step\` bytes apart. */
function gather(from: usize, step: usize): v128 {
  if (step == 4) return v128.load(from);
  let v = v128.load32_zero(from);
  v = v128.load32_lane(from + step, v, 1);
  v = v128.load32_lane(from + 2 * step, v, 2);
  return v128.load32_lane(from + 3 * step, v, 3);
}

/** Gradients of transformed weights, planes of n words, to gradients of weights [3][3][n]. */
export function winogradWeightGradient(planes: usize, planeStep: usize, dw: usize, n: i32): void {
  ${declare(WEIGHT_CONSTANTS)}
  const planeRow = 6 * planeStep, tapStep = <usize>n * 4;
  ${offsets("tap", "tapStep", 9)} ${offsets("plane", "planeStep", 6)}
  for (const end = planes + tapStep; planes < end; planes += 16) {
    ${pointers("from", "planes", "planeRow", 6)}
    ${
  square(
    6,
    WEIGHT_GRADIENT,
    (i, j) => `v128.load(${offset(`from${i}`, "plane", j)})`,
    (i, j, value) => `v128.store(${offset("dw", "tap", i * 3 + j)}, ${value});`,
  )
}
    dw += 16;
  }
}`;

export default function source(): string {
  return [
    "// asc: -O0 --enable relaxed-simd",
    toPlanes("winogradInput", "6 x 6 inputs of tiles, from an image with its border, to planes.", 6, INPUT),
    toPlanes("winogradGradient", "4 x 4 output gradients of tiles to planes.", 4, GRADIENT),
    FROM_PLANES,
    WEIGHT_TRANSFORMS,
  ].join("\n");
}
