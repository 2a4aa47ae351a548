/**
 * Transforms of exact Winograd convolutions modulo 2^32 and 2^64, 3x3 kernels.
 *
 * F(4x4): points 0, 1, -1, 2, 1/2, infinity. No residue class modulo 2 holds more than two of them, so each
 * one-dimensional transform loses one factor 2 only, and the result is 4z. The factor 1/9 of three points (an odd
 * number: invertible) is applied to the inputs, so that small weights stay small: at most 49 times as large.
 * F(2x2): points 0, 1, -1, infinity; also 4z; weights at most 9 times as large.
 *
 * S(2x2), stride 2: in one dimension the even inputs meet the two outer taps, F(2, 2) over 0, 1, infinity, and the odd
 * ones the middle tap: 5 products for 2 outputs instead of 6, 25 instead of 36 in two dimensions, no factor lost (z).
 * Products 3 and 4 share their weights.
 *
 * Vectors run over channels (no shuffles). Each transform goes over the columns into a buffer at a constant address,
 * then over the rows. Planes lie `planeStep` bytes apart, which must not be a multiple of 4 KiB: 36 streams in one
 * set of the first-level cache made the input transform 7 times slower (measured).
 */
import { range } from "./_gemm.ts";
import { WINOGRAD_INPUT_HEAD, WINOGRAD_OUTPUT_HEAD } from "./_heads.ts";
import { TRANSFORM } from "./_scratch.ts";

type Width = 32 | 64;
/** Outputs of a one-dimensional transform as expressions in its inputs. */
type Transform = (inputs: readonly string[], v: Vectors) => string[];

/** Prints vector operations of one width. */
class Vectors {
  readonly #type: string;
  constructor(width: Width) {
    this.#type = width === 64 ? "i64x2" : "i32x4";
  }
  add(...terms: readonly string[]): string {
    return terms.reduce((sum, term) => `${this.#type}.add(${sum}, ${term})`);
  }
  sub(a: string, b: string): string {
    return `${this.#type}.sub(${a}, ${b})`;
  }
  neg(a: string): string {
    return `${this.#type}.neg(${a})`;
  }
  /** Twice `a`, and so on, by shifts. */
  shl(a: string, bits: number): string {
    return `${this.#type}.shl(${a}, ${bits})`;
  }
  mul(a: string, b: string): string {
    return `${this.#type}.mul(${a}, ${b})`;
  }
  splat(a: string): string {
    return `${this.#type}.splat(${a})`;
  }
}

interface Algorithm {
  readonly name: "F4" | "F2" | "S2";
  /** Outputs and inputs of a tile, one dimension; as many products as inputs. */
  readonly outputs: number;
  readonly inputs: number;
  /** Inputs from one tile to the next. */
  readonly step: number;
  readonly input: Transform;
  /** Which inputs of the products still need the factor 1/9. */
  readonly ninths?: readonly boolean[];
  readonly weights: Transform;
  readonly output: Transform;
}

const F4: Algorithm = {
  name: "F4",
  outputs: 4,
  inputs: 6,
  step: 4,
  input: ([d0, d1, d2, d3, d4, d5], v) => [
    v.add(v.shl(v.sub(d4!, d0!), 1), v.sub(d1!, d3!), v.shl(v.sub(d1!, d3!), 2)), // 2(d4-d0) + 5(d1-d3)
    v.sub(v.shl(v.add(d1!, d4!), 1), v.add(d2!, d3!, v.shl(v.add(d2!, d3!), 1))), // 2(d1+d4) - 3(d2+d3)
    v.add(v.shl(v.sub(d4!, d1!), 1), v.sub(v.shl(v.sub(d2!, d3!), 3), v.sub(d2!, d3!))), // 2(d4-d1) + 7(d2-d3)
    v.add(v.shl(v.sub(d4!, d2!), 1), v.sub(d1!, d3!)), // 2(d4-d2) + (d1-d3)
    v.add(v.sub(d4!, d2!), v.shl(v.sub(d1!, d3!), 1)), // (d4-d2) + 2(d1-d3)
    v.add(v.shl(v.sub(d5!, d1!), 1), v.sub(d2!, d4!), v.shl(v.sub(d2!, d4!), 2)), // 2(d5-d1) + 5(d2-d4)
  ],
  ninths: [false, false, true, true, true, false],
  weights: ([g0, g1, g2], v) => [
    v.neg(g0!),
    v.neg(v.add(g0!, g1!, g2!)),
    v.add(v.sub(g0!, g1!), g2!),
    v.add(g0!, v.shl(g1!, 1), v.shl(g2!, 2)),
    v.add(v.shl(g0!, 2), v.shl(g1!, 1), g2!),
    g2!,
  ],
  output: ([m0, m1, m2, m3, m4, m5], v) => [
    v.add(m0!, m1!, m2!, m3!, v.shl(m4!, 3)),
    v.add(v.sub(m1!, m2!), v.shl(m3!, 1), v.shl(m4!, 2)),
    v.add(m1!, m2!, v.shl(m3!, 2), v.shl(m4!, 1)),
    v.add(v.sub(m1!, m2!), v.shl(m3!, 3), m4!, m5!),
  ],
};

const F2: Algorithm = {
  name: "F2",
  outputs: 2,
  inputs: 4,
  step: 2,
  input: ([d0, d1, d2, d3], v) => [v.sub(d0!, d2!), v.add(d1!, d2!), v.sub(d2!, d1!), v.sub(d1!, d3!)],
  weights: ([g0, g1, g2], v) => [g0!, v.add(g0!, g1!, g2!), v.add(v.sub(g0!, g1!), g2!), g2!],
  output: ([m0, m1, m2, m3], v) => [
    v.add(v.shl(m0!, 1), m1!, m2!),
    v.sub(v.sub(m1!, m2!), v.shl(m3!, 1)),
  ],
};

const S2: Algorithm = {
  name: "S2",
  outputs: 2,
  inputs: 5,
  step: 4,
  input: ([d0, d1, d2, d3, d4], v) => [v.sub(d0!, d2!), d2!, v.sub(d4!, d2!), d1!, d3!],
  weights: ([g0, g1, g2], v) => [g0!, v.add(g0!, g2!), g2!, g1!],
  output: ([m0, m1, m2, m3, m4], v) => [v.add(m0!, m1!, m3!), v.add(m1!, m2!, m4!)],
};

/** Declares name1 = step, name2 = 2 * step, ... and, by {@linkcode offset}, uses them. */
const offsets = (name: string, step: string, n: number) =>
  `const ${range(n).slice(1).map((i) => `${name}${i} = ${i} * ${step}`).join(", ")};`;
const offset = (base: string, name: string, i: number) => i === 0 ? base : `${base} + ${name}${i}`;
/** Declares name0 = base, name1 = name0 + step, ... */
const pointers = (name: string, base: string, step: string, n: number) =>
  `const ${range(n).map((i) => `${name}${i} = ${i ? `${name}${i - 1} + ${step}` : base}`).join(", ")};`;

const buffer = (row: number, column: number, columns: number) => TRANSFORM + 16 * (row * columns + column);

/**
 * Transform of a square of vectors, columns first: `load(i, j)` reads the element of row i and column j,
 * `store(i, j, value)` writes the result.
 */
function square(
  side: number,
  transform: Transform,
  v: Vectors,
  load: (row: number, column: number) => string,
  store: (row: number, column: number, value: string) => string,
): string {
  const names = range(side).map((i) => `d${i}`);
  const outputs = transform(names, v).length;
  const columns = range(side).map((j) =>
    `{ ${names.map((name, i) => `const ${name} = ${load(i, j)};`).join(" ")} ${
      transform(names, v).map((value, i) => `v128.store(${buffer(i, j, side)}, ${value});`).join("\n      ")
    } }`
  );
  const rows = range(outputs).map((i) =>
    `{ ${names.map((name, j) => `const ${name} = v128.load(${buffer(i, j, side)});`).join(" ")} ${
      transform(names, v).map((value, j) => store(i, j, value)).join("\n      ")
    } }`
  );
  return [...columns, ...rows].join("\n      ");
}

/**
 * Inputs [height][width][channels] to planes [plane][tile][paddedChannels]. Tiles inside the image are read where
 * they are; those on the border (all, if the channels are padded) are copied to `patch` first.
 */
function inputTransform({ name, inputs, step, input, ninths = [] }: Algorithm, width: Width): string {
  const v = new Vectors(width), bytes = width / 8;
  const ninth = width === 64 ? "0x8e38e38e38e38e39" : "0x38e38e39";
  const square81 = (BigInt(ninth) * BigInt(ninth)) % (1n << BigInt(width));
  const store = (i: number, j: number, value: string) => {
    const factors = Number(ninths[i] ?? false) + Number(ninths[j] ?? false);
    return `v128.store(${offset(`to${i}`, "plane", j)}, ${
      factors === 0 ? value : v.mul(value, factors === 1 ? "ninth" : "eightyFirst")
    });`;
  };
  return `
export function winogradInput${name}_${width}(${WINOGRAD_INPUT_HEAD}
): void {
  const ninth = ${v.splat(ninth)}, eightyFirst = ${v.splat(String(square81))};
  const pixel = <usize>channels * ${bytes}, paddedPixel = <usize>paddedChannels * ${bytes};
  ${offsets("column", "paddedPixel", inputs)} ${offsets("plane", "planeStep", inputs)}
  const planeRow = ${inputs} * planeStep;
  for (let tileRow = 0; tileRow < tileRows; tileRow++) {
    for (let tileColumn = 0; tileColumn < tileColumns; tileColumn++) {
      const top = tileRow * ${step} - padding, left = tileColumn * ${step} - padding;
      let from = x + <usize>((top * width + left) * channels) * ${bytes}, row = <usize>width * pixel;
      if (top < 0 || left < 0 || top + ${inputs} > height || left + ${inputs} > width || channels != paddedChannels) {
        for (let i = 0; i < ${inputs}; i++) {
          copyPixels(
            patch + <usize>i * ${inputs} * paddedPixel, x + <usize>((top + i) * width) * pixel,
            top + i >= 0 && top + i < height, left, ${inputs}, width, pixel, paddedPixel
          );
        }
        from = patch;
        row = ${inputs} * paddedPixel;
      }
      let to = planes;
      for (const end = from + paddedPixel; from < end; from += 16) {
        ${pointers("row", "from", "row", inputs)} ${pointers("to", "to", "planeRow", inputs)}
        ${square(inputs, input, v, (i, j) => `v128.load(${offset(`row${i}`, "column", j)})`, store)}
        to += 16;
      }
      planes += paddedPixel;
    }
  }
}`;
}

/** Planes [plane][tile][tileStep bytes] to outputs [outHeight][outWidth][channels]; channels fill whole vectors. */
function outputTransform({ name, outputs, inputs, output }: Algorithm, width: Width): string {
  const v = new Vectors(width), bytes = width / 8;
  const load = (i: number, j: number) => `v128.load(${offset(`from${i}`, "plane", j)})`;
  const body = (store: (i: number, j: number, value: string) => string) =>
    square(inputs, output, v, load, store);
  return `
export function winogradOutput${name}_${width}(${WINOGRAD_OUTPUT_HEAD}
): void {
  const pixel = <usize>channels * ${bytes}, row = pixel * <usize>outWidth;
  ${offsets("column", "pixel", outputs)} ${offsets("plane", "planeStep", inputs)}
  const planeRow = ${inputs} * planeStep;
  for (let tileRow = 0; tileRow < tileRows; tileRow++) {
    for (let tileColumn = 0; tileColumn < tileColumns; tileColumn++) {
      const rows = outHeight - tileRow * ${outputs}, columns = outWidth - tileColumn * ${outputs};
      let to = y + <usize>(tileRow * ${outputs}) * row + <usize>(tileColumn * ${outputs}) * pixel;
      let from = planes;
      const end = from + pixel;
      if (rows >= ${outputs} && columns >= ${outputs}) {
        for (; from < end; from += 16) {
          ${pointers("row", "to", "row", outputs)} ${pointers("from", "from", "planeRow", inputs)}
          ${body((i, j, value) => `v128.store(${offset(`row${i}`, "column", j)}, ${value});`)}
          to += 16;
        }
      } else {
        for (; from < end; from += 16) {
          ${pointers("row", "to", "row", outputs)} ${pointers("from", "from", "planeRow", inputs)}
          ${
    body((i, j, value) =>
      `if (${i} < rows && ${j} < columns) v128.store(${offset(`row${i}`, "column", j)}, ${value});`
    )
  }
          to += 16;
        }
      }
      planes += tileStep;
    }
  }
}`;
}

/** Outputs m ... m + lanes - 1 of weights [3][3][inputs][outputs] to a panel of words [plane][inputs][lanes]. */
function weightsTransform({ name, weights }: Algorithm, width: Width): string {
  const v = new Vectors(width), bytes = width / 8;
  const planes = weights(["", "", ""], v).length;
  const load = (i: number, j: number) => `v128.load(from + ${i * 3 + j} * tapStep)`;
  return `
export function winogradWeights${name}_${width}(w: usize, panel: usize, inputs: i32, outputs: i32, m: i32, lanes: i32): void {
  const tapStep = <usize>(inputs * outputs) * ${bytes}, planeStep = <usize>(inputs * lanes) * ${bytes};
  for (let k = 0; k < inputs; k++) {
    let from = w + <usize>(k * outputs + m) * ${bytes}, to = panel + <usize>(k * lanes) * ${bytes};
    for (const end = to + <usize>lanes * ${bytes}; to < end; to += 16) {
      ${
    square(3, weights, v, load, (i, j, value) => `v128.store(to + ${i * planes + j} * planeStep, ${value});`)
  }
      from += 16;
    }
  }
}`;
}

export default function source(): string {
  const parts = ["// asc: -O0", `import { copyPixels } from "./_memory";`];
  for (const width of [64, 32] as const) {
    for (const algorithm of [F4, F2, S2]) {
      parts.push(
        inputTransform(algorithm, width),
        outputTransform(algorithm, width),
        weightsTransform(algorithm, width),
      );
    }
  }
  return parts.join("\n");
}
