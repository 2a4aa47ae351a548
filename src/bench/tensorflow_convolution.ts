/** Layers of TensorFlow.js as `bench` compares them with the ring kernels. */
import * as tf from "@tensorflow/tfjs";
import type { ConvolutionSpec } from "../ring/convolution.ts";

/** A run of the float convolution of that shape with random weights, bias included, result left in WebAssembly memory. */
export function floatConvolution(spec: ConvolutionSpec): { run(): void; dispose(): void } {
  const { height, width, inputs, kernel, stride, padding, outputs } = spec;
  const x = tf.randomNormal<tf.Rank.R4>([1, height, width, inputs]);
  const filter = tf.randomNormal<tf.Rank.R4>([kernel, kernel, inputs, outputs]);
  const bias = tf.randomNormal<tf.Rank.R1>([outputs]);
  const isDense = height * width === 1 && kernel === 1;
  const flat = tf.reshape<tf.Rank.R2>(x, [height * width, inputs]);
  const matrix = tf.reshape<tf.Rank.R2>(filter, [kernel * kernel * inputs, outputs]);
  return {
    run: () =>
      tf.tidy(() => {
        if (isDense) tf.fused.matMul({ a: flat, b: matrix, bias });
        else tf.fused.conv2d({ x, filter, strides: stride, pad: padding, bias });
      }),
    dispose: () => tf.dispose([x, filter, bias, flat, matrix]),
  };
}
