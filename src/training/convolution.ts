/**
 * Float32 convolutions and their gradients for training, on the kernels of `kernels/convolution.gen.ts` and
 * `kernels/winograd.gen.ts`. One thread, one WebAssembly memory; all images of a shard in one call. Addresses are byte
 * offsets, multiples of 16. Every result is a fixed sequence of float operations: its bits depend on the shape, the
 * method, and on {@linkcode hasFusedMultiplyAdd}, nothing else.
 */
import { instantiateModulesNow, loadModules } from "../ring/kernel_modules.ts";

/** Addresses below are scratch of the kernels (constant-address panels); nothing in them outlives a call. */
export const RESERVED_BYTES = 1 << 20;

/** One convolution (or dense layer: a 1x1 image) over a shard. */
export interface ConvolutionShape {
  readonly batch: number;
  readonly height: number;
  readonly width: number;
  readonly inputs: number;
  readonly outputs: number;
  readonly kernel: number;
  readonly stride: number;
  readonly padding: number;
}

/**
 * A planned convolution, forward and both gradients. Plans that differ in the batch alone have the same borders and the
 * same prepared weights, and give an image the same z and dx.
 */
export interface Convolution {
  readonly method: "direct" | "winograd";
  /** Zero border (pixels each side) of the input: [batch][height + 2b][width + 2b][inputs]. It is never written. */
  readonly inputBorder: number;
  /** Zero border of the output's gradient: [batch][outHeight + 2g][outWidth + 2g][outputs]. */
  readonly gradientBorder: number;
  /** Bytes of workspace; layers may share it, as nothing in it outlives a call. */
  readonly scratchBytes: number;
  /** Bytes of the layer's own prepared weights. */
  readonly packedBytes: number;
  /** Bytes to leave behind every buffer: they are read, never written, and their content does not matter. */
  readonly slackBytes: number;
  /** Prepares weights [kernel][kernel][inputs][outputs]; to be called after each update. */
  prepare(weights: number, packed: number): void;
  /** z [batch][outHeight][outWidth][outputs] = convolution of x, plus bias [outputs] if its address is not 0. */
  forward(x: number, packed: number, bias: number, z: number, scratch: number): void;
  /** dx [batch][height][width][inputs], overwritten. */
  inputGradient(dz: number, packed: number, dx: number, scratch: number): void;
  /** dw [kernel][kernel][inputs][outputs], overwritten: the sum over the shard. */
  weightGradient(x: number, dz: number, dw: number, scratch: number): void;
}

/** Exports of the modules; see the sources for their arguments. */
export interface ConvolutionKernels {
  multiply(...args: number[]): void;
  multiplyTransposed(...args: number[]): void;
  packPanels(...args: number[]): void;
  copyRows(...args: number[]): void;
  zero(at: number, bytes: number): void;
  multiplyAdd(a: number, b: number, c: number): number;
  winogradInput(...args: number[]): void;
  winogradGradient(...args: number[]): void;
  winogradOutput(...args: number[]): void;
  winogradWeights(...args: number[]): void;
  winogradWeightGradient(...args: number[]): void;
  rowsForward(...args: number[]): void;
  rowsWeightGradient(...args: number[]): void;
  rowsWeights(...args: number[]): void;
}

const MODULES = ["convolution", "winograd", "winograd_rows"];

/** Compiles `build/training_*.wasm`; the modules can be posted to workers. */
export const loadConvolutionModules = (): Promise<WebAssembly.Module[]> => loadModules("training", MODULES);

/** Instantiates the kernels in `memory`: at least 16 pages and a maximum, at most 65536. */
export const instantiateConvolutionKernels = (
  memory: WebAssembly.Memory,
  modules: readonly WebAssembly.Module[],
): ConvolutionKernels => instantiateModulesNow<ConvolutionKernels>(memory, modules);

/** Whether `f32x4.relaxed_madd` rounds once on this machine: results have other bits where it rounds twice. */
export function hasFusedMultiplyAdd(kernels: ConvolutionKernels): boolean {
  const a = 1 + 2 ** -12;
  return kernels.multiplyAdd(a, a, -(1 + 2 ** -11)) !== 0;
}

/**
 * Plans a convolution. Winograd's method, if not declined, serves 3x3 kernels of stride 1 and padding 1 on images whose
 * sides are multiples of 4, with at least 8 channels in multiples of 4 on both sides, and (forward and weight gradient)
 * 5x5 kernels of stride 1 from 3 to 6 channels with rows of a multiple of 4 results. Its rounding errors are about 1e-5
 * of the largest result, those of the direct method 1e-6.
 *
 * @throws {RangeError} if the shape is impossible
 */
export function planConvolution(
  kernels: ConvolutionKernels,
  shape: ConvolutionShape,
  options: { readonly winograd?: boolean } = {},
): Convolution {
  checkShape(shape);
  const winograd = options.winograd ?? true;
  if (winograd && suitsWinograd(shape)) return planWinograd(kernels, shape);
  if (winograd && suitsRows(shape)) return planRows(kernels, shape);
  return planDirect(kernels, shape);
}

/** Rows (or columns) of the result. */
export function outputSize(size: number, { kernel, stride, padding }: ConvolutionShape): number {
  return Math.floor((size + 2 * padding - kernel) / stride) + 1;
}

/** Words in the reserved region for a bias. */
const MAX_CHANNELS = 200_000;

function checkShape(shape: ConvolutionShape): void {
  const { batch, height, width, inputs, outputs, kernel, stride, padding } = shape;
  for (const [name, value] of Object.entries({ batch, height, width, inputs, outputs, kernel, stride })) {
    if (!Number.isInteger(value) || value < 1) {
      throw new RangeError(`convolution: ${name} must be a positive integer, got ${value}`);
    }
  }
  if (!Number.isInteger(padding) || padding < 0) {
    throw new RangeError(`convolution: padding must be an integer of at least 0, got ${padding}`);
  }
  if (outputSize(height, shape) < 1 || outputSize(width, shape) < 1) {
    throw new RangeError(
      `convolution: kernel ${kernel} does not fit the image ${height}x${width} with padding ${padding}`,
    );
  }
  if (Math.max(inputs, outputs) > MAX_CHANNELS) {
    throw new RangeError(
      `convolution: at most ${MAX_CHANNELS} channels, got ${inputs} and ${outputs}`,
    );
  }
}

/** Over-reads of the last vectors of 8 words. */
const SLACK_BYTES = 64;

const roundUp = (n: number, multiple: number): number => Math.ceil(n / multiple) * multiple;
/** Words of panels for `columns` outputs and `rows` words each. */
const panelWords = (rows: number, columns: number): number => rows * roundUp(columns, 4);

/** Byte steps of an NHWC buffer with a border, and the offset of pixel (0, 0) of image 0. */
interface Layout {
  readonly column: number;
  readonly row: number;
  readonly image: number;
  readonly origin: number;
}

function layout(height: number, width: number, channels: number, border: number): Layout {
  const column = channels * 4, row = (width + 2 * border) * column, image = (height + 2 * border) * row;
  return { column, row, image, origin: border * (row + column) };
}

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
  const last = outputSize(size, shape) - 1;
  return Math.max(
    0,
    ...phases(size, shape).filter(({ taps }) => taps.length > 0).map(({ start, count, taps }) =>
      Math.max(-start, start + count - 1 + taps.length - 1 - last)
    ),
  );
}

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
    const steps = (channels: number) => ({ column: channels * 4, row: columns * channels * 4, image: 0 });
    return { ...blocks(1, rows, columns), x: steps(inputs), dz: steps(outputs) };
  }
  return {
    ...blocks(batch, outputSize(height, shape), outputSize(width, shape)),
    x: { column: x.column * stride, row: x.row * stride, image: x.image },
    dz,
  };
}

/** One way to compute the gradient of the input. */
interface InputGradient {
  readonly border: number;
  readonly packedBytes: number;
  prepare(weights: number, packed: number): void;
  run(dz: number, packed: number, dx: number): void;
}

/** dx as convolutions of dz, one for each pair of {@linkcode phases}. */
function gatherGradient(kernels: ConvolutionKernels, shape: ConvolutionShape): InputGradient {
  const { batch, height, width, inputs, outputs, kernel, stride } = shape;
  const border = Math.max(reach(height, shape), reach(width, shape));
  const dx = layout(height, width, inputs, 0);
  const dz = layout(outputSize(height, shape), outputSize(width, shape), outputs, border);
  const columnPhases = phases(width, shape);
  let packedBytes = 0;
  const parts = phases(height, shape).flatMap((rows) =>
    columnPhases.map((columns) => {
      const offset = packedBytes, taps = rows.taps.length * columns.taps.length;
      packedBytes += panelWords(taps * outputs, inputs) * 4;
      return { rows, columns, taps, offset };
    })
  );
  return {
    border,
    packedBytes,
    prepare(weights, packed) {
      for (const { rows, columns, taps, offset } of parts) {
        let row = 0;
        for (const i of rows.taps) {
          for (const j of columns.taps) {
            const from = weights + (i * kernel + j) * inputs * outputs * 4;
            kernels.packPanels(from, outputs, 4, inputs, outputs * 4, packed + offset, row, taps * outputs);
            row += outputs;
          }
        }
      }
    },
    // deno-fmt-ignore
    run(from, packed, to) {
      if (parts.some(({ taps }) => taps === 0)) kernels.zero(to, batch * dx.image);
      for (const { rows, columns, taps, offset } of parts) {
        if (taps === 0) continue;
        kernels.multiply(
          from + dz.origin + rows.start * dz.row + columns.start * dz.column, packed + offset,
          to + rows.first * dx.row + columns.first * dx.column, 0, batch, rows.count, columns.count,
          dz.image, dz.row, dz.column, dx.image, dx.row * stride, dx.column * stride,
          rows.taps.length, columns.taps.length * outputs, dz.row, inputs, 1, 0, 0, 0, 0,
        );
      }
    },
  };
}

/**
 * dx as a sum of what each pixel of dz contributes: kernel rows of kernel * inputs contiguous words. Without padding
 * this multiplies no borders, and few inputs do not leave lanes idle. A call takes one position in all images, so that
 * what it adds does not overlap.
 */
function scatterGradient(kernels: ConvolutionKernels, shape: ConvolutionShape): InputGradient {
  const { batch, height, width, inputs, outputs, kernel, stride } = shape;
  const outHeight = outputSize(height, shape), outWidth = outputSize(width, shape);
  const dx = layout(height, width, inputs, 0), dz = layout(outHeight, outWidth, outputs, 0);
  const length = kernel * inputs, rowBytes = panelWords(outputs, length) * 4;
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
          // deno-fmt-ignore
          kernels.multiply(
            from + row * dz.row + column * dz.column, packed,
            to + (row * dx.row + column * dx.column) * stride, 0, 1, 1, batch, 0, 0, dz.image, 0, 0, dx.image,
            1, outputs, 0, length, kernel, 0, rowBytes, dx.row, 1,
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
  const positions = outputSize(height, shape) * outputSize(width, shape);
  const scatter = positions * kernel * roundUp(kernel * inputs, 4) * (outputs + 6);
  const gather = height * width * Math.ceil(kernel / stride) ** 2 * roundUp(inputs, 4) * outputs;
  return scatter < gather;
}

function planDirect(kernels: ConvolutionKernels, shape: ConvolutionShape): Convolution {
  const { batch, height, width, inputs, outputs, kernel, stride, padding } = shape;
  const gradient = (suitsScatter(shape) ? scatterGradient : gatherGradient)(kernels, shape);
  const outHeight = outputSize(height, shape), outWidth = outputSize(width, shape);
  const x = layout(height, width, inputs, padding), z = layout(outHeight, outWidth, outputs, 0);
  const dz = layout(outHeight, outWidth, outputs, gradient.border);
  const length = kernel * inputs, words = kernel * length;
  const forwardBytes = panelWords(words, outputs) * 4;
  const grid = pixelGrid(shape, x, dz);
  // Rows of dw in whole vectors; other widths go through scratch.
  const isWhole = outputs % 4 === 0, dwRow = roundUp(outputs, 4) * 4;
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
    // deno-fmt-ignore
    forward(from, packed, bias, to) {
      kernels.multiply(
        from, packed, to, bias, batch, outHeight, outWidth,
        x.image, x.row * stride, x.column * stride, z.image, z.row, z.column,
        kernel, length, x.row, outputs, 1, 0, 0, 0, 0,
      );
    },
    inputGradient(from, packed, to) {
      gradient.run(from, packed + forwardBytes, to);
    },
    // deno-fmt-ignore
    weightGradient(from, gradients, dw, scratch) {
      const to = isWhole ? dw : scratch;
      kernels.multiplyTransposed(
        from, gradients + dz.origin, to, dwRow, 0, grid.images, grid.rows, grid.columns,
        grid.x.image, grid.x.row, grid.x.column, grid.dz.image, grid.dz.row, grid.dz.column,
        kernel, length, x.row, outputs, grid.blockImages, grid.blockRows, 1, 0, 0, 0,
      );
      if (!isWhole) kernels.copyRows(scratch, dwRow, dw, outputs * 4, words, outputs * 4);
    },
  };
}

function suitsRows(shape: ConvolutionShape): boolean {
  const { inputs, outputs, kernel, stride } = shape;
  return kernel === 5 && stride === 1 && inputs === 3 && outputs === 6 &&
    outputSize(shape.width, shape) % 4 === 0;
}

/** As {@linkcode planDirect}, but forward and weight gradient by Winograd's method along rows. */
function planRows(kernels: ConvolutionKernels, shape: ConvolutionShape): Convolution {
  const { batch, height, width, inputs, outputs, kernel, padding } = shape;
  const direct = planDirect(kernels, shape);
  const outHeight = outputSize(height, shape), outWidth = outputSize(width, shape), tiles = outWidth / 4;
  const x = layout(height, width, inputs, padding);
  const dz = layout(outHeight, outWidth, outputs, direct.gradientBorder);
  const points = 8;
  const planesBytes = (outHeight + kernel - 1) * tiles * inputs * points * 4;
  const gradientsBytes = outHeight * tiles * outputs * points * 4;
  return {
    ...direct,
    method: "winograd",
    scratchBytes: planesBytes + gradientsBytes,
    packedBytes: direct.packedBytes + kernel * inputs * outputs * points * 4,
    prepare(weights, packed) {
      direct.prepare(weights, packed);
      kernels.rowsWeights(weights, packed + direct.packedBytes);
    },
    // deno-fmt-ignore
    forward(from, packed, bias, to, scratch) {
      kernels.rowsForward(
        from, x.row, x.image, packed + direct.packedBytes, bias, to, batch, outHeight, tiles, scratch,
      );
    },
    // deno-fmt-ignore
    weightGradient(from, gradients, dw, scratch) {
      kernels.rowsWeightGradient(
        from, x.row, x.image, gradients + dz.origin, dz.row, dz.image, dw, batch, outHeight, tiles,
        scratch, scratch + planesBytes,
      );
    },
  };
}

function suitsWinograd(
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

function planWinograd(kernels: ConvolutionKernels, shape: ConvolutionShape): Convolution {
  const { batch, height, width, inputs, outputs } = shape;
  const tileRows = height / 4, tileColumns = width / 4, tiles = batch * tileRows * tileColumns;
  const x = layout(height, width, inputs, 1), dz = layout(height, width, outputs, 1);
  const dx = layout(height, width, inputs, 0), z = layout(height, width, outputs, 0);
  const block = tilesOfBlock(tiles, inputs + outputs);
  const inputStep = planeStep(block * inputs), outputStep = planeStep(block * outputs);
  const weightStep = planeStep(inputs * outputs);
  const inputPlanes = PLANES * inputStep,
    outputPlanes = PLANES * outputStep,
    weightPlanes = PLANES * weightStep;

  const overBlocks = (run: (first: number, count: number) => void) => {
    for (let first = 0; first < tiles; first += block) run(first, Math.min(block, tiles - first));
  };
  // deno-fmt-ignore
  const convolve = (
    from: number, source: Layout, channelsIn: number, stepIn: number, weights: number,
    to: number, target: Layout, channelsOut: number, stepOut: number, bias: number, scratch: number,
  ) =>
    overBlocks((first, count) => {
      const products = scratch + PLANES * stepIn;
      kernels.winogradInput(
        from, scratch, stepIn, source.image, source.row, channelsIn, tileRows, tileColumns, first, count,
      );
      kernels.multiply(
        scratch, weights, products, 0, 1, 1, count, 0, 0, channelsIn * 4, 0, 0, channelsOut * 4,
        1, channelsIn, 0, channelsOut, PLANES, stepIn, weightStep, stepOut, 0,
      );
      kernels.winogradOutput(
        products, stepOut, to, bias, target.image, target.row, channelsOut, tileRows, tileColumns, first, count,
      );
    });

  return {
    method: "winograd",
    inputBorder: 1,
    gradientBorder: 1,
    scratchBytes: inputPlanes + outputPlanes + weightPlanes,
    packedBytes: 2 * weightPlanes,
    slackBytes: SLACK_BYTES,
    // deno-fmt-ignore
    prepare(weights, packed) {
      const tap = inputs * outputs * 4;
      kernels.winogradWeights(weights, tap, inputs, outputs * 4, outputs, 4, packed, weightStep);
      // The gradient of the input is a convolution with the kernel turned by 180 degrees and transposed.
      kernels.winogradWeights(
        weights + 8 * tap, -tap, outputs, 4, inputs, outputs * 4, packed + weightPlanes, weightStep,
      );
    },
    forward(from, packed, bias, to, scratch) {
      convolve(from, x, inputs, inputStep, packed, to, z, outputs, outputStep, bias, scratch);
    },
    // deno-fmt-ignore
    inputGradient(from, packed, to, scratch) {
      convolve(
        from, dz, outputs, outputStep, packed + weightPlanes, to, dx, inputs, inputStep, 0, scratch,
      );
    },
    // deno-fmt-ignore
    weightGradient(from, gradient, dw, scratch) {
      const gradients = scratch + inputPlanes, sums = gradients + outputPlanes;
      overBlocks((first, count) => {
        kernels.winogradInput(
          from, scratch, inputStep, x.image, x.row, inputs, tileRows, tileColumns, first, count,
        );
        kernels.winogradGradient(
          gradient + dz.origin, gradients, outputStep, dz.image, dz.row, outputs, tileRows, tileColumns, first, count,
        );
        kernels.multiplyTransposed(
          scratch, gradients, sums, outputs * 4, first ? 1 : 0, 1, 1, count,
          0, 0, inputs * 4, 0, 0, outputs * 4, 1, inputs, 0, outputs, 1, 1,
          PLANES, inputStep, outputStep, weightStep,
        );
      });
      kernels.winogradWeightGradient(sums, weightStep, dw, inputs * outputs);
    },
  };
}

/** Bytes from one plane of `words` to the next: an odd number of cache lines, so that planes use different sets. */
const planeStep = (words: number): number => 64 * (Math.ceil(words / 16) | 1);
