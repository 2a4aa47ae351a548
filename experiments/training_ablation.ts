/** PILLAR with each of its parts taken away in turn. */
import { type BarChart, defineExperiment, type Row, type Size } from "../src/reproduction/experiment.ts";
import {
  RANGE,
  type Recipe,
  scheduleOf,
  secondsOf,
  TRAINING_MB,
  type TrainingCell,
  trainingOf,
} from "./_train.ts";
import {
  accuracyOf,
  conditions,
  largestOf,
  meanOf,
  points,
  runsOf,
  spreadText,
  TRAINING_COLUMNS,
  trainingRow,
} from "./_training_rows.ts";

const RUNS: Readonly<Record<Size, number>> = { smoke: 1, quick: 1, full: 2 };

/**
 * Everything: ten-bit coefficients, the clip, and the penalty with its warm-up in four stages of an eighth of an epoch.
 * At full size fewer epochs than the sweeps: what is missing shows early.
 */
function wholeRecipe(size: Size): Recipe {
  const { epochs, ...schedule } = scheduleOf(size);
  return {
    model: "convnet",
    activation: "poly:4:10",
    ...schedule,
    epochs: size === "full" ? Math.round(0.4 * epochs) : epochs,
    batch: 256,
    learningRate: 0.1,
    weightDecay: 1e-4,
    clip: RANGE,
    penalty: { coefficient: 1e-5, range: 4.8, exponent: 10, warmUp: "short", reduction: "sum" },
  };
}

/** Everything is there. */
const WHOLE = "PILLAR";

/** What is taken away, by name, and the smallest size that trains it. */
const VARIANTS: Readonly<
  Record<string, { readonly from: Size; readonly change: (recipe: Recipe) => Recipe }>
> = {
  [WHOLE]: { from: "smoke", change: (recipe) => recipe },
  "no clip": { from: "quick", change: (recipe) => ({ ...recipe, clip: null }) },
  "no penalty": { from: "smoke", change: (recipe) => ({ ...recipe, penalty: null }) },
  "no penalty warm-up": { from: "quick", change: penalty({ warmUp: "none" }) },
  "real coefficients": { from: "full", change: (recipe) => ({ ...recipe, activation: "poly:4:real" }) },
  "mean in a layer": { from: "full", change: penalty({ reduction: "mean" }) },
};

function penalty(change: Partial<NonNullable<Recipe["penalty"]>>): (recipe: Recipe) => Recipe {
  return (recipe) => ({ ...recipe, penalty: { ...recipe.penalty!, ...change } });
}

const SIZE_ORDER: readonly Size[] = ["smoke", "quick", "full"];

interface AblationCell extends TrainingCell {
  readonly variant: string;
}

/** The trainings of the ablation, which other experiments measure again. */
export const ablationCells = (size: Size): AblationCell[] =>
  Object.entries(VARIANTS).filter(([, { from }]) => SIZE_ORDER.indexOf(from) <= SIZE_ORDER.indexOf(size))
    .flatMap(([variant, { change }]) => {
      const recipe = change(wholeRecipe(size));
      return runsOf(RUNS[size], {
        id: variant,
        variant,
        recipe,
        seconds: secondsOf(recipe),
        memoryMB: TRAINING_MB,
      });
    });

export const byVariant = (
  rows: readonly Row[],
): [string, Row[]][] => [...Map.groupBy(rows, (row) => row["variant"])];

export const trainingAblation = defineExperiment<AblationCell>({
  key: "training_ablation",
  title: "PILLAR without each of its parts",
  source: "asked for by readers of the paper",
  explanation:
    "ConvNet, degree 4, coefficients of ten bits, clip at 5, penalty 1e-5 with range 4.8 and warm-up, at a fixed schedule; then " +
    "the same without the clip, without the penalty, without the warm-up of the penalty, with real coefficients, and with the " +
    "penalty as a mean over the inputs of a layer in place of their sum. Training accuracy is what a person sees who watches " +
    "the run; test accuracy is measured without the clip, as a private inference works.",
  columns: { variant: "what is taken away", ...TRAINING_COLUMNS },
  cells: ablationCells,
  async run({ recipe, run, variant }, { seed }) {
    const trainingSeed = seed + run - 1;
    return [{ variant, ...trainingRow(recipe, trainingSeed, await trainingOf(recipe, trainingSeed)) }];
  },
  figures: (rows) => [accuracyChart(rows), ...rangeChart(rows)],
  table: (rows) =>
    byVariant(rows).map(([variant, same]) => ({
      variant,
      seeds: same.length,
      diverged: same.filter((row) => row["outcome"] === "diverged").length,
      "training %": same.some((row) => row["train_accuracy"] === "")
        ? null
        : meanOf(same, "train_accuracy").value,
      "test %": accuracyOf(same).value,
      "largest input": largestOf(same, "largest_input"),
    })),
});

function accuracyChart(rows: readonly Row[]): BarChart {
  const variants = byVariant(rows);
  return {
    kind: "bars",
    name: "training_ablation_accuracy",
    see: keptText(variants),
    caption:
      `PILLAR on ConvNet without each of its parts (${conditions(rows)}${
        spreadText(variants.map(([, same]) => same))
      }): accuracy in the last epoch of ` +
      "training, with the clip where the variant has one, and on the test images, without it. Runs that diverged count as chance, 10 %, and have no training " +
      "accuracy.",
    width: "double",
    categories: variants.map(([variant]) => variant),
    y: { title: "accuracy (%)", min: 0, max: 100 },
    labels: true,
    series: [
      {
        name: "training, with its clip",
        values: variants.map(([, same]) =>
          same.some((row) => row["train_accuracy"] === "") ? null : accuracyOf(same, "train_accuracy")
        ),
      },
      { name: "test, no clip", values: variants.map(([, same]) => accuracyOf(same)) },
    ],
  };
}

/** What each variant gains or loses from training, with its clip if it has one, to the test without. */
function keptText(variants: readonly (readonly [string, Row[]])[]): string {
  const texts = variants.flatMap(([variant, same]) => {
    if (same.some((row) => row["train_accuracy"] === "")) return [];
    const gained = accuracyOf(same).value - accuracyOf(same, "train_accuracy").value;
    return [`${variant} (${points(gained)})`];
  });
  return texts.length === 0
    ? "every variant has a run that diverged."
    : `points by which the test, without the clip, is above training, each variant's own: ${
      texts.join(", ")
    }.`;
}

/** The variants with the smallest and the largest input. */
function largestText(variants: readonly (readonly [string, number | null])[]): string {
  const found = variants.flatMap(([variant, value]) => value === null ? [] : [{ variant, value }])
    .sort((a, b) => a.value - b.value);
  const texts = found.map(({ variant, value }) => `${variant} (${value.toPrecision(2)})`);
  return texts.length === 1
    ? `the one variant whose inputs stay finite is ${texts[0]}.`
    : `the smallest largest input is that of ${texts[0]}, the largest that of ${texts.at(-1)}.`;
}

function rangeChart(rows: readonly Row[]): BarChart[] {
  const variants = byVariant(rows.filter((row) => row["largest_input"] !== ""));
  const finite = (same: readonly Row[]) => {
    const value = largestOf(same, "largest_input");
    return Number.isFinite(value) ? value : null;
  };
  if (variants.every(([, same]) => finite(same) === null)) return [];
  return [{
    kind: "bars",
    name: "training_ablation_range",
    see: largestText(variants.map(([variant, same]) => [variant, finite(same)])),
    caption:
      `The largest activation input over the test images, without the clip (${
        conditions(rows)
      }; largest of all seeds; dashed: range of the fit). Runs that ` +
      "diverged, and values beyond floating point, are left out.",
    categories: variants.map(([variant]) => variant),
    y: { title: "largest |activation input|", scale: "log" },
    references: [{ axis: "y", value: 5, label: "" }],
    series: [{ name: "largest input", values: variants.map(([, same]) => finite(same)) }],
  }];
}
