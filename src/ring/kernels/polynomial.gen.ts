/**
 * Fused polynomial steps of the activation protocols. A turn handles 6 words: 4 by the scalar multiplier and 2 by one
 * i64x2.mul, as the two work side by side (measured at degree 4, G words/s: scalar alone 0.69, vectors alone 0.54,
 * together 0.79). Degrees 1 to 4 are unrolled; others, and the words left over, go through loops.
 */
import { range } from "./_gemm.ts";
import { TABLE } from "./_scratch.ts";

const WORDS = 4, VECTORS = 1;
const TURN = WORDS + 2 * VECTORS;
const UNROLLED = [1, 2, 3, 4];

/** Something computed on words and on vectors: `name` ends in the index of the word or vector. */
interface Lane {
  readonly suffix: string;
  readonly load: (pointer: string) => string;
  readonly store: (pointer: string, value: string) => string;
  readonly isVector: boolean;
}

const LANES: readonly Lane[] = [
  ...range(WORDS).map((i) => ({
    suffix: `${i}`,
    load: (pointer: string) => `load<u64>(${pointer}, ${8 * i})`,
    store: (pointer: string, value: string) => `store<u64>(${pointer}, ${value}, ${8 * i});`,
    isVector: false,
  })),
  ...range(VECTORS).map((i) => ({
    suffix: `V${i}`,
    load: (pointer: string) => `v128.load(${pointer}, ${8 * WORDS + 16 * i})`,
    store: (pointer: string, value: string) => `v128.store(${pointer}, ${value}, ${8 * WORDS + 16 * i});`,
    isVector: true,
  })),
];

const multiplyAdd = ({ isVector }: Lane, a: string, b: string, c: string) =>
  isVector ? `i64x2.add(i64x2.mul(${a}, ${b}), ${c})` : `${a} * ${b} + ${c}`;
const each = (print: (lane: Lane) => string) => LANES.map(print).join(" ");

/** Turns of horner64; leaves the rest to its loop. */
function hornerTurns(degree: number): string {
  const planes = range(degree);
  return `
function hornerTurns${degree}(u: usize, g: usize, plane: usize, lead: u64, out: usize, end: usize): void {
  const leadV = i64x2.splat(lead);
  ${planes.map((i) => `let g${i} = g + ${i} * plane;`).join(" ")}
  while (out < end) {
    ${each((lane) => `const u${lane.suffix} = ${lane.load("u")};`)}
    ${each((lane) => `let y${lane.suffix} = ${lane.isVector ? "leadV" : "lead"};`)}
    ${
    planes.toReversed().map((i) =>
      each((lane) =>
        `y${lane.suffix} = ${multiplyAdd(lane, `y${lane.suffix}`, `u${lane.suffix}`, lane.load(`g${i}`))};`
      )
    ).join("\n    ")
  }
    ${each((lane) => lane.store("out", `y${lane.suffix}`))}
    u += ${8 * TURN};
    out += ${8 * TURN};
    ${planes.map((i) => `g${i} += ${8 * TURN};`).join(" ")}
  }
}`;
}

/** Turns of one row of polynomials64. */
function polynomialTurns(degree: number): string {
  return `
function polynomialTurns${degree}(x: usize, coefficients: usize, out: usize, end: usize): void {
  ${
    range(degree + 1).map((k) =>
      `const c${k} = load<u64>(coefficients, ${8 * k}), c${k}V = i64x2.splat(c${k});`
    )
      .join(" ")
  }
  while (out < end) {
    ${each((lane) => `const x${lane.suffix} = ${lane.load("x")};`)}
    ${each((lane) => `let y${lane.suffix} = c${degree}${lane.isVector ? "V" : ""};`)}
    ${
    range(degree).toReversed().map((k) =>
      each((lane) => {
        const y = `y${lane.suffix}`;
        return `${y} = ${multiplyAdd(lane, y, `x${lane.suffix}`, `c${k}${lane.isVector ? "V" : ""}`)};`;
      })
    ).join("\n    ")
  }
    ${each((lane) => lane.store("out", `y${lane.suffix}`))}
    x += ${8 * TURN};
    out += ${8 * TURN};
  }
}`;
}

/** Turns of bilinear64. The table lies at a constant address, words first, then their splats. */
function bilinearTurns(rows: number): string {
  const words = TABLE, splats = TABLE + 8 * rows * rows;
  const product = (lane: Lane) => {
    const s = lane.suffix, lines = [`let sum${s} = ${lane.load("out")};`];
    range(rows).forEach((j) => lines.push(`const b${j}${s} = ${lane.load(`b${j}`)};`));
    for (const i of range(rows)) {
      for (const j of range(rows - i)) {
        const entry = lane.isVector
          ? `v128.load(${splats + 16 * (i * rows + j)})`
          : `load<u64>(${words + 8 * (i * rows + j)})`;
        lines.push(
          j === 0
            ? `let t${i}${s} = ${lane.isVector ? `i64x2.mul(${entry}, b0${s})` : `${entry} * b0${s}`};`
            : `t${i}${s} = ${multiplyAdd(lane, entry, `b${j}${s}`, `t${i}${s}`)};`,
        );
      }
      lines.push(`sum${s} = ${multiplyAdd(lane, lane.load(`a${i}`), `t${i}${s}`, `sum${s}`)};`);
    }
    return `{ ${lines.join("\n      ")} ${lane.store("out", `sum${s}`)} }`;
  };
  return `
function bilinearTurns${rows}(a: usize, b: usize, plane: usize, table: usize, out: usize, end: usize): void {
  for (let i: usize = 0; i < ${rows * rows}; i++) {
    const word = load<u64>(table + i * 8);
    store<u64>(${words} + i * 8, word);
    v128.store(${splats} + i * 16, i64x2.splat(word));
  }
  ${range(rows).map((i) => `let a${i} = a + ${i} * plane, b${i} = b + ${i} * plane;`).join(" ")}
  while (out < end) {
    ${LANES.map(product).join("\n    ")}
    out += ${8 * TURN};
    ${range(rows).map((i) => `a${i} += ${8 * TURN}; b${i} += ${8 * TURN};`).join(" ")}
  }
}`;
}

const EXPORTED = `
/** Words of n that whole turns handle. */
function turnWords(n: u32): usize {
  return <usize>(n / ${TURN}) * ${TURN};
}

/** y = lead; then y = y * u + g[i] for i = degree - 1 ... 0, g being [degree][n]. */
export function horner64(u: usize, g: usize, degree: i32, lead: u64, out: usize, n: u32): void {
  const plane = <usize>n * 8, end = out + plane;
  if (degree >= 1 && degree <= ${UNROLLED.length}) {
    const done = turnWords(n) * 8;
    ${
  UNROLLED.map((d) => `if (degree == ${d}) hornerTurns${d}(u, g, plane, lead, out, out + done);`).join(
    " else ",
  )
}
    u += done;
    g += done;
    out += done;
  }
  for (; out < end; out += 8) {
    const word = load<u64>(u);
    let y = lead;
    for (let i = degree - 1; i >= 0; i--) y = y * word + load<u64>(g + <usize>i * plane);
    store<u64>(out, y);
    u += 8;
    g += 8;
  }
}

/**
 * out[row][e] = sum over k of table[row][k] * x[e]^k. Rows are done one after another on chunks of x that stay in the
 * first-level cache, so x is read from memory once. Rows are public: leading zero coefficients are skipped.
 */
export function polynomials64(x: usize, table: usize, rows: i32, degree: i32, out: usize, n: u32): void {
  const CHUNK: u32 = ${TURN * 170};
  for (let done: u32 = 0; done < n; done += CHUNK) {
    const count = min(CHUNK, n - done);
    for (let row = 0; row < rows; row++) {
      const coefficients = table + <usize>(row * (degree + 1)) * 8;
      let top = degree;
      while (top > 0 && load<u64>(coefficients + <usize>top * 8) == 0) top--;
      polynomial(x + <usize>done * 8, coefficients, top, out + (<usize>row * <usize>n + <usize>done) * 8, count);
    }
  }
}

function polynomial(x: usize, coefficients: usize, degree: i32, out: usize, n: u32): void {
  const end = out + <usize>n * 8;
  if (degree >= 1 && degree <= ${UNROLLED.length}) {
    const done = turnWords(n) * 8;
    ${
  UNROLLED.map((d) => `if (degree == ${d}) polynomialTurns${d}(x, coefficients, out, out + done);`).join(
    " else ",
  )
}
    x += done;
    out += done;
  }
  for (; out < end; out += 8) {
    const word = load<u64>(x);
    let y = load<u64>(coefficients + <usize>degree * 8);
    for (let k = degree - 1; k >= 0; k--) y = y * word + load<u64>(coefficients + <usize>k * 8);
    store<u64>(out, y);
    x += 8;
  }
}

/** out[e] += sum over i of a[i][e] * (sum over j < rows - i of table[i][j] * b[j][e]). */
export function bilinear64(a: usize, b: usize, table: usize, rows: i32, out: usize, n: u32): void {
  const plane = <usize>n * 8, end = out + plane;
  if (rows >= 2 && rows <= ${UNROLLED.length + 1}) {
    const done = turnWords(n) * 8;
    ${
  UNROLLED.map((d) => `if (rows == ${d + 1}) bilinearTurns${d + 1}(a, b, plane, table, out, out + done);`)
    .join(" else ")
}
    a += done;
    b += done;
    out += done;
  }
  for (; out < end; out += 8) {
    let sum = load<u64>(out);
    for (let i = 0; i < rows; i++) {
      let inner: u64 = 0;
      for (let j = 0; j < rows - i; j++) {
        inner += load<u64>(table + <usize>(i * rows + j) * 8) * load<u64>(b + <usize>j * plane);
      }
      sum += inner * load<u64>(a + <usize>i * plane);
    }
    store<u64>(out, sum);
    a += 8;
    b += 8;
  }
}`;

export default function source(): string {
  return [
    "// asc: -O0",
    ...UNROLLED.map(hornerTurns),
    ...UNROLLED.map(polynomialTurns),
    ...UNROLLED.map((degree) => bilinearTurns(degree + 1)),
    EXPORTED,
  ].join("\n");
}
