// asc: --enable relaxed-simd
// The optimiser (AssemblyScript): vectors of n numbers, n a multiple of 4.

/** total += part. */
export function addTo(total: usize, part: usize, n: i32): void {
  for (let i = 0; i < n; i += 4) {
    const at = <usize>i * 4;
    v128.store(total + at, f32x4.add(v128.load(total + at), v128.load(part + at)));
  }
}

/**
 * c = a b, row by row: a [m][k] with steps of its own in bytes from row to row and from column to column, b [k][n] and c [m][n]
 * dense; m a multiple of 4, n of 16. Each c is one chain of products.
 */
export function multiply(
  a: usize, aRow: usize, aColumn: usize, b: usize, c: usize, m: i32, k: i32, n: i32
): void {
  const row = <usize>n * 4;
  for (let i = 0; i < m; i += 4) {
    for (let j = 0; j < n; j += 16) {
      let c00 = f32x4.splat(0), c01 = c00, c02 = c00, c03 = c00, c10 = c00, c11 = c00, c12 = c00, c13 = c00;
      let c20 = c00, c21 = c00, c22 = c00, c23 = c00, c30 = c00, c31 = c00, c32 = c00, c33 = c00;
      let aAt = a + <usize>i * aRow, bAt = b + <usize>j * 4;
      for (let p = 0; p < k; p++) {
        const b0 = v128.load(bAt), b1 = v128.load(bAt, 16), b2 = v128.load(bAt, 32), b3 = v128.load(bAt, 48);
        const a0 = v128.load32_splat(aAt), a1 = v128.load32_splat(aAt + aRow);
        const a2 = v128.load32_splat(aAt + 2 * aRow), a3 = v128.load32_splat(aAt + 3 * aRow);
        c00 = f32x4.relaxed_madd(a0, b0, c00); c01 = f32x4.relaxed_madd(a0, b1, c01);
        c02 = f32x4.relaxed_madd(a0, b2, c02); c03 = f32x4.relaxed_madd(a0, b3, c03);
        c10 = f32x4.relaxed_madd(a1, b0, c10); c11 = f32x4.relaxed_madd(a1, b1, c11);
        c12 = f32x4.relaxed_madd(a1, b2, c12); c13 = f32x4.relaxed_madd(a1, b3, c13);
        c20 = f32x4.relaxed_madd(a2, b0, c20); c21 = f32x4.relaxed_madd(a2, b1, c21);
        c22 = f32x4.relaxed_madd(a2, b2, c22); c23 = f32x4.relaxed_madd(a2, b3, c23);
        c30 = f32x4.relaxed_madd(a3, b0, c30); c31 = f32x4.relaxed_madd(a3, b1, c31);
        c32 = f32x4.relaxed_madd(a3, b2, c32); c33 = f32x4.relaxed_madd(a3, b3, c33);
        aAt += aColumn;
        bAt += row;
      }
      const at = c + <usize>i * row + <usize>j * 4;
      v128.store(at, c00); v128.store(at, c01, 16); v128.store(at, c02, 32); v128.store(at, c03, 48);
      v128.store(at + row, c10); v128.store(at + row, c11, 16); v128.store(at + row, c12, 32); v128.store(at + row, c13, 48);
      v128.store(at + 2 * row, c20); v128.store(at + 2 * row, c21, 16);
      v128.store(at + 2 * row, c22, 32); v128.store(at + 2 * row, c23, 48);
      v128.store(at + 3 * row, c30); v128.store(at + 3 * row, c31, 16);
      v128.store(at + 3 * row, c32, 32); v128.store(at + 3 * row, c33, 48);
    }
  }
}

/** Sum of squares; f32 sums of 1024 numbers at a time, added in f64. */
export function squaredSum(g: usize, n: i32): f64 {
  let total: f64 = 0;
  for (let start = 0; start < n; start += 1024) {
    const end = min(n, start + 1024);
    let sum = f32x4.splat(0);
    for (let i = start; i < end; i += 4) {
      const v = v128.load(g + <usize>i * 4);
      sum = f32x4.relaxed_madd(v, v, sum);
    }
    total += <f64>f32x4.extract_lane(sum, 0) + <f64>f32x4.extract_lane(sum, 1) +
      (<f64>f32x4.extract_lane(sum, 2) + <f64>f32x4.extract_lane(sum, 3));
  }
  return total;
}

/** Nesterov's: d and v as in descend; w -= rate * (momentum * v + d). */
export function descendAhead(
  w: usize, v: usize, g: usize, n: i32, factor: f32, decay: f32, momentum: f32, rate: f32
): void {
  const factors = f32x4.splat(factor), decays = f32x4.splat(decay), momenta = f32x4.splat(momentum);
  const rates = f32x4.splat(-rate);
  for (let i = 0; i < n; i += 4) {
    const at = <usize>i * 4, weight = v128.load(w + at);
    const d = f32x4.relaxed_madd(decays, weight, f32x4.mul(factors, v128.load(g + at)));
    const velocity = f32x4.relaxed_madd(momenta, v128.load(v + at), d);
    v128.store(v + at, velocity);
    v128.store(w + at, f32x4.relaxed_madd(rates, f32x4.relaxed_madd(momenta, velocity, d), weight));
  }
}

/** Momentum: d = factor * g + decay * w; v = momentum * v + d; w -= rate * v. */
export function descend(
  w: usize, v: usize, g: usize, n: i32, factor: f32, decay: f32, momentum: f32, rate: f32
): void {
  const factors = f32x4.splat(factor), decays = f32x4.splat(decay), momenta = f32x4.splat(momentum);
  const rates = f32x4.splat(-rate);
  for (let i = 0; i < n; i += 4) {
    const at = <usize>i * 4, weight = v128.load(w + at);
    const d = f32x4.relaxed_madd(decays, weight, f32x4.mul(factors, v128.load(g + at)));
    const velocity = f32x4.relaxed_madd(momenta, v128.load(v + at), d);
    v128.store(v + at, velocity);
    v128.store(w + at, f32x4.relaxed_madd(rates, velocity, weight));
  }
}
