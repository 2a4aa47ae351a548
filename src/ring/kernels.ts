/**
 * The WebAssembly kernels as TypeScript sees them: addresses and counts are numbers, 64-bit constants bigints.
 * Addresses are byte offsets into the memory of a {@linkcode "./ring.ts".Ring}; `n` counts words of the width in
 * the name. Element-wise kernels may work in place (`out` equal to an operand) and, with the 192 bytes of slack
 * behind every block, on any `n`. Those of more than eight parameters take them by name. Sources are in `kernels/`;
 * `deno task build` compiles them to `build/`.
 */
import { instantiateModules, type KernelExports, loadModules } from "./kernel_modules.ts";
import { LINEAR_HEADS, TRIGONOMETRIC_HEADS } from "./kernels/_heads.ts";
import type { LiftedKernels } from "./lifted_kernels.ts";
import type { LinearKernels } from "./linear_kernels.ts";
import { nameParameters } from "./named_kernels.ts";
import type { TrigonometricKernels } from "./trigonometric_kernels.ts";
import type { Words32Kernels } from "./words32_kernels.ts";

export interface ElementwiseKernels {
  add64(a: number, b: number, out: number, n: number): void;
  sub64(a: number, b: number, out: number, n: number): void;
  mul64(a: number, b: number, out: number, n: number): void;
  addConstant64(a: number, constant: bigint, out: number, n: number): void;
  mulConstant64(a: number, constant: bigint, out: number, n: number): void;
  /** out = a << bits. */
  shl64(a: number, bits: number, out: number, n: number): void;
  /** out = a >> bits, arithmetic: the local truncation of a share. */
  sar64(a: number, bits: number, out: number, n: number): void;
  /** out = (a + b) >> bits: the same for a share in two halves, in one pass over memory. */
  addSar64(a: number, b: number, bits: number, out: number, n: number): void;
  /** acc += a * b. */
  mulAdd64(acc: number, a: number, b: number, n: number): void;
  xor64(a: number, b: number, out: number, n: number): void;
  and64(a: number, b: number, out: number, n: number): void;
  /** out = a ^ constant. */
  xorConstant64(a: number, constant: bigint, out: number, n: number): void;
  /** acc ^= a & b. */
  andXor64(acc: number, a: number, b: number, n: number): void;

  /**
   * Several public polynomials at every element: out[row][e] = sum over k of table[row][k] * x[e]^k, k = 0...degree.
   * `table` is [rows][degree + 1] words, `out` is [rows][n]; must not overlap x.
   */
  polynomials64(x: number, table: number, rows: number, degree: number, out: number, n: number): void;
  /**
   * Horner with dealt words: y = lead; then y = y * u + g[i] for i = degree - 1 ... 0. `g` is [degree][n]
   * (g[i] belongs to u^i), `lead` a public constant.
   */
  horner64(u: number, g: number, degree: number, lead: bigint, out: number, n: number): void;
  /**
   * out[e] += sum over i, j of table[i][j] * a[i][e] * b[j][e] with i + j <= rows - 1 (i, j = 0...rows-1):
   * `table` is [rows][rows] words, `a` and `b` are [rows][n].
   */
  bilinear64(a: number, b: number, table: number, rows: number, out: number, n: number): void;

  /** Bit matrix transpose: n words (n a multiple of 64) to 64 planes of n/64 words; bit e of plane i is bit i of word e. */
  bitPlanes64(a: number, out: number, n: number): void;
  /** out[e] = bit e of the packed bits at `a`, as a word 0 or 1 (n a multiple of 64). */
  bitsToWords64(a: number, out: number, n: number): void;

  /** Sums of kernel x kernel windows at the given stride, no padding, NHWC with batch 1. */
  poolSum64(
    x: number,
    out: number,
    height: number,
    width: number,
    channels: number,
    kernel: number,
    stride: number,
  ): void;
  /** out[i] = a[i] + b[i mod period]: a bias over NHWC rows. */
  addRow64(a: number, row: number, out: number, n: number, period: number): void;

  add32(a: number, b: number, out: number, n: number): void;
  sub32(a: number, b: number, out: number, n: number): void;
  shl32(a: number, bits: number, out: number, n: number): void;
  sar32(a: number, bits: number, out: number, n: number): void;
  shr32(a: number, bits: number, out: number, n: number): void;

  /**
   * The key stream of ChaCha20 from block number `block` on, `bytes` bytes (a multiple of 4) of it: 64-bit block numbers and nonces,
   * a key of eight words.
   */
  chacha20(out: number, bytes: number, block: bigint, nonce: bigint, ...key: Key): void;
}

/** 256 bits as 32-bit words, little-endian. */
export type Key = readonly [number, number, number, number, number, number, number, number];

/** Everything that the modules export, by name. */
export type Kernels =
  & ElementwiseKernels
  & LinearKernels
  & Words32Kernels
  & LiftedKernels
  & TrigonometricKernels;

/** Modules that make up {@linkcode Kernels}: files of `kernels/`, compiled to `build/ring_<module>.wasm`. */
const MODULES = [
  "elementwise",
  "polynomial",
  "bits",
  "pooling",
  "layout",
  "winograd",
  "gemm64",
  "gemm32",
  "words32",
  "packing32",
  "lifted_gate",
  "lifted_masks",
  "trigonometric",
  "chacha20",
];

const HEADS = { ...LINEAR_HEADS, ...TRIGONOMETRIC_HEADS };

/** Instantiates the kernels in `memory`, which must have at least 16 pages. */
export async function loadKernels(memory: WebAssembly.Memory): Promise<Kernels> {
  const exports = await instantiateModules<KernelExports>(memory, await loadModules("ring", MODULES));
  return Object.assign(exports, nameParameters(exports, HEADS)) as unknown as Kernels;
}
