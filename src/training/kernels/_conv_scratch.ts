// Constant addresses below 1 MiB, shared by generators (TypeScript) and modules (AssemblyScript). Accesses to a
// constant address inside the declared initial memory need no bounds check. Nothing here outlives a call.

/** Offsets of the pixels of a block, see convolution.gen.ts. */
export const PIXEL_TABLE = 0x1000;
/** 6 x 6 vectors between the two passes of a Winograd transform. */
export const TRANSFORM = 0x11000;
/** Transforms of winograd_rows.gen.ts, and its weights or sums of their gradients, [5][3][6][8 points]. */
export const ROW_CONSTANTS = 0x12000;
export const ROW_WEIGHTS = 0x13000;
/** Bias or zeros, padded to whole vectors; the rest of the first MiB. */
export const BIAS = 0x14000;
