/**
 * Layers on plain numbers, NHWC, one image: shared by the float engine, the fixed-point engine and the
 * adjustment of random weights. Everything is a Float64Array, so integers are exact below 2^53.
 */
import { type ConvNode, type DenseNode, type PoolNode, type Shape, windowOf } from "./graph.ts";

/** Weights of a linear layer as the matrix that {@linkcode applyLinear} multiplies with. */
export interface LinearMatrix {
  /** [rows, columns] row-major, rows padded with zeros to a multiple of 4. */
  readonly values: Float64Array;
  /** kernel * kernel * inputs, padding included. */
  readonly rows: number;
  /** Output channels. */
  readonly columns: number;
}

// Values of the unfolded input that are kept at once (256 KiB): fits the second-level cache beside the weights.
const BLOCK = 1 << 15;

/** Widens weights [kernel, kernel, in, out] or [in, out] to a matrix, each through `encode`. */
export function linearMatrix(
  weight: Float32Array,
  columns: number,
  encode?: (w: number) => number,
): LinearMatrix {
  const rows = Math.ceil(weight.length / columns / 4) * 4;
  const values = new Float64Array(rows * columns);
  values.set(weight);
  if (encode) { for (let i = 0; i < weight.length; i++) values[i] = encode(values[i]); }
  return { values, rows, columns };
}

/** Convolution or dense layer without bias. */
export function applyLinear(
  node: ConvNode | DenseNode,
  x: Float64Array,
  input: Shape,
  output: Shape,
  { values, rows, columns }: LinearMatrix,
): Float64Array {
  const { kernel, stride, padding } = windowOf(node);
  const pixels = output[0] * output[1];
  const result = new Float64Array(pixels * columns);
  const height = Math.min(Math.max(4, BLOCK / rows & ~3), Math.ceil(pixels / 4) * 4);
  const block = new Float64Array(height * rows), product = new Float64Array(height * columns);
  for (let start = 0; start < pixels; start += height) {
    const count = Math.min(height, pixels - start);
    unfold(x, input, output, kernel, stride, padding, start, count, block, rows);
    product.fill(0);
    multiply(block, values, product, Math.ceil(count / 4) * 4, rows, columns);
    result.set(product.subarray(0, count * columns), start * columns);
  }
  return result;
}

/** Copies the receptive fields of `count` output pixels from `start` on into the rows of `block`. */
function unfold(
  x: Float64Array,
  [h, w, c]: Shape,
  [, outputW]: Shape,
  kernel: number,
  stride: number,
  padding: number,
  start: number,
  count: number,
  block: Float64Array,
  rows: number,
): void {
  for (let i = 0; i < count; i++) {
    const top = Math.floor((start + i) / outputW) * stride - padding;
    const left = (start + i) % outputW * stride - padding;
    let to = i * rows;
    for (let ky = 0; ky < kernel; ky++) {
      for (let kx = 0; kx < kernel; kx++, to += c) {
        const y = top + ky, z = left + kx;
        if (y < 0 || y >= h || z < 0 || z >= w) block.fill(0, to, to + c);
        else copy(x, (y * w + z) * c, block, to, c);
      }
    }
  }
}

function copy(from: Float64Array, at: number, to: Float64Array, start: number, length: number): void {
  // Setting up `set` costs more than a short loop.
  if (length > 64) to.set(from.subarray(at, at + length), start);
  else for (let i = 0; i < length; i++) to[start + i] = from[at + i];
}

/**
 * c += a * b for a [m, k], b [k, n], c [m, n]; m and k multiples of 4. Four rows of c and four rows of b a
 * pass make 16 multiplications for 8 loads: 4 GMAC/s in plain JavaScript, four times a loop over one row each.
 */
function multiply(a: Float64Array, b: Float64Array, c: Float64Array, m: number, k: number, n: number): void {
  for (let i = 0; i < m; i += 4) {
    const c0 = i * n, c1 = c0 + n, c2 = c1 + n, c3 = c2 + n;
    for (let j = 0; j < k; j += 4) {
      const p = i * k + j, q = p + k, r = q + k, s = r + k;
      const p0 = a[p], p1 = a[p + 1], p2 = a[p + 2], p3 = a[p + 3];
      const q0 = a[q], q1 = a[q + 1], q2 = a[q + 2], q3 = a[q + 3];
      const r0 = a[r], r1 = a[r + 1], r2 = a[r + 2], r3 = a[r + 3];
      const s0 = a[s], s1 = a[s + 1], s2 = a[s + 2], s3 = a[s + 3];
      const b0 = j * n, b1 = b0 + n, b2 = b1 + n, b3 = b2 + n;
      for (let l = 0; l < n; l++) {
        const w0 = b[b0 + l], w1 = b[b1 + l], w2 = b[b2 + l], w3 = b[b3 + l];
        c[c0 + l] += p0 * w0 + p1 * w1 + p2 * w2 + p3 * w3;
        c[c1 + l] += q0 * w0 + q1 * w1 + q2 * w2 + q3 * w3;
        c[c2 + l] += r0 * w0 + r1 * w1 + r2 * w2 + r3 * w3;
        c[c3 + l] += s0 * w0 + s1 * w1 + s2 * w2 + s3 * w3;
      }
    }
  }
}

/** Sums over the windows of an average pooling, without the division. */
export function sumPool(
  { kernel, stride }: PoolNode,
  x: Float64Array,
  input: Shape,
  output: Shape,
): Float64Array {
  const [, w, c] = input, [oh, ow] = output;
  const y = new Float64Array(oh * ow * c);
  for (let i = 0; i < oh; i++) {
    for (let j = 0; j < ow; j++) {
      const to = (i * ow + j) * c;
      for (let ky = 0; ky < kernel; ky++) {
        for (let kx = 0; kx < kernel; kx++) {
          const at = ((i * stride + ky) * w + j * stride + kx) * c;
          for (let l = 0; l < c; l++) y[to + l] += x[at + l];
        }
      }
    }
  }
  return y;
}

/** Maximum over windows; what lies beyond the border does not count. */
export function maxPool(node: PoolNode, x: Float64Array, input: Shape, output: Shape): Float64Array {
  const { kernel, stride, padding } = node;
  const [h, w, c] = input, [oh, ow] = output;
  const y = new Float64Array(oh * ow * c).fill(-Infinity);
  for (let i = 0; i < oh; i++) {
    for (let j = 0; j < ow; j++) {
      const to = (i * ow + j) * c;
      for (let ky = Math.max(0, padding - i * stride); ky < kernel && i * stride + ky - padding < h; ky++) {
        for (let kx = Math.max(0, padding - j * stride); kx < kernel && j * stride + kx - padding < w; kx++) {
          const at = ((i * stride + ky - padding) * w + j * stride + kx - padding) * c;
          for (let l = 0; l < c; l++) if (x[at + l] > y[to + l]) y[to + l] = x[at + l];
        }
      }
    }
  }
  return y;
}

/** x[pixel, channel] * scale[channel] + offset[channel], in place. */
export function affine(x: Float64Array, scale: Float64Array, offset: Float64Array): void {
  const channels = scale.length;
  for (let i = 0; i < x.length; i += channels) {
    for (let c = 0; c < channels; c++) x[i + c] = x[i + c] * scale[c] + offset[c];
  }
}

/** x[pixel, channel] + bias[channel], in place. */
export function addBias(x: Float64Array, bias: ArrayLike<number>): void {
  const channels = bias.length;
  for (let i = 0; i < x.length; i += channels) for (let c = 0; c < channels; c++) x[i + c] += bias[c];
}
