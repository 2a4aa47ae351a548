/**
 * The penalty q of one activation input (PILLAR, equation 7): (x / R)^e, a flat floor over [-R, R] between
 * steep walls. A 32-bit float cannot hold (x / R)^10 for inputs that training does meet (infinite from |x /
 * R| about 7100), so far outside the power is continued by its tangent.
 */

/** |x / R| up to which the penalty is the power; beyond, it is the tangent at this point. */
export const PENALTY_LINEAR_BEYOND = 16;

/** Exponent e (even, 2 ... 10) and range R of a penalty. */
export interface PenaltyShape {
  readonly exponent: number;
  readonly range: number;
}

/** Throws a RangeError unless a penalty has an even exponent from 2 to 10 and a positive range. */
export function checkPenalty({ exponent, range }: PenaltyShape): void {
  if (![2, 4, 6, 8, 10].includes(exponent)) {
    throw new RangeError(`the exponent of the penalty must be 2, 4, 6, 8 or 10, got ${exponent}`);
  }
  if (!(range > 0 && range < Infinity)) {
    throw new RangeError(`the range of the penalty must be positive, got ${range}`);
  }
}

/**
 * q(x).
 *
 * @example
 * ```ts
 * import { penaltyValue } from "./penalty.ts";
 *
 * console.log(penaltyValue(-3, { exponent: 10, range: 1.5 })); // 1024
 * ```
 */
export function penaltyValue(x: number, { exponent, range }: PenaltyShape): number {
  const u = Math.abs(x / range), bounded = Math.min(u, PENALTY_LINEAR_BEYOND);
  return bounded ** exponent + penaltySlope(exponent) * Math.max(0, u - PENALTY_LINEAR_BEYOND);
}

/** q'(x). */
export function penaltyDerivative(x: number, { exponent, range }: PenaltyShape): number {
  const u = x / range, bounded = Math.min(Math.abs(u), PENALTY_LINEAR_BEYOND);
  return Math.sign(u) * exponent * bounded ** (exponent - 1) / range;
}

/** Slope of the tangent with respect to |x / R|. */
export const penaltySlope = (exponent: number): number => exponent * PENALTY_LINEAR_BEYOND ** (exponent - 1);
