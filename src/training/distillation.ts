/**
 * Distillation ("Distilling the Knowledge in a Neural Network"): a trained network, often the twin with ReLU, sees each batch as it
 * is trained on, and its answers go into the targets. Engines take rows of probabilities anyway and need not know.
 *
 * That differs from the paper in two ways. The temperature softens the teacher alone, not the network too (at 1 the loss is the
 * paper's): a softer teacher is also one that asks for smaller logits. And label smoothing acts on the mixture, by whose
 * largest class training accuracy is counted.
 */
import type { Batch, TrainingEngine } from "./engine.ts";
import type { DistillationRecipe } from "./recipe.ts";
import type { PlannedStep } from "./take_steps.ts";

/** The same steps with the teacher's answers in their targets. One is asked for when the step before last is done. */
export async function* taughtSteps(
  steps: Iterable<PlannedStep>,
  teacher: TrainingEngine,
  recipe: DistillationRecipe,
): AsyncGenerator<PlannedStep> {
  for (const step of steps) {
    mixTargets(step.batch, await teacher.infer(step.batch), recipe);
    yield step;
  }
}

/** Targets become (1 - weight) targets + weight softmax(logits / temperature). */
export function mixTargets(
  { size, targets }: Batch,
  logits: Float32Array,
  { weight, temperature }: DistillationRecipe,
): void {
  const classes = targets.length / size;
  for (let at = 0; at < targets.length; at += classes) {
    const row = logits.subarray(at, at + classes), largest = Math.max(...row);
    const powers = Array.from(row, (logit) => Math.exp((logit - largest) / temperature));
    const total = powers.reduce((sum, power) => sum + power, 0);
    powers.forEach((power, k) => targets[at + k] = (1 - weight) * targets[at + k] + weight * power / total);
  }
}
