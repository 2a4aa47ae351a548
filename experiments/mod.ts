/** All experiments, in the order of the report. */
import { activationMicrobenchmark } from "./activation_microbenchmark.ts";
import type { Experiment } from "./experiment.ts";
import { inferenceLatency } from "./inference_latency.ts";
import { manyInferences } from "./many_inferences.ts";
import { networkCalibration } from "./network_calibration.ts";
import { polynomialFit } from "./polynomial_fit.ts";
import { ringWidth } from "./ring_width.ts";
import { speedOfPlaintext } from "./speed_of_plaintext.ts";
import { truncationFailures } from "./truncation_failures.ts";

export const experiments: readonly Experiment[] = [
  inferenceLatency,
  speedOfPlaintext,
  activationMicrobenchmark,
  networkCalibration,
  truncationFailures,
  manyInferences,
  ringWidth,
  polynomialFit,
];
