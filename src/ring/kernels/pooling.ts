// Pooling and bias rows (AssemblyScript); vectors of two channels, an odd one alone.

/** Sums of kernel x kernel windows, NHWC, no padding. */
export function poolSum64(x: usize, out: usize, height: i32, width: i32, channels: i32, kernel: i32, stride: i32): void {
  const pixel = <usize>channels * 8, row = pixel * <usize>width;
  const outHeight = (height - kernel) / stride + 1, outWidth = (width - kernel) / stride + 1;
  for (let y = 0; y < outHeight; y++) {
    for (let column = 0; column < outWidth; column++) {
      let corner = x + <usize>(y * stride) * row + <usize>(column * stride) * pixel;
      let c = channels;
      for (; c >= 2; c -= 2) {
        let sum = i64x2.splat(0);
        for (let i = 0; i < kernel; i++) {
          let p = corner + <usize>i * row;
          for (let j = 0; j < kernel; j++, p += pixel) sum = i64x2.add(sum, v128.load(p));
        }
        v128.store(out, sum);
        out += 16;
        corner += 16;
      }
      if (c) {
        let sum: u64 = 0;
        for (let i = 0; i < kernel; i++) {
          let p = corner + <usize>i * row;
          for (let j = 0; j < kernel; j++, p += pixel) sum += load<u64>(p);
        }
        store<u64>(out, sum);
        out += 8;
      }
    }
  }
}

/** out[i] = a[i] + row[i mod period]. */
export function addRow64(a: usize, row: usize, out: usize, n: u32, period: u32): void {
  while (n > 0) {
    const count = min(n, period);
    let r = row, c = count;
    for (; c >= 2; c -= 2) {
      v128.store(out, i64x2.add(v128.load(a), v128.load(r)));
      a += 16;
      r += 16;
      out += 16;
    }
    if (c) {
      store<u64>(out, load<u64>(a) + load<u64>(r));
      a += 8;
      out += 8;
    }
    n -= count;
  }
}
