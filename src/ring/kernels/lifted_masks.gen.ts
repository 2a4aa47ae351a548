/**
 * What the dealer of `lifted` computes: the coefficients of a public polynomial shifted by a secret, for both values
 * of the public bit that decides about a wrap. The shift is Horner's: degree (degree + 1) / 2 multiplications a set.
 * Nothing branches on a secret.
 */
import { range } from "./_gemm.ts";
import { TABLE } from "./_scratch.ts";

const DEGREES = range(11).slice(2);

/** The coefficients at v, C_degree in front: a set of dealt words, highest first, at out + `offset`. */
function shift64(degree: number, v: string, offset: number): string {
  const lines = [`let a${degree} = load<u64>(${TABLE + 8 * degree});`];
  for (const pass of range(degree)) {
    for (let j = degree - 1; j >= pass; j--) {
      const before = pass === 0 ? `load<u64>(${TABLE + 8 * j})` : `a${j}`;
      lines.push(`${pass === 0 ? "let " : ""}a${j} = ${before} + a${j + 1} * <u64>${v};`);
    }
    lines.push(`store<u64>(out, a${pass}, ${offset + 8 * (degree - 1 - pass)});`);
  }
  return `{ ${lines.join(" ")} }`;
}

/**
 * The same modulo 2^128. v is a signed number of few bits, so the products of v and 32-bit halves are exact as signed
 * words: two of them give the upper word of v times an unsigned word.
 */
function shift128(degree: number, v: string, offset: number): string {
  const lines = [`const l${degree} = load<u64>(${TABLE + 16 * degree}), h${degree} = load<u64>(${TABLE + 16 * degree + 8});`];
  for (const pass of range(degree)) {
    for (let j = degree - 1; j >= pass; j--) {
      const [low, high] = pass === 0
        ? [`load<u64>(${TABLE + 16 * j})`, `load<u64>(${TABLE + 16 * j + 8})`]
        : [`l${j}`, `h${j}`];
      const declare = pass === 0 ? `let l${j}: u64, h${j}: u64; ` : "";
      lines.push(
        `${declare}product = l${j + 1} * <u64>${v}; ` +
          `upper = (<i64>(l${j + 1} >> 32) * ${v} + (<i64>(l${j + 1} & 0xffffffff) * ${v} >> 32)) >> 32; ` +
          `h${j} = ${high} + h${j + 1} * <u64>${v} + <u64>upper; ` +
          `l${j} = ${low} + product; h${j} += <u64>(l${j} < product);`,
      );
    }
    const at = offset + 16 * (degree - 1 - pass);
    lines.push(`store<u64>(out, l${pass}, ${at}); store<u64>(out, h${pass}, ${at + 8});`);
  }
  return `{ let product: u64, upper: i64;\n      ${lines.join("\n      ")} }`;
}

function masks(width: 64 | 128, degree: number): string {
  const setBytes = degree * width / 8, shift = width === 64 ? shift64 : shift128;
  return `
function masks${width}d${degree}(r: usize, end: usize, k: i32, t: i32, out: usize): void {
  const wordMask: u32 = 0xffffffff >> <u32>(32 - k);
  const offset = <i64>1 << <i64>(k - 2 - t), wrapBits = <i64>(k - t);
  for (; r < end; r += 4) {
    const word = load<u32>(r) & wordMask;
    const v1 = -(<i64>(word >> <u32>t) + offset), v0 = v1 + (<i64>(word >> <u32>(k - 1)) << wrapBits);
    ${shift(degree, "v0", 0)}
    ${shift(degree, "v1", setBytes)}
    out += ${2 * setBytes};
  }
}`;
}

const exported = (width: 64 | 128) => `
/** out[n][2][degree] = G_(degree-1) ... G_0 for both sets, G_i = sum over j >= i of C_j binomial(j, i) (-rho)^(j-i). */
export function liftedMasks${width}(r: usize, n: u32, k: i32, t: i32, table: usize, degree: i32, out: usize): void {
  if (degree < 2 || degree > 10) unreachable();
  memory.copy(${TABLE}, table, <usize>(degree + 1) * ${width / 8});
  const end = r + <usize>n * 4;
  ${DEGREES.map((d) => `if (degree == ${d}) masks${width}d${d}(r, end, k, t, out);`).join(" else ")}
}`;

export default function source(): string {
  return [
    "// asc: -O0",
    ...DEGREES.flatMap((degree) => [masks(64, degree), masks(128, degree)]),
    exported(64),
    exported(128),
  ].join("\n");
}
