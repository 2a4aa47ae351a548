/** All experiments and what is derived from them, in the order of the report. */
import { accuracyTable } from "./accuracy_table.ts";
import { activationMicrobenchmark } from "./activation_microbenchmark.ts";
import { clipAtInference } from "./clip_at_inference.ts";
import { degreeSweep } from "./degree_sweep.ts";
import { escapingActivations } from "./escaping_activations.ts";
import { escapingInference } from "./escaping_inference.ts";
import type { DerivedTable, Experiment, Result } from "../src/reproduction/experiment.ts";
import { inferenceLatency } from "./inference_latency.ts";
import { manyInferences } from "./many_inferences.ts";
import { networkCalibration } from "./network_calibration.ts";
import { polynomialFit } from "./polynomial_fit.ts";
import { rangeMethods } from "./range_methods.ts";
import { recipeAblation } from "./recipe_ablation.ts";
import { regularisationSweep } from "./regularisation_sweep.ts";
import { ringWidth } from "./ring_width.ts";
import { speedupTable } from "./speedup_table.ts";
import { speedOfPlaintext } from "./speed_of_plaintext.ts";
import { trainingAblation } from "./training_ablation.ts";
import { truncationFailures } from "./truncation_failures.ts";

export const experiments: readonly Experiment[] = [
  inferenceLatency,
  speedOfPlaintext,
  activationMicrobenchmark,
  networkCalibration,
  truncationFailures,
  escapingInference,
  manyInferences,
  ringWidth,
  polynomialFit,
  degreeSweep,
  escapingActivations,
  regularisationSweep,
  trainingAblation,
  clipAtInference,
  rangeMethods,
  recipeAblation,
  accuracyTable,
];

export const derivedTables: readonly DerivedTable[] = [speedupTable];

/** The paper's two tables. */
export const leading: readonly Result[] = [...derivedTables, accuracyTable];

export const allResults: readonly Result[] = [
  ...leading,
  ...experiments.filter((one) => one !== accuracyTable),
];
