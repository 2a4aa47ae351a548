/**
 * Muon ("Muon: An optimizer for hidden layers in neural networks"; "airbench94_muon") for 3x3 filters: the step is the momentum
 * with all its singular values brought near 1, and the filters keep a norm of one an output. Batch norm makes their scale
 * meaningless, so they need no weight decay.
 *
 * A filter is a matrix X of taps and outputs. Three times X (a + b A + c A^2), A = X^T X, takes singular values of X / |X| to
 * between 0.7 and 1.2, where they are not tiny. Columns are padded to 16 and rows to 4 with zeros, which stay.
 */
import type { LayerKernels } from "./wasm/layer_kernels.ts";

export const NEWTON_SCHULZ = [3.4445, -4.775, 2.0315] as const;
export const NEWTON_SCHULZ_STEPS = 3;
/** Added to the norm of the momentum: of a gradient of zeros there is no direction. */
export const LEAST_NORM = 1e-7;

const padded = (n: number, multiple: number) => Math.ceil(n / multiple) * multiple;

/** Whether a parameter is one of 3x3 filters, by its shape. */
export const isMuonFilter = (shape: readonly number[]): boolean => shape.length === 4 && shape[0] === 3;

/** Bytes that a step of a filter [3, 3, inputs, outputs] needs. */
export function muonScratchBytes(shape: readonly number[]): number {
  const outputs = shape.at(-1)!, rows = shape.reduce((product, n) => product * n, 1) / outputs;
  const columns = padded(outputs, 16);
  return 4 * (2 * padded(rows, 4) * columns + 2 * columns * columns);
}

/** What a step reads and writes: rows of `size` floats at these addresses. */
export interface MuonFilter {
  readonly weights: number;
  readonly momentum: number;
  readonly gradients: number;
  readonly size: number;
  readonly outputs: number;
}

/**
 * One step of a filter.
 *
 * @param scratch address of {@linkcode muonScratchBytes} bytes
 * @param factor what gradients are multiplied with
 */
export function muonStep(
  floats: Float32Array,
  kernels: LayerKernels,
  { weights, momentum, gradients, size, outputs }: MuonFilter,
  scratch: number,
  { factor, keep, nesterov, rate }: { factor: number; keep: number; nesterov: boolean; rate: number },
): void {
  const rows = size / outputs, height = padded(rows, 4), width = padded(outputs, 16);
  const at = (address: number, length: number) => floats.subarray(address / 4, address / 4 + length);
  const w = at(weights, size), v = at(momentum, size), g = at(gradients, size);
  const addresses = { x: scratch, y: scratch + 4 * height * width };
  const gram = addresses.y + 4 * height * width, square = gram + 4 * width * width;

  const direction = at(addresses.x, height * width).fill(0);
  let squares = 0;
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < outputs; column++) {
      const i = row * outputs + column, d = factor * g[i]!;
      const velocity = Math.fround(keep * v[i]! + d), step = nesterov ? keep * velocity + d : velocity;
      v[i] = velocity;
      direction[row * width + column] = step;
      squares += step * step;
    }
  }
  const shrink = 1 / (Math.sqrt(squares) + LEAST_NORM);
  for (let i = 0; i < direction.length; i++) direction[i]! *= shrink;

  const [a, b, c] = NEWTON_SCHULZ, A = at(gram, width * width), B = at(square, width * width);
  for (let i = 0; i < NEWTON_SCHULZ_STEPS; i++) {
    const { x, y } = addresses;
    kernels.multiply(x, 4, 4 * width, x, gram, width, height, width);
    kernels.multiply(gram, 4 * width, 4, gram, square, width, width, width);
    for (let k = 0; k < B.length; k++) B[k] = b * A[k]! + c * B[k]! + (k % (width + 1) === 0 ? a : 0);
    kernels.multiply(x, 4 * width, 4, square, y, height, width, width);
    addresses.x = y;
    addresses.y = x;
  }

  const orthogonal = at(addresses.x, height * width), norm = Math.sqrt(w.reduce((sum, v) => sum + v * v, 0));
  const scale = Math.sqrt(outputs) / norm;
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < outputs; column++) {
      const i = row * outputs + column;
      w[i] = scale * w[i]! - rate * orthogonal[row * width + column]!;
    }
  }
}
