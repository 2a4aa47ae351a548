/**
 * The best polynomial with integer coefficients over 2^precision (the paper's quantisation-aware fitting, solved exactly): integer least squares by
 * depth-first search over the QR factorisation, in the order of Schnorr and Euchner. Rounding the real fit instead ruins it:
 * at precision 8 the quartic's highest coefficient would be 0.
 */
import type { Polynomial } from "./polynomial.ts";
import { solve, type TriangularSystem, triangularSystem } from "./least_squares.ts";

/** Functions that can be fitted. */
export const FUNCTIONS = {
  relu: (x: number): number => Math.max(0, x),
  sigmoid: (x: number): number => 1 / (1 + Math.exp(-x)),
  silu: (x: number): number => x / (1 + Math.exp(-x)),
  gelu: (x: number): number => x * normalDistribution(x),
} as const;

export type FunctionName = keyof typeof FUNCTIONS;

/** Standard normal distribution function, by its series; exact to doubles for |x| below 8. */
function normalDistribution(x: number): number {
  if (Math.abs(x) > 8) return x > 0 ? 1 : 0;
  let term = x, sum = x;
  for (let k = 1; Math.abs(term) > 1e-18 * Math.abs(sum); k++) sum += term *= x * x / (2 * k + 1);
  return 0.5 + sum * Math.exp(-x * x / 2) / Math.sqrt(2 * Math.PI);
}

export interface FitOptions {
  readonly degree: number;
  readonly range: number;
  readonly function?: FunctionName;
  /** The even part of the function is multiplied by this: ReLU becomes x / 2 + strength |x| / 2. Default 1. */
  readonly strength?: number;
  /** Equal weights (the paper's) or the density of the standard normal distribution. */
  readonly weights?: "uniform" | "normal";
}

export interface IntegerFitOptions extends FitOptions {
  readonly precision: number;
  /** Keep |coefficient| <= 1/2, as the paper's code does. Default true. */
  readonly box?: boolean;
}

/** Largest and root-mean-square distance from the function, weighted as in the fit. */
export interface FitError {
  readonly rms: number;
  readonly max: number;
}

export interface IntegerFit extends FitError {
  readonly polynomial: Polynomial;
  /** Partial assignments that the search visited. */
  readonly nodes: number;
}

interface Samples {
  readonly x: Float64Array;
  readonly y: Float64Array;
  readonly weights: Float64Array;
}

/** One point every hundredth, both ends included: 1000 points on [-5, 5], as in the paper's code. */
const fittedPoints = (range: number) => Math.max(2, Math.trunc(2 * range / 0.01));
/** Errors are measured on a finer grid, which contains 0, where ReLU bends. */
const measuredPoints = (range: number) => 10 * fittedPoints(range) + 1;

function sample(options: FitOptions, count: number): Samples {
  const { range, function: name = "relu", strength = 1, weights = "uniform" } = options, f = FUNCTIONS[name];
  const x = Float64Array.from({ length: count }, (_, j) => -range + 2 * range * j / (count - 1));
  const density = x.map((v) => weights === "normal" ? Math.exp(-v * v / 2) : 1),
    total = density.reduce((sum, w) => sum + w, 0);
  const y = strength === 1 ? x.map(f) : x.map((v) => f(v) + (strength - 1) * (f(v) + f(-v)) / 2);
  return { x, y, weights: density.map((w) => w / total) };
}

/** The best real coefficients, constant term first. */
export function realFit(options: FitOptions): Float64Array {
  const { x, y, weights } = sample(options, fittedPoints(options.range));
  return solve(triangularSystem(x, y, weights, options.degree));
}

/** The best integer coefficients over 2^precision, constant term first. Provably optimal. */
export function integerFit(options: IntegerFitOptions): IntegerFit {
  const { degree, precision, box = true } = options,
    { x, y, weights } = sample(options, fittedPoints(options.range));
  // The paper's target: the function truncated to the precision, in units of 2^-precision.
  const target = y.map((v) => Math.trunc(v * 2 ** precision));
  const system = triangularSystem(x, target, weights, degree);
  const { coefficients, nodes } = closestIntegers(system, box ? 2 ** (precision - 1) : Infinity);
  const polynomial: Polynomial = { kind: "polynomial", coefficients, precision };
  return { polynomial, nodes, ...errorOf(coefficients.map((c) => c / 2 ** precision), options) };
}

/** Distance of a polynomial from the function. */
export function errorOf(coefficients: ArrayLike<number>, options: FitOptions): FitError {
  const { x, y, weights } = sample(options, measuredPoints(options.range));
  let square = 0, max = 0;
  for (let j = 0; j < x.length; j++) {
    let value = 0;
    for (let k = coefficients.length - 1; k >= 0; k--) value = value * x[j] + coefficients[k];
    const distance = Math.abs(value - y[j]);
    square += weights[j] * distance ** 2;
    max = Math.max(max, distance);
  }
  return { rms: Math.sqrt(square), max };
}

/** Where the search gives up: about two seconds. The paper's fits take fewer than a hundred. */
const MOST_NODES = 10_000_000;

/**
 * Integers c, |c_k| <= limit, that minimise |rhs - R c|^2. From the last coefficient down, each is tried in the order of its
 * distance from the conditional optimum; a branch ends when its partial sum reaches the best full sum, so nothing is missed.
 *
 * @throws {RangeError} if the search would take too long, see {@linkcode MOST_NODES}
 */
export function closestIntegers(
  { r, rhs }: TriangularSystem,
  limit: number,
): { coefficients: number[]; nodes: number } {
  const n = rhs.length, current = new Array<number>(n).fill(0);
  let best = Infinity, coefficients = [...current], nodes = 0;
  const search = (k: number, partial: number) => {
    if (k < 0) {
      best = partial;
      coefficients = [...current];
      return;
    }
    let sum = rhs[k];
    for (let i = k + 1; i < n; i++) sum -= r[k][i] * current[i];
    for (const candidate of byDistance(sum / r[k][k], limit)) {
      const cost = partial + (sum - r[k][k] * candidate) ** 2;
      if (cost >= best) return;
      if (++nodes > MOST_NODES) {
        throw new RangeError(
          `no optimum proved within ${MOST_NODES} nodes: on so small a range high powers of x hardly differ; ` +
            "use a lower degree, a lower precision or a larger range",
        );
      }
      current[k] = candidate;
      search(k - 1, cost);
    }
  };
  search(n - 1, 0);
  // No minus zeros.
  return { coefficients: coefficients.map((c) => c + 0), nodes };
}

/** The integers from -limit to limit in the order of their distance from a real number. */
function* byDistance(center: number, limit: number): Generator<number> {
  let down = Math.min(Math.floor(center), limit), up = Math.max(down + 1, -limit);
  while (down >= -limit || up <= limit) {
    const lower = down >= -limit && (up > limit || center - down <= up - center);
    yield lower ? down-- : up++;
  }
}
