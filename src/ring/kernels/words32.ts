// What wires of small rings need on 32-bit words: element-wise steps, pooling, bias rows; differences of wider dealt words (AssemblyScript).

/** out = (y + r) >>> shift, its low `bits` bits: what the server replies. */
export function reply32(y: usize, r: usize, out: usize, n: u32, shift: i32, bits: i32): void {
  const mask: u32 = 0xffffffff >> <u32>(32 - bits), masks = i32x4.splat(mask);
  const end = out + <usize>n * 4, turnsEnd = out + <usize>(n / 16) * 64;
  while (out < turnsEnd) {
    v128.store(out, v128.and(i32x4.shr_u(i32x4.add(v128.load(y), v128.load(r)), shift), masks));
    v128.store(out, v128.and(i32x4.shr_u(i32x4.add(v128.load(y, 16), v128.load(r, 16)), shift), masks), 16);
    v128.store(out, v128.and(i32x4.shr_u(i32x4.add(v128.load(y, 32), v128.load(r, 32)), shift), masks), 32);
    v128.store(out, v128.and(i32x4.shr_u(i32x4.add(v128.load(y, 48), v128.load(r, 48)), shift), masks), 48);
    y += 64;
    r += 64;
    out += 64;
  }
  while (out < end) {
    store<u32>(out, (load<u32>(y) + load<u32>(r)) >> <u32>shift & mask);
    y += 4;
    r += 4;
    out += 4;
  }
}

/** out = a + (b << bits). */
export function addShifted32(a: usize, b: usize, bits: i32, out: usize, n: u32): void {
  const end = out + <usize>n * 4, turnsEnd = out + <usize>(n / 16) * 64;
  while (out < turnsEnd) {
    v128.store(out, i32x4.add(v128.load(a), i32x4.shl(v128.load(b), bits)));
    v128.store(out, i32x4.add(v128.load(a, 16), i32x4.shl(v128.load(b, 16), bits)), 16);
    v128.store(out, i32x4.add(v128.load(a, 32), i32x4.shl(v128.load(b, 32), bits)), 32);
    v128.store(out, i32x4.add(v128.load(a, 48), i32x4.shl(v128.load(b, 48), bits)), 48);
    a += 64;
    b += 64;
    out += 64;
  }
  while (out < end) {
    store<u32>(out, load<u32>(a) + (load<u32>(b) << <u32>bits));
    a += 4;
    b += 4;
    out += 4;
  }
}

/** Sums of kernel x kernel windows, NHWC, no padding. */
export function poolSum32(x: usize, out: usize, height: i32, width: i32, channels: i32, kernel: i32, stride: i32): void {
  const pixel = <usize>channels * 4, row = pixel * <usize>width;
  const outHeight = (height - kernel) / stride + 1, outWidth = (width - kernel) / stride + 1;
  for (let y = 0; y < outHeight; y++) {
    for (let column = 0; column < outWidth; column++) {
      let corner = x + <usize>(y * stride) * row + <usize>(column * stride) * pixel;
      let c = channels;
      for (; c >= 4; c -= 4) {
        let sum = i32x4.splat(0);
        for (let i = 0; i < kernel; i++) {
          let p = corner + <usize>i * row;
          for (let j = 0; j < kernel; j++, p += pixel) sum = i32x4.add(sum, v128.load(p));
        }
        v128.store(out, sum);
        out += 16;
        corner += 16;
      }
      for (; c > 0; c--) {
        let sum: u32 = 0;
        for (let i = 0; i < kernel; i++) {
          let p = corner + <usize>i * row;
          for (let j = 0; j < kernel; j++, p += pixel) sum += load<u32>(p);
        }
        store<u32>(out, sum);
        out += 4;
        corner += 4;
      }
    }
  }
}

/** out[i] = a[i] + row[i mod period]. */
export function addRow32(a: usize, row: usize, out: usize, n: u32, period: u32): void {
  while (n > 0) {
    const count = min(n, period);
    let r = row, c = count;
    for (; c >= 4; c -= 4) {
      v128.store(out, i32x4.add(v128.load(a), v128.load(r)));
      a += 16;
      r += 16;
      out += 16;
    }
    for (; c > 0; c--) {
      store<u32>(out, load<u32>(a) + load<u32>(r));
      a += 4;
      r += 4;
      out += 4;
    }
    n -= count;
  }
}

/** out = a - b modulo 2^128, numbers of two words, low first. */
export function sub128(a: usize, b: usize, out: usize, n: i32): void {
  const end = out + (<usize> n << 4);
  while (out < end) {
    const low = load<u64>(a), borrowed = load<u64>(b);
    store<u64>(out, load<u64>(a, 8) - load<u64>(b, 8) - u64(low < borrowed), 8);
    store<u64>(out, low - borrowed);
    a += 16;
    b += 16;
    out += 16;
  }
}

/** out = a - b modulo 2^48, numbers of six bytes without gaps. */
export function sub48(a: usize, b: usize, out: usize, n: u32): void {
  const end = out + <usize>n * 6;
  while (out < end) {
    const word = load<u64>(a) - load<u64>(b);
    store<u32>(out, <u32>word);
    store<u16>(out, <u16>(word >> 32), 4);
    a += 6;
    b += 6;
    out += 6;
  }
}

/** Reads a word of every cache line. The sum is there so that the reads are: nobody needs it. */
export function touch(a: usize, bytes: usize): u32 {
  const end = a + bytes;
  let sum: u32 = 0;
  for (; a < end; a += 64) sum += load<u32>(a);
  return sum;
}
