/** Options of `train` that make its recipe: a preset, or the usual one of a network, and what replaces its fields. */
import { DATASET_NAMES } from "../data/open_dataset.ts";
import { MODEL_NAMES } from "../models/zoo.ts";
import { ACTIVATION_SYNTAX, formatActivation, parseActivation } from "../training/activations.ts";
import type { Augmentation } from "../training/batches.ts";
import { defaultRecipe, PENALTY, presetOf, withActivation } from "../training/presets.ts";
import type { PenaltyRecipe, Recipe } from "../training/recipe.ts";
import { type OptionSpecs, type OptionValues, UsageError } from "../terminal/command.ts";
import { checkRecipe, type StartingNetwork } from "./starting_network.ts";

const ON_OFF = ["on", "off"] as const;
const NUMBER_OR_OFF = /^(off|\d*\.?\d+(e[+-]?\d+)?)$/i;

/** Options of the recipe. Those without a value leave the preset as it is. */
export const RECIPE_OPTIONS = {
  preset: { type: "string", value: "NAME", help: "a published run, or a shortened one that ends in -cpu" },
  model: { type: "string", choices: MODEL_NAMES, value: "NAME", help: "network (default: the preset's)" },
  dataset: { type: "string", choices: DATASET_NAMES, help: "images (default: the preset's, cifar10)" },
  activation: { type: "string", value: "NAME", help: ACTIVATION_SYNTAX },
  epochs: { type: "integer", min: 1, max: 100_000, help: "epochs; the learning rate ends at 0 with them" },
  batch: { type: "integer", min: 2, max: 65_536, help: "images a step; beta belongs to a batch size" },
  lr: { type: "number", min: 0, max: 100, help: "largest learning rate" },
  warmUp: {
    type: "number",
    min: 0,
    max: 1000,
    help:
      "epochs until the learning rate is largest (default: the preset's; a fifth of --epochs where that is no shorter)",
  },
  warmUpFrom: { type: "number", min: 0, max: 1, help: "its first value, as a fraction of that" },
  schedule: {
    type: "string",
    choices: ["cosine", "linear"],
    help: "way of the learning rate to 0: by epochs along a cosine, or by steps on a line",
  },
  nesterov: { type: "string", choices: ON_OFF, help: "Nesterov's momentum" },
  weightDecay: { type: "number", min: 0, max: 1, help: "weight decay" },
  decayNorms: { type: "string", choices: ON_OFF, help: "whether it acts on batch norm" },
  decayBiases: { type: "string", choices: ON_OFF, help: "whether it acts on biases" },
  labelSmoothing: { type: "number", min: 0, max: 1, help: "label smoothing" },
  gradientNorm: {
    type: "string",
    pattern: NUMBER_OR_OFF,
    accepts: "a number or off",
    value: "X|off",
    help: "largest norm of the gradient",
  },
  muon: {
    type: "string",
    pattern: NUMBER_OR_OFF,
    accepts: "a number or off",
    value: "X|off",
    help: "largest learning rate of 3x3 filters by Muon",
  },
  flip: {
    type: "string",
    choices: ["random", "alternating", "off"],
    help: "mirror images at random, or each in every other epoch",
  },
  cutout: {
    type: "string",
    pattern: NUMBER_OR_OFF,
    accepts: "a number or off",
    value: "N|off",
    help: "side in pixels of a square at a random place of each training image that gets the mean colour",
  },
  tailAverage: {
    type: "string",
    pattern: NUMBER_OR_OFF,
    accepts: "a number or off",
    value: "X|off",
    help: "part of the epochs, at the end, over which weights are averaged",
  },
  whitening: {
    type: "string",
    choices: ON_OFF,
    help: "first filters start as principal directions of the images' patches",
  },
  zeroResidual: { type: "string", choices: ON_OFF, help: "residual blocks start as their shortcuts" },
  scaleCap: {
    type: "string",
    pattern: NUMBER_OR_OFF,
    accepts: "a number or off",
    value: "X|off",
    help: "largest scale of a batch norm right before an activation",
  },
  pooling: {
    type: "string",
    choices: ["average"],
    help: "averages in the place of max pooling, which no protocol computes beside trig",
  },
  clip: {
    type: "string",
    pattern: NUMBER_OR_OFF,
    accepts: "a number or off",
    value: "X|off",
    help: "bound of the inputs of activations, in training only",
  },
  replacement: {
    type: "string",
    pattern: NUMBER_OR_OFF,
    accepts: "a number or off",
    value: "X|off",
    help: "epochs over which a polynomial takes the place of ReLU, in training only",
  },
  beta: {
    type: "string",
    pattern: NUMBER_OR_OFF,
    accepts: "a number or off",
    value: "X|off",
    help: "coefficient of the penalty on inputs of activations",
  },
  penaltyRange: { type: "number", min: 0.1, max: 100, help: "R, by which the penalty divides inputs" },
  penaltyExponent: { type: "integer", min: 2, max: 10, help: "even exponent of the penalty" },
  penaltyReduction: {
    type: "string",
    choices: ["sum", "mean", "hinge"],
    help: "of powers over the elements of a layer, or the norm of what they have beyond R",
  },
  penaltyWarmUp: {
    type: "string",
    choices: ["paper", "short", "none"],
    help: "four stages before the full penalty, of an epoch (paper) or an eighth (short)",
  },
} as const satisfies OptionSpecs;

type RecipeOptions = OptionValues<typeof RECIPE_OPTIONS>;

/**
 * The recipe that the options ask for; without a preset a network keeps the activation that it has.
 *
 * @param start the network that training starts from, unless that is the seed
 * @throws {Error} one sentence for an unknown name or options that contradict each other
 */
export function recipeFrom(options: RecipeOptions, start?: StartingNetwork): Recipe {
  const { preset, pooling = null } = options, base = baseRecipe(options, start);
  const kept = preset === undefined && start && !start.isTwin
    ? formatActivation(start.activation)
    : undefined;
  const activation = options.activation ?? kept;
  const recipe = activation === undefined ? base : withActivation(base, activation);
  const wanted: Recipe = {
    ...recipe,
    model: options.model ?? recipe.model,
    pooling,
    dataset: options.dataset ?? recipe.dataset,
    epochs: options.epochs ?? recipe.epochs,
    batch: options.batch ?? recipe.batch,
    learningRate: options.lr ?? recipe.learningRate,
    warmUp: warmUpFrom(options, recipe),
    schedule: options.schedule ?? recipe.schedule,
    nesterov: onOr(options.nesterov, recipe.nesterov),
    weightDecay: options.weightDecay ?? recipe.weightDecay,
    decayNorms: onOr(options.decayNorms, recipe.decayNorms),
    decayBiases: onOr(options.decayBiases, recipe.decayBiases),
    augment: { ...recipe.augment, flip: flipFrom(options.flip) ?? recipe.augment.flip },
    cutout: cutoutFrom(options.cutout, recipe),
    tailAverage: tailFrom(options.tailAverage, recipe),
    whitening: onOr(options.whitening, recipe.whitening),
    zeroResidual: onOr(options.zeroResidual, recipe.zeroResidual),
    muon: numberOrOff(options.muon, recipe.muon),
    scaleCap: boundOrOff("scale-cap", options.scaleCap, recipe.scaleCap),
    labelSmoothing: options.labelSmoothing ?? recipe.labelSmoothing,
    gradientNorm: boundOrOff("gradient-norm", options.gradientNorm, recipe.gradientNorm),
    clip: boundOrOff("clip", options.clip, recipe.clip),
    replacement: replacementFrom(options.replacement, recipe, options.epochs ?? recipe.epochs),
    penalty: penaltyFrom(options, recipe.penalty),
  };
  checkRecipe(wanted, start);
  return wanted;
}

function baseRecipe({ preset, model }: RecipeOptions, start: StartingNetwork | undefined): Recipe {
  if (preset !== undefined) return presetOf(preset);
  const name = model ?? start?.model;
  if (name !== undefined) return defaultRecipe(name);
  throw new UsageError(
    "--preset, --model or --from is needed, for example --preset convnet-pillar-cpu",
  );
}

/** Part of a run that a warm-up takes which is as long as the run or longer: that of a preset whose epochs are cut down. */
const SHORTENED_WARM_UP = 1 / 5;

function warmUpFrom({ warmUp, warmUpFrom, epochs }: RecipeOptions, recipe: Recipe): Recipe["warmUp"] {
  const all = epochs ?? recipe.epochs, from = warmUpFrom ?? recipe.warmUp.from;
  if (warmUp === undefined) {
    return { epochs: recipe.warmUp.epochs < all ? recipe.warmUp.epochs : SHORTENED_WARM_UP * all, from };
  }
  if (warmUp < all) return { epochs: warmUp, from };
  throw new UsageError(
    `--warm-up of ${warmUp} epochs leaves none of ${all} for the way to 0; give a shorter one, or more --epochs`,
  );
}

const onOr = (text: typeof ON_OFF[number] | undefined, otherwise: boolean): boolean =>
  text === undefined ? otherwise : text === "on";

function flipFrom(text: RecipeOptions["flip"]): Augmentation["flip"] | undefined {
  return text === undefined || text === "alternating" ? text : text === "random";
}

function cutoutFrom(text: string | undefined, { cutout }: Recipe): number | null {
  const side = numberOrOff(text, cutout);
  if (side === null || Number.isInteger(side) && side > 0) return side;
  throw new UsageError(`--cutout accepts whole pixels from 1 on, got "${text}"`);
}

function tailFrom(text: string | undefined, { tailAverage, average }: Recipe): number | null {
  const part = numberOrOff(text, tailAverage);
  if (part === null) return null;
  if (!(part > 0 && part <= 1)) throw new UsageError(`--tail-average accepts parts up to 1, got "${text}"`);
  if (average) {
    throw new UsageError("the preset has a moving average already; --tail-average does not go with it");
  }
  return part;
}

function replacementFrom(
  text: string | undefined,
  { replacement, activation }: Recipe,
  all: number,
): number | null {
  const epochs = numberOrOff(text, replacement);
  if (epochs === null) return null;
  if (epochs > all) {
    throw new UsageError(
      `--replacement of ${epochs} epochs does not end within ${all}; give fewer, or more --epochs`,
    );
  }
  if (!(epochs > 0)) throw new UsageError(`--replacement accepts epochs above 0, got "${text}"`);
  if (parseActivation(activation).kind !== "polynomial") {
    throw new UsageError(`--replacement goes with a polynomial, not with ${activation}`);
  }
  return epochs;
}

function numberOrOff(text: string | undefined, otherwise: number | null): number | null {
  if (text === undefined) return otherwise;
  if (text.toLowerCase() === "off") return null;
  const number = Number(text);
  if (Number.isFinite(number)) return number;
  throw new UsageError(`"${text}" is beyond the numbers that there are; give a smaller one, or off`);
}

/** A bound of 0 would leave nothing of what it bounds. */
function boundOrOff(flag: string, text: string | undefined, otherwise: number | null): number | null {
  const bound = numberOrOff(text, otherwise);
  if (bound === null || bound > 0) return bound;
  throw new UsageError(`--${flag} accepts bounds above 0, got "${text}"; off takes it away`);
}

function penaltyFrom(options: RecipeOptions, preset: PenaltyRecipe | null): PenaltyRecipe | null {
  const { beta, penaltyRange, penaltyExponent, penaltyReduction, penaltyWarmUp } = options;
  const coefficient = numberOrOff(beta, preset?.coefficient ?? null);
  if (coefficient === null) {
    const shape = Object.entries({ penaltyRange, penaltyExponent, penaltyReduction, penaltyWarmUp });
    if (shape.every(([, value]) => value === undefined)) return null;
    throw new UsageError("options of the penalty are given but the penalty is off; give --beta X as well");
  }
  if (penaltyExponent !== undefined && penaltyExponent % 2 !== 0) {
    throw new UsageError(`--penalty-exponent was given "${penaltyExponent}" but accepts even numbers`);
  }
  const base = preset ?? PENALTY;
  return {
    coefficient,
    range: penaltyRange ?? base.range,
    exponent: penaltyExponent ?? base.exponent,
    reduction: penaltyReduction ?? base.reduction,
    warmUp: penaltyWarmUp ?? base.warmUp,
  };
}
