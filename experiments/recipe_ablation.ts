/** Short trainings with each rule that is not the paper's alone, and with all of them. */
import { type BarChart, defineExperiment, type Row, type Size } from "../src/reproduction/experiment.ts";
import { type Recipe, type Rules, scheduleOf, secondsOf, type TrainingCell, trainingOf } from "./_train.ts";
import {
  accuracyOf,
  conditions,
  meanOf,
  runsOf,
  spreadText,
  TRAINING_COLUMNS,
  trainingRow,
} from "./_training_rows.ts";

const RUNS: Readonly<Record<Size, number>> = { smoke: 1, quick: 1, full: 3 };
/** Part of the epochs until the learning rate of the linear schedule is largest. */
const WARM_UP_PART = 1 / 6;

/** What the preset `convnet-relu-cpu` does, in the epochs of the sweeps. */
function plainRecipe(size: Size): Recipe {
  return {
    model: "convnet",
    activation: "relu",
    ...scheduleOf(size),
    warmUp: { epochs: 1, from: 0.2 },
    batch: 128,
    learningRate: 0.05,
    weightDecay: 1e-4,
    clip: null,
    penalty: null,
  };
}

/** Rules by name. The linear schedule also has a longer warm-up, without which it is not the one of others. */
const RULES: Readonly<Record<string, Rules>> = {
  "Nesterov": { nesterov: "on" },
  "linear schedule": { schedule: "linear" },
  "decay of weights alone": { "decay-norms": "off", "decay-biases": "off" },
  "label smoothing": { "label-smoothing": 0.1 },
  "alternating mirror": { flip: "alternating" },
  "average of the last third": { "tail-average": 0.333 },
  "whitened first filters": { whitening: "on" },
};
const PLAIN = "plain", ALL = "all";
const VARIANTS: Readonly<Record<string, Rules>> = {
  [PLAIN]: {},
  ...RULES,
  [ALL]: Object.assign({}, ...Object.values(RULES)),
};

function recipeOf(size: Size, rules: Rules): Recipe {
  const plain = plainRecipe(size);
  if (rules.schedule !== "linear") return { ...plain, rules };
  return {
    ...plain,
    rules,
    warmUp: { epochs: Math.max(1, Math.round(plain.epochs * WARM_UP_PART)), from: 0.1 },
  };
}

interface AblationCell extends TrainingCell {
  readonly variant: string;
}

const cells = (size: Size): AblationCell[] =>
  Object.entries(VARIANTS).filter(([variant]) => size === "full" || variant === PLAIN || variant === ALL)
    .flatMap(([variant, rules]) => {
      const recipe = recipeOf(size, rules), isShared = variant === PLAIN && size !== "full"; // by range_methods
      return runsOf(RUNS[size], { id: variant, variant, recipe, seconds: isShared ? 1 : secondsOf(recipe) });
    });

const byVariant = (rows: readonly Row[]): [string, Row[]][] => [
  ...Map.groupBy(rows, (row) => row["variant"]),
];

export const recipeAblation = defineExperiment<AblationCell>({
  key: "recipe_ablation",
  title: "Short trainings by rules that are not the paper's",
  explanation:
    "ConvNet with ReLU by the schedule of convnet-relu-cpu, then with each rule of short trainings alone, then with all of them. " +
    "Held-out accuracy is what a choice may be made by. Networks with residual blocks have one rule more, blocks that start as " +
    "their shortcuts, which ConvNet has no use for.",
  columns: { variant: "which rules", rules: "the same as options of train", ...TRAINING_COLUMNS },
  cells,
  async run({ recipe, run, variant }, { seed }) {
    const trainingSeed = seed + run - 1, training = await trainingOf(recipe, trainingSeed);
    return [{ variant, rules: rulesText(recipe.rules), ...trainingRow(recipe, trainingSeed, training) }];
  },
  figures: (rows) => [accuracyChart(rows)],
  table: (rows) =>
    byVariant(rows).map(([variant, same]) => ({
      variant,
      seeds: same.length,
      "training %": meanOf(same, "train_accuracy").value,
      "held-out %": accuracyOf(same, "held_out_accuracy").value,
      "test %": accuracyOf(same).value,
    })),
});

const rulesText = (rules: Rules = {}): string =>
  Object.entries(rules).map(([name, value]) => `--${name}=${value}`).join(" ");

function accuracyChart(rows: readonly Row[]): BarChart {
  const variants = byVariant(rows),
    of = ([, same]: [string, Row[]]) => accuracyOf(same, "held_out_accuracy").value;
  const best = variants.reduce((one, other) => of(other) > of(one) ? other : one);
  return {
    kind: "bars",
    name: "recipe_ablation_accuracy",
    see: `best on held-out images is "${best[0]}", with ${of(best).toFixed(1)} %.`,
    caption: `ConvNet with ReLU by rules of short trainings, each alone and all together (${
      conditions(rows)
    }${spreadText(variants.map(([, same]) => same))}).`,
    width: "double",
    categories: variants.map(([variant]) => variant),
    y: { title: "accuracy (%)", min: 0, max: 100 },
    labels: true,
    series: [
      { name: "held out", values: variants.map(([, same]) => accuracyOf(same, "held_out_accuracy")) },
      { name: "test", values: variants.map(([, same]) => accuracyOf(same)) },
    ],
  };
}
