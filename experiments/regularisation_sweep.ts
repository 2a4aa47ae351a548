/** PILLAR against the coefficient of its penalty (the paper's Figure 5): accuracy, and how far inputs leave the range. */
import {
  type ChartDescription,
  defineExperiment,
  type LineChart,
  numberOf,
  type Point,
  type Reference,
  type Row,
  type Size,
} from "../src/reproduction/experiment.ts";
import { figureRecipe, secondsOf, TRAINING_MB, type TrainingCell, trainingOf } from "./_train.ts";
import {
  accuracyOf,
  authorsOf,
  CHANCE,
  coefficientText,
  conditions,
  largestOf,
  leftOutText,
  meanOf,
  pointAt,
  runsOf,
  runsText,
  spreadText,
  TRAINING_COLUMNS,
  trainingRow,
} from "./_training_rows.ts";

const COEFFICIENTS: Readonly<Record<Size, readonly number[]>> = {
  smoke: [1e-4, 1e-6],
  quick: [1e-2, 1e-4, 1e-6, 1e-8],
  full: [1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8],
};
const RUNS: Readonly<Record<Size, number>> = { smoke: 1, quick: 1, full: 2 };
/** Coefficients that the degree sweep trains too. */
const SHARED: Readonly<Record<Size, readonly number[]>> = {
  smoke: [1e-4],
  quick: [1e-4, 1e-6],
  full: [1e-3, 1e-4, 1e-5, 1e-6],
};

interface RegularisationCell extends TrainingCell {
  readonly coefficient: number;
}

/** The trainings of this sweep, which other experiments measure again. */
export const regularisationCells = (size: Size): RegularisationCell[] =>
  COEFFICIENTS[size].flatMap((coefficient) => {
    const recipe = figureRecipe(size, 4, coefficient),
      seconds = SHARED[size].includes(coefficient) ? 1 : secondsOf(recipe);
    return runsOf(RUNS[size], {
      id: `penalty ${coefficientText(coefficient)}`,
      coefficient,
      recipe,
      seconds,
      memoryMB: TRAINING_MB,
    });
  });

/** Rows by coefficient, ascending. */
export const byCoefficient = (rows: readonly Row[]): [number, Row[]][] =>
  [...Map.groupBy(rows, (row) => numberOf(row, "penalty"))].sort(([a], [b]) => a - b);

export const regularisationSweep = defineExperiment<RegularisationCell>({
  key: "regularisation_sweep",
  title: "Accuracy and range against the coefficient of the penalty",
  source: "paper, Figure 5",
  explanation:
    "ConvNet, degree 4, trained as in the degree sweep with PILLAR, for coefficients of the penalty from 1e-1 to 1e-8; every " +
    "one is shown, none is chosen. Range is measured without the clip over all test images: a private inference has no clip, " +
    "and a single input far outside [-5, 5] makes its result worthless. The authors trained for 150 epochs with 5 seeds.",
  columns: TRAINING_COLUMNS,
  cells: regularisationCells,
  async run({ recipe, run }, { seed }) {
    const trainingSeed = seed + run - 1;
    return [trainingRow(recipe, trainingSeed, await trainingOf(recipe, trainingSeed))];
  },
  figures: (rows, reference) => [
    accuracyChart(rows, reference),
    ...logChart(rows, reference, {
      name: "share",
      what: "Share of activation inputs outside [-5, 5]",
      title: "inputs out of range (%)",
      named: "a share out of range of",
      unit: " %",
      of: (same) => meanOf(same, "out_of_range_percent").value,
      authors: "oor_percent_mean",
    }),
    ...logChart(rows, reference, {
      name: "largest",
      what: "Largest activation input in any run (dashed: range of the fit)",
      title: "largest |activation input|",
      named: "a largest input of",
      unit: "",
      of: (same) => largestOf(same, "largest_input"),
      authors: "oor_max_any_run",
      references: [{ axis: "y", value: 5, label: "" }],
    }),
  ],
  table: (rows) =>
    byCoefficient(rows).map(([coefficient, same]) => ({
      coefficient: coefficientText(coefficient),
      seeds: same.length,
      "test %": accuracyOf(same).value,
      "out of range %": same.some((row) => row["outcome"] === "diverged")
        ? null
        : meanOf(same, "out_of_range_percent").value,
      "largest input": largestOf(same, "largest_input"),
      diverged: same.filter((row) => row["outcome"] === "diverged").length,
    })),
});

const coefficientAxis = { title: "coefficient of the penalty", scale: "log" } as const;

/** The authors' values of a quantity as a series, where they are comparable. */
function authorsSeries(
  rows: readonly Row[],
  reference: Reference,
  point: (row: Row) => Point,
): LineChart["series"] {
  const points = authorsOf(rows, reference, "figure5").map(point);
  return points.length === 0 ? [] : [{ name: "authors", style: 1, role: "points", points }];
}

function accuracyChart(rows: readonly Row[], reference: Reference): LineChart {
  const authors = authorsSeries(rows, reference, (row) => ({
    x: numberOf(row, "reg_coef"),
    y: numberOf(row, "acc_mean"),
    low: numberOf(row, "acc_ci95_low"),
    high: numberOf(row, "acc_ci95_high"),
  }));
  return {
    kind: "lines",
    name: "regularisation_sweep_accuracy",
    see: bestText(rows) + divergedText(rows, authors),
    caption:
      `Test accuracy of ConvNet of degree 4 without the clip (${conditions(rows)}${
        spreadText(byCoefficient(rows).map(([, same]) => same))
      }).` +
      (authors.length === 0
        ? ""
        : " Hollow: the authors (Figure 5; 150 epochs, 5 seeds, best test accuracy of all epochs)."),
    x: coefficientAxis,
    y: { title: "test accuracy (%)", min: 0 },
    references: [{ axis: "y", value: CHANCE, label: "chance" }],
    series: [
      { name: "measured", points: byCoefficient(rows).map(([x, same]) => pointAt(x, accuracyOf(same))) },
      ...authors,
    ],
  };
}

/** The coefficient with the best mean, and what the runs of the least steady one reach. */
function bestText(rows: readonly Row[]): string {
  const groups = byCoefficient(rows),
    [[best]] = groups.toSorted(([, a], [, b]) => accuracyOf(b).value - accuracyOf(a).value);
  const spreads = groups.map(([coefficient, same]) => {
    const runs = same.map((row) => numberOf(row, "test_accuracy"));
    return { coefficient, text: runsText(same), spread: Math.max(...runs) - Math.min(...runs) };
  });
  const loose = spreads.reduce((one, other) => other.spread > one.spread ? other : one);
  return `a coefficient of ${best.toExponential()} trains best` +
    (loose.spread === 0
      ? "."
      : `; at ${loose.coefficient.toExponential()} runs reach ${loose.text} %, by their seed.`);
}

/** Runs that ended in a loss that is no number, which the means count as chance. */
function divergedText(rows: readonly Row[], authors: LineChart["series"]): string {
  const diverged = rows.filter((row) => row["outcome"] === "diverged").length;
  if (diverged === 0) return "";
  return ` ${diverged} of ${rows.length} runs diverged and count as chance` +
    (authors.length === 0 ? "." : "; none of the authors' 40 did.");
}

/** A quantity on two logarithmic axes; what is 0 or infinite cannot be shown there. */
function logChart(rows: readonly Row[], reference: Reference, quantity: {
  name: string;
  what: string;
  title: string;
  /** In a sentence, before and behind a number. */
  named: string;
  unit: string;
  of: (same: readonly Row[]) => number;
  authors: string;
  references?: LineChart["references"];
}): ChartDescription[] {
  const shown = ({ y }: { y: number }) => y > 0 && Number.isFinite(y);
  const trained = rows.filter((row) => row["outcome"] === "trained");
  const points = byCoefficient(trained).map(([x, same]) => ({ x, y: quantity.of(same) })),
    own = points.filter(shown);
  if (own.length === 0) return [];
  const lost = points.length - own.length;
  const [least, most] = [own[0], own.at(-1)!];
  const at = ({ y }: Point) => `${quantity.named} ${y.toPrecision(2)}${quantity.unit}`,
    coefficientOf = ({ x }: Point) => `with a coefficient of ${x.toExponential()}`;
  const authors = authorsSeries(rows, reference, (row) => ({
    x: numberOf(row, "reg_coef"),
    y: numberOf(row, quantity.authors),
  }));
  return [{
    kind: "lines",
    name: `regularisation_sweep_${quantity.name}`,
    see: own.length === 1
      ? `${at(least)} ${coefficientOf(least)}.`
      : `from ${at(least)} ${coefficientOf(least)} to ${at(most)} ${coefficientOf(most)}${
        own.every(({ y }, i) => i === 0 || y < own[i - 1].y)
          ? ": the larger the coefficient, the closer to the range"
          : ""
      }.`,
    caption: `${quantity.what}, without the clip, over all test images (${conditions(trained)}).` +
      (authors.length === 0 ? "" : " Hollow: the authors (Figure 5).") +
      leftOutText(rows, trained, "diverged") +
      (lost > 0 ? ` Not shown: ${lost} values of 0 or without bound.` : ""),
    x: coefficientAxis,
    y: { title: quantity.title, scale: "log" },
    ...quantity.references ? { references: quantity.references } : {},
    series: [
      { name: "measured", points: own },
      ...authors,
    ],
  }];
}
