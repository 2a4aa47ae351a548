// Short copies (AssemblyScript). A call of memory.copy costs about as much as copying 1 KiB by hand.

/** Copies `bytes`, a multiple of 4. */
export function copyWords(to: usize, from: usize, bytes: usize): void {
  if (bytes >= 2048) {
    memory.copy(to, from, bytes);
    return;
  }
  for (; bytes >= 64; bytes -= 64) {
    v128.store(to, v128.load(from));
    v128.store(to, v128.load(from, 16), 16);
    v128.store(to, v128.load(from, 32), 32);
    v128.store(to, v128.load(from, 48), 48);
    to += 64;
    from += 64;
  }
  for (; bytes >= 16; bytes -= 16) {
    v128.store(to, v128.load(from));
    to += 16;
    from += 16;
  }
  for (; bytes > 0; bytes -= 4) {
    store<u32>(to, load<u32>(from));
    to += 4;
    from += 4;
  }
}

/** Zeroes `bytes`, a multiple of 4. */
export function zeroWords(to: usize, bytes: usize): void {
  if (bytes >= 2048) {
    memory.fill(to, 0, bytes);
    return;
  }
  const zero = i64x2.splat(0);
  for (; bytes >= 16; bytes -= 16) {
    v128.store(to, zero);
    to += 16;
  }
  for (; bytes > 0; bytes -= 4) {
    store<u32>(to, 0);
    to += 4;
  }
}

/**
 * Copies the pixels left ... left + count - 1 of one image row to `to`, zeros where the image ends. A pixel has
 * `bytes`, at the target `targetBytes` (the rest is zeroed). A row outside the image is passed as `inside` false.
 */
export function copyPixels(
  to: usize, row: usize, inside: bool, left: i32, count: i32, width: i32, bytes: usize, targetBytes: usize
): void {
  const first = min(max(0, -left), count), last = min(count, width - left);
  if (!inside || last <= first) {
    zeroWords(to, <usize>count * targetBytes);
    return;
  }
  zeroWords(to, <usize>first * targetBytes);
  to += <usize>first * targetBytes;
  let from = row + <usize>(left + first) * bytes;
  if (bytes == targetBytes) {
    copyWords(to, from, <usize>(last - first) * bytes);
    to += <usize>(last - first) * bytes;
  } else {
    for (let i = first; i < last; i++) {
      copyWords(to, from, bytes);
      zeroWords(to + bytes, targetBytes - bytes);
      to += targetBytes;
      from += bytes;
    }
  }
  zeroWords(to, <usize>(count - last) * targetBytes);
}
