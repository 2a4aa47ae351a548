/** Exact convolutions modulo 2^32 and 2^64 with prepared weights; dense layers and matrix products are 1x1 ones. */
import {
  type ConvolutionPlan,
  type ConvolutionSpec,
  planConvolution,
  TILE_INPUTS,
  yieldsFourfold,
} from "./convolution_plan.ts";
import { type PreparedWeights, prepareWeights } from "./convolution_weights.ts";
import type { Ring } from "./ring.ts";
import { scratchOf } from "./scratch.ts";
import type { Width } from "./tensor.ts";

export { type ConvolutionSpec, outputAlong, outputSize } from "./convolution_plan.ts";

/**
 * Fraction bits that the result has beyond the product's: Winograd's transforms yield 4z modulo 2^width, the direct
 * method z. Depends on public sizes alone, so all parties agree whatever their weights and storage.
 */
export function extraBits(spec: ConvolutionSpec): 0 | 2 {
  return yieldsFourfold(spec) ? 2 : 0;
}

export interface ConvolutionOptions {
  /** Weights are small plaintext integers: store them in 2 or 4 bytes if all fit. The result is the same. */
  readonly small?: boolean;
}

export class Convolution<W extends Width> implements Disposable {
  readonly extraBits: 0 | 2;
  readonly weightBytes: number;
  readonly plan: ConvolutionPlan;
  readonly #weights: PreparedWeights;
  /** Offsets of the parts of scratch memory that a run uses. */
  readonly #parts: ScratchParts;
  #released = false;

  /** `weights`: address of the words [kernel, kernel, inputs, outputs], no longer needed afterwards. */
  constructor(
    readonly ring: Ring,
    readonly width: W,
    readonly spec: ConvolutionSpec,
    weights: number,
    options: ConvolutionOptions = {},
  ) {
    this.extraBits = extraBits(spec);
    this.plan = planConvolution(spec, width);
    this.#weights = prepareWeights(ring, width, spec, this.plan, weights, options.small ?? false);
    this.weightBytes = this.#weights.bytes;
    this.#parts = scratchParts(spec, this.plan, width / 8);
    scratchOf(ring).reserve(this.#parts.bytes);
  }

  /** From words [height, width, inputs] at `x` to words [outHeight, outWidth, outputs] at `y`, times 2^extraBits. */
  run(x: number, y: number): void {
    const { spec, plan, ring: { kernels } } = this;
    const bytes = this.width / 8;
    const base = scratchOf(this.ring).address;
    const isAligned = this.#parts.outputChannels === spec.outputs;
    const out = isAligned ? y : base + this.#parts.output;
    switch (plan.method) {
      case "winograd":
        this.#runWinograd(x, out, base);
        break;
      case "taps":
        this.#runTaps(x, out);
        break;
      case "gathered": {
        const rows = base + this.#parts.input, rowBytes = plan.length * bytes;
        const { height, width, inputs, kernel, stride, padding } = spec;
        kernels.gatherWindows(
          x,
          rows,
          height,
          width,
          inputs * bytes,
          kernel,
          stride,
          padding,
          plan.height,
          plan.width,
          rowBytes,
        );
        this.#multiply(rows, out, rowBytes);
        break;
      }
      case "rows":
        this.#runRows(x, out, base);
    }
    if (!isAligned) {
      const row = spec.outputs * bytes;
      kernels.copyRows(out, this.#parts.outputChannels * bytes, y, row, row, row, plan.height * plan.width);
    }
  }

  #runWinograd(x: number, y: number, base: number): void {
    const { spec, plan, width, ring: { kernels } } = this;
    const parts = this.#parts;
    const planes = base + parts.input, products = base + parts.products;
    kernels[`winogradInput${plan.algorithm}_${width as Width}`](
      x,
      planes,
      parts.inputPlane,
      base + parts.patch,
      spec.height,
      spec.width,
      spec.inputs,
      plan.length,
      spec.padding,
      plan.tileRows,
      plan.tileColumns,
    );
    this.#multiply(planes, products, plan.length * width / 8, parts.inputPlane, parts.productsPlane);
    kernels[`winogradOutput${plan.algorithm}_${width as Width}`](
      products,
      parts.productsPlane,
      plan.outputs * width / 8,
      y,
      plan.height,
      plan.width,
      parts.outputChannels,
      plan.tileRows,
      plan.tileColumns,
    );
  }

  /** All planes' products of runs of words, `pixelStep` bytes apart. */
  #multiply(x: number, y: number, pixelStep: number, xPlane = 0, yPlane = 0): void {
    const { planes, weightPlanes } = this.plan;
    if (planes === weightPlanes) this.#product(0, planes, x, y, pixelStep, xPlane, yPlane);
    else this.#multiplyShared(x, y, pixelStep, xPlane, yPlane);
  }

  /** S2: 5 x 5 planes of products over 4 x 4 matrices of weights, the last of which serves two in each dimension. */
  #multiplyShared(x: number, y: number, pixelStep: number, xPlane: number, yPlane: number): void {
    for (let i = 0; i < 4; i++) {
      for (let j = 0; j < 4; j++) {
        const first = 5 * i + j;
        const product = (plane: number, runs: number, step: number) =>
          this.#product(
            4 * i + j,
            1,
            x + plane * xPlane,
            y + plane * yPlane,
            pixelStep,
            xPlane,
            yPlane,
            runs,
            step * xPlane,
            step * yPlane,
          );
        if (i < 3) product(first, j < 3 ? 1 : 2, 1);
        else if (j < 3) product(first, 2, 5);
        else for (const plane of [first, first + 5]) product(plane, 2, 1);
      }
    }
  }

  /** Products with the matrices `firstWeights`...; each of `runs` (one if left out) times `plan.pixels` pixels. */
  #product(
    firstWeights: number,
    planes: number,
    x: number,
    y: number,
    pixelStep: number,
    xPlane: number,
    yPlane: number,
    runs = 1,
    xRun = 0,
    yRun = 0,
  ): void {
    const { plan, ring: { kernels } } = this;
    const yStep = plan.outputs * this.width / 8;
    const { address, size } = this.#weights;
    const weights = address + firstWeights * plan.length * plan.outputs * size;
    if (plan.panel === "pixels") {
      kernels[this.#pixelsPanel](
        weights,
        x,
        pixelStep,
        y,
        yStep,
        planes,
        xPlane,
        yPlane,
        plan.outputs,
        plan.length,
        plan.pixels,
        runs,
        xRun,
        yRun,
        false,
      );
      return;
    }
    kernels[`weightsPanel${this.width as Width}`](
      weights,
      size,
      x,
      y,
      planes,
      xPlane,
      yPlane,
      plan.outputs,
      1,
      plan.length,
      0,
      runs,
      plan.pixels,
      xRun,
      pixelStep,
      runs > 1 ? yRun - plan.pixels * yStep : 0,
    );
  }

  get #pixelsPanel(): "pixelsPanel64s8" {
    return `pixelsPanel${this.width}s${this.#weights.size}` as "pixelsPanel64s8";
  }

  #runRows(x: number, y: number, base: number): void {
    const { spec, plan, ring: { kernels } } = this;
    const pixelBytes = spec.inputs * this.width / 8;
    if (spec.kernel === 1 && spec.stride === 1 && spec.padding === 0) {
      this.#multiply(x, y, pixelBytes);
      return;
    }
    let from = x;
    if (spec.padding > 0) {
      from = base + this.#parts.input;
      kernels.padImage(x, from, spec.height, spec.width, pixelBytes, spec.padding);
    }
    const line = (spec.width + 2 * spec.padding) * pixelBytes;
    kernels[`weightsPanel${this.width as Width}`](
      this.#weights.address,
      this.#weights.size,
      from,
      y,
      1,
      0,
      0,
      plan.outputs,
      spec.kernel,
      spec.kernel * spec.inputs,
      line,
      plan.height,
      plan.width,
      spec.stride * line,
      spec.stride * pixelBytes,
      0,
    );
  }

  #runTaps(x: number, y: number): void {
    const { spec, plan, ring: { kernels } } = this;
    const bytes = this.width / 8;
    const { address, size } = this.#weights;
    const xStep = spec.inputs * bytes, yStep = plan.outputs * bytes;
    for (const [position, tap] of plan.taps.entries()) {
      const row = tap.firstRow + Math.floor(tap.index / spec.kernel) - spec.padding;
      const column = tap.firstColumn + tap.index % spec.kernel - spec.padding;
      // Whole rows of inputs and outputs are one run of pixels.
      const isWhole = tap.columns === plan.width && tap.columns === spec.width;
      kernels[this.#pixelsPanel](
        address + position * plan.length * plan.outputs * size,
        x + (row * spec.width + column) * xStep,
        xStep,
        y + (tap.firstRow * plan.width + tap.firstColumn) * yStep,
        yStep,
        1,
        0,
        0,
        plan.outputs,
        plan.length,
        isWhole ? tap.rows * tap.columns : tap.columns,
        isWhole ? 1 : tap.rows,
        spec.width * xStep,
        plan.width * yStep,
        position > 0,
      );
    }
  }

  [Symbol.dispose](): void {
    if (this.#released) return;
    this.#released = true;
    this.ring.release(this.#weights.address, this.#weights.bytes);
  }
}

/** Where a run keeps what, as offsets into scratch memory. */
interface ScratchParts {
  /** Transformed, bordered or gathered inputs. */
  readonly input: number;
  readonly inputPlane: number;
  /** Winograd: one tile of the border; products before the output transform. */
  readonly patch: number;
  readonly products: number;
  readonly productsPlane: number;
  /** The result where its channels are padded, and that number of channels. */
  readonly output: number;
  readonly outputChannels: number;
  readonly bytes: number;
}

function scratchParts(spec: ConvolutionSpec, plan: ConvolutionPlan, bytes: number): ScratchParts {
  let used = 0;
  const take = (size: number) => {
    const at = used;
    used += Math.ceil(size / 64) * 64 + 192; // kernels read up to a tile past the end
    return at;
  };
  let patch = 0, input = 0, inputPlane = 0, products = 0, productsPlane = 0;
  if (plan.method === "winograd") {
    inputPlane = planeStep(plan.pixels * plan.length * bytes);
    productsPlane = planeStep(plan.pixels * plan.outputs * bytes);
    patch = take(TILE_INPUTS[plan.algorithm] ** 2 * plan.length * bytes);
    input = take(plan.planes * inputPlane);
    products = take(plan.planes * productsPlane);
  } else if (plan.method === "gathered") {
    input = take(plan.pixels * plan.length * bytes);
  } else if (plan.method === "rows" && spec.padding > 0) {
    input = take((spec.height + 2 * spec.padding) * (spec.width + 2 * spec.padding) * spec.inputs * bytes);
  }
  // Winograd's last step writes whole vectors of channels, the others whole panels.
  const outputChannels = plan.method === "winograd"
    ? Math.ceil(spec.outputs * bytes / 16) * 16 / bytes
    : plan.outputs;
  const output = outputChannels === spec.outputs
    ? 0
    : take(plan.height * plan.width * outputChannels * bytes);
  return { input, inputPlane, patch, products, productsPlane, output, outputChannels, bytes: used };
}

/** Distance of planes: never near a multiple of 1 KiB, so that 36 streams spread over the first-level cache. */
function planeStep(bytes: number): number {
  let step = Math.ceil(bytes / 64) * 64 + 192;
  while (step % 1024 === 0) step += 192;
  return step;
}
