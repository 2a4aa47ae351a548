/**
 * Words of 1 to 31 bits without gaps. Each of the four lanes is a bit stream of its own, so nothing is shuffled: 32
 * vectors of words become `bits` vectors. Straight-line code for each number of bits: all shifts are constants.
 */
import { range } from "./_gemm.ts";
import { PACKED_BLOCK } from "./_scratch.ts";

const WIDTHS = range(32).slice(1);
/** Vectors in a turn, and words: a block of a message. */
const VECTORS = 32, BLOCK = 4 * VECTORS;

/** What the word in vector i of a turn touches: the packed vector where it starts, its shift there, and how much is left over. */
function place(bits: number, i: number): { at: number; shift: number; spilled: number } {
  const shift = i * bits % 32;
  return { at: Math.floor(i * bits / 32), shift, spilled: Math.max(0, shift + bits - 32) };
}

function packTurns(bits: number): string {
  const lines = range(VECTORS).map((i) => {
    const { at, shift, spilled } = place(bits, i);
    // Bits above the word fall out at the top of the vector if it reaches there.
    const placed = `i32x4.shl(${shift + bits < 32 ? "v128.and(w, mask)" : "w"}, ${shift})`;
    const merged = shift === 0 ? "v128.and(w, mask)" : `v128.or(packed, ${placed})`;
    return `{ const w = v128.load(words, ${16 * i}); packed = ${merged}; ` +
      (shift + bits < 32 ? "" : `v128.store(out, packed, ${16 * at}); `) +
      (spilled ? `packed = i32x4.shr_u(v128.and(w, mask), ${bits - spilled}); ` : "") + "}";
  });
  return `
function packTurns${bits}(words: usize, out: usize, end: usize): void {
  const mask = i32x4.splat(${2 ** bits - 1});
  let packed = mask;
  while (out < end) {
    ${lines.join("\n    ")}
    words += ${16 * VECTORS};
    out += ${16 * bits};
  }
}`;
}

function unpackTurns(bits: number): string {
  const lines = range(VECTORS).map((i) => {
    const { at, shift, spilled } = place(bits, i);
    const low = shift ? `i32x4.shr_u(packed, ${shift})` : "packed";
    const next = (at + 1) * 32 === (i + 1) * bits && i < VECTORS - 1 ? ` packed = v128.load(bytes, ${16 * (at + 1)});` : "";
    if (!spilled) return `v128.store(out, v128.and(${low}, mask), ${16 * i});${next}`;
    return `{ const next = v128.load(bytes, ${16 * (at + 1)}); ` +
      `v128.store(out, v128.and(v128.or(${low}, i32x4.shl(next, ${32 - shift})), mask), ${16 * i}); packed = next; }`;
  });
  return `
function unpackTurns${bits}(bytes: usize, out: usize, end: usize): void {
  const mask = i32x4.splat(${2 ** bits - 1});
  while (out < end) {
    let packed = v128.load(bytes);
    ${lines.join("\n    ")}
    bytes += ${16 * bits};
    out += ${16 * VECTORS};
  }
}`;
}

const eachWidth = (call: (bits: number) => string) =>
  `${WIDTHS.map((bits) => `if (bits == ${bits}) ${call(bits)};`).join(" else ")} else unreachable();`;

// The last block of a message goes through scratch: behind its words lies memory that was used before, and every bit that is packed
// leaves the process. So zeros fill it up, whatever the caller's tensor has there.
const EXPORTED = `
function pack(words: usize, out: usize, end: usize, bits: i32): void {
  ${eachWidth((bits) => `packTurns${bits}(words, out, end)`)}
}

function unpack(bytes: usize, out: usize, end: usize, bits: i32): void {
  ${eachWidth((bits) => `unpackTurns${bits}(bytes, out, end)`)}
}

/** The low \`bits\` bits of n words; the last block of ${BLOCK} is filled up with zeros: ceil(n / ${BLOCK}) * ${BLOCK} * bits / 8 bytes. */
export function pack32(words: usize, n: u32, bits: i32, out: usize): void {
  const rest = <usize>(n % ${BLOCK}) * 4, whole = words + <usize>n * 4 - rest;
  const end = out + <usize>(n / ${BLOCK}) * <usize>(16 * bits);
  if (rest) {
    memory.copy(${PACKED_BLOCK}, whole, rest);
    memory.fill(${PACKED_BLOCK} + rest, 0, ${4 * BLOCK} - rest);
  }
  pack(words, out, end, bits);
  if (rest) pack(${PACKED_BLOCK}, end, end + <usize>(16 * bits), bits);
}

/** The n words that pack32 packed, the bits above cleared; nothing is written behind them. */
export function unpack32(bytes: usize, n: u32, bits: i32, out: usize): void {
  const rest = <usize>(n % ${BLOCK}) * 4, end = out + <usize>n * 4 - rest;
  unpack(bytes, out, end, bits);
  if (rest) {
    unpack(bytes + <usize>(n / ${BLOCK}) * <usize>(16 * bits), ${PACKED_BLOCK}, ${PACKED_BLOCK} + ${4 * BLOCK}, bits);
    memory.copy(end, ${PACKED_BLOCK}, rest);
  }
}`;

export default function source(): string {
  return ["// asc: -O0", ...WIDTHS.map(packTurns), ...WIDTHS.map(unpackTurns), EXPORTED].join("\n");
}
