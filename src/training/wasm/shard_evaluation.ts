/** The inference graph of a shard: running statistics, and what the inputs of activations do image by image. */
import { clearRecords, countOutside, largestInput, outliers } from "./activation_inputs.ts";
import { crossEntropy } from "./cross_entropy.ts";
import type { ForwardStep, PointwiseStep } from "./graph_steps.ts";
import { batchNorm } from "./layers/batch_norm.ts";
import { pointwiseLayer } from "./layers/pointwise_layer.ts";
import { forwardStep } from "./layers/run_step.ts";
import type { ShardActivation } from "./shard_activation.ts";
import type { ShardMemory } from "./shard_memory.ts";

/** What a shard says of an evaluation, in the order in which it is handed over; summed, but for the largest input. */
export const EVALUATION_FIELDS = [
  "correct",
  "crossEntropy",
  "outOfRange",
  "imagesOutOfRange",
  "largestInput",
  "finite",
  "sum",
  "squares",
  "nonFinite",
] as const;

export type ShardEvaluation = Record<typeof EVALUATION_FIELDS[number], number>;

/** Evaluates the images that lie in memory, as many as there are targets. */
export function evaluateShard(
  memory: ShardMemory,
  activation: ShardActivation,
  targets: Float32Array,
  range: number,
  clip: number | null,
): ShardEvaluation {
  const { plan } = memory, size = targets.length / plan.classes;
  const total = Object.fromEntries(EVALUATION_FIELDS.map((field) => [field, 0])) as ShardEvaluation;
  if (size === 0) return total;
  activation.start(clip, range, null);
  const isOutside = new Uint8Array(size);
  const run = (step: ForwardStep, first: number, count: number) => {
    if (step.kind === "moments") return;
    if (step.kind !== "pointwise" || step.activation === undefined) {
      return forwardStep(memory, activation, step, { first, count });
    }
    for (let i = first; i < Math.min(size, first + count); i++) {
      observe(memory, activation, step, i, range, total, isOutside);
    }
  };
  for (const { images, steps } of plan.forward) {
    for (const step of steps) if (step.kind === "pointwise" && step.norm) batchNorm.useRunning(memory, step);
    for (let first = 0; first < size; first += images) for (const step of steps) run(step, first, images);
  }
  total.imagesOutOfRange = isOutside.reduce((sum, flag) => sum + flag, 0);
  addLogits(memory, targets, total);
  return total;
}

/** Applies an activation to one image, and counts its inputs out of range. */
function observe(
  memory: ShardMemory,
  activation: ShardActivation,
  step: PointwiseStep,
  image: number,
  range: number,
  total: ShardEvaluation,
  isOutside: Uint8Array,
): void {
  const layer = step.activation!, images = { first: image, count: 1 };
  clearRecords(memory);
  pointwiseLayer.forward(memory, activation, step, images);
  total.largestInput = Math.max(total.largestInput, largestInput(memory, layer));
  const out = countOutside(memory, layer);
  if (out === 0) return;
  total.outOfRange += out;
  isOutside[image] = 1;
  const { number, sum, squares } = outliers(memory, step, range, images);
  total.finite += number;
  total.sum += sum;
  total.squares += squares;
}

function addLogits(memory: ShardMemory, targets: Float32Array, total: ShardEvaluation): void {
  const { plan } = memory,
    { classes } = plan,
    size = targets.length / classes,
    gradient = new Float32Array(classes);
  const logits = memory.floatsAt(plan.logits.at, size * classes);
  for (let image = 0; image < size; image++) {
    const row = logits.subarray(image * classes, (image + 1) * classes);
    if (!row.every(Number.isFinite)) {
      total.nonFinite++;
      continue;
    }
    const target = targets.subarray(image * classes, (image + 1) * classes);
    const loss = crossEntropy(row, target, classes, 0, 1, gradient, classes);
    total.crossEntropy += loss.crossEntropy;
    total.correct += loss.correct;
  }
}
