/** Measures of one batch in doubles, from values that an engine has brought to JavaScript. */
import type { Batch, EvaluationReport } from "./engine.ts";

/** Index of the first largest of `count` values from `start` on. */
export function firstArgMax(values: ArrayLike<number>, start: number, count: number): number {
  let best = 0;
  for (let k = 1; k < count; k++) if (values[start + k] > values[start + best]) best = k;
  return best;
}

/** Number of rows of `logits` whose first largest entry stands where that of the targets does. */
export function countCorrect({ size, targets }: Batch, logits: ArrayLike<number>): number {
  const classes = targets.length / size;
  let correct = 0;
  for (let i = 0; i < size; i++) {
    const at = i * classes;
    if (firstArgMax(logits, at, classes) === firstArgMax(targets, at, classes)) correct++;
  }
  return correct;
}

/**
 * The report of an evaluation.
 *
 * @param logits [batch, classes]
 * @param inputs inputs of each activation layer before any clip, [batch, ...]
 * @param range inputs of larger size, and NaN, count as out of range
 */
export function evaluationReport(
  batch: Batch,
  logits: Float32Array,
  inputs: readonly Float32Array[],
  range: number,
): EvaluationReport {
  return { images: batch.size, ...measureLogits(batch, logits), ...measureInputs(batch.size, inputs, range) };
}

function measureLogits({ size, targets }: Batch, logits: Float32Array) {
  const classes = targets.length / size;
  let correct = 0, crossEntropy = 0, nonFinite = 0;
  for (let i = 0; i < size; i++) {
    const row = logits.subarray(i * classes, (i + 1) * classes), target = targets.subarray(i * classes);
    if (!row.every(Number.isFinite)) {
      nonFinite++;
      continue;
    }
    const best = firstArgMax(row, 0, classes);
    if (best === firstArgMax(target, 0, classes)) correct++;
    let sum = 0;
    for (let k = 0; k < classes; k++) sum += Math.exp(row[k] - row[best]);
    for (let k = 0; k < classes; k++) crossEntropy -= target[k] * (row[k] - row[best] - Math.log(sum));
  }
  return { correct, nonFinite, crossEntropy: crossEntropy / Math.max(1, size - nonFinite) };
}

function measureInputs(size: number, inputs: readonly Float32Array[], range: number) {
  const imageIsOut = new Uint8Array(size);
  let activations = 0, outOfRange = 0, largestInput = 0, finite = 0, mean = 0, squares = 0;
  for (const values of inputs) {
    const perImage = values.length / size;
    activations += values.length;
    for (let i = 0; i < values.length; i++) {
      const magnitude = Math.abs(values[i]);
      if (magnitude <= range) {
        if (magnitude > largestInput) largestInput = magnitude;
        continue;
      }
      outOfRange++;
      imageIsOut[Math.floor(i / perImage)] = 1;
      if (!(magnitude <= largestInput)) largestInput = Number.isNaN(magnitude) ? Infinity : magnitude;
      if (!Number.isFinite(magnitude)) continue;
      // Mean and sum of squares around it, updated value by value (Welford).
      const distance = magnitude - mean;
      mean += distance / ++finite;
      squares += distance * (magnitude - mean);
    }
  }
  return {
    activations,
    outOfRange,
    imagesOutOfRange: imageIsOut.reduce((sum, flag) => sum + flag, 0),
    largestInput,
    outOfRangeMean: mean,
    outOfRangeDeviation: Math.sqrt(squares / Math.max(1, finite)),
  };
}
