// asc: --enable relaxed-simd
// The optimiser (AssemblyScript): vectors of n numbers, n a multiple of 4.

/** total += part. */
export function addTo(total: usize, part: usize, n: i32): void {
  for (let i = 0; i < n; i += 4) {
    const at = <usize>i * 4;
    v128.store(total + at, f32x4.add(v128.load(total + at), v128.load(part + at)));
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
