/** What keeps inputs of activations in a range, or needs no range: accuracy, largest input, divergence. */
import { type BarChart, defineExperiment, type Row, type Size } from "../src/reproduction/experiment.ts";
import {
  type Penalty,
  RANGE,
  type Recipe,
  scheduleOf,
  secondsOf,
  type TrainingCell,
  trainingOf,
} from "./_train.ts";
import {
  accuracyOf,
  conditions,
  finiteOr,
  largestOf,
  runsOf,
  spreadText,
  TRAINING_COLUMNS,
  trainingRow,
} from "./_training_rows.ts";

/** PILLAR's power penalty as in the presets of two cores, and the hinge. */
const PENALTIES: Readonly<Record<string, Penalty>> = {
  "convnet": { coefficient: 1e-5, range: 4.8, exponent: 10, warmUp: "short", reduction: "sum" },
  "minionn-bn": { coefficient: 1e-6, range: 4.4, exponent: 10, warmUp: "short", reduction: "sum" },
};
const HINGE: Penalty = { coefficient: 1e-3, range: RANGE, exponent: 10, warmUp: "none", reduction: "hinge" };
/** Strong enough to keep the inputs of a quartic that bends more. */
const STRONG_HINGE: Penalty = { ...HINGE, coefficient: 1e-2 };
/** Four deviations of an input with the largest scale are the range. */
const CAP = RANGE / 4;

/** Networks, by the schedules of their presets for two cores. */
const NETWORKS: Readonly<Record<string, (size: Size) => Recipe>> = {
  "convnet": (size) => ({
    model: "convnet",
    activation: "relu",
    ...scheduleOf(size),
    ...(size === "full" && { epochs: 60 }),
    warmUp: { epochs: 1, from: 0.2 },
    batch: 128,
    learningRate: 0.05,
    weightDecay: 1e-4,
    clip: null,
    penalty: null,
  }),
  "minionn-bn": () => ({
    model: "minionn-bn",
    activation: "relu",
    epochs: 12,
    warmUp: { epochs: 2, from: 0.2 },
    batch: 128,
    learningRate: 0.06,
    weightDecay: 5e-4,
    clip: null,
    penalty: null,
    limit: null,
    rules: { "gradient-norm": 1 },
  }),
};

type Method = (recipe: Recipe) => Recipe;
const unbounded = (activation: string): Method => (recipe) => ({ ...recipe, activation });
const pillar = (activation: string): Method => (recipe) => ({
  ...recipe,
  activation,
  clip: RANGE,
  penalty: PENALTIES[recipe.model],
});
const hinge: Method = (recipe) => ({ ...recipe, activation: "poly:4:10", clip: RANGE, penalty: HINGE });
const bent: Method = (recipe) => ({
  ...recipe,
  activation: "poly:4:14:1.5",
  clip: RANGE,
  penalty: STRONG_HINGE,
});
/** The network with ReLU, which this experiment trains as well, as what a method starts from or is taught by. */
const withRelu = (method: Method, ...roles: readonly ("twin" | "teacher")[]): Method => (recipe) => ({
  ...method(recipe),
  networks: Object.fromEntries(roles.map((role) => [role, recipe])),
});
/** Over the first quarter of the epochs. */
const replacing = (method: Method): Method => (recipe) => ({
  ...method(recipe),
  rules: { ...recipe.rules, "replacement": recipe.epochs / 4 },
});
const capped = (method: Method): Method => (recipe) => ({
  ...method(recipe),
  rules: { ...recipe.rules, "scale-cap": CAP },
});

/** Methods by name, those of every size first; those for which a full run has no time left are long. */
const METHODS: readonly (readonly [name: string, from: "smoke" | "full" | "long", method: Method])[] = [
  ["ReLU", "smoke", unbounded("relu")],
  ["trigonometric", "smoke", unbounded("trig:10:1:2")],
  ["quartic, PILLAR", "smoke", pillar("poly:4:10")],
  ["quartic, hinge and cap", "smoke", capped(hinge)],
  ["trigonometric, learned", "full", unbounded("trig:10:1:2:learned")],
  ["trigonometric fit of ReLU", "full", unbounded("trig:16:2:1")],
  ["quartic, hinge", "full", hinge],
  ["bent quartic, strong hinge, from ReLU", "full", withRelu(bent, "twin")],
  ["quartic, PILLAR and cap", "full", capped(pillar("poly:4:10"))],
  ["quartic of 14 bits, PILLAR", "full", pillar("poly:4:14")],
  ["degree 6 of 14 bits, PILLAR", "full", pillar("poly:6:14")],
  ["degree 8 of 14 bits, PILLAR", "full", pillar("poly:8:14")],
  ["bent quartic, strong hinge", "long", bent],
  ["bent quartic, strong hinge, grown out of ReLU", "long", replacing(bent)],
  ["bent quartic, strong hinge, taught by ReLU", "long", withRelu(bent, "teacher")],
  ["bent quartic, strong hinge, from and taught by ReLU", "long", withRelu(bent, "twin", "teacher")],
];

interface RangeCell extends TrainingCell {
  readonly method: string;
}

function cells(size: Size): RangeCell[] {
  const networks = size === "full" ? ["convnet", "minionn-bn"] : ["convnet"];
  const methods = METHODS.filter(([, from]) => size === "full" || from === "smoke");
  return networks.flatMap((network) =>
    methods.flatMap(([method, from, change]) => {
      const recipe = change(NETWORKS[network](size)),
        runs = size === "full" && network === "convnet" ? 3 : 1;
      // A training of MiniONN-BN takes 16 minutes of two quiet cores, and 20 to 25 of busy ones.
      const long = network !== "convnet" || from === "long" ? { long: true } : {};
      return runsOf(runs, {
        id: `${network} ${method}`,
        method,
        recipe,
        seconds: secondsOf(recipe),
        ...long,
      });
    })
  );
}

const byMethod = (rows: readonly Row[]): [string, Row[]][] => [...Map.groupBy(rows, (row) => row["method"])];
const byNetwork = (rows: readonly Row[]): [string, Row[]][] => [...Map.groupBy(rows, (row) => row["model"])];

export const rangeMethods = defineExperiment<RangeCell>({
  key: "range_methods",
  title: "Ways to keep the inputs of activations in range",
  explanation:
    "The same networks and schedules with ReLU, with the trigonometric activation, which has no range to keep, and with polynomials " +
    "protected by PILLAR's penalty, by a hinge (the norm of what lies beyond the range, without a gradient inside it), by a cap on " +
    "the scale of batch norms right before an activation, with finer coefficients and higher degrees, and with a quartic that bends " +
    "half as much again as ReLU, which takes the place of a ReLU that fades, or starts from the trained network with ReLU, has its " +
    "answers among its targets, or both. Its epochs then come on top of those of the network with ReLU. The largest input is that of " +
    "all test images without the clip; beside it, how many times the range of the fit, 5, that is. ConvNet has a dense layer " +
    "before its last activation, and no batch norm there that could be capped.",
  columns: {
    method: "activation and what keeps its inputs in range",
    scale_cap: "largest scale of a batch norm right before an activation; off: none",
    largest_relative_input: "largest input over the range of the polynomial's fit; empty where there is none",
    ...TRAINING_COLUMNS,
  },
  cells,
  async run({ recipe, run, method }, { seed }) {
    const trainingSeed = seed + run - 1,
      row = trainingRow(recipe, trainingSeed, await trainingOf(recipe, trainingSeed));
    const largest = Number(row["largest_input"] ?? NaN);
    return [{
      method,
      scale_cap: recipe.rules?.["scale-cap"] ?? "off",
      largest_relative_input: recipe.activation.startsWith("poly:") && !Number.isNaN(largest)
        ? finiteOr(largest / RANGE)
        : null,
      ...row,
    }];
  },
  figures: (rows) =>
    byNetwork(rows).flatMap((
      [network, same],
    ) => [accuracyChart(network, same), ...inputChart(network, same)]),
  table: (rows) =>
    byNetwork(rows).flatMap(([network, ofNetwork]) =>
      byMethod(ofNetwork).map(([method, same]) => ({
        network,
        method,
        seeds: same.length,
        diverged: same.filter((row) => row["outcome"] === "diverged").length,
        "held-out %": accuracyOf(same, "held_out_accuracy").value,
        "test %": accuracyOf(same).value,
        "largest input": largestOf(same, "largest_input"),
      }))
    ),
});

function accuracyChart(network: string, rows: readonly Row[]): BarChart {
  const methods = byMethod(rows), of = ([, same]: [string, Row[]]) => accuracyOf(same).value;
  const best = methods.reduce((one, other) => of(other) > of(one) ? other : one);
  return {
    kind: "bars",
    name: `range_methods_${network.replace("-", "_")}_accuracy`,
    see: `most accurate is ${best[0]}, with ${of(best).toFixed(1)} %.`,
    caption: `${network} by what keeps the inputs of its activations in range (${
      conditions(rows)
    }; test images, no clip${spreadText(methods.map(([, same]) => same))}).`,
    width: "double",
    categories: methods.map(([method]) => method),
    y: { title: "test accuracy (%)", min: 0, max: 100 },
    labels: true,
    series: [{ name: "test", values: methods.map(([, same]) => accuracyOf(same)) }],
  };
}

function inputChart(network: string, rows: readonly Row[]): BarChart[] {
  const finite = byMethod(rows).filter(([, same]) => Number.isFinite(largestOf(same, "largest_input")));
  if (finite.length === 0) return [];
  const largest = finite.map(([, same]) => largestOf(same, "largest_input"));
  return [{
    kind: "bars",
    name: `range_methods_${network.replace("-", "_")}_range`,
    see: `the largest inputs go from ${Math.min(...largest).toPrecision(2)} to ${
      Math.max(...largest).toPrecision(2)
    }, by what keeps them in range.`,
    caption: `${network}: the largest activation input over the test images in any run (${
      conditions(rows)
    }; dashed: range of the polynomials' fit). Methods with a run that diverged, or with an input beyond floating point, are left out.`,
    width: "double",
    categories: finite.map(([method]) => method),
    y: { title: "largest |activation input|", scale: "log" },
    references: [{ axis: "y", value: RANGE, label: "" }],
    series: [{
      name: "largest input",
      values: largest.map((value) => ({ value })),
    }],
  }];
}
