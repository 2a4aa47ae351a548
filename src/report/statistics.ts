/** The few statistics that results need; small samples, so nothing here is tuned for speed. */

function sorted(values: readonly number[]): number[] {
  if (values.length === 0) throw new RangeError("statistics of an empty list");
  return [...values].sort((a, b) => a - b);
}

/** Quantile by linear interpolation between order statistics; 0 gives the least value, 1 the largest. */
export function quantile(values: readonly number[], q: number): number {
  const list = sorted(values), at = q * (list.length - 1), below = Math.floor(at);
  return list[below] + (at - below) * ((list[below + 1] ?? list[below]) - list[below]);
}

/** Middle value, or the mean of the two middle ones. */
export function median(values: readonly number[]): number {
  return quantile(values, 0.5);
}

/** First and third quartile. */
export function quartiles(values: readonly number[]): { low: number; high: number } {
  return { low: quantile(values, 0.25), high: quantile(values, 0.75) };
}

/** "1.1 to 1.9": the least and the largest of some values; one number where they read alike. */
export function span(values: readonly number[], digits: number): string {
  const [least, most] = [Math.min(...values), Math.max(...values)].map((value) => value.toFixed(digits));
  return least === most ? least : `${least} to ${most}`;
}

/** Arithmetic mean. */
export function mean(values: readonly number[]): number {
  if (values.length === 0) throw new RangeError("statistics of an empty list");
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

/** Standard deviation of a sample (divisor n - 1); 0 for a single value. */
export function deviation(values: readonly number[]): number {
  const centre = mean(values);
  if (values.length === 1) return 0;
  return Math.sqrt(values.reduce((sum, value) => sum + (value - centre) ** 2, 0) / (values.length - 1));
}

/** Mean with its two-sided Student t interval; the interval of a single value is unknown (`NaN`). */
export function tInterval(
  values: readonly number[],
  confidence = 0.95,
): { mean: number; low: number; high: number } {
  const centre = mean(values), n = values.length;
  if (n < 2) return { mean: centre, low: NaN, high: NaN };
  const half = tQuantile((1 + confidence) / 2, n - 1) * deviation(values) / Math.sqrt(n);
  return { mean: centre, low: centre - half, high: centre + half };
}

// Lanczos approximation (g = 7, n = 9), relative error below 1e-13 for x > 0.
const lanczos = [
  0.99999999999980993,
  676.5203681218851,
  -1259.1392167224028,
  771.32342877765313,
  -176.61502916214059,
  12.507343278686905,
  -0.13857109526572012,
  9.9843695780195716e-6,
  1.5056327351493116e-7,
] as const;

/** Natural logarithm of the gamma function, for x > 0. */
export function logGamma(x: number): number {
  if (x < 0.5) return Math.log(Math.PI / Math.sin(Math.PI * x)) - logGamma(1 - x);
  const z = x - 1, t = z + 7.5;
  const sum = lanczos.reduce((total, c, i) => i === 0 ? c : total + c / (z + i), 0);
  return 0.5 * Math.log(2 * Math.PI) + (z + 0.5) * Math.log(t) - t + Math.log(sum);
}

/** Regularised incomplete beta function I_x(a, b). */
export function incompleteBeta(x: number, a: number, b: number): number {
  if (x <= 0) return 0;
  if (x >= 1) return 1;
  // The continued fraction converges fast on this side of the mean only.
  if (x > (a + 1) / (a + b + 2)) return 1 - incompleteBeta(1 - x, b, a);
  const front = Math.exp(logGamma(a + b) - logGamma(a) - logGamma(b) + a * Math.log(x) + b * Math.log1p(-x));
  const guard = (value: number) => Math.abs(value) < 1e-300 ? 1e-300 : value;
  let c = 1, d = 1 / guard(1 - (a + b) * x / (a + 1)), h = d;
  for (let m = 1; m < 10_000; m++) {
    const even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
    d = 1 / guard(1 + even * d);
    c = guard(1 + even / c);
    h *= d * c;
    const odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
    d = 1 / guard(1 + odd * d);
    c = guard(1 + odd / c);
    h *= d * c;
    if (Math.abs(d * c - 1) < 1e-15) break;
  }
  return front * h / a;
}

/** Quantile of Student's t distribution. */
export function tQuantile(probability: number, degreesOfFreedom: number): number {
  if (probability < 0.5) return -tQuantile(1 - probability, degreesOfFreedom);
  const upper = (t: number) =>
    incompleteBeta(degreesOfFreedom / (degreesOfFreedom + t * t), degreesOfFreedom / 2, 0.5) / 2;
  let low = 0, high = 1;
  while (upper(high) > 1 - probability) high *= 2;
  for (let i = 0; i < 100; i++) {
    const middle = (low + high) / 2;
    if (upper(middle) > 1 - probability) low = middle;
    else high = middle;
  }
  return (low + high) / 2;
}

/** The normal quantile of a two-sided interval of 95 %, and of a one-sided one. */
const TWO_SIDED = 1.959963984540054, ONE_SIDED = 1.6448536269514722;

/**
 * By how much the share of successes of the first differs from that of the second over the same trials. Each end of the interval
 * alone is a bound of 95 %. Normal approximation: what counts are the trials in which they differ, of which there are hundreds.
 */
export function pairedDifference(
  first: readonly boolean[],
  second: readonly boolean[],
): { readonly value: number; readonly low: number; readonly high: number } {
  const n = first.length;
  if (n !== second.length) throw new RangeError(`${n} trials cannot be paired with ${second.length}`);
  const ahead = first.filter((success, i) => success && !second[i]).length,
    behind = second.filter((success, i) => success && !first[i]).length;
  const value = (ahead - behind) / n,
    half = ONE_SIDED * Math.sqrt(ahead + behind - (ahead - behind) ** 2 / n) / n;
  return { value, low: value - half, high: value + half };
}

/** Wilson's interval of a proportion: `successes` of `trials`; never beyond 0 and 1, and not empty at either. */
export function wilsonInterval(
  successes: number,
  trials: number,
): { readonly value: number; readonly low: number; readonly high: number } {
  const z2 = TWO_SIDED ** 2, value = successes / trials, centre = value + z2 / (2 * trials);
  const half = Math.sqrt(z2 * (value * (1 - value) / trials + z2 / (4 * trials ** 2))),
    scale = 1 + z2 / trials;
  return { value, low: Math.max(0, (centre - half) / scale), high: Math.min(1, (centre + half) / scale) };
}
