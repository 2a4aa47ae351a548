/** All experiments, in the order of the report. */
import { activationMicrobenchmark } from "./activation_microbenchmark.ts";
import type { Experiment } from "./experiment.ts";
import { inferenceLatency } from "./inference_latency.ts";
import { networkCalibration } from "./network_calibration.ts";
import { polynomialFit } from "./polynomial_fit.ts";
import { truncationFailures } from "./truncation_failures.ts";

export const experiments: readonly Experiment[] = [
  inferenceLatency,
  activationMicrobenchmark,
  networkCalibration,
  truncationFailures,
  polynomialFit,
];
