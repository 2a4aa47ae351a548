/**
 * What the kernels of the trigonometric activation are given. With c = cos(2 pi x / P) and s = sin(2 pi x / P), the cosine of
 * an odd multiple j of the angle is T_j(c), and its sine T_j(s) or -T_j(s) in turn, T_j the Chebyshev polynomial: odd
 * powers alone. So one cosine forward and one sine backward do for any number of harmonics.
 */
import type { Trigonometric } from "../../models/trigonometric.ts";

/** T_1, T_3, T_5: coefficients of the powers 1, 3, 5. */
const CHEBYSHEV = [[1], [-3, 4], [5, -20, 16]] as const;

/** Sum over k of factors[k] T_(2k+1), as coefficients of the odd powers. */
function oddPowers(factors: ArrayLike<number>): number[] {
  const powers = new Array<number>(factors.length).fill(0);
  for (let k = 0; k < factors.length; k++) {
    CHEBYSHEV[k].forEach((coefficient, i) => powers[i] = powers[i] + factors[k] * coefficient);
  }
  return powers;
}

/** Numbers of f and of f' in the settings of the kernels. */
export function waveSettings(
  { period, offset, amplitudes }: Trigonometric,
): { value: number[]; slope: number[] } {
  const slopes = amplitudes.map((b, k) => (k % 2 === 0 ? -1 : 1) * 2 * Math.PI * (2 * k + 1) / period * b);
  return { value: [1 / period, offset, ...oddPowers(amplitudes)], slope: oddPowers(slopes) };
}

/** Gradients of the offset and the amplitudes, from the sums of dy and of dy times c, c^3, c^5. */
export function fourierGradients([sum, ...powers]: readonly number[], harmonics: number): number[] {
  const ofHarmonic = (k: number) =>
    CHEBYSHEV[k].reduce<number>((total, coefficient, i) => total + coefficient * powers[i], 0);
  return [sum, ...Array.from({ length: harmonics }, (_, k) => ofHarmonic(k))];
}
