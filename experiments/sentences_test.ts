/** The numbers in the sentences beside figures, on hand-made rows: they follow the rows, not the run that was looked at. */
import { assertEquals, assertStringIncludes } from "@std/assert";
import { it } from "@std/testing/bdd";
import type { Experiment, NewRow } from "../src/reproduction/experiment.ts";
import { asRead, draw } from "./_hand_made_rows.ts";
import { escapingInference } from "./escaping_inference.ts";
import { manyInferences } from "./many_inferences.ts";
import { regularisationSweep } from "./regularisation_sweep.ts";
import { speedOfPlaintext } from "./speed_of_plaintext.ts";
import { trainingAblation } from "./training_ablation.ts";
import { truncationFailures } from "./truncation_failures.ts";

const charts = (experiment: Experiment, rows: readonly NewRow[]) =>
  draw(experiment, asRead(experiment, rows));
const sentences = (experiment: Experiment, rows: readonly NewRow[]) =>
  charts(experiment, rows).map(({ see }) => see);

it("truncation_failures: the spread of counts over prediction, of sizes with failures enough", () => {
  const row = (failures: number, predicted: number) => ({
    scaling: "ours",
    log2_value: 50,
    trials: 1e6,
    failures,
    measured: failures / 1e6,
    predicted,
  });
  const few = row(3, 1e-6),
    lifted = [4, 5].map((failures) => ({ scaling: "lifted", log2_value: 20, trials: 1e6, failures }));
  const [chart] = charts(truncationFailures, [few, row(900, 1e-3), row(2500, 2e-3), ...lifted]);
  assertEquals(
    chart.see,
    "counts of 100 failures and more are 0.90 to 1.25 times what the theorem predicts.",
  );
  assertStringIncludes(chart.caption, "Lifted: 9 failures in 2,000,000 activations.");
  assertEquals(sentences(truncationFailures, [few]), ["no size has 100 failures or more."]);
});

it("escaping_inference: the largest shares, the others' for the inputs that lifted was run with", () => {
  const row = (protocol: string, target: number, audited: boolean, spoiled: number | null) => ({
    protocol,
    target,
    audited,
    refused: spoiled === null,
    spoiled_logits: spoiled,
  });
  const rows = [
    row("lifted", 4, true, 0.012),
    row("lifted", 10, true, 0.034),
    row("lifted", 40, true, null),
    row("lifted", 10, false, 0.5),
    row("honeybadger", 10, true, 0),
    row("honeybadger", 40, true, 0.9),
  ];
  assertEquals(sentences(escapingInference, rows), [
    "where the audit saw the inputs, and did not refuse them, lifted spoils up to 3.4\u00a0% of the logits and the others " +
    "no logit; where it did not see them, lifted spoils up to 50\u00a0% of the logits.",
  ]);
  assertStringIncludes(
    sentences(escapingInference, rows.slice(4))[0],
    "lifted spoils (not run) and the others (not run)",
  );
});

it("many_inferences: sums of all parts of a protocol, and no picture of zeros", () => {
  const row = (protocol: string, inferences: number, gross_errors: number, predicted: number) => ({
    protocol,
    inferences,
    gross_errors,
    predicted,
    largest_error: 0.01,
  });
  const lifted = row("lifted", 5000, 0, 0);
  assertEquals(
    sentences(manyInferences, [
      lifted,
      lifted,
      row("honeybadger", 6000, 1, 0.61),
      row("honeybadger", 4000, 2, 1.123),
    ]),
    ["gross errors counted, and expected from the sizes of the integers: lifted 0 and 0, honeybadger 3 and 1.7."],
  );
  assertEquals(sentences(manyInferences, [lifted, row("honeybadger", 200, 0, 0.04)]), []);
});

it("training_ablation: what the test has over training by variant, and the ends of the largest inputs", () => {
  const row = (variant: string, train: number | null, test: number, largest: number | string) => ({
    variant,
    dataset: "cifar10",
    epochs: 24,
    training_seed: 1,
    outcome: train === null ? "diverged" : "trained",
    train_accuracy: train,
    test_accuracy: test,
    largest_input: train === null ? null : largest,
  });
  const kept = row("PILLAR", 60, 61.5, 9.04), clipped = row("no penalty", 64, 31.25, 4321);
  assertEquals(sentences(trainingAblation, [kept, clipped, row("no clip", null, 10, "")]), [
    "points by which the test, without the clip, is above training, each variant's own: PILLAR (+2), no penalty (−33).",
    "the smallest largest input is that of PILLAR (9.0), the largest that of no penalty (4.3e+3).",
  ]);
  assertEquals(
    sentences(trainingAblation, [row("PILLAR", 60, 61.5, 9.04), row("no penalty", 64, 31, "Infinity")])[1],
    "the one variant whose inputs stay finite is PILLAR (9.0).",
  );
});

it("speed_of_plaintext: the networks on which lifted is sooner, and machine code only where it is faster on all", () => {
  const row = (model: string, ratio: number, nativeRatio: number | null) => ({
    model,
    profile: "none",
    tfjs_activation: "relu",
    online_ms: 10 * ratio,
    tfjs_ms: 10,
    native_ms: nativeRatio && 10 * ratio / nativeRatio,
    ratio,
    native_ratio: nativeRatio,
  });
  const begin =
    "the private answer by lifted comes sooner than that of TensorFlow.js with ReLU in the clear on ";
  assertEquals(sentences(speedOfPlaintext, [row("resnet18", 0.5, 1.4), row("resnet32", 1.2, 5)]), [
    `${begin}resnet18; machine code is faster on every network.`,
  ]);
  assertEquals(sentences(speedOfPlaintext, [row("resnet18", 0.5, 0.9), row("vgg16", 0.4, 1.1)]), [
    `${begin}resnet18, vgg16.`,
  ]);
  assertEquals(sentences(speedOfPlaintext, [row("resnet32", 1.2, null)]), [`${begin}none of the networks.`]);
});

it("regularisation_sweep: the best mean, the least steady coefficient, and runs that diverged", () => {
  const row = (penalty: number, seed: number, accuracy: number, largest: number, diverged = false) => ({
    dataset: "cifar10",
    epochs: 30,
    training_seed: seed,
    penalty,
    outcome: diverged ? "diverged" : "trained",
    test_accuracy: accuracy,
    out_of_range_percent: diverged ? null : largest / 100,
    images_out_of_range_percent: diverged ? null : largest,
    largest_input: diverged ? null : largest,
  });
  const steady = [row(1e-5, 1, 61, 12), row(1e-5, 2, 62, 16)],
    loose = [row(1e-7, 1, 58, 40), row(1e-7, 2, 49, 60)];
  const [accuracy] = sentences(regularisationSweep, [...loose, ...steady]);
  assertEquals(
    accuracy,
    "a coefficient of 1e-5 trains best; at 1e-7 runs reach 49.0 to 58.0 %, by their seed.",
  );
  const [lost] = sentences(regularisationSweep, [...loose, ...steady, row(1e-9, 1, 10, 0, true)]);
  assertStringIncludes(lost, " 1 of 5 runs diverged and count as chance");
});
