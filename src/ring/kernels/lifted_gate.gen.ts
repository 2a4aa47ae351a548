/**
 * The polynomial gate of `lifted`: Horner at a public word with dealt words, then truncate and reduce. The two sets
 * of dealt words lie side by side and the top bit of the public word selects an address, no data: scalar code on
 * [n][2][degree] words is faster than any vector form that was tried, as it touches each cache line once.
 */
import { range } from "./_gemm.ts";

const DEGREES = range(11).slice(2);
const PER_TURN = 4;

/** The masked form has no leading coefficient, and subtracts the mask of the next layer at once: a client's that re-masks. */
const FORMS = ["", "Masked"] as const;
type Form = typeof FORMS[number];

const parameters = (form: Form) =>
  `e: usize, g: usize, ${form === "" ? "lead: u64, " : ""}topBit: u32, shift: u32, ` +
  `${form === "Masked" ? "mask: usize, " : ""}out: usize, n: u32`;
const names = (form: Form) => parameters(form).replaceAll(/: \w+/g, "");

/** Element i of a turn: u, the address p of its set, `evaluate` (which leaves the result in y), the store. */
function element(form: Form, setBytes: number, i: number, evaluate: string): string {
  const mask = form === "Masked" ? ` - load<u32>(mask, ${4 * i})` : "";
  return `{ const u = <u64>load<u32>(e, ${4 * i}); const p = g + <usize>(u >> <u64>topBit & 1) * ${setBytes}; ` +
    `${evaluate} store<u32>(out, <u32>y${mask}, ${4 * i}); }`;
}

/** A kernel for one degree; `evaluate` is given the offset of the element's sets from p. */
function turns(width: 64 | 128, form: Form, degree: number, evaluate: (offset: number) => string): string {
  const setBytes = degree * width / 8;
  const advance = (elements: number) =>
    `e += ${4 * elements}; g += ${2 * setBytes * elements}; out += ${4 * elements};` +
    (form === "Masked" ? ` mask += ${4 * elements};` : "");
  const elements = (count: number) =>
    range(count).map((i) => element(form, setBytes, i, evaluate(2 * setBytes * i))).join("\n    ");
  return `
function gate${form}${width}d${degree}(${parameters(form)}): void {
  const end = out + <usize>n * 4, turnsEnd = out + <usize>(n / ${PER_TURN}) * ${4 * PER_TURN};
  while (out < turnsEnd) {
    ${elements(PER_TURN)}
    ${advance(PER_TURN)}
  }
  while (out < end) {
    ${elements(1)}
    ${advance(1)}
  }
}`;
}

function gate64(form: Form, degree: number): string {
  return turns(64, form, degree, (offset) => {
    const word = (i: number) => `load<u64>(p, ${offset + 8 * i})`;
    const steps = range(degree).map((i) => `y = y * u + ${word(i)};`);
    return `let y: u64 = ${form === "" ? "lead" : word(0)}; ` +
      `${steps.slice(form === "" ? 0 : 1).join(" ")} y >>= <u64>shift;`;
  });
}

/**
 * Modulo 2^128 as limbs y0 (32 bits), y1 (32 bits) and y2 (64 bits). As u is below 2^16, a limb below 2^32 stays below
 * 2^64 for two steps, and even takes the carry of the limb below it; then the carries must move up.
 */
function gate128(form: Form, degree: number): string {
  const carry = "y1 += y0 >> 32; y0 &= 0xffffffff; y2 += y1 >> 32; y1 &= 0xffffffff;";
  return turns(128, form, degree, (offset) => {
    const low = (i: number) => `load<u64>(p, ${offset + 16 * i})`, high = (i: number) => `load<u64>(p, ${offset + 16 * i + 8})`;
    const lines = form === ""
      ? ["let y0 = lead & 0xffffffff, y1 = lead >> 32, y2: u64 = <u64>(<i64>lead >> 63);"]
      : [`let y0 = ${low(0)}, y1 = y0 >> 32, y2 = ${high(0)}; y0 &= 0xffffffff;`];
    range(degree).slice(form === "" ? 0 : 1).forEach((i, step, steps) => {
      lines.push(
        `{ const low = ${low(i)}; y0 = y0 * u + (low & 0xffffffff); y1 = y1 * u + (low >> 32); y2 = y2 * u + ${high(i)}; }`,
      );
      if (step % 2 === 1 || step === steps.length - 1) lines.push(carry);
    });
    lines.push("const y = shift <= 64 ? (y2 << 32 | y1) >> <u64>(shift - 32) : y2 >> <u64>(shift - 64);");
    return lines.join("\n      ");
  });
}

const exported = (width: 64 | 128, form: Form) => `
/** e: public words, g: dealt words [n][2][degree] (pairs if 128), highest coefficient first. */
export function liftedGate${form}${width}(${parameters(form).replace("g: usize,", "g: usize, degree: i32,")}): void {
  ${DEGREES.map((d) => `if (degree == ${d}) gate${form}${width}d${d}(${names(form)});`).join(" else ")} else unreachable();
}`;

export default function source(): string {
  return [
    "// asc: -O0",
    ...FORMS.flatMap((form) => DEGREES.flatMap((degree) => [gate64(form, degree), gate128(form, degree)])),
    ...FORMS.flatMap((form) => [exported(64, form), exported(128, form)]),
  ].join("\n");
}
