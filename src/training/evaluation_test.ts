import { assertAlmostEquals, assertEquals } from "@std/assert";
import { it } from "@std/testing/bdd";
import type { EvaluationReport } from "./engine.ts";
import { combineReports, metricsOf } from "./evaluation.ts";

const REPORT: EvaluationReport = {
  images: 4,
  correct: 3,
  crossEntropy: 1,
  activations: 100,
  outOfRange: 0,
  imagesOutOfRange: 0,
  largestInput: 4,
  outOfRangeMean: 0,
  outOfRangeDeviation: 0,
  nonFinite: 0,
};

it("combineReports() gives mean and deviation of all inputs out of range", () => {
  // 6, 8 | 10, 10, 14 together: mean 9.6, variance 7.04.
  const first = { ...REPORT, outOfRange: 2, outOfRangeMean: 7, outOfRangeDeviation: 1, largestInput: 8 };
  const second = {
    ...REPORT,
    outOfRange: 3,
    outOfRangeMean: 34 / 3,
    outOfRangeDeviation: Math.sqrt(32 / 9),
    largestInput: 14,
  };
  const { outOfRangeMean, outOfRangeDeviation, outOfRange, largestInput } = combineReports([
    first,
    REPORT,
    second,
  ]);
  assertAlmostEquals(outOfRangeMean, 9.6, 1e-12);
  assertAlmostEquals(outOfRangeDeviation, Math.sqrt(7.04), 1e-12);
  assertEquals([outOfRange, largestInput], [5, 14]);
});

it("combineReports() weighs cross entropy by images with finite logits, and batches may be unequal", () => {
  const second = { ...REPORT, images: 2, correct: 0, crossEntropy: 4, nonFinite: 1 };
  const third = { ...REPORT, images: 2, correct: 0, crossEntropy: NaN, nonFinite: 2 };
  const { crossEntropy, images, correct, nonFinite } = combineReports([REPORT, second, third]);
  assertEquals([crossEntropy, images, correct, nonFinite], [(4 * 1 + 4) / 5, 8, 3, 3]);
});

it("metricsOf() writes percentages, and null for what is not finite or not there", () => {
  const metrics = metricsOf({ ...REPORT, outOfRange: 2, imagesOutOfRange: 1, largestInput: Infinity });
  assertEquals([metrics.accuracy, metrics.outOfRangePercent, metrics.imagesOutOfRangePercent], [75, 2, 25]);
  assertEquals(metrics.outOfRangeMax, null);
  assertEquals(metricsOf(REPORT).outOfRangeMean, null);
  assertEquals(metricsOf({ ...REPORT, nonFinite: 4, correct: 0 }).crossEntropy, null);
});
