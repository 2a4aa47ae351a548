/** Convolutions by Winograd's method, on `kernels/winograd_rows.gen.ts` and `kernels/winograd.gen.ts`. */
import { planDirect } from "./convolution_direct.ts";
import type { ConvolutionKernels } from "./convolution_kernels.ts";
import {
  type Convolution,
  type ConvolutionShape,
  type Layout,
  layout,
  outputSize,
  roundUp,
  SLACK_BYTES,
} from "./convolution_shape.ts";

export function suitsRows(shape: ConvolutionShape): boolean {
  const { inputs, outputs, kernel, stride } = shape;
  return kernel === 5 && stride === 1 && inputs === 3 && outputs === 6 &&
    outputSize(shape.width, shape) % 4 === 0;
}

/** As {@linkcode planDirect}, but forward and weight gradient by Winograd's method along rows. */
export function planRows(kernels: ConvolutionKernels, shape: ConvolutionShape): Convolution {
  const { batch, height, width, inputs, outputs, kernel, padding } = shape;
  const direct = planDirect(kernels, shape);
  const outHeight = outputSize(height, shape), outWidth = outputSize(width, shape), tiles = outWidth / 4;
  const x = layout(height, width, inputs, padding);
  const dz = layout(outHeight, outWidth, outputs, direct.gradientBorder);
  const points = 8;
  const planesBytes = (outHeight + kernel - 1) * tiles * inputs * points * 4;
  const gradientsBytes = outHeight * tiles * outputs * points * 4;
  const grid = { xStep: x.row, xImage: x.image, images: batch, lines: outHeight, tiles };
  const rowsForward = kernels.rowsForward(grid);
  const rowsWeightGradient = kernels.rowsWeightGradient({ ...grid, zStep: dz.row, zImage: dz.image });
  return {
    ...direct,
    method: "winograd",
    scratchBytes: planesBytes + gradientsBytes,
    packedBytes: direct.packedBytes + kernel * inputs * outputs * points * 4,
    prepare(weights, packed) {
      direct.prepare(weights, packed);
      kernels.rowsWeights(weights, packed + direct.packedBytes);
    },
    forward: (from, packed, bias, to, scratch) =>
      rowsForward(from, packed + direct.packedBytes, bias, to, scratch),
    weightGradient: (from, gradients, dw, scratch) =>
      rowsWeightGradient(from, gradients + dz.origin, dw, scratch, scratch + planesBytes),
  };
}

export function suitsWinograd(
  { height, width, inputs, outputs, kernel, stride, padding }: ConvolutionShape,
): boolean {
  return kernel === 3 && stride === 1 && padding === 1 && height % 4 === 0 && width % 4 === 0 &&
    Math.min(inputs, outputs) >= 8 && inputs % 4 === 0 && outputs % 4 === 0;
}

/** Points of F(4x4, 3x3), and bytes of the planes of one block of tiles: about half the second-level cache. */
const PLANES = 36, BLOCK_BYTES = 1 << 19;
/** Pixels of a tile of `multiply`. */
const TILE_PIXELS = 6;

/**
 * Tiles of a block: as many as fit, not fewer than 48 (each block reads all transformed weights), nor more than 96 (a
 * block of `multiply`); rounded to blocks of equal size in whole tiles of `multiply`.
 */
function tilesOfBlock(tiles: number, channels: number): number {
  const fitting = Math.floor(BLOCK_BYTES / (PLANES * channels * 4));
  const blocks = Math.max(1, Math.round(tiles / Math.min(Math.max(fitting, 48), 96)));
  return Math.min(tiles, roundUp(Math.ceil(tiles / blocks), TILE_PIXELS));
}

/** Bytes from one plane of `words` to the next: an odd number of cache lines, so that planes use different sets. */
const planeStep = (words: number): number => 64 * (Math.ceil(words / 16) | 1);

/** One side of a convolution: its channels, and the distance of their planes. */
interface Side {
  readonly channels: number;
  readonly step: number;
}

/** A row of pixels of planes as `multiply` and `multiplyTransposed` see them: `planes` products, one pixel a tile. */
const TILES = { images: 1, rows: 1, xImage: 0, xRow: 0, segments: 1, segmentStep: 0, planes: PLANES };

export function planWinograd(kernels: ConvolutionKernels, shape: ConvolutionShape): Convolution {
  const { batch, height, width } = shape;
  const tileRows = height / 4, tileColumns = width / 4, tiles = batch * tileRows * tileColumns;
  const block = tilesOfBlock(tiles, shape.inputs + shape.outputs);
  const side = (channels: number): Side => ({ channels, step: planeStep(block * channels) });
  const inputs = side(shape.inputs), outputs = side(shape.outputs);
  const weightStep = planeStep(shape.inputs * shape.outputs), weightPlanes = PLANES * weightStep;
  const inputPlanes = PLANES * inputs.step, outputPlanes = PLANES * outputs.step;

  const overBlocks = (run: (first: number, count: number) => void) => {
    for (let first = 0; first < tiles; first += block) run(first, Math.min(block, tiles - first));
  };
  /** What a transform is told of images and of their planes. */
  const grid = ({ channels, step }: Side, { image, row }: Layout) => ({
    planeStep: step,
    imageStep: image,
    rowStep: row,
    channels,
    tileRows,
    tileColumns,
  });
  /** From bordered images of one side to images of the other without border. */
  const convolution = (from: Side, to: Side) => {
    const transform = kernels.winogradInput(grid(from, layout(height, width, from.channels, 1)));
    const transformBack = kernels.winogradOutput(grid(to, layout(height, width, to.channels, 0)));
    const multiply = kernels.multiply({
      ...TILES,
      biases: 0,
      xColumn: from.channels * 4,
      yImage: 0,
      yRow: 0,
      yColumn: to.channels * 4,
      length: from.channels,
      outputs: to.channels,
      xPlane: from.step,
      wPlane: weightStep,
      yPlane: to.step,
      accumulates: false,
    });
    return (x: number, weights: number, bias: number, y: number, scratch: number) =>
      overBlocks((first, count) => {
        const products = scratch + PLANES * from.step;
        transform(x, scratch, first, count);
        multiply(scratch, weights, products, count);
        transformBack(products, y, bias, first, count);
      });
  };
  const forward = convolution(inputs, outputs), backward = convolution(outputs, inputs);

  const x = layout(height, width, inputs.channels, 1), dz = layout(height, width, outputs.channels, 1);
  const transformInput = kernels.winogradInput(grid(inputs, x));
  const transformGradient = kernels.winogradGradient(grid(outputs, dz));
  const multiplyTransposed = kernels.multiplyTransposed({
    ...TILES,
    dwRow: outputs.channels * 4,
    xColumn: inputs.channels * 4,
    zImage: 0,
    zRow: 0,
    zColumn: outputs.channels * 4,
    length: inputs.channels,
    outputs: outputs.channels,
    blockImages: 1,
    blockRows: 1,
    xPlane: inputs.step,
    zPlane: outputs.step,
    dwPlane: weightStep,
  });

  return {
    method: "winograd",
    inputBorder: 1,
    gradientBorder: 1,
    scratchBytes: inputPlanes + outputPlanes + weightPlanes,
    packedBytes: 2 * weightPlanes,
    slackBytes: SLACK_BYTES,
    prepare(weights, packed) {
      const rows = inputs.channels, columns = outputs.channels, tap = rows * columns * 4;
      kernels.winogradWeights(weights, tap, rows, columns * 4, columns, 4, packed, weightStep);
      // The gradient of the input is a convolution with the kernel turned by 180 degrees and transposed.
      const last = weights + 8 * tap, turned = packed + weightPlanes;
      kernels.winogradWeights(last, -tap, columns, 4, rows, columns * 4, turned, weightStep);
    },
    forward,
    inputGradient: (from, packed, to, scratch) => backward(from, packed + weightPlanes, 0, to, scratch),
    weightGradient(from, gradient, dw, scratch) {
      const gradients = scratch + inputPlanes, sums = gradients + outputPlanes;
      overBlocks((first, count) => {
        transformInput(from, scratch, first, count);
        transformGradient(gradient + dz.origin, gradients, first, count);
        multiplyTransposed(scratch, gradients, sums, first > 0, count);
      });
      kernels.winogradWeightGradient(sums, weightStep, dw, inputs.channels * outputs.channels);
    },
  };
}
