/** Forward and backward of one step, shard by shard; and forward alone. */
import * as tf from "@tensorflow/tfjs";
import type { Graph } from "../../models/graph.ts";
import { countCorrect } from "../_measure.ts";
import type { Batch, StepReport, StepSettings } from "../engine.ts";
import { isTrainable } from "../initial.ts";
import { rangeOf } from "../recipe.ts";
import { type ActivationOperation, hingeNorm, type Operation, penaltyOf } from "./functions.ts";
import { batchNorm, clipped, forward, tensorOf } from "./network.ts";

/** Parameters and running statistics by name, `<node>.<part>`. */
export type Variables = ReadonlyMap<string, tf.Variable>;

interface Shard {
  readonly images: tf.Tensor;
  readonly targets: tf.Tensor2D;
}

export function shardsOf(graph: Graph, batch: Batch, shards: number): Shard[] {
  const images = tf.split(imagesOf(graph, batch), shards);
  const targets = tf.split(tf.tensor2d(batch.targets, [batch.size, graph.classes]), shards);
  return images.map((images, k) => ({ images, targets: targets[k] as tf.Tensor2D }));
}

const imagesOf = (graph: Graph, batch: Batch): tf.Tensor =>
  tf.tensor4d(batch.images, [batch.size, ...graph.inputShape]);

/** What one shard contributes to a step. */
export type Part = {
  readonly gradients: tf.NamedTensorMap;
  /** Mean and unbiased variance of every batch norm, under the names of the running ones. */
  readonly statistics: tf.NamedTensorMap;
  readonly logits: tf.Tensor;
  /**
   * Cross entropy, penalty, then the largest |input| and the number of inputs out of range, by activation
   * layer.
   */
  readonly numbers: tf.Tensor;
};

/**
 * Loss and gradients of one shard, with batch-norm statistics of its own. Cross entropy and penalty are its
 * share of those of the whole batch: shards are added, not averaged.
 */
export function differentiate(
  graph: Graph,
  weights: Variables,
  activate: ActivationOperation,
  { images, targets }: Shard,
  batchSize: number,
  { clip, penalty, crossEntropyWeight, labelSmoothing, reluPart }: StepSettings,
): Part {
  // Values of the forward pass that are still wanted when TensorFlow.js has dropped it.
  const inputs: tf.Tensor[] = [], statistics: tf.NamedTensorMap = {};
  let logits!: tf.Tensor, crossEntropy!: tf.Tensor, penaltyLoss!: tf.Tensor;

  const loss = () => {
    const penalties: tf.Tensor[] = [];
    logits = tf.keep(forward(graph, weights, images, {
      normalise({ id }, x) {
        const { mean, variance } = tf.moments(x, x.shape.slice(1).map((_, axis) => axis));
        const count = x.size / mean.size, unbiased = tf.mul(variance, count / Math.max(1, count - 1));
        statistics[`${id}.mean`] = tf.keep(mean);
        statistics[`${id}.variance`] = tf.keep(unbiased);
        return batchNorm(id, x, weights, mean, variance);
      },
      activate({ id }, x) {
        inputs.push(tf.keep(x.clone()));
        if (penalty?.reduction === "hinge") {
          penalties.push(tf.div(hingeNorm(x, penalty.range), batchSize / images.shape[0]));
        } else if (penalty) {
          const sum = tf.sum(penaltyOf(penalty)(x)), elements = x.size / images.shape[0] * batchSize;
          penalties.push(penalty.reduction === "sum" ? sum : tf.div(sum, elements));
        }
        const c = clipped(x, clip), y = activate(c, weights.get(`${id}.fourier`));
        return reluPart > 0 ? tf.add(tf.mul(tf.relu(c), reluPart), tf.mul(y, 1 - reluPart)) : y;
      },
    }));
    const sum = tf.losses.softmaxCrossEntropy(targets, logits, undefined, labelSmoothing, tf.Reduction.SUM);
    crossEntropy = tf.keep(tf.div(sum, batchSize));
    penaltyLoss = tf.keep(
      penalties.length > 0 ? tf.mul(total(penalties), penalty!.coefficient / penalties.length) : tf.scalar(0),
    );
    return tf.add(tf.mul(crossEntropy, crossEntropyWeight), penaltyLoss) as tf.Scalar;
  };

  const trainable = [...weights].filter(([name]) => isTrainable(name));
  const { grads } = tf.variableGrads(loss, trainable.map(([, variable]) => variable));
  const range = rangeOf({ clip }), sizes = inputs.map(adopt).map((x) => tf.abs(x));
  return {
    gradients: Object.fromEntries(trainable.map(([name, variable]) => [name, grads[variable.name]])),
    statistics: Object.fromEntries(Object.entries(statistics).map(([name, tensor]) => [name, adopt(tensor)])),
    logits: adopt(logits),
    numbers: tf.stack([
      adopt(crossEntropy),
      adopt(penaltyLoss),
      ...sizes.map(largest),
      ...sizes.map(outOf(range)),
    ]),
  };
}

/** The inference graph: running statistics. Logits, then the inputs of each activation layer before the clip. */
export const inferenceTensors = (
  graph: Graph,
  weights: Variables,
  activate: ActivationOperation,
  batch: Batch,
  clip: number | null,
): tf.Tensor[] =>
  tf.tidy(() => {
    const inputs: tf.Tensor[] = [];
    const logits = forward(graph, weights, imagesOf(graph, batch), {
      normalise: ({ id }, x) =>
        batchNorm(id, x, weights, tensorOf(weights, id, "mean"), tensorOf(weights, id, "variance")),
      activate({ id }, x) {
        inputs.push(x.clone());
        return activate(clipped(x, clip), weights.get(`${id}.fourier`));
      },
    });
    return [logits, ...inputs];
  });

/** Largest of the sizes of inputs; NaN counts as infinity. */
const largest = (sizes: tf.Tensor): tf.Tensor => tf.where(tf.any(tf.isNaN(sizes)), Infinity, tf.max(sizes));

/** Number of sizes not in range, NaN included; as a float exact below 2^24. */
const outOf = (range: number): Operation => (sizes) =>
  tf.cast(tf.sum(tf.logicalNot(tf.lessEqual(sizes, range))), "float32");

/**
 * Sum of tensors, from left to right. Not `tf.addN`: on webgpu it is silently wrong for more tensors than a
 * shader takes.
 */
export const total = (tensors: readonly tf.Tensor[]): tf.Tensor =>
  tensors.reduce((sum, tensor) => tf.add(sum, tensor));

/** Hands a kept tensor to the current `tf.tidy`. */
function adopt(kept: tf.Tensor): tf.Tensor {
  const tensor = kept.clone();
  kept.dispose();
  return tensor;
}

export function stepReport(batch: Batch, logits: Float32Array, shards: readonly Float32Array[]): StepReport {
  const layers = (shards[0].length - 2) / 2, sum = (k: number) => shards.reduce((sum, n) => sum + n[k], 0);
  const indices = Array.from({ length: layers }, (_, layer) => 2 + layer);
  return {
    crossEntropy: sum(0),
    penalty: sum(1),
    correct: countCorrect(batch, logits),
    largestInput: indices.map((k) => Math.max(...shards.map((n) => n[k]))),
    outOfRange: indices.reduce((total, k) => total + sum(k + layers), 0),
  };
}
