/**
 * The trigonometric gate: a wave looked up at a public angle with dealt words, half a line, then truncate and reduce modulo 2^48.
 * Dealt words of 48 bits lie side by side, [n][wave: a pair a harmonic; line: two]; they are read as 64-bit words whose upper bits
 * no shift brings down. The top bit of the public word selects one of the two words of the line, an address and no data.
 */
import { range } from "./_gemm.ts";
import { TRIGONOMETRIC_SERVER_HEAD } from "./_heads.ts";

const HARMONICS = [1, 2, 3];
const WORD = 6;

const ROLES = ["Server", "Client"] as const;
type Role = typeof ROLES[number];

const PARAMETERS: Record<Role, string> = {
  Server: TRIGONOMETRIC_SERVER_HEAD,
  Client: "e: usize, words: usize, turn: usize, waveBits: i32, k: i32, mask: usize, out: usize, n: u32",
};

/** a cos + b sin of the harmonic 2 h + 1 at the angle `place`; the table holds pairs of 32 bits. */
const wave = (h: number, at: number) =>
  `{ const pair = load<i64>(turn + (${h === 0 ? "place" : `(${2 * h + 1} * place & places)`} << 3)); ` +
  `y += load<i64>(words, ${at + 2 * WORD * h}) * <i64><i32>pair + load<i64>(words, ${at + 2 * WORD * h + WORD}) * (pair >> 32); }`;

/** Element i of a turn. */
function element(role: Role, harmonics: number, hasMask: boolean, i: number): string {
  const at = i * (2 * harmonics + 2) * WORD;
  return `{ const u = load<u32>(e, ${4 * i}), place: usize = u ${role === "Server" ? ">> t " : ""}& places; ` +
    `let y = load<i64>(words + <usize>(u >> topBit & 1) * ${WORD}, ${at + 2 * harmonics * WORD})` +
    `${role === "Server" ? " + (<i64>(u >> down) << up)" : ""}; ` +
    `${range(harmonics).map((h) => wave(h, at)).join(" ")} ` +
    `store<u32>(out, <u32>(y >> shift)${hasMask ? ` - load<u32>(mask, ${4 * i})` : ""}, ${4 * i}); }`;
}

const PER_TURN = 4;

function loops(role: Role, harmonics: number, hasMask: boolean): string {
  const advance = (count: number) =>
    `e += ${4 * count}; words += ${count * (2 * harmonics + 2) * WORD}; out += ${4 * count};` +
    (hasMask ? ` mask += ${4 * count};` : "");
  const elements = (count: number) => range(count).map((i) => element(role, harmonics, hasMask, i)).join("\n    ");
  return `while (out < turnsEnd) {
    ${elements(PER_TURN)}
    ${advance(PER_TURN)}
  }
  while (out < end) {
    ${elements(1)}
    ${advance(1)}
  }`;
}

/** The server knows all bits of e, the client the angle and the top bit; without a mask (address 0) it keeps its share. */
function gate(role: Role, harmonics: number): string {
  const head = `
export function trigonometricGate${role}${harmonics}(${PARAMETERS[role]}): void {
  const end = out + <usize>n * 4, turnsEnd = out + <usize>(n / ${PER_TURN}) * ${4 * PER_TURN};
  const places: u32 = (1 << waveBits) - 1, shift = <i64>(48 - k);
  const topBit: u32 = ${role === "Server" ? "k - 1" : "waveBits"};`;
  return role === "Server"
    ? `${head}
  const up = <i64>max(lineShift, 0), down: u32 = max(-lineShift, 0);
  ${loops(role, harmonics, false)}
}`
    : `${head}
  if (mask == 0) {
  ${loops(role, harmonics, false)}
  return;
  }
  ${loops(role, harmonics, true)}
}`;
}

const REPLY = `
/** out = the angle of e, its bits t ... t + waveBits - 1, and above it the top bit of e, bit k - 1. */
export function trigonometricReply(e: usize, out: usize, n: u32, k: i32, t: i32, waveBits: i32): void {
  const end = out + <usize>n * 4, turnsEnd = out + <usize>(n / 4) * 16;
  const places: u32 = (1 << waveBits) - 1, one = i32x4.splat(1), masks = i32x4.splat(places);
  for (; out < turnsEnd; out += 16, e += 16) {
    const u = v128.load(e), angle = v128.and(i32x4.shr_u(u, t), masks);
    v128.store(out, v128.or(angle, i32x4.shl(v128.and(i32x4.shr_u(u, k - 1), one), waveBits)));
  }
  for (; out < end; out += 4, e += 4) {
    const u = load<u32>(e);
    store<u32>(out, u >> t & places | (u >> (k - 1) & 1) << waveBits);
  }
}`;

/** Taylor coefficients of cos and sin by their place; four angles that were quartered are at most pi / 4. */
const TERMS = 6;
const factorial = (n: number): number => n < 2 ? 1 : n * factorial(n - 1);
const series = (first: number): string =>
  range(TERMS).toReversed().reduce((inner, i) => {
    const coefficient = `f64x2.splat(${(i % 2 ? -1 : 1) / factorial(2 * i + first)})`;
    return inner === "" ? coefficient : `f64x2.add(f64x2.mul(${inner}, square), ${coefficient})`;
  }, "");

/**
 * cos and sin of two angles at once, without a table: the address of a load would be a secret. An angle is a signed 32-bit part of a
 * turn; a quarter of it goes through the series (error below 2^-33), which is doubled twice.
 */
const ANGLES = `
const QUARTER = f64x2.splat(${Math.PI / 2 ** 33});
const ONE = f64x2.splat(1), TWO = f64x2.splat(2), MAGIC = f64x2.splat(${1.5 * 2 ** 52});
@inline function cosine(angle: v128): v128 {
  const square = f64x2.mul(angle, angle);
  return ${series(0)};
}
@inline function sine(angle: v128): v128 {
  const square = f64x2.mul(angle, angle);
  return f64x2.mul(angle, ${series(1)});
}
/** Nearest integers, of size below 2^51. */
@inline function integers(x: v128): v128 {
  return i64x2.sub(f64x2.add(x, MAGIC), MAGIC);
}`;

/** Two elements from the masks s: the wave first, in registers; then the words, element by element. */
function masks(harmonics: number): string {
  const lines: string[] = [];
  for (const h of range(harmonics)) {
    if (h === 1) {
      lines.push("const twice = f64x2.mul(TWO, f64x2.sub(f64x2.mul(TWO, f64x2.mul(c0, c0)), ONE));");
      lines.push("const c1 = f64x2.sub(f64x2.mul(twice, c0), c0), s1 = f64x2.add(f64x2.mul(twice, s0), s0);");
    }
    if (h === 2) {
      lines.push("const c2 = f64x2.sub(f64x2.mul(twice, c1), c0), s2 = f64x2.sub(f64x2.mul(twice, s1), s0);");
    }
    lines.push(
      `const b${h} = v128.load64_splat(parameters, ${8 * (h + 1)}), ` +
        `x${h} = integers(f64x2.mul(b${h}, c${h})), y${h} = integers(f64x2.mul(b${h}, s${h}));`,
    );
  }
  const words = (lane: number) =>
    range(harmonics).map((h) => `store48(out, i64x2.extract_lane(x${h}, ${lane}), ${2 * WORD * h}); ` +
      `store48(out, i64x2.extract_lane(y${h}, ${lane}), ${2 * WORD * h + WORD});`).join(" ");
  return `
export function trigonometricMasks${harmonics}(s: usize, n: u32, k: i32, turnBits: i32, t: i32, lineShift: i32, parameters: usize, out: usize): void {
  const constant = load<i64>(parameters), wordMask: u32 = 0xffffffff >> (32 - k), offset: u32 = 1 << (k - 2);
  const up = <u64>max(lineShift, 0), down = <u64>max(-lineShift, 0), aligned = 31 - turnBits, half: i32 = (1 << t) - 1;
  for (let i: u32 = 0; i < n; i += 2) {
    const pair = v128.load64_zero(s), turns = i32x4.shl(i32x4.sub(i32x4.shl(pair, 1), i32x4.splat(half)), aligned);
    const angle = f64x2.mul(f64x2.convert_low_i32x4_s(turns), QUARTER);
    let c0 = cosine(angle), s0 = sine(angle);
    s0 = f64x2.mul(TWO, f64x2.mul(s0, c0)); c0 = f64x2.sub(f64x2.mul(TWO, f64x2.mul(c0, c0)), ONE);
    s0 = f64x2.mul(TWO, f64x2.mul(s0, c0)); c0 = f64x2.sub(f64x2.mul(TWO, f64x2.mul(c0, c0)), ONE);
    ${lines.join("\n    ")}
    ${words(0)}
    line(out + ${2 * harmonics * WORD}, load<u32>(s), wordMask, offset, k, down, up, constant);
    out += ${(2 * harmonics + 2) * WORD};
    if (i + 1 == n) break;
    ${words(1)}
    line(out + ${2 * harmonics * WORD}, load<u32>(s, 4), wordMask, offset, k, down, up, constant);
    out += ${(2 * harmonics + 2) * WORD};
    s += 8;
  }
}`;
}

const LINE = `
@inline function store48(at: usize, word: i64, offset: usize): void {
  store<u32>(at + offset, <u32>word);
  store<u16>(at + offset, <u16>(word >> 32), 4);
}
/** constant - rho_0, constant - rho_1 at the scale of the line: rho_1 = (s - 2^(k-2) modulo 2^k) + 2^(k-2), rho_0 less by 2^k if that has its top bit. */
@inline function line(out: usize, s: u32, wordMask: u32, offset: u32, k: i32, down: u64, up: u64, constant: i64): void {
  const r = s - offset & wordMask, rho = <i64>r + <i64>offset, wrap = <i64>(r >> (k - 1)) << k;
  store48(out, constant - (((rho - wrap) >> down) << up), 0);
  store48(out, constant - ((rho >> down) << up), ${WORD});
}`;

export default function source(): string {
  return [
    "// asc: -O0",
    REPLY,
    ...ROLES.flatMap((role) => HARMONICS.map((harmonics) => gate(role, harmonics))),
    ANGLES,
    LINE,
    ...HARMONICS.map(masks),
  ].join("\n");
}
