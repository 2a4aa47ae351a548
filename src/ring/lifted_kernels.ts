/**
 * Kernels of the activation protocol `lifted`, beside those of 32-bit words in general: the polynomial modulo 2^64 or 2^128. See
 * `kernels.ts` for what all kernels share.
 *
 * A value z comes masked as E = z + 2^(k-2) + r modulo 2^k; u = E >>> t, called E_hi in docs/lifted.md, is public, and its top bit
 * says whether the mask r wrapped. The dealer made words for both cases: "sets" are [n][2][degree] words G_(degree-1) ... G_0, set b
 * for top bit b. Degrees are 2 to 10; others trap.
 */
export interface LiftedKernels {
  /**
   * The gate: y = lead; then y = y * u + G_i for i = degree - 1 ... 0 modulo 2^64, out = y >>> shift as 32-bit
   * words. `u` is [n] 32-bit words below 2^16 whose top bit is bit `topBit` (k - t - 1), `lead` the public
   * coefficient of u^degree, 0 at the client.
   */
  liftedGate64(
    u: number,
    sets: number,
    degree: number,
    lead: bigint,
    topBit: number,
    shift: number,
    out: number,
    n: number,
  ): void;
  /** The gate of a client that re-masks: lead 0, and out = (y >>> shift) - mask. `out` may be `mask`. */
  liftedGateMasked64(
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
   * 32 <= shift <= 127.
   */
  liftedGate128: LiftedKernels["liftedGate64"];
  liftedGateMasked128: LiftedKernels["liftedGateMasked64"];

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
