/** Muon's step of a filter on the kernels: see `muon.ts`. Columns are padded to 16 and rows to 4 with zeros, which stay. */
import { LEAST_NORM, NEWTON_SCHULZ, NEWTON_SCHULZ_STEPS } from "../muon.ts";
import type { LayerKernels } from "./layer_kernels.ts";

const padded = (n: number, multiple: number) => Math.ceil(n / multiple) * multiple;

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

  const direction = at(scratch, height * width).fill(0);
  let squares = 0;
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < outputs; column++) {
      const i = row * outputs + column, d = factor * g[i];
      const velocity = Math.fround(keep * v[i] + d), step = nesterov ? keep * velocity + d : velocity;
      v[i] = velocity;
      direction[row * width + column] = step;
      squares += step * step;
    }
  }
  const shrink = 1 / (Math.sqrt(squares) + LEAST_NORM);
  for (let i = 0; i < direction.length; i++) direction[i] *= shrink;

  const orthogonal = at(orthogonalise(floats, kernels, scratch, height, width), height * width);
  const scale = Math.sqrt(outputs) / Math.sqrt(w.reduce((sum, v) => sum + v * v, 0));
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < outputs; column++) {
      const i = row * outputs + column;
      w[i] = scale * w[i] - rate * orthogonal[row * width + column];
    }
  }
}

/** Address of the matrix at `x` with its singular values near 1, one of the two behind which the workspace lies. */
function orthogonalise(
  floats: Float32Array,
  kernels: LayerKernels,
  x: number,
  height: number,
  width: number,
): number {
  let y = x + 4 * height * width;
  const gram = y + 4 * height * width, square = gram + 4 * width * width;
  const [a, b, c] = NEWTON_SCHULZ, A = floats.subarray(gram / 4, square / 4);
  const B = floats.subarray(square / 4, square / 4 + width * width);
  for (let i = 0; i < NEWTON_SCHULZ_STEPS; i++) {
    kernels.multiply(x, 4, 4 * width, x, gram, width, height, width);
    kernels.multiply(gram, 4 * width, 4, gram, square, width, width, width);
    for (let k = 0; k < B.length; k++) B[k] = b * A[k] + c * B[k] + (k % (width + 1) === 0 ? a : 0);
    kernels.multiply(x, 4 * width, 4, square, y, height, width, width);
    [x, y] = [y, x];
  }
  return x;
}
