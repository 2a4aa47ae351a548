/** How the settings of a step change over a run: pure functions of epoch and step, both counted from 0. */
import type { StepSettings } from "./engine.ts";
import type { PenaltyRecipe, Recipe } from "./recipe.ts";

/**
 * Learning rate of a step: linear from a fraction to the full value over the warm-up, then to 0 at the end, by half a cosine
 * and constant within an epoch, or on a line from step to step.
 *
 * @param passedPart of the epoch, from 0 to 1
 */
export function learningRateAt(
  { learningRate, epochs, warmUp, schedule }: Pick<Recipe, "learningRate" | "epochs" | "warmUp" | "schedule">,
  epoch: number,
  passedPart = 0,
): number {
  if (schedule === "linear") {
    const time = epoch + passedPart;
    return learningRate *
      (time < warmUp.epochs
        ? warmUp.from + (1 - warmUp.from) * time / warmUp.epochs
        : (epochs - time) / (epochs - warmUp.epochs));
  }
  if (epoch < warmUp.epochs) {
    return learningRate * (warmUp.from + (1 - warmUp.from) * epoch / warmUp.epochs);
  }
  const passed = (epoch - warmUp.epochs) / (epochs - warmUp.epochs);
  return learningRate * (1 + Math.cos(Math.PI * passed)) / 2;
}

/** The four stages before the penalty has its full exponent and coefficient; the first one trains on it alone. */
const STAGES = [
  { exponent: 4, fraction: 1 / 100, crossEntropyWeight: 0 },
  { exponent: 6, fraction: 1 / 50, crossEntropyWeight: 1 },
  { exponent: 8, fraction: 1 / 10, crossEntropyWeight: 1 },
  { exponent: 10, fraction: 1 / 5, crossEntropyWeight: 1 },
];

/** Epochs that a stage takes: one in the paper, but short schedules cannot spare four; 0 leaves all stages out. */
const STAGE_EPOCHS: Readonly<Record<PenaltyRecipe["warmUp"], number>> = { paper: 1, short: 1 / 8, none: 0 };

/**
 * Settings of one step of a run.
 *
 * @param stepsPerEpoch needed for stages that are shorter than an epoch
 */
export function stepSettings(
  recipe: Recipe,
  epoch: number,
  step: number,
  stepsPerEpoch: number,
): StepSettings {
  const { momentum, nesterov, weightDecay, decayNorms, decayBiases, muon, scaleCap, clip } = recipe;
  const { labelSmoothing, gradientNorm, replacement } = recipe, time = epoch + step / stepsPerEpoch;
  const learningRate = learningRateAt(recipe, epoch, step / stepsPerEpoch);
  return {
    learningRate,
    momentum,
    nesterov,
    weightDecay,
    decayNorms,
    decayBiases,
    muon: muon === null ? null : muon * learningRate / recipe.learningRate,
    scaleCap,
    clip,
    labelSmoothing,
    gradientNorm,
    reluPart: replacement === null ? 0 : Math.max(0, 1 - time / replacement),
    ...penaltySettings(recipe.penalty, time),
  };
}

/** @param time epochs since the start, with a fraction */
function penaltySettings(
  penalty: PenaltyRecipe | null,
  time: number,
): Pick<StepSettings, "penalty" | "crossEntropyWeight"> {
  if (penalty === null) return { penalty: null, crossEntropyWeight: 1 };
  const { coefficient, exponent, range, reduction, warmUp } = penalty;
  const length = STAGE_EPOCHS[warmUp], stage = length === 0 ? undefined : STAGES[Math.floor(time / length)];
  if (!stage) return { penalty: { coefficient, exponent, range, reduction }, crossEntropyWeight: 1 };
  return {
    penalty: { coefficient: coefficient * stage.fraction, exponent: stage.exponent, range, reduction },
    crossEntropyWeight: stage.crossEntropyWeight,
  };
}

/**
 * Decay of the moving average at each of its updates. The recipe states it in the way of torchvision's
 * training script, which makes it faster with the images between two updates and slower with the epochs.
 */
export function averageDecay(
  { average, batch, epochs }: Pick<Recipe, "average" | "batch" | "epochs">,
): number {
  if (average === null) return 0;
  return 1 - Math.min(1, (1 - average.decay) * batch * average.everySteps / epochs);
}
