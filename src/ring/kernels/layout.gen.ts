/** Copies that bring images and weights into the order of the products. */
import { LINEAR_HEADS } from "./_heads.ts";

const SOURCE = `import { copyPixels, copyWords, zeroWords } from "./_memory";

/** Rows of some bytes (a multiple of 4), each zero-filled to targetBytes if that is longer; strides in bytes. */
export function copyRows(from: usize, fromStep: usize, to: usize, toStep: usize, bytes: usize, targetBytes: usize, rows: i32): void {
  for (; rows > 0; rows--) {
    copyWords(to, from, bytes);
    if (targetBytes > bytes) zeroWords(to + bytes, targetBytes - bytes);
    from += fromStep;
    to += toStep;
  }
}

/** The image with a border of zeros. */
export function padImage(x: usize, out: usize, height: i32, width: i32, pixelBytes: usize, padding: i32): void {
  const columns = width + 2 * padding;
  for (let row = -padding; row < height + padding; row++) {
    copyPixels(out, x + <usize>(row * width) * pixelBytes, row >= 0 && row < height, -padding, columns, width, pixelBytes, pixelBytes);
    out += <usize>columns * pixelBytes;
  }
}

/** The words under the kernel at every output pixel, one row of rowBytes (zero-filled) for each. */
export function gatherWindows(${LINEAR_HEADS.gatherWindows}
): void {
  const segment = <usize>kernel * pixelBytes, used = segment * <usize>kernel;
  for (let y = 0; y < outHeight; y++) {
    for (let column = 0; column < outWidth; column++) {
      for (let i = 0; i < kernel; i++) {
        const row = y * stride + i - padding;
        copyPixels(
          out + <usize>i * segment, x + <usize>(row * width) * pixelBytes, row >= 0 && row < height,
          column * stride - padding, kernel, width, pixelBytes, pixelBytes
        );
      }
      zeroWords(out + used, rowBytes - used);
      out += rowBytes;
    }
  }
}

/** Bits that tell the words apart from their sign: a word fits b bits (signed) if this is below 2^(b-1). */
export function magnitudeBits64(x: usize, n: u32): u64 {
  let bits: u64 = 0;
  for (const end = x + <usize>n * 8; x < end; x += 8) {
    const word = load<i64>(x);
    bits |= word ^ (word >> 63);
  }
  return bits;
}

export function magnitudeBits32(x: usize, n: u32): u32 {
  let bits: u32 = 0;
  for (const end = x + <usize>n * 4; x < end; x += 4) {
    const word = load<i32>(x);
    bits |= word ^ (word >> 31);
  }
  return bits;
}

// @ts-ignore: decorator
@inline
function storeSized(to: usize, word: i64, size: i32): void {
  if (size == 8) store<i64>(to, word);
  else if (size == 4) store<i32>(to, <i32>word);
  else store<i16>(to, <i16>word);
}

/**
 * Stores a panel [length][lanes] of words of bytes bytes as words of size bytes at their places in the order
 * [length / block][outputs / group][block][group]; m is the panel's first output. Blocks are 64 and then 16 long
 * if blocked, else all of length.
 */
export function pack(${LINEAR_HEADS.pack}
): void {
  for (let k0 = 0; k0 < length;) {
    const block = !blocked ? length : length - k0 >= 64 ? 64 : 16;
    for (let g = 0; g < lanes; g += group) {
      let target = to + (<usize>k0 * <usize>outputs + <usize>(m + g) * <usize>block) * <usize>size;
      for (let k = 0; k < block; k++) {
        let from = panel + <usize>((k0 + k) * lanes + g) * <usize>bytes;
        for (let i = 0; i < group; i++) {
          storeSized(target, bytes == 8 ? load<i64>(from) : <i64>load<i32>(from), size);
          from += bytes;
          target += size;
        }
      }
    }
    k0 += block;
  }
}`;

export default (): string => SOURCE;
