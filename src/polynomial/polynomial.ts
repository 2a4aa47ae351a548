/** Polynomials with public integer coefficients over a power of two: what a network evaluates instead of ReLU. */

/** P(x) = sum over k of coefficients[k] / 2^precision * x^k; an `Activation` of a network. */
export interface Polynomial {
  readonly kind: "polynomial";
  /** Integers, constant term first. */
  readonly coefficients: readonly number[];
  readonly precision: number;
}

/** The paper fits its polynomials on [-5, 5] (PILLAR, section 4). */
export const FITTED_RANGE = 5;

/** The paper's quartic: the best integers over 2^10 for ReLU on [-5, 5], see {@linkcode ./integer_fit.ts}. */
export const QUARTIC: Polynomial = {
  kind: "polynomial",
  coefficients: [322, 512, 160, 0, -3],
  precision: 10,
};

/** Coefficients as floats, constant term first. */
export const realCoefficients = ({ coefficients, precision }: Polynomial): number[] =>
  coefficients.map((c) => c / 2 ** precision);

/** Value of sum over k of coefficients[k] * x^k, by Horner's rule. */
export function horner(coefficients: ArrayLike<number>, x: number): number {
  let y = 0;
  for (let k = coefficients.length - 1; k >= 0; k--) y = y * x + coefficients[k];
  return y;
}

/**
 * Value of a polynomial at a float.
 *
 * @example
 * ```ts
 * import { evaluatePolynomial, QUARTIC } from "./polynomial.ts";
 *
 * console.log(evaluatePolynomial(QUARTIC, 2)); // 1.892578125
 * ```
 */
export const evaluatePolynomial = (polynomial: Polynomial, x: number): number =>
  horner(realCoefficients(polynomial), x);

/** A polynomial as text, for example `(322 + 512 x + 160 x^2 - 3 x^4) / 2^10`. */
export function formatPolynomial({ coefficients, precision }: Polynomial): string {
  const terms = coefficients.flatMap((c, k) =>
    c === 0 ? [] : [{ c, power: k === 0 ? "" : k === 1 ? "x" : `x^${k}` }]
  );
  const text = terms.map(({ c, power }, i) => {
    const sign = i === 0 ? (c < 0 ? "-" : "") : c < 0 ? " - " : " + ";
    const size = Math.abs(c);
    return sign + (power === "" ? size : size === 1 ? power : `${size} ${power}`);
  }).join("");
  return `(${text || 0}) / 2^${precision}`;
}
