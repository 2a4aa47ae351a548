/** The gradient of a convolution's input by the direct method: gathered from the output's gradient, or scattered by it. */
import type { ConvolutionKernels } from "./convolution_kernels.ts";
import {
  type ConvolutionShape,
  inLine,
  type Layout,
  layout,
  ONE_PLANE,
  panelBytes,
  roundUp,
  sideOf,
  steps,
} from "./convolution_shape.ts";

/** One way to compute the gradient of the input. */
export interface InputGradient {
  readonly border: number;
  readonly packedBytes: number;
  prepare(weights: number, packed: number): void;
  run(dz: number, packed: number, dx: number): void;
}

export const planInputGradient = (kernels: ConvolutionKernels, shape: ConvolutionShape): InputGradient =>
  (suitsScatter(shape) ? scatterGradient : gatherGradient)(kernels, shape);

/**
 * Where the gradient of the input comes from, one dimension: dx[i] = sum over t of dz[(i + padding - t) / stride] w[t],
 * over the taps t congruent to i + padding modulo the stride. So dx falls into `stride` phases, each a convolution of
 * stride 1.
 */
interface Phase {
  /** First position in dx, and how many follow at distance `stride`. */
  readonly first: number;
  readonly count: number;
  /** Taps in the order of ascending positions in dz. */
  readonly taps: readonly number[];
  /** Position in dz of the first tap for the first position in dx; may be negative: border. */
  readonly start: number;
}

function phases(size: number, { kernel, stride, padding }: ConvolutionShape): Phase[] {
  return Array.from({ length: stride }, (_, residue) => {
    const first = ((residue - padding) % stride + stride) % stride;
    const taps = Array.from({ length: kernel }, (_, t) => t).filter((t) => t % stride === residue).reverse();
    const count = Math.max(0, Math.ceil((size - first) / stride));
    return { first, count, taps, start: (first + padding - residue) / stride - (taps.length - 1) };
  }).filter(({ count }) => count > 0);
}

/** Border of dz (rows or columns) that {@linkcode phases} reach into. */
function reach(size: number, shape: ConvolutionShape): number {
  const last = sideOf(size, shape) - 1;
  return Math.max(
    0,
    ...phases(size, shape).filter(({ taps }) => taps.length > 0).map(({ start, count, taps }) =>
      Math.max(-start, start + count - 1 + taps.length - 1 - last)
    ),
  );
}

/** A convolution of dz for a pair of {@linkcode phases}. */
interface PhaseProduct {
  readonly rows: Phase;
  readonly columns: Phase;
  readonly taps: number;
  /** Offset of its weights, and where it starts to read and to write. */
  readonly packed: number;
  readonly from: number;
  readonly to: number;
  readonly multiply: (dz: number, packed: number, dx: number) => void;
}

/** dx as convolutions of dz, one for each pair of {@linkcode phases}. */
function gatherGradient(kernels: ConvolutionKernels, shape: ConvolutionShape): InputGradient {
  const { batch, height, width, inputs, outputs, kernel } = shape;
  const border = Math.max(reach(height, shape), reach(width, shape));
  const dx = layout(height, width, inputs, 0);
  const dz = layout(sideOf(height, shape), sideOf(width, shape), outputs, border);
  let packedBytes = 0;
  const pairs = phases(height, shape).flatMap((rows) =>
    phases(width, shape).map((columns) => [rows, columns] as const)
  );
  const parts = pairs.map(([rows, columns]) => {
    const part = phaseProduct(kernels, shape, dz, dx, rows, columns, packedBytes);
    packedBytes += panelBytes(part.taps * outputs, inputs);
    return part;
  });
  return {
    border,
    packedBytes,
    prepare(weights, at) {
      for (const { rows, columns, taps, packed } of parts) {
        let row = 0;
        for (const i of rows.taps) {
          for (const j of columns.taps) {
            const from = weights + (i * kernel + j) * inputs * outputs * 4;
            kernels.packPanels(from, outputs, 4, inputs, outputs * 4, at + packed, row, taps * outputs);
            row += outputs;
          }
        }
      }
    },
    run(gradients, at, result) {
      if (parts.some(({ taps }) => taps === 0)) kernels.zero(result, batch * dx.image);
      for (const { taps, packed, multiply, from, to } of parts) {
        if (taps > 0) multiply(gradients + from, at + packed, result + to);
      }
    },
  };
}

function phaseProduct(
  kernels: ConvolutionKernels,
  { batch, inputs, outputs, stride }: ConvolutionShape,
  dz: Layout,
  dx: Layout,
  rows: Phase,
  columns: Phase,
  packed: number,
): PhaseProduct {
  const multiply = kernels.multiply({
    images: batch,
    rows: rows.count,
    columns: columns.count,
    ...steps("x", dz),
    ...steps("y", dx, stride),
    segments: rows.taps.length,
    length: columns.taps.length * outputs,
    segmentStep: dz.row,
    ...ONE_PLANE,
    outputs: inputs,
    biases: 0,
    accumulates: false,
  });
  const from = dz.origin + rows.start * dz.row + columns.start * dz.column;
  const to = rows.first * dx.row + columns.first * dx.column;
  return { rows, columns, taps: rows.taps.length * columns.taps.length, packed, from, to, multiply };
}

/**
 * dx as a sum of what each pixel of dz contributes: kernel rows of kernel * inputs contiguous words. Without padding
 * this multiplies no borders, and few inputs do not leave lanes idle. A call takes one position in all images, so that
 * what it adds does not overlap.
 */
function scatterGradient(kernels: ConvolutionKernels, shape: ConvolutionShape): InputGradient {
  const { batch, height, width, inputs, outputs, kernel, stride } = shape;
  const outHeight = sideOf(height, shape), outWidth = sideOf(width, shape);
  const dx = layout(height, width, inputs, 0), dz = layout(outHeight, outWidth, outputs, 0);
  const length = kernel * inputs, rowBytes = panelBytes(outputs, length);
  const pixels = { images: 1, rows: 1, columns: batch };
  const words = { segments: 1, length: outputs, segmentStep: 0 };
  const kernelRows = { planes: kernel, xPlane: 0, wPlane: rowBytes, yPlane: dx.row };
  const multiply = kernels.multiply({
    ...pixels,
    ...steps("x", inLine(dz.image)),
    ...steps("y", inLine(dx.image)),
    ...words,
    ...kernelRows,
    outputs: length,
    biases: 0,
    accumulates: true,
  });
  return {
    border: 0,
    packedBytes: kernel * rowBytes,
    prepare(weights, packed) {
      for (let i = 0; i < kernel; i++) {
        const from = weights + i * length * outputs * 4;
        kernels.packPanels(from, outputs, 4, length, outputs * 4, packed + i * rowBytes, 0, outputs);
      }
    },
    run(from, packed, to) {
      kernels.zero(to, batch * dx.image);
      for (let row = 0; row < outHeight; row++) {
        for (let column = 0; column < outWidth; column++) {
          multiply(
            from + row * dz.row + column * dz.column,
            packed,
            to + (row * dx.row + column * dx.column) * stride,
          );
        }
      }
    },
  };
}

/** Whether scattering takes less time; reading and writing the sums costs it about 6 more turns of k (measured). */
function suitsScatter(shape: ConvolutionShape): boolean {
  const { height, width, inputs, outputs, kernel, stride, padding } = shape;
  if (padding > 0) return false;
  const positions = sideOf(height, shape) * sideOf(width, shape);
  const scatter = positions * kernel * roundUp(kernel * inputs, 4) * (outputs + 6);
  const gather = height * width * Math.ceil(kernel / stride) ** 2 * roundUp(inputs, 4) * outputs;
  return scatter < gather;
}
