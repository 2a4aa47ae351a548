/** Element-wise arithmetic on words of either width, by address: the one place where the width of a wire chooses code. */
import type { Kernels } from "../ring/kernels.ts";
import type { Ring } from "../ring/ring.ts";
import type { Width } from "../ring/tensor.ts";

/** Kernels of one width under common names; see {@linkcode Kernels}. */
export interface Arithmetic {
  readonly add: Kernels["add64"];
  readonly subtract: Kernels["sub64"];
  readonly shiftLeft: Kernels["shl64"];
  /** Right shift of a share: with the sign for words of 64 bits, whose ring they fill, without for those of 32, which hold less. */
  readonly shiftRight: Kernels["sar64"];
  /** Right shift with the sign. */
  readonly shiftSigned: Kernels["sar64"];
  readonly addRow: Kernels["addRow64"];
  readonly poolSum: Kernels["poolSum64"];
  /** out = (a + b) >> bits, with the sign. */
  addShiftRight(a: number, b: number, bits: number, out: number, n: number): void;
  /** out = a + (b << bits); `out` is neither of them. */
  addShifted(a: number, b: number, bits: number, out: number, n: number): void;
}

export function arithmetic({ kernels: k }: Ring, width: Width): Arithmetic {
  if (width === 32) {
    return {
      add: k.add32,
      subtract: k.sub32,
      shiftLeft: k.shl32,
      shiftRight: k.shr32,
      shiftSigned: k.sar32,
      addRow: k.addRow32,
      poolSum: k.poolSum32,
      addShiftRight(a, b, bits, out, n) {
        k.add32(a, b, out, n);
        if (bits > 0) k.sar32(out, bits, out, n);
      },
      addShifted: k.addShifted32,
    };
  }
  return {
    add: k.add64,
    subtract: k.sub64,
    shiftLeft: k.shl64,
    shiftRight: k.sar64,
    shiftSigned: k.sar64,
    addRow: k.addRow64,
    poolSum: k.poolSum64,
    addShiftRight: k.addSar64,
    addShifted(a, b, bits, out, n) {
      k.shl64(b, bits, out, n);
      k.add64(out, a, out, n);
    },
  };
}
