/** The metrics of the paper over a whole split of a dataset. */
import type { Dataset, Split } from "../data/dataset.ts";
import { evaluationBatches } from "./batches.ts";
import type { EvaluationReport, TrainingEngine } from "./engine.ts";

/** What is reported of an evaluation. Figures that are not finite, or of which there is none, are null. */
export interface Metrics {
  readonly images: number;
  /** Percent of the images. */
  readonly accuracy: number;
  /** Mean over the images with finite logits. */
  readonly crossEntropy: number | null;
  /** Activation inputs x with |x| above the range, or NaN. */
  readonly outOfRange: number;
  readonly outOfRangePercent: number;
  /** Images with at least one such input. */
  readonly imagesOutOfRange: number;
  readonly imagesOutOfRangePercent: number;
  /** Largest |x| of all activation inputs. */
  readonly outOfRangeMax: number | null;
  /** Mean and standard deviation of |x| over the inputs out of range. */
  readonly outOfRangeMean: number | null;
  readonly outOfRangeDeviation: number | null;
  /** Images with a logit that is not finite; they count as wrong. */
  readonly nonFinite: number;
}

/**
 * Evaluates a split with the running statistics of batch norm.
 *
 * @param range inputs of larger size are out of range
 * @param clip bound of activation inputs; null as two parties compute, who cannot clip
 * @param signal ends the evaluation between two batches
 */
export async function evaluateSplit(
  engine: TrainingEngine,
  split: Split,
  dataset: Dataset,
  options: { batchSize: number; range: number; clip?: number | null; signal?: AbortSignal | undefined },
): Promise<Metrics> {
  const { batchSize, range, clip = null, signal } = options, reports: EvaluationReport[] = [];
  for (const batch of evaluationBatches(split, dataset, batchSize)) {
    signal?.throwIfAborted();
    reports.push(await engine.evaluate(batch, range, clip));
  }
  return metricsOf(combineReports(reports));
}

/**
 * The report of several batches together. Mean and deviation are exact as long as every input is finite: a
 * batch counts by its inputs out of range, and a report does not say how many of them are not finite.
 */
export function combineReports(reports: readonly EvaluationReport[]): EvaluationReport {
  const sum = (of: (report: EvaluationReport) => number) => reports.reduce((sum, r) => sum + of(r), 0);
  const finiteImages = (r: EvaluationReport) => r.images - r.nonFinite;
  // A mean of 0 stands for "no finite input out of range".
  const weight = (r: EvaluationReport) => r.outOfRangeMean > 0 ? r.outOfRange : 0;
  const weights = Math.max(1, sum(weight)), mean = sum((r) => weight(r) * r.outOfRangeMean) / weights;
  const variance = sum((r) => weight(r) * (r.outOfRangeDeviation ** 2 + (r.outOfRangeMean - mean) ** 2)) /
    weights;
  return {
    images: sum((r) => r.images),
    correct: sum((r) => r.correct),
    crossEntropy: sum((r) => finiteImages(r) > 0 ? finiteImages(r) * r.crossEntropy : 0) /
      Math.max(1, sum(finiteImages)),
    activations: sum((r) => r.activations),
    outOfRange: sum((r) => r.outOfRange),
    imagesOutOfRange: sum((r) => r.imagesOutOfRange),
    largestInput: reports.reduce((max, r) => Math.max(max, r.largestInput), 0),
    outOfRangeMean: mean,
    outOfRangeDeviation: Math.sqrt(variance),
    nonFinite: sum((r) => r.nonFinite),
  };
}

/** The metrics of a report. */
export function metricsOf(report: EvaluationReport): Metrics {
  const { images, activations, outOfRange, imagesOutOfRange, nonFinite } = report;
  return {
    images,
    accuracy: 100 * report.correct / images,
    crossEntropy: nonFinite < images ? finite(report.crossEntropy) : null,
    outOfRange,
    outOfRangePercent: 100 * outOfRange / activations,
    imagesOutOfRange,
    imagesOutOfRangePercent: 100 * imagesOutOfRange / images,
    outOfRangeMax: finite(report.largestInput),
    outOfRangeMean: outOfRange > 0 ? finite(report.outOfRangeMean) : null,
    outOfRangeDeviation: outOfRange > 0 ? finite(report.outOfRangeDeviation) : null,
    nonFinite,
  };
}

/** A number that JSON and CSV can hold, else null. */
export const finite = (value: number): number | null => Number.isFinite(value) ? value : null;
