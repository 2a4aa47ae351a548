/** Why unmodified training dies (the paper's Figure 4): inputs leave the range of the fit, and the polynomial throws them further. */
import { horner, realFit } from "../mod.ts";
import {
  type ChartDescription,
  defineExperiment,
  numberOf,
  type Reference,
  type Row,
  type Size,
} from "../src/reproduction/experiment.ts";
import {
  RANGE,
  type Recipe,
  secondsOf,
  sweepDataset,
  TRAINING_MB,
  type TrainingCell,
  trainingOf,
  unmodifiedRecipe,
} from "./_train.ts";
import { finiteOr, recipeRow } from "./_training_rows.ts";

const DEGREE = 4;
const LAYERS = ["act1", "act2", "act3"] as const;
/** Constant term first. */
const coefficients = realFit({ degree: DEGREE, range: RANGE });

/** The smallest size has too few steps to diverge at the usual learning rate. */
const recipeOf = (size: Size): Recipe =>
  size === "smoke"
    ? { ...unmodifiedRecipe(size, DEGREE, 0.5), epochs: 6 }
    : unmodifiedRecipe(size, DEGREE, 0.1);

export const escapingActivations = defineExperiment<TrainingCell>({
  key: "escaping_activations",
  title: "Escaping activations",
  source: "paper, Figure 4",
  explanation:
    "ConvNet with the quartic in place of ReLU and nothing else changed (degree 4, real coefficients, no clip, no penalty, " +
    "learning rate 0.1; 0.5 at smoke size): the largest |input| of each of the three activations in the last ten steps before " +
    "the loss was no number any more, and the polynomial there. Beyond about 8.35 it falls below zero, and its fourth power " +
    "takes over: one layer's output is the next one's input.",
  columns: {
    layer: "activation layer",
    steps_before_end: "steps before the one whose loss was no number; 0 is that step",
    largest_input: "largest |input| of the layer in that step",
    polynomial: "value of the polynomial there",
    diverged_epoch: "epoch in which training diverged, from 1; empty if it did not",
    diverged_step: "step of that epoch, from 1",
    ...Object.fromEntries(
      ([
        "model",
        "dataset",
        "epochs",
        "training_seed",
        "activation",
        "batch",
        "learning_rate",
        "weight_decay",
      ] as const)
        .map((column) => [column, "as in degree_sweep"]),
    ),
  },
  cells: (size) => {
    const recipe = recipeOf(size);
    return [{
      id: "run 1",
      dataset: sweepDataset(),
      run: 1,
      recipe,
      seconds: size === "smoke" ? secondsOf(recipe, 0.5) : 1,
      memoryMB: TRAINING_MB,
    }];
  },
  async run({ recipe }, { seed }) {
    const { lastInputs, diverged } = await trainingOf(recipe, seed);
    const { model, dataset, epochs, training_seed, activation, batch, learning_rate, weight_decay } =
      recipeRow(recipe, seed);
    return lastInputs.flatMap((layers, step) =>
      layers.map((input, layer) => ({
        layer: LAYERS[layer] ?? layer,
        steps_before_end: lastInputs.length - 1 - step,
        largest_input: finiteOr(input),
        polynomial: finiteOr(input === null ? null : horner(coefficients, input)),
        diverged_epoch: diverged?.epoch,
        diverged_step: diverged?.step,
        ...{ model, dataset, epochs, training_seed, activation, batch, learning_rate, weight_decay },
      }))
    );
  },
  figures: (rows, reference) => [overSteps(rows, reference), onPolynomial(rows), nearRange(rows, reference)],
});

const finiteRows = (rows: readonly Row[]) =>
  rows.filter((row) => Number.isFinite(numberOf(row, "largest_input")) && numberOf(row, "largest_input") > 0);
const ofLayer = (rows: readonly Row[], layer: string) => rows.filter((row) => row["layer"] === layer);
const authorsOf = (reference: Reference, layer: number) =>
  reference("figure4").filter((row) => row["layer"] === String(layer));

/** Sizes up to here are drawn: what follows has left the network, and would make everything else a flat line. */
const DRAWN = { steps: 1e6, far: 1e3 } as const;

function overSteps(rows: readonly Row[], reference: Reference): ChartDescription {
  const step = (row: Row, column: string) => 0 - numberOf(row, column);
  const shown = ({ y }: { y: number }) => y <= DRAWN.steps;
  return {
    kind: "lines",
    name: "escaping_activations_steps",
    see:
      "nothing warns: inputs stay around ten until two steps before the end, then grow by orders of magnitude a step.",
    caption:
      "Largest activation input in the last steps of unmodified training, up to a million (dashed: range of the fit). Hollow: the " +
      "authors' notebook (Figure 4).",
    x: { title: "step, the last one being 0", min: -9.5, max: 0.5, ticks: [-9, -6, -3, 0] },
    y: { title: "largest |input|", scale: "log", min: 3, max: DRAWN.steps },
    references: [{ axis: "y", value: RANGE, label: "" }],
    series: [
      ...LAYERS.map((layer, i) => ({
        name: layer,
        style: i,
        points: ofLayer(finiteRows(rows), layer)
          .map((row) => ({ x: step(row, "steps_before_end"), y: numberOf(row, "largest_input") })).filter(
            shown,
          ),
      })),
      ...LAYERS.map((layer, i) => ({
        name: `authors, ${layer}`,
        style: i,
        role: "points" as const,
        points: authorsOf(reference, i)
          .map((row) => ({ x: step(row, "steps_before_nan"), y: numberOf(row, "linf_input") })).filter(shown),
      })),
    ],
  };
}

/** |f| on logarithmic axes; the curve stops before its zero at 8.35, where a logarithm has no value. */
function onPolynomial(rows: readonly Row[]): ChartDescription {
  const shown = ({ x, y }: { x: number; y: number }) => x <= DRAWN.far && y > 0.1;
  const xs = Array.from({ length: 400 }, (_, i) => DRAWN.far ** (i / 399));
  return {
    kind: "lines",
    name: "escaping_activations_far",
    see: "beyond the range the quartic multiplies an input, so the next layer meets a larger one.",
    caption:
      `The inputs up to ${DRAWN.far} on the quartic: the size of its value on logarithmic axes. The notch at 8.35 is its zero; dashed: range of the fit.`,
    x: { title: "largest |input|", scale: "log", min: 1, max: DRAWN.far },
    y: { title: "|value|", scale: "log" },
    references: [{ axis: "x", value: RANGE, label: "" }],
    series: [
      {
        name: "quartic",
        style: 6,
        role: "curve",
        points: xs.map((x) => ({ x, y: Math.abs(horner(coefficients, x)) })).filter(shown),
      },
      ...LAYERS.map((layer, i) => ({
        name: layer,
        style: i,
        role: "points" as const,
        points: ofLayer(finiteRows(rows), layer)
          .map((row) => ({ x: numberOf(row, "largest_input"), y: Math.abs(numberOf(row, "polynomial")) }))
          .filter(shown),
      })),
    ],
  };
}

/** The part of the curve in which the fit is good, and where the first steps leave it. */
function nearRange(rows: readonly Row[], reference: Reference): ChartDescription {
  const end = 12, xs = Array.from({ length: 241 }, (_, i) => end * (i / 120 - 1));
  return {
    kind: "lines",
    name: "escaping_activations_near",
    see: "the first inputs that escape stand where the quartic has left ReLU and turns downwards.",
    caption:
      "The quartic, ReLU, and the largest inputs that are below 12. Hollow: ours; stars: the authors' (Figure 4).",
    x: { title: "input", min: -end, max: end, ticks: [-10, -5, 0, 5, 10] },
    y: { title: "value", min: -30, max: 15 },
    references: [{ axis: "x", value: -RANGE, label: "" }, {
      axis: "x",
      value: RANGE,
      label: "range of the fit",
    }],
    series: [
      {
        name: "quartic",
        style: 6,
        role: "curve",
        points: xs.map((x) => ({ x, y: horner(coefficients, x) })),
      },
      { name: "ReLU", style: 5, role: "curve", points: xs.map((x) => ({ x, y: Math.max(0, x) })) },
      ...LAYERS.map((layer, i) => ({
        name: layer,
        style: i,
        role: "points" as const,
        points: ofLayer(finiteRows(rows), layer).filter((row) => numberOf(row, "largest_input") < end)
          .map((row) => ({ x: numberOf(row, "largest_input"), y: numberOf(row, "polynomial") })),
      })),
      {
        name: "authors",
        style: 7,
        role: "points",
        points: reference("figure4").filter((row) => numberOf(row, "linf_input") < end)
          .map((row) => ({ x: numberOf(row, "linf_input"), y: numberOf(row, "poly_value") })),
      },
    ],
  };
}
