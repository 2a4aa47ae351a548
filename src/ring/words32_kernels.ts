/**
 * Kernels of wires of small rings: numbers modulo 2^k in 32-bit words (16 <= k <= 30, bits above k are whatever the arithmetic left
 * there), packed for messages without those bits. See `kernels.ts` for what all kernels share.
 */
export interface Words32Kernels {
  /**
   * The low `bits` bits (1 to 31, others trap) of n words, without gaps. The last block of 128 words is filled up with zeros,
   * whatever lies behind the words: ceil(n / 128) * 16 * bits bytes. `out` may be `words` if n is a multiple of 128.
   */
  pack32(words: number, n: number, bits: number, out: number): void;
  /** The n words that {@linkcode Words32Kernels.pack32} packed, below 2^bits; nothing behind them is written. `out` must not overlap `bytes`. */
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
}
