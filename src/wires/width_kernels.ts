/** Element-wise arithmetic on words of either width, by address: the one place where the width of a wire chooses code. */
import type { Kernels } from "../ring/kernels.ts";
import type { Ring } from "../ring/ring.ts";
import type { Width } from "../ring/tensor.ts";

/** Kernels of one width under common names; see {@linkcode Kernels}. */
export function arithmetic({ kernels: k }: Ring, width: Width) {
  const addShiftRight: Kernels["addSar64"] = width === 64 ? k.addSar64 : (a, b, bits, out, n) => {
    k.add32(a, b, out, n);
    if (bits > 0) k.sar32(out, bits, out, n);
  };
  const addShifted: Kernels["addShifted32"] = width === 32 ? k.addShifted32 : (a, b, bits, out, n) => {
    k.shl64(b, bits, out, n);
    k.add64(out, a, out, n);
  };
  return {
    add: k[`add${width}`],
    subtract: k[`sub${width}`],
    shiftLeft: k[`shl${width}`],
    /** Right shift of a share: with the sign for words of 64 bits, whose ring they fill, without for those of 32, which hold less. */
    shiftRight: width === 64 ? k.sar64 : k.shr32,
    /** Right shift with the sign. */
    shiftSigned: k[`sar${width}`],
    addRow: k[`addRow${width}`],
    poolSum: k[`poolSum${width}`],
    /** out = (a + b) >> bits, with the sign. */
    addShiftRight,
    /** out = a + (b << bits); `out` is neither of them. */
    addShifted,
  };
}
