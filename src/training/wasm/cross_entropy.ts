/** Softmax cross entropy in doubles. Only operations that IEEE 754 fixes: the same bits on every machine. */
import { firstArgMax } from "../_measure.ts";

const LOG2_E = 1.4426950408889634;
/** ln 2 in two parts; the first has 20 zero bits at its end, so k times it is exact. */
const LN2_HIGH = 0.6931471803691238, LN2_LOW = 1.9082149292705877e-10;
/** 2^-i. */
const HALVES = Float64Array.from({ length: 1100 }, (_, i) => i < 1000 ? 1 / 2 ** i : 0);
/** 1 / i! */
const TAYLOR = [1, 1];
for (let i = 2; i <= 13; i++) TAYLOR.push(TAYLOR[i - 1] / i);

/** e^x for x <= 0, to 2 units in the last place; 0 below -690, NaN for NaN. */
export function exponential(x: number): number {
  if (x < -690) return 0;
  const k = Math.round(x * LOG2_E), r = (x - k * LN2_HIGH) - k * LN2_LOW;
  let sum = TAYLOR[13];
  for (let i = 12; i >= 0; i--) sum = sum * r + TAYLOR[i];
  return k <= 0 ? sum * HALVES[-k] : NaN;
}

/** Sum over images of the cross entropy, and number of right first choices. */
export interface LossReport {
  readonly crossEntropy: number;
  readonly correct: number;
}

/**
 * The cross entropy of rows of logits and its gradient: (softmax - targets) * factor, targets being
 * (1 - smoothing) * given + smoothing / classes.
 *
 * @param gradient written with `stride` floats from row to row
 */
export function crossEntropy(
  logits: Float32Array,
  targets: Float32Array,
  classes: number,
  smoothing: number,
  factor: number,
  gradient: Float32Array,
  stride: number,
): LossReport {
  const powers = new Float64Array(classes);
  let crossEntropy = 0, correct = 0;
  for (let row = 0, at = 0; at < targets.length; row++, at += classes) {
    const best = firstArgMax(logits, at, classes);
    if (best === firstArgMax(targets, at, classes)) correct++;
    const largest = logits[at + best];
    let sum = 0, mass = 0, product = 0;
    for (let k = 0; k < classes; k++) {
      const x = logits[at + k] - largest;
      const target = (1 - smoothing) * targets[at + k] + smoothing / classes;
      sum += powers[k] = exponential(x);
      mass += target;
      if (target !== 0) product += target * x;
    }
    crossEntropy += mass * Math.log(sum) - product;
    for (let k = 0; k < classes; k++) {
      const target = (1 - smoothing) * targets[at + k] + smoothing / classes;
      gradient[row * stride + k] = (mass * powers[k] / sum - target) * factor;
    }
  }
  return { crossEntropy, correct };
}
