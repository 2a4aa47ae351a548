/** The update of a step. */
import * as tf from "@tensorflow/tfjs";
import type { Activation } from "../../models/graph.ts";
import { AMPLITUDE_DIVISOR } from "../../models/trigonometric.ts";
import type { StepSettings } from "../engine.ts";
import { isMuonFilter, LEAST_NORM, NEWTON_SCHULZ, NEWTON_SCHULZ_STEPS } from "../muon.ts";
import { decayOf } from "../update_rules.ts";
import { type Part, total, type Variables } from "./step.ts";

/** Share of a new value in the running statistics. */
const STATISTICS_MOMENTUM = 0.1;

/**
 * Moves everything by what the shards have found.
 *
 * @param capped scales of batch norm that a cap bounds
 */
export function update(
  weights: Variables,
  momentum: Variables,
  parts: readonly Part[],
  activation: Activation,
  capped: readonly string[],
  settings: StepSettings,
): void {
  updateStatistics(weights, parts);
  descend(weights, momentum, batchGradients(parts, settings.gradientNorm), settings);
  boundAmplitudes(weights, activation);
  const { scaleCap } = settings;
  for (const name of scaleCap === null ? [] : capped) {
    const scale = weights.get(name)!;
    scale.assign(tf.clipByValue(scale, -scaleCap!, scaleCap!));
  }
}

function updateStatistics(weights: Variables, parts: readonly Part[]): void {
  for (const name in parts[0].statistics) {
    const running = weights.get(name)!;
    const mean = tf.div(total(parts.map(({ statistics }) => statistics[name])), parts.length);
    running.assign(tf.add(tf.mul(running, 1 - STATISTICS_MOMENTUM), tf.mul(mean, STATISTICS_MOMENTUM)));
  }
}

/** Gradients of the batch, scaled down to a Euclidean norm of `limit` where they are larger. */
function batchGradients(parts: readonly Part[], limit: number | null): [name: string, gradient: tf.Tensor][] {
  const sums = Object.keys(parts[0].gradients).map((name): [string, tf.Tensor] => [
    name,
    total(parts.map(({ gradients }) => gradients[name])),
  ]);
  if (limit === null) return sums;
  const norm = tf.sqrt(total(sums.map(([, g]) => tf.sum(tf.square(g)))));
  const factor = tf.minimum(1, tf.div(limit, norm));
  return sums.map(([name, g]) => [name, tf.mul(g, factor)]);
}

/** Stochastic gradient descent with momentum and weight decay, as PyTorch defines it. */
function descend(
  weights: Variables,
  momentum: Variables,
  gradients: readonly [name: string, gradient: tf.Tensor][],
  settings: StepSettings,
): void {
  for (const [name, gradient] of gradients) {
    const w = weights.get(name)!, v = momentum.get(name)!;
    if (settings.muon !== null && isMuonFilter(w.shape)) {
      muonStep(w, v, gradient, settings.muon, settings);
      continue;
    }
    const d = tf.add(gradient, tf.mul(w, decayOf(name, settings)));
    v.assign(tf.add(tf.mul(v, settings.momentum), d));
    const direction = settings.nesterov ? tf.add(tf.mul(v, settings.momentum), d) : v;
    w.assign(tf.sub(w, tf.mul(direction, settings.learningRate)));
  }
}

/** Muon's step of a filter: see `muon.ts`. */
function muonStep(
  w: tf.Variable,
  v: tf.Variable,
  gradient: tf.Tensor,
  rate: number,
  { momentum, nesterov }: StepSettings,
): void {
  const outputs = w.shape.at(-1)!, [a, b, c] = NEWTON_SCHULZ;
  v.assign(tf.add(tf.mul(v, momentum), gradient));
  const direction = nesterov ? tf.add(tf.mul(v, momentum), gradient) : v;
  let x = tf.reshape(tf.div(direction, tf.add(tf.norm(direction), LEAST_NORM)), [-1, outputs]) as tf.Tensor2D;
  for (let i = 0; i < NEWTON_SCHULZ_STEPS; i++) {
    const gram = tf.matMul(x, x, true), square = tf.matMul(gram, gram);
    x = tf.add(tf.mul(x, a), tf.matMul(x, tf.add(tf.mul(gram, b), tf.mul(square, c))));
  }
  const kept = tf.mul(w, tf.div(Math.sqrt(outputs), tf.norm(w)));
  w.assign(tf.sub(kept, tf.reshape(tf.mul(x, rate), w.shape)));
}

function boundAmplitudes(weights: Variables, activation: Activation): void {
  if (activation.kind !== "trigonometric") return;
  const bound = activation.period / AMPLITUDE_DIVISOR;
  for (const [name, w] of weights) {
    if (!name.endsWith(".fourier")) continue;
    const offset = tf.slice(w, [0], [1]), amplitudes = tf.slice(w, [1], [-1]);
    w.assign(tf.concat([offset, tf.clipByValue(amplitudes, -bound, bound)]));
  }
}
