/**
 * Kernels of the activation protocol `lifted`: linear layers modulo 2^k in 32-bit words (16 <= k <= 30, bits above k are
 * whatever the arithmetic left there), the polynomial modulo 2^64 or 2^128. See `kernels.ts` for what all kernels share.
 *
 * A value z comes masked as e = z + 2^(k-2) + r modulo 2^k; u = e >>> t is public, and its top bit says whether the
 * mask r wrapped. The dealer made words for both cases: "sets" are [n][2][degree] words G_(degree-1) ... G_0, set b
 * for top bit b. Degrees are 2 to 10; others trap.
 */
export interface LiftedKernels {
  /**
   * The low `bits` bits (1 to 31, others trap) of n words, without gaps. The last block of 128 words is filled up with zeros,
   * whatever lies behind the words: ceil(n / 128) * 16 * bits bytes. `out` may be `words` if n is a multiple of 128.
   */
  pack32(words: number, n: number, bits: number, out: number): void;
  /** The n words that {@linkcode LiftedKernels.pack32} packed, below 2^bits; nothing behind them is written. `out` must not overlap `bytes`. */
  unpack32(bytes: number, n: number, bits: number, out: number): void;

  /** out = ((y + r) >>> shift) modulo 2^bits: the server's reply with shift t and bits k - t (1 to 32). */
  reply32(y: number, r: number, out: number, n: number, shift: number, bits: number): void;
  /** out = a + (b << bits): a shortcut that has fewer fraction bits. */
  addShifted32(a: number, b: number, bits: number, out: number, n: number): void;
  /** Brings `bytes` bytes into the cache, for a kernel that reads them soon. */
  touch(a: number, bytes: number): void;
  /** out = a - b modulo 2^128, n numbers of two 64-bit words, low first. */
  sub128(a: number, b: number, out: number, n: number): void;
  /** out = a - b modulo 2^48, n numbers of six bytes without gaps. */
  sub48(a: number, b: number, out: number, n: number): void;
  /** Sums of kernel x kernel windows at the given stride, no padding, NHWC with batch 1. */
  poolSum32(
    x: number,
    out: number,
    height: number,
    width: number,
    channels: number,
    kernel: number,
    stride: number,
  ): void;
  /** out[i] = a[i] + b[i mod period]: a bias over NHWC rows. */
  addRow32(a: number, row: number, out: number, n: number, period: number): void;

  /**
   * The server's gate: y = lead; then y = y * u + G_i for i = degree - 1 ... 0 modulo 2^64, out = y >>> shift as 32-bit
   * words. `u` is [n] 32-bit words below 2^16 whose top bit is bit `topBit` (k - t - 1), `lead` the public
   * coefficient of u^degree.
   */
  liftedGateServer64(
    u: number,
    sets: number,
    degree: number,
    lead: bigint,
    topBit: number,
    shift: number,
    out: number,
    n: number,
  ): void;
  /** The client's gate: as the server's with lead 0, and out = (y >>> shift) - mask. `out` may be `mask`. */
  liftedGateClient64(
    u: number,
    sets: number,
    degree: number,
    topBit: number,
    shift: number,
    mask: number,
    out: number,
    n: number,
  ): void;
  /**
   * The same modulo 2^128, for truncations with shift + k > 64: dealt words are pairs (low, high), `lead` is signed,
   * 32 <= shift <= 96.
   */
  liftedGateServer128: LiftedKernels["liftedGateServer64"];
  liftedGateClient128: LiftedKernels["liftedGateClient64"];

  /**
   * The sets for masks r: G_i = sum over j >= i of C_j binomial(j, i) (-rho)^(j-i) modulo 2^64, where rho =
   * (r >>> t) + 2^(k-2-t) in set 1, and less by 2^(k-t) in set 0 if r has its top bit (bit k - 1) set. So with
   * u = (z + 2^(k-2) + r modulo 2^k) >>> t, sum over i of G_i u^i (C_degree for G_degree) is the polynomial at
   * floor(z / 2^t) or one more. `r` is [n] words of which the low k bits count, `table` [degree + 1] words C_0 ...
   * C_degree.
   */
  liftedMasks64(
    r: number,
    n: number,
    k: number,
    t: number,
    table: number,
    degree: number,
    out: number,
  ): void;
  /** The same modulo 2^128: all words but r are pairs (low, high). */
  liftedMasks128: LiftedKernels["liftedMasks64"];
}
