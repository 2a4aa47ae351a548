/** The clip that two parties do not have: the same weights measured with and without it. */
import {
  type ChartDescription,
  defineExperiment,
  numberOf,
  type Row,
  type Size,
} from "../src/reproduction/experiment.ts";
import { evaluateFolder, type TrainingCell, trainingFolder, trainingOf } from "./_train.ts";
import {
  accuracyOf,
  coefficientText,
  conditions,
  largestOf,
  meanOf,
  measuredRow,
  pointAt,
  points,
  recipeRow,
  spreadText,
  TRAINING_COLUMNS,
} from "./_training_rows.ts";
import { byCoefficient, regularisationCells } from "./regularisation_sweep.ts";
import { ablationCells, byVariant } from "./training_ablation.ts";

const SWEEP = "regularisation_sweep", ABLATION = "training_ablation";

interface ClipCell extends TrainingCell {
  readonly from: string;
  readonly variant: string;
}

/** All trainings of two experiments but those without a clip, which diverge; the smallest size takes those of one. */
function cells(size: Size): ClipCell[] {
  const ablation = ablationCells(size).map((cell) => ({ ...cell, from: ABLATION }));
  const sweep = (size === "smoke" ? [] : regularisationCells(size)).map((cell) => ({
    ...cell,
    from: SWEEP,
    variant: coefficientText(cell.coefficient),
  }));
  return [...ablation, ...sweep].filter(({ recipe }) => recipe.clip !== null)
    .map((cell) => ({ ...cell, id: `${cell.from} ${cell.id}`, seconds: 3 }));
}

const MEASURED = [
  "test_accuracy",
  "out_of_range_percent",
  "images_out_of_range_percent",
  "largest_input",
  "non_finite_images",
] as const;
const CONDITIONS = [
  "model",
  "dataset",
  "epochs",
  "training_seed",
  "activation",
  "penalty",
  "penalty_range",
  "penalty_warm_up",
  "penalty_reduction",
] as const;

export const clipAtInference = defineExperiment<ClipCell>({
  key: "clip_at_inference",
  title: "The same weights with and without the clip",
  source: "not in the paper, which clips in training only",
  explanation:
    "The networks of training_ablation and regularisation_sweep measured on all test images with their inputs clipped to " +
    "[-5, 5], as in training, and without the clip, as a private inference computes. The difference is what a training " +
    "curve does not show. Range is that of the inputs before the clip.",
  columns: {
    from: "experiment that trained the network; after a run of this one alone it is trained here",
    variant: "variant of training_ablation, or coefficient of the penalty",
    inference: "clip: inputs clipped to [-5, 5]; no clip: as they are",
    ...Object.fromEntries([...CONDITIONS, ...MEASURED].map((column) => [column, TRAINING_COLUMNS[column]])),
    test_accuracy: "% on the test images, with or without the clip",
  },
  cells,
  async run({ recipe, run, from, variant }, { seed }) {
    const trainingSeed = seed + run - 1, { test, diverged } = await trainingOf(recipe, trainingSeed);
    const conditionsOf = recipeRow(recipe, trainingSeed);
    const clipped = diverged
      ? null
      : await evaluateFolder(await trainingFolder(recipe, trainingSeed), "--clip");
    return ([["clip", clipped], ["no clip", test]] as const).map(([inference, measurement]) => ({
      from,
      variant,
      inference,
      ...Object.fromEntries(CONDITIONS.map((column) => [column, conditionsOf[column]])),
      ...measuredRow(measurement),
    }));
  },
  figures: (rows) => [...ablationChart(rows), ...sweepChart(rows)],
  table: (rows) =>
    [...Map.groupBy(rows, (row) => `${row["from"]}|${row["variant"]}`)].map(([key, same]) => {
      const [from, variant] = key.split("|"), [clip, none] = withAndWithout(same);
      return {
        from,
        variant,
        "with clip %": clip.length > 0 ? accuracyOf(clip).value : null,
        "without clip %": none.length > 0 ? accuracyOf(none).value : null,
        "images out of range %": none.some((row) => row["images_out_of_range_percent"] === "")
          ? null
          : meanOf(none, "images_out_of_range_percent").value,
        "largest input": largestOf(none, "largest_input"),
      };
    }),
});

const INFERENCES = ["clip", "no clip"] as const;
const withAndWithout = (rows: readonly Row[]) =>
  INFERENCES.map((inference) => rows.filter((row) => row["inference"] === inference)) as [Row[], Row[]];

function ablationChart(all: readonly Row[]): ChartDescription[] {
  const rows = all.filter((row) => row["from"] === ABLATION), variants = byVariant(rows);
  if (rows.length === 0) return [];
  return [{
    kind: "bars",
    name: "clip_at_inference_ablation",
    see: `points by which the same network changes once nothing clips its inputs: ${
      variants.map(([variant, same]) => {
        const [clip, none] = withAndWithout(same).map((own) => accuracyOf(own).value);
        return `${variant} (${points(none - clip)})`;
      }).join(", ")
    }.`,
    caption: `Test accuracy of the same networks with and without the clip (${conditions(rows)}${
      spreadText(variants.map(([, same]) => withAndWithout(same)[0]))
    }).`,
    categories: variants.map(([variant]) => variant),
    y: { title: "test accuracy (%)", min: 0, max: 100 },
    labels: true,
    series: INFERENCES.map((inference, i) => ({
      name: inference,
      values: variants.map(([, same]) => accuracyOf(withAndWithout(same)[i])),
    })),
  }];
}

function sweepChart(all: readonly Row[]): ChartDescription[] {
  const rows = all.filter((row) => row["from"] === SWEEP && numberOf(row, "penalty") > 0);
  if (rows.length === 0) return [];
  return [{
    kind: "lines",
    name: "clip_at_inference_sweep",
    see:
      "the two lines part where the coefficient is small: the clip hides inputs that the penalty did not keep in range.",
    caption: `Test accuracy with and without the clip against the coefficient of the penalty (${
      conditions(rows)
    }${spreadText(byCoefficient(withAndWithout(rows)[0]).map(([, same]) => same))}).`,
    x: { title: "coefficient of the penalty", scale: "log" },
    y: { title: "test accuracy (%)", min: 0, max: 100 },
    series: INFERENCES.map((inference, i) => ({
      name: inference,
      points: byCoefficient(withAndWithout(rows)[i]).map(([x, same]) => pointAt(x, accuracyOf(same))),
    })),
  }];
}
