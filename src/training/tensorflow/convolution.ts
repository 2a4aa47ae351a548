/** Convolutions whose gradients are convolutions again: not every backend has kernels for them. */
import * as tf from "@tensorflow/tfjs";

interface Geometry {
  readonly kernel: number;
  readonly stride: number;
  readonly padding: number;
}

/**
 * Convolution that can be differentiated on every backend: not all have a kernel for the gradient of the
 * filter.
 */
export function convolve(x: tf.Tensor4D, filter: tf.Tensor4D, node: Geometry): tf.Tensor4D {
  const y = (x: tf.Tensor4D, filter: tf.Tensor4D) => tf.conv2d(x, filter, node.stride, node.padding);
  if (tf.getKernel("Conv2DBackpropFilter", tf.getBackend())) return y(x, filter);
  return tf.customGrad((...args) => {
    const [x, filter, save] = args as [tf.Tensor4D, tf.Tensor4D, tf.GradSaveFunc];
    save([x, filter]);
    return {
      value: y(x, filter),
      gradFunc: (dy, [x, filter]) => [
        inputGradient(dy as tf.Tensor4D, filter as tf.Tensor4D, x.shape as tf.Tensor4D["shape"], node),
        filterGradient(x as tf.Tensor4D, dy as tf.Tensor4D, node),
      ],
    };
  })(x, filter) as tf.Tensor4D;
}

/**
 * Stride 1: a convolution of dy with the filter turned by 180 degrees, ten times as fast as the transposed
 * one.
 */
function inputGradient(
  dy: tf.Tensor4D,
  filter: tf.Tensor4D,
  shape: tf.Tensor4D["shape"],
  { kernel, stride, padding }: Geometry,
): tf.Tensor4D {
  if (stride !== 1 || padding >= kernel) return tf.conv2dTranspose(dy, filter, shape, stride, padding);
  const turned = tf.transpose(tf.reverse(filter, [0, 1]), [0, 1, 3, 2]);
  return tf.conv2d(dy, turned, 1, kernel - 1 - padding);
}

/**
 * dW[i, j, c, f] = sum over image n and position (p, q) of x[n, i + stride p, j + stride q, c] dy[n, p, q,
 * f]: a convolution in which channels play the batch, images the channels and dy, dilated by the stride, the
 * filter.
 */
function filterGradient(x: tf.Tensor4D, dy: tf.Tensor4D, { kernel, stride, padding }: Geometry): tf.Tensor4D {
  const border: [number, number] = [padding, padding];
  const images = tf.transpose(tf.pad(x, [[0, 0], border, border, [0, 0]]), [3, 1, 2, 0]);
  const all = tf.conv2d(images, tf.transpose(dy, [1, 2, 0, 3]), 1, "valid", "NHWC", stride);
  // Where the stride leaves rows of x unread, positions beyond the kernel appear as well.
  return tf.transpose(tf.slice(all, [0, 0, 0, 0], [-1, kernel, kernel, -1]), [1, 2, 0, 3]);
}
