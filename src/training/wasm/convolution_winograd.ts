/** Convolutions by Winograd's method, on `kernels/winograd_rows.gen.ts` and `kernels/winograd.gen.ts`. */
import { planDirect } from "./convolution_direct.ts";
import type { ConvolutionKernels } from "./convolution_kernels.ts";
import {
  type Convolution,
  type ConvolutionShape,
  inLine,
  layout,
  roundUp,
  sideOf,
  SLACK_BYTES,
  steps,
} from "./convolution_shape.ts";

export function suitsRows(shape: ConvolutionShape): boolean {
  const { inputs, outputs, kernel, stride } = shape;
  return kernel === 5 && stride === 1 && inputs === 3 && outputs === 6 &&
    sideOf(shape.width, shape) % 4 === 0;
}

/** As {@linkcode planDirect}, but forward and weight gradient by Winograd's method along rows. */
export function planRows(kernels: ConvolutionKernels, shape: ConvolutionShape): Convolution {
  const { batch, height, width, inputs, outputs, kernel, padding } = shape;
  const direct = planDirect(kernels, shape);
  const outHeight = sideOf(height, shape), outWidth = sideOf(width, shape), tiles = outWidth / 4;
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

/** The tiles of all images, in blocks whose planes lie in scratch memory. */
interface Tiling {
  readonly height: number;
  readonly width: number;
  readonly tileRows: number;
  readonly tileColumns: number;
  readonly weightStep: number;
  overBlocks(run: (first: number, count: number) => void): void;
}

export function planWinograd(kernels: ConvolutionKernels, shape: ConvolutionShape): Convolution {
  const { batch, height, width } = shape, tileRows = height / 4, tileColumns = width / 4;
  const tiles = batch * tileRows * tileColumns, block = tilesOfBlock(tiles, shape.inputs + shape.outputs);
  const side = (channels: number): Side => ({ channels, step: planeStep(block * channels) });
  const inputs = side(shape.inputs), outputs = side(shape.outputs);
  const weightStep = planeStep(inputs.channels * outputs.channels), weightPlanes = PLANES * weightStep;
  const overBlocks: Tiling["overBlocks"] = (run) => {
    for (let first = 0; first < tiles; first += block) run(first, Math.min(block, tiles - first));
  };
  const tiling = { height, width, tileRows, tileColumns, weightStep, overBlocks };
  const backward = convolve(kernels, tiling, outputs, inputs);
  return {
    method: "winograd",
    inputBorder: 1,
    gradientBorder: 1,
    scratchBytes: PLANES * (inputs.step + outputs.step) + weightPlanes,
    packedBytes: 2 * weightPlanes,
    slackBytes: SLACK_BYTES,
    prepare(weights, packed) {
      const rows = inputs.channels, columns = outputs.channels, tap = rows * columns * 4;
      kernels.winogradWeights(weights, tap, rows, columns * 4, columns, 4, packed, weightStep);
      // The gradient of the input is a convolution with the kernel turned by 180 degrees and transposed.
      const last = weights + 8 * tap, turned = packed + weightPlanes;
      kernels.winogradWeights(last, -tap, columns, 4, rows, columns * 4, turned, weightStep);
    },
    forward: convolve(kernels, tiling, inputs, outputs),
    inputGradient: (dz, packed, dx, scratch) => backward(dz, packed + weightPlanes, 0, dx, scratch),
    weightGradient: weightGradient(kernels, tiling, inputs, outputs),
  };
}

/** What a transform is told of images and of their planes. */
const images = (
  { height, width, tileRows, tileColumns }: Tiling,
  { channels, step }: Side,
  border: number,
) => {
  const { image, row } = layout(height, width, channels, border);
  return { planeStep: step, imageStep: image, rowStep: row, channels, tileRows, tileColumns };
};

/** Products as `multiply` and `multiplyTransposed` see them: planes of a row of pixels, one pixel a tile. */
const TILES = { images: 1, rows: 1, segments: 1, segmentStep: 0, planes: PLANES };

/** From bordered images of one side to images of the other without border. */
function convolve(
  kernels: ConvolutionKernels,
  tiling: Tiling,
  from: Side,
  to: Side,
): Convolution["forward"] {
  const transform = kernels.winogradInput(images(tiling, from, 1));
  const transformBack = kernels.winogradOutput(images(tiling, to, 0));
  const multiply = kernels.multiply({
    ...TILES,
    ...steps("x", inLine(from.channels * 4)),
    ...steps("y", inLine(to.channels * 4)),
    xPlane: from.step,
    wPlane: tiling.weightStep,
    yPlane: to.step,
    length: from.channels,
    outputs: to.channels,
    biases: 0,
    accumulates: false,
  });
  return (x, weights, bias, y, scratch) =>
    tiling.overBlocks((first, count) => {
      const products = scratch + PLANES * from.step;
      transform(x, scratch, first, count);
      multiply(scratch, weights, products, count);
      transformBack(products, y, bias, first, count);
    });
}

function weightGradient(
  kernels: ConvolutionKernels,
  tiling: Tiling,
  inputs: Side,
  outputs: Side,
): Convolution["weightGradient"] {
  const { height, width, weightStep } = tiling, { origin } = layout(height, width, outputs.channels, 1);
  const transformInput = kernels.winogradInput(images(tiling, inputs, 1));
  const transformGradient = kernels.winogradGradient(images(tiling, outputs, 1));
  const multiplyTransposed = kernels.multiplyTransposed({
    ...TILES,
    ...steps("x", inLine(inputs.channels * 4)),
    ...steps("z", inLine(outputs.channels * 4)),
    xPlane: inputs.step,
    zPlane: outputs.step,
    dwPlane: weightStep,
    dwRow: outputs.channels * 4,
    length: inputs.channels,
    outputs: outputs.channels,
    blockImages: 1,
    blockRows: 1,
  });
  return (x, dz, dw, scratch) => {
    const gradients = scratch + PLANES * inputs.step, sums = gradients + PLANES * outputs.step;
    tiling.overBlocks((first, count) => {
      transformInput(x, scratch, first, count);
      transformGradient(dz + origin, gradients, first, count);
      multiplyTransposed(scratch, gradients, sums, first > 0, count);
    });
    kernels.winogradWeightGradient(sums, weightStep, dw, inputs.channels * outputs.channels);
  };
}
