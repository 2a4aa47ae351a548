// Constant addresses below 1 MiB, shared by generators (TypeScript) and modules (AssemblyScript). Accesses to a
// constant address inside the declared initial memory need no bounds check; everything reused most lives here.

/** Weights of one block, [k][lanes]; the largest is 7 * 21 * 64 bytes. */
export const WEIGHTS_PANEL = 0x1000;
/** Sums of a tile of 32-bit words on their way to memory. */
export const TILE_SUMS = 0x7000;
/** Activations of up to 8 pixels, [64 k][pixels]. */
export const PIXELS_PANEL = 0x8000;
/** 6 x 6 vectors between the two passes of a Winograd transform. */
export const TRANSFORM = 0xa000;
/** The table of a bilinear form and its splats. */
export const TABLE = 0xb000;
/** One 64 x 64 bit block. */
export const BIT_BLOCK = 0xc000;
/** Eight transposed blocks. */
export const BIT_STAGE = 0xd000;
/** Eight blocks of a key stream. */
export const KEY_STREAM = 0xe000;
/** The same as the rounds leave them, [16 words][8 blocks]. */
export const CIPHER_BLOCKS = 0xe400;
/** The last block of a packed message, 128 words. */
export const PACKED_BLOCK = 0xf000;
