// Bit matrices (AssemblyScript).
import { copyWords } from "./_memory";
import { BIT_BLOCK, BIT_STAGE } from "./_scratch";

/** One 64 x 64 bit block at a constant address (no bounds checks). */
const BLOCK: usize = BIT_BLOCK;
/** Eight transposed blocks, [64 planes][8 words]. */
const STAGE: usize = BIT_STAGE;

/** One round of the recursive transpose: swaps the off-diagonal squares of side `step` (2 ... 32, vectors of rows). */
// @ts-ignore: decorator
@inline
function swapSquares(step: usize, mask: u64): void {
  const masks = i64x2.splat(mask);
  for (let row: usize = 0; row < 64; row += 2 * step) {
    for (let i: usize = row; i < row + step; i += 2) {
      const low = v128.load(BLOCK + i * 8), high = v128.load(BLOCK + (i + step) * 8);
      const swapped = v128.and(v128.xor(i64x2.shr_u(low, <i32>step), high), masks);
      v128.store(BLOCK + i * 8, v128.xor(low, i64x2.shl(swapped, <i32>step)));
      v128.store(BLOCK + (i + step) * 8, v128.xor(high, swapped));
    }
  }
}

/** Transposes the block of 64 words at `a`; word i of the result goes to `staged` + 64 * i. */
function transposeBlock(a: usize, staged: usize): void {
  memory.copy(BLOCK, a, 512);
  swapSquares(32, 0x00000000ffffffff);
  swapSquares(16, 0x0000ffff0000ffff);
  swapSquares(8, 0x00ff00ff00ff00ff);
  swapSquares(4, 0x0f0f0f0f0f0f0f0f);
  swapSquares(2, 0x3333333333333333);
  for (let i: usize = 0; i < 64; i += 2) {
    const low = load<u64>(BLOCK + i * 8), high = load<u64>(BLOCK + i * 8, 8);
    const swapped = ((low >> 1) ^ high) & 0x5555555555555555;
    store<u64>(staged + i * 64, low ^ (swapped << 1));
    store<u64>(staged + i * 64, high ^ swapped, 64);
  }
}

/**
 * Bit matrix transpose, n words to 64 planes of n / 64 words. Eight blocks are staged at a time, so that each plane is
 * written by whole cache lines: planes are often a power of two apart and share one set of the cache.
 */
export function bitPlanes64(a: usize, out: usize, n: u32): void {
  const blocks = n / 64, plane = <usize>blocks * 8;
  for (let done: u32 = 0; done < blocks; done += 8) {
    const count = <usize>min(8, blocks - done);
    for (let b: usize = 0; b < count; b++) transposeBlock(a + b * 512, STAGE + b * 8);
    let target = out;
    for (let i: usize = 0; i < 64; i++) {
      copyWords(target, STAGE + i * 64, count * 8);
      target += plane;
    }
    a += 8 * 512;
    out += 64;
  }
}

/** out[e] = bit e of the packed bits, as a word. */
export function bitsToWords64(a: usize, out: usize, n: u32): void {
  const one = i64x2.splat(1);
  const end = a + <usize>(n / 64) * 8;
  for (; a < end; a += 8) {
    const word = load<u64>(a);
    let bits = i64x2.replace_lane(i64x2.splat(word), 1, word >> 1);
    for (let i = 0; i < 32; i++) {
      v128.store(out, v128.and(bits, one));
      bits = i64x2.shr_u(bits, 2);
      out += 16;
    }
  }
}
