/**
 * Winograd's method along rows only, F(4, 5): 8 products for 4 outputs and 5 taps instead of 20. For 5x5 kernels from
 * 3 to 6 channels (ConvNet's first layer), where vectors over channels would idle by a quarter: here the 8 points are
 * the lanes of two vectors. The 12 accumulators of a tile, 4 pixels of a row, stay in registers over all kernel rows.
 *
 * Transforms are those of Toom and Cook for the points 0, 1, -1, 2, -2, 1/2, -1/2, infinity, y = A^T (G g * B^T d):
 * with a over the points, N(a) = product of a - b over the others, A = a^i, G = a^k / N(a), and B^T has the
 * coefficients of the product of x - b over the others; infinity stands for the highest coefficients.
 *
 * Layouts: planes [line][tile][3 inputs][8 points], weights [kernel row][3 inputs][6 outputs][8 points], gradients
 * [line][tile][6 outputs][8 points].
 */
import { BIAS, ROW_CONSTANTS, ROW_WEIGHTS } from "./_conv_scratch.ts";
import { CONVOLUTION_HEADS as HEADS } from "./_heads.ts";

const range = (n: number): number[] => [...Array(n).keys()];

const INPUTS = 3, OUTPUTS = 6, TAPS = 5, TILE = 4, POINTS = TILE + TAPS - 1;
const FINITE = [0, 1, -1, 2, -2, 1 / 2, -1 / 2];

/** Coefficients of the product of x - root, lowest first. */
const polynomial = (roots: readonly number[]): number[] =>
  roots.reduce<number[]>(
    (p, root) => [...p, 0].map((_, i) => (i > 0 ? p[i - 1] : 0) - (i < p.length ? root * p[i] : 0)),
    [1],
  );
const others = (point: number) => FINITE.filter((other) => other !== point);
const pad = (row: readonly number[]) => range(POINTS).map((i) => row[i] ?? 0);
/** [point][position] */
const B = [...FINITE.map((a) => pad(polynomial(others(a)))), pad(polynomial(FINITE))];
/** [point][tap] */
const G = [
  ...FINITE.map((a) => range(TAPS).map((k) => a ** k / others(a).reduce((n, b) => n * (a - b), 1))),
  range(TAPS).map((k) => Number(k === TAPS - 1)),
];
/** [point][output] */
const A = [
  ...FINITE.map((a) => range(TILE).map((i) => a ** i)),
  range(TILE).map((i) => Number(i === TILE - 1)),
];

/** Bytes of one tile in planes and in gradients. */
const PLANE_TILE = INPUTS * POINTS * 4, GRADIENT_TILE = OUTPUTS * POINTS * 4;
const WEIGHTS_BYTES = TAPS * INPUTS * GRADIENT_TILE;

/** A matrix [point][column] at a constant address, by columns: two vectors of points each. */
class Columns {
  constructor(readonly matrix: readonly (readonly number[])[], readonly address: number) {}
  #lanes(column: number, half: number): number[] {
    return range(4).map((i) => this.matrix[4 * half + i][column]);
  }
  isZero(column: number, half: number): boolean {
    return this.#lanes(column, half).every((value) => value === 0);
  }
  load(column: number, half: number): string {
    return `v128.load(${this.address + 16 * (2 * column + half)})`;
  }
  store(): string {
    return range(this.matrix[0].length).flatMap((column) =>
      range(2).map((half) =>
        `v128.store(${this.address + 16 * (2 * column + half)}, f32x4(${this.#lanes(column, half).join(", ")}));`
      )
    ).join("\n  ");
  }
}

/** Sums over the positions of a tile: `channels` words each, times the column of the position. */
function transform(matrix: Columns, positions: number, channels: number): string {
  const lines: string[] = [];
  for (const j of range(positions)) {
    const halves = range(2).filter((half) => !matrix.isZero(j, half));
    lines.push(`{ ${halves.map((half) => `const m${half} = ${matrix.load(j, half)};`).join(" ")}`);
    for (const c of range(channels)) {
      lines.push(
        `{ const a = v128.load32_splat(from, ${4 * (j * channels + c)}); ${
          halves.map((half) => `v${c}_${half} = f32x4.relaxed_madd(a, m${half}, v${c}_${half});`).join(" ")
        } }`,
      );
    }
    lines.push("}");
  }
  return lines.join("\n      ");
}

/** Transforms the tiles of lines; a pixel has `channels` words. */
function toPoints(name: string, matrix: Columns, positions: number, channels: number): string {
  const pairs = range(channels).flatMap((c) => range(2).map((half) => ({ c, half })));
  return `
function ${name}(line: usize, lineStep: usize, lines: i32, tiles: i32, to: usize): void {
  ${matrix.store()}
  for (let i = 0; i < lines; i++) {
    let from = line;
    for (let tile = 0; tile < tiles; tile++) {
      ${pairs.map(({ c, half }) => `let v${c}_${half} = f32x4.splat(0);`).join(" ")}
      ${transform(matrix, positions, channels)}
      ${pairs.map(({ c, half }) => `v128.store(to, v${c}_${half}, ${16 * (2 * c + half)});`).join(" ")}
      from += ${TILE * channels * 4};
      to += ${channels * POINTS * 4};
    }
    line += lineStep;
  }
}`;
}

const sums = range(OUTPUTS).flatMap((m) => range(2).map((half) => ({ m, half, name: `c${m}_${half}` })));

const products = (input: string, right: (m: number, half: number) => string) =>
  `{ const v0 = v128.load(${input}), v1 = v128.load(${input}, 16);
        ${
    sums.map(({ m, half, name }) => `${name} = f32x4.relaxed_madd(v${half}, ${right(m, half)}, ${name});`).join(
      "\n        ",
    )
  } }`;

const shuffle = (a: string, b: string, lanes: string) => `v128.shuffle<f32>(${a}, ${b}, ${lanes})`;
const LOW = "0, 4, 1, 5", HIGH = "2, 6, 3, 7", FIRST = "0, 1, 4, 5", LAST = "2, 3, 6, 7";

/** From vectors over points to p0 ... p7 over the outputs 0 to 3, and q0 ... q7 over 4 and 5 (low half). */
const TRANSPOSE = range(2).map((half) =>
  `const l${half} = ${shuffle(`c0_${half}`, `c1_${half}`, LOW)}, m${half} = ${
    shuffle(`c2_${half}`, `c3_${half}`, LOW)
  };
      const h${half} = ${shuffle(`c0_${half}`, `c1_${half}`, HIGH)}, i${half} = ${
    shuffle(`c2_${half}`, `c3_${half}`, HIGH)
  };
      const p${4 * half} = ${shuffle(`l${half}`, `m${half}`, FIRST)}, p${4 * half + 1} = ${
    shuffle(`l${half}`, `m${half}`, LAST)
  };
      const p${4 * half + 2} = ${shuffle(`h${half}`, `i${half}`, FIRST)}, p${4 * half + 3} = ${
    shuffle(`h${half}`, `i${half}`, LAST)
  };
      const q${4 * half} = ${shuffle(`c4_${half}`, `c5_${half}`, LOW)}, q${4 * half + 1} = ${
    shuffle(`q${4 * half}`, `q${4 * half}`, LAST)
  };
      const q${4 * half + 2} = ${shuffle(`c4_${half}`, `c5_${half}`, HIGH)}, q${4 * half + 3} = ${
    shuffle(`q${4 * half + 2}`, `q${4 * half + 2}`, LAST)
  };`
).join("\n      ");

/** A^T m of vectors p0 ... p7, plus bias; `store(i, value)` takes output i. */
const outputTransform = (p: string, bias: string, store: (i: number, value: string) => string) =>
  `{ const s1 = f32x4.add(${p}1, ${p}2), d1 = f32x4.sub(${p}1, ${p}2), s2 = f32x4.add(${p}3, ${p}4);
        const d2 = f32x4.sub(${p}3, ${p}4), s3 = f32x4.add(${p}5, ${p}6), d3 = f32x4.sub(${p}5, ${p}6);
        ${store(0, `f32x4.add(f32x4.add(f32x4.add(f32x4.add(${p}0, s1), s2), s3), ${bias})`)}
        ${store(1, `f32x4.add(f32x4.relaxed_madd(two, d2, f32x4.relaxed_madd(half, d3, d1)), ${bias})`)}
        ${store(2, `f32x4.add(f32x4.relaxed_madd(four, s2, f32x4.relaxed_madd(quarter, s3, s1)), ${bias})`)}
        ${
    store(
      3,
      `f32x4.add(f32x4.add(f32x4.relaxed_madd(eight, d2, f32x4.relaxed_madd(eighth, d3, d1)), ${p}7), ${bias})`,
    )
  } }`;

const FORWARD = `
/** z [images][lines][4 * tiles][6], without border, plus bias if its address is not 0; \`planes\` is scratch for one image. */
export function rowsForward(${HEADS.rowsForward}
): void {
  memory.copy(${ROW_WEIGHTS}, weights, ${WEIGHTS_BYTES});
  if (bias) memory.copy(${BIAS}, bias, ${OUTPUTS * 4});
  else memory.fill(${BIAS}, 0, ${OUTPUTS * 4});
  const two = f32x4.splat(2), four = f32x4.splat(4), eight = f32x4.splat(8);
  const half = f32x4.splat(0.5), quarter = f32x4.splat(0.25), eighth = f32x4.splat(0.125);
  const step = <usize>tiles * ${PLANE_TILE};
  for (let image = 0; image < images; image++) {
    inputPoints(x, xStep, lines + ${TAPS - 1}, tiles, planes);
    let row0 = planes;
    for (let tile = lines * tiles; tile > 0; tile--) {
      const ${range(TAPS).slice(1).map((i) => `row${i} = row${i - 1} + step`).join(", ")};
      ${sums.map(({ name }) => `let ${name} = f32x4.splat(0);`).join(" ")}
      ${
  range(TAPS).flatMap((i) =>
    range(INPUTS).map((k) =>
      products(
        `row${i} + ${k * POINTS * 4}`,
        (m, half) => `v128.load(${ROW_WEIGHTS + (((i * INPUTS + k) * OUTPUTS + m) * 2 + half) * 16})`,
      )
    )
  ).join("\n      ")
}
      ${TRANSPOSE}
      ${outputTransform("p", `v128.load(${BIAS})`, (i, value) => `v128.store(z, ${value}, ${24 * i});`)}
      ${
  outputTransform("q", `v128.load(${BIAS + 16})`, (i, value) => `v128.store64_lane(z, ${value}, 0, ${24 * i + 16});`)
}
      row0 += ${PLANE_TILE};
      z += ${TILE * OUTPUTS * 4};
    }
    x += xImage;
  }
}`;

const WEIGHT_GRADIENT = `
/** Adds the sums over the tiles of an image. */
function addProducts(sums: usize, planes: usize, gradients: usize, tiles: i32): void {
  ${sums.map(({ name }) => `let ${name} = f32x4.splat(0);`).join(" ")}
  do {
    ${products("planes", (m, half) => `v128.load(gradients, ${16 * (2 * m + half)})`)}
    planes += ${PLANE_TILE};
    gradients += ${GRADIENT_TILE};
  } while (--tiles > 0);
  ${
  sums.map(({ m, half, name }) => ({ name, at: 16 * (2 * m + half) }))
    .map(({ name, at }) => `v128.store(sums, f32x4.add(v128.load(sums, ${at}), ${name}), ${at});`).join("\n  ")
}
}

/** dw [5][5][3][6], overwritten; \`dz\` is the first pixel inside its border; scratch for one image and its gradients. */
export function rowsWeightGradient(${HEADS.rowsWeightGradient}
): void {
  memory.fill(${ROW_WEIGHTS}, 0, ${WEIGHTS_BYTES});
  const step = <usize>tiles * ${PLANE_TILE};
  for (let image = 0; image < images; image++) {
    inputPoints(x, xStep, lines + ${TAPS - 1}, tiles, planes);
    gradientPoints(dz, zStep, lines, tiles, gradients);
    let sums: usize = ${ROW_WEIGHTS}, row = planes;
    for (let i = 0; i < ${TAPS}; i++) {
      for (let k: usize = 0; k < ${INPUTS}; k++) {
        addProducts(sums, row + k * ${POINTS * 4}, gradients, lines * tiles);
        sums += ${GRADIENT_TILE};
      }
      row += step;
    }
    x += xImage;
    dz += zImage;
  }
  for (let i = 0; i < ${TAPS}; i++) {
    for (let km = 0; km < ${INPUTS * OUTPUTS}; km++) {
      const from = <usize>${ROW_WEIGHTS} + <usize>(i * ${INPUTS * OUTPUTS} + km) * ${POINTS * 4};
      const to = dw + <usize>(i * ${TAPS * INPUTS * OUTPUTS} + km) * 4;
      ${
  range(TAPS).map((tap) =>
    `store<f32>(to, ${
      range(POINTS).map((point) => `load<f32>(from, ${4 * point}) * <f32>${G[point][tap]}`).join(" + ")
    }, ${tap * INPUTS * OUTPUTS * 4});`
  ).join("\n      ")
}
    }
  }
}`;

const WEIGHTS = `
/** Weights [5][5][3][6] to [kernel row][3][6][8 points]. */
export function rowsWeights(w: usize, to: usize): void {
  for (let i = 0; i < ${TAPS}; i++) {
    for (let km = 0; km < ${INPUTS * OUTPUTS}; km++) {
      const from = w + <usize>(i * ${TAPS * INPUTS * OUTPUTS} + km) * 4;
      ${
  range(POINTS).map((point) =>
    `store<f32>(to, ${
      range(TAPS).map((tap) =>
        `load<f32>(from, ${tap * INPUTS * OUTPUTS * 4}) * <f32>${G[point][tap]}`
      ).join(" + ")
    }, ${4 * point});`
  ).join("\n      ")
}
      to += ${POINTS * 4};
    }
  }
}`;

export default function source(): string {
  return [
    "// asc: -O0 --enable relaxed-simd",
    toPoints("inputPoints", new Columns(B, ROW_CONSTANTS), POINTS, INPUTS),
    toPoints("gradientPoints", new Columns(A, ROW_CONSTANTS), TILE, OUTPUTS),
    FORWARD,
    WEIGHT_GRADIENT,
    WEIGHTS,
  ].join("\n");
}
