/**
 * The key stream of ChaCha20 (Bernstein 2008: 64-bit block counter, 64-bit nonce; RFC 8439 differs in that split alone). Lane j of
 * the sixteen vectors holds block j of four, so the rounds need no shuffles but rotations by whole bytes; a transpose puts the
 * blocks in order.
 */
import { range } from "./_gemm.ts";

const WORDS = range(16), KEY = range(8);
const CONSTANTS = ["0x61707865", "0x3320646e", "0x79622d32", "0x6b206574"];
/** Bytes of four blocks. */
const TURN = 256;

const ROTATE_BYTES: Readonly<Record<number, readonly number[]>> = {
  16: [2, 3, 0, 1],
  8: [3, 0, 1, 2],
};

function rotate(x: string, bits: number): string {
  const bytes = ROTATE_BYTES[bits];
  if (!bytes) return `v128.or(i32x4.shl(${x}, ${bits}), i32x4.shr_u(${x}, ${32 - bits}))`;
  const lanes = range(4).flatMap((word) => bytes.map((byte) => 4 * word + byte));
  return `v128.shuffle<u8>(${x}, ${x}, ${lanes.join(", ")})`;
}

function quarterRound(a: number, b: number, c: number, d: number): string {
  const half = (first: number, second: number) =>
    `x${a} = i32x4.add(x${a}, x${b}); x${d} = v128.xor(x${d}, x${a}); x${d} = ${rotate(`x${d}`, first)}; ` +
    `x${c} = i32x4.add(x${c}, x${d}); x${b} = v128.xor(x${b}, x${c}); x${b} = ${rotate(`x${b}`, second)};`;
  return `${half(16, 12)} ${half(8, 7)}`;
}

const DOUBLE_ROUND = [
  ...range(4).map((i) => quarterRound(i, 4 + i, 8 + i, 12 + i)),
  ...range(4).map((i) => quarterRound(i, 4 + (i + 1) % 4, 8 + (i + 2) % 4, 12 + (i + 3) % 4)),
];

/** Adds the input of the rounds and stores words 4 i ... 4 i + 3 of all four blocks. */
function store(i: number): string {
  const words = range(4).map((j) => `const w${j} = i32x4.add(x${4 * i + j}, s${4 * i + j});`).join(" ");
  const pairs = [[0, 1], [2, 3]].map(([a, b], k) =>
    `const l${k} = v128.shuffle<u32>(w${a}, w${b}, 0, 4, 1, 5), h${k} = v128.shuffle<u32>(w${a}, w${b}, 2, 6, 3, 7);`
  ).join(" ");
  const rows = ["l0, l1, 0, 1, 4, 5", "l0, l1, 2, 3, 6, 7", "h0, h1, 0, 1, 4, 5", "h0, h1, 2, 3, 6, 7"].map((lanes, block) =>
    `v128.store(to, v128.shuffle<u32>(${lanes}), ${64 * block + 16 * i});`
  ).join(" ");
  return `{ ${words} ${pairs} ${rows} }`;
}

export default function source(): string {
  return `// asc: -O0
import { copyWords } from "./_memory";
import { KEY_STREAM } from "./_scratch";

/** Key stream of the blocks block, block + 1, ... under nonce and key: the first \`bytes\` bytes, a multiple of 4. */
export function chacha20(out: usize, bytes: usize, block: u64, nonce: u64, ${KEY.map((i) => `k${i}: u32`).join(", ")}): void {
  ${CONSTANTS.map((c, i) => `const s${i} = i32x4.splat(${c});`).join(" ")}
  ${KEY.map((i) => `const s${4 + i} = i32x4.splat(k${i});`).join(" ")}
  const s14 = i32x4.splat(<u32>nonce), s15 = i32x4.splat(<u32>(nonce >> 32));
  const end = out + bytes;
  for (; out < end; out += ${TURN}) {
    // A piece of a turn at the end must not write beyond its words.
    const to = end - out < ${TURN} ? <usize>KEY_STREAM : out;
    const low = i32x4.splat(<u32>block), s12 = i32x4.add(low, i32x4(0, 1, 2, 3));
    const s13 = i32x4.sub(i32x4.splat(<u32>(block >> 32)), i32x4.lt_u(s12, low)); // a carry is -1
    ${WORDS.map((i) => `let x${i} = s${i};`).join(" ")}
    for (let round = 0; round < 10; round++) {
      ${DOUBLE_ROUND.join("\n      ")}
    }
    ${range(4).map(store).join("\n    ")}
    block += 4;
    if (to != out) copyWords(out, to, end - out);
  }
}
`;
}
