/**
 * Functions of every element, with derivatives of which TensorFlow.js is told: the intermediate values of those that it would
 * derive fill the memory.
 */
import * as tf from "@tensorflow/tfjs";
import type { Activation } from "../../models/graph.ts";
import type { Trigonometric } from "../../models/trigonometric.ts";
import { realCoefficients } from "../../polynomial/polynomial.ts";
import { PENALTY_LINEAR_BEYOND, type PenaltyShape, penaltySlope } from "../penalty.ts";

export type Operation = (x: tf.Tensor) => tf.Tensor;

/**
 * A function that TensorFlow.js has, or a polynomial and its derivative by Horner's rule, the order in which the fast engine rounds too.
 */
export function activationOf(activation: Activation): ActivationOperation {
  if (activation.kind === "trigonometric") return waveOf(activation);
  if (activation.kind !== "polynomial") return tf[activation.kind];
  const coefficients = realCoefficients(activation);
  if (coefficients.length < 2) throw new RangeError("the activation is constant");
  const polynomial = elementwise(horner(coefficients), horner(coefficients.map((c, k) => k * c).slice(1)));
  return (x) => polynomial(x); // it takes tensors alone
}

/** An activation of x, and of the numbers of the layer where they are learned. */
export type ActivationOperation = (x: tf.Tensor, fourier?: tf.Tensor) => tf.Tensor;

function waveOf({ period, offset, amplitudes }: Trigonometric): ActivationOperation {
  const frequencies = amplitudes.map((_, k) => 2 * Math.PI * (2 * k + 1) / period);
  const wave = tf.customGrad((...args) => {
    const [x, fourier, save] = args as [tf.Tensor, tf.Tensor1D, tf.GradSaveFunc];
    save([x, fourier]);
    const cosine = (x: tf.Tensor, w: number) => tf.cos(tf.mul(x, w));
    const number = (fourier: tf.Tensor, k: number) => tf.reshape(tf.slice(fourier, [k], [1]), []);
    const value = frequencies.reduce<tf.Tensor>(
      (sum, w, k) => tf.add(sum, tf.mul(cosine(x, w), number(fourier, k + 1))),
      tf.add(tf.mul(x, 1 / 2), number(fourier, 0)),
    );
    const slope = (x: tf.Tensor, fourier: tf.Tensor) =>
      frequencies.reduce<tf.Tensor>(
        (sum, w, k) => tf.sub(sum, tf.mul(tf.sin(tf.mul(x, w)), tf.mul(number(fourier, k + 1), w))),
        tf.fill(x.shape, 1 / 2),
      );
    return {
      value,
      gradFunc: (dy, saved) => {
        const [x, fourier] = saved as [tf.Tensor, tf.Tensor];
        const sums = [tf.sum(dy), ...frequencies.map((w) => tf.sum(tf.mul(dy, cosine(x, w))))];
        return [tf.mul(dy, slope(x, fourier)), tf.stack(sums)];
      },
    };
  });
  return (x, fourier = tf.tensor1d([offset, ...amplitudes])) => wave(x, fourier);
}

function horner(coefficients: readonly number[]): Operation {
  const [highest, ...lower] = coefficients.toReversed();
  return (x) =>
    lower.reduce((y: tf.Tensor, c) => {
      const product = tf.mul(y, x);
      return c === 0 ? product : tf.add(product, c);
    }, tf.fill(lower.length === 0 ? x.shape : [], highest));
}

/**
 * The penalty of every element; `penaltyValue` and `penaltyDerivative` in operations that do not overflow.
 */
export function penaltyOf({ exponent, range }: PenaltyShape): Operation {
  const bounded = (x: tf.Tensor) =>
    tf.clipByValue(tf.mul(x, 1 / range), -PENALTY_LINEAR_BEYOND, PENALTY_LINEAR_BEYOND);
  const timesSquares = (y: tf.Tensor, square: tf.Tensor, count: number) => {
    for (let k = 0; k < count; k++) y = tf.mul(y, square);
    return y;
  };
  return elementwise(
    (x) => {
      const square = tf.square(bounded(x)),
        beyond = tf.relu(tf.sub(tf.abs(tf.mul(x, 1 / range)), PENALTY_LINEAR_BEYOND));
      return tf.add(timesSquares(square, square, exponent / 2 - 1), tf.mul(beyond, penaltySlope(exponent)));
    },
    (x) => {
      const u = bounded(x);
      return timesSquares(tf.mul(u, exponent / range), tf.square(u), exponent / 2 - 1);
    },
  );
}

/** Euclidean norm of x - clamp(x, +-range); its gradient is 0 where the norm is. */
export const hingeNorm = (x: tf.Tensor, range: number): tf.Tensor => {
  const excess = (x: tf.Tensor) => tf.sub(x, tf.clipByValue(x, -range, range));
  const normOf = (x: tf.Tensor) => tf.sqrt(tf.sum(tf.square(excess(x))));
  return tf.customGrad((...args) => {
    const [x, save] = args as [tf.Tensor, tf.GradSaveFunc];
    save([x]);
    return {
      value: normOf(x),
      gradFunc: (dy, [x]) => tf.mul(dy, tf.div(excess(x), tf.maximum(normOf(x), 1e-30))),
    };
  })(x);
};

/** A function of each element with its derivative. */
const elementwise = (f: Operation, derivative: Operation): Operation =>
  tf.customGrad((...args) => {
    const [x, save] = args as [tf.Tensor, tf.GradSaveFunc];
    save([x]);
    return { value: f(x), gradFunc: (dy, [x]) => tf.mul(dy, derivative(x)) };
  });
