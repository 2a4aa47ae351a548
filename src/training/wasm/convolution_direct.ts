/** Convolutions by the direct method, on `kernels/convolution.gen.ts`. */
import { planInputGradient } from "./convolution_input_gradient.ts";
import type { ConvolutionKernels } from "./convolution_kernels.ts";
import {
  type Convolution,
  type ConvolutionShape,
  type Layout,
  layout,
  ONE_PLANE,
  panelBytes,
  roundUp,
  sideOf,
  SLACK_BYTES,
  steps,
} from "./convolution_shape.ts";

/** Pixels of a block of the weight gradient: its parts of x and dz stay in the second-level cache. */
const BLOCK_PIXELS = 256;

/** Pixels as the weight gradient walks over them: images by rows by columns, in blocks of whole rows. */
function pixelGrid(shape: ConvolutionShape, x: Layout, dz: Layout) {
  const { batch, height, width, inputs, outputs, kernel, stride, padding } = shape;
  const blocks = (images: number, rows: number, columns: number) => {
    const blockRows = Math.min(rows, Math.max(1, Math.round(BLOCK_PIXELS / columns)));
    const blockImages = blockRows < rows
      ? 1
      : Math.min(images, Math.max(1, Math.round(BLOCK_PIXELS / (rows * columns))));
    return { images, rows, columns, blockImages, blockRows };
  };
  if (kernel === 1 && stride === 1 && padding === 0) {
    // No borders: an image is one row, and images of one pixel are one row together.
    const pixels = height * width;
    const [rows, columns] = pixels === 1 ? [1, batch] : [batch, pixels];
    const lines = (channels: number) => ({ image: 0, row: columns * channels * 4, column: channels * 4 });
    return { ...blocks(1, rows, columns), ...steps("x", lines(inputs)), ...steps("z", lines(outputs)) };
  }
  const grid = blocks(batch, sideOf(height, shape), sideOf(width, shape));
  return { ...grid, ...steps("x", x, stride), ...steps("z", dz) };
}

export function planDirect(kernels: ConvolutionKernels, shape: ConvolutionShape): Convolution {
  const { batch, height, width, inputs, outputs, kernel, stride, padding } = shape;
  const gradient = planInputGradient(kernels, shape);
  const outHeight = sideOf(height, shape), outWidth = sideOf(width, shape);
  const x = layout(height, width, inputs, padding), z = layout(outHeight, outWidth, outputs, 0);
  const dz = layout(outHeight, outWidth, outputs, gradient.border);
  const length = kernel * inputs, words = kernel * length;
  const forwardBytes = panelBytes(words, outputs);
  // Rows of dw in whole vectors; other widths go through scratch.
  const isWhole = outputs % 4 === 0, dwRow = roundUp(outputs, 4) * 4;
  const kernelRows = { segments: kernel, length, segmentStep: x.row, outputs };
  const multiply = kernels.multiply({
    images: batch,
    rows: outHeight,
    columns: outWidth,
    ...steps("x", x, stride),
    ...steps("y", z),
    ...kernelRows,
    ...ONE_PLANE,
    accumulates: false,
  });
  const multiplyTransposed = kernels.multiplyTransposed({
    ...pixelGrid(shape, x, dz),
    ...kernelRows,
    dwRow,
    planes: 1,
    xPlane: 0,
    zPlane: 0,
    dwPlane: 0,
    accumulates: false,
  });
  return {
    method: "direct",
    inputBorder: padding,
    gradientBorder: gradient.border,
    scratchBytes: isWhole ? 0 : words * dwRow,
    packedBytes: forwardBytes + gradient.packedBytes,
    slackBytes: SLACK_BYTES,
    prepare(weights, packed) {
      kernels.packPanels(weights, words, outputs * 4, outputs, 4, packed, 0, words);
      gradient.prepare(weights, packed + forwardBytes);
    },
    forward: (from, packed, bias, to) => multiply(from, packed, to, bias),
    inputGradient: (from, packed, to) => gradient.run(from, packed + forwardBytes, to),
    weightGradient(from, gradients, dw, scratch) {
      multiplyTransposed(from, gradients + dz.origin, isWhole ? dw : scratch);
      if (!isWhole) kernels.copyRows(scratch, dwRow, dw, outputs * 4, words, outputs * 4);
    },
  };
}
