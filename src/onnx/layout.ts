/** Our values are NHWC, those of ONNX NCHW; filters are HWIO here and OIHW there. */
import type { FloatTensor, Shape } from "../models/graph.ts";

/** `data` of a shape with its axes in another order: axis i of the result is axis `order[i]` of what is given. */
export function transpose({ shape, data }: FloatTensor, order: readonly number[]) {
  const strides = shape.map((_, axis) => shape.slice(axis + 1).reduce((product, n) => product * n, 1));
  const to = order.map((axis) => shape[axis]), steps = order.map((axis) => strides[axis]);
  const result = new Float32Array(data.length), index = to.map(() => 0);
  let from = 0;
  for (let i = 0; i < result.length; i++) {
    result[i] = data[from];
    for (let axis = to.length - 1; axis >= 0; axis--) {
      from += steps[axis];
      if (++index[axis] < to[axis]) break;
      from -= steps[axis] * to[axis];
      index[axis] = 0;
    }
  }
  return { shape: to, data: result } satisfies FloatTensor;
}

/** Filters [out, in, height, width] as ours, [height, width, in, out], and back. */
export const filtersFromOnnx = (filters: FloatTensor): FloatTensor => transpose(filters, [2, 3, 1, 0]);
export const filtersToOnnx = (filters: FloatTensor): FloatTensor => transpose(filters, [3, 2, 0, 1]);

/** An image [height, width, channels] as ONNX takes it, [channels, height, width]. */
export const imageToOnnx = (data: Float32Array, shape: Shape): Float32Array<ArrayBuffer> =>
  transpose({ shape, data }, [2, 0, 1]).data;

/** Rows of a matrix [height * width * channels, out] that reads a flattened value: channels slowest become fastest, and back. */
export function rowsFromOnnx({ shape, data }: FloatTensor, [height, width, channels]: Shape): FloatTensor {
  const outputs = shape[1];
  return { shape, data: transpose({ shape: [channels, height, width, outputs], data }, [1, 2, 0, 3]).data };
}
export function rowsToOnnx({ shape, data }: FloatTensor, [height, width, channels]: Shape): FloatTensor {
  const outputs = shape[1];
  return { shape, data: transpose({ shape: [height, width, channels, outputs], data }, [2, 0, 1, 3]).data };
}
