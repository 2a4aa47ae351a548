/** All experiments and what is derived from them, in the order of the report. */
import { accuracyOverTime } from "./accuracy_over_time.ts";
import { accuracyTable } from "./accuracy_table.ts";
import { activationMicrobenchmark } from "./activation_microbenchmark.ts";
import { clipAtInference } from "./clip_at_inference.ts";
import { degreeSweep } from "./degree_sweep.ts";
import { escapeResistance } from "./escape_resistance.ts";
import { escapingActivations } from "./escaping_activations.ts";
import { escapingInference } from "./escaping_inference.ts";
import type { DerivedTable, Experiment, Result } from "../src/reproduction/experiment.ts";
import { inferenceLatency } from "./inference_latency.ts";
import { manyInferences } from "./many_inferences.ts";
import { networkCalibration } from "./network_calibration.ts";
import { precisionSweep } from "./precision_sweep.ts";
import { polynomialFit } from "./polynomial_fit.ts";
import { rangeMethods } from "./range_methods.ts";
import { recipeAblation } from "./recipe_ablation.ts";
import { regularisationSweep } from "./regularisation_sweep.ts";
import { retraining } from "./retraining.ts";
import { ringWidth } from "./ring_width.ts";
import { serviceLoad } from "./service_load.ts";
import { speedupTable } from "./speedup_table.ts";
import { speedOfPlaintext } from "./speed_of_plaintext.ts";
import { trainingAblation } from "./training_ablation.ts";
import { truncationFailures } from "./truncation_failures.ts";

export const experiments: readonly Experiment[] = [
  inferenceLatency,
  speedOfPlaintext,
  activationMicrobenchmark,
  networkCalibration,
  serviceLoad,
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
  precisionSweep,
  escapeResistance,
  retraining,
];

export const derivedTables: readonly DerivedTable[] = [speedupTable, accuracyOverTime];

/** The paper's two tables, and the second over time. */
export const leading: readonly Result[] = [speedupTable, accuracyTable, accuracyOverTime];

export const allResults: readonly Result[] = [
  ...leading,
  ...experiments.filter((one) => one !== accuracyTable),
];
