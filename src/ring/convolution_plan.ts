/**
 * How a convolution is computed: a pure function of its public sizes and the word width. Every method ends in products
 * of pixels with weights; they differ in what a pixel is.
 */
import type { Width } from "./tensor.ts";

/** A convolution of one image, NHWC. A dense layer has height = width = kernel = 1. */
export interface ConvolutionSpec {
  readonly height: number;
  readonly width: number;
  readonly inputs: number;
  readonly kernel: number;
  readonly stride: number;
  readonly padding: number;
  readonly outputs: number;
}

/** Windows of `kernel` along `size` numbers with `padding` more at both ends. */
export const outputAlong = (size: number, kernel: number, stride: number, padding: number): number =>
  Math.floor((size + 2 * padding - kernel) / stride) + 1;

/** Words of one image that is read. */
export const inputLength = ({ height, width, inputs }: ConvolutionSpec): number => height * width * inputs;

/** Height and width of the result. */
export function outputSize(
  { height, width, kernel, stride, padding }: Omit<ConvolutionSpec, "inputs" | "outputs">,
): { readonly height: number; readonly width: number } {
  return {
    height: outputAlong(height, kernel, stride, padding),
    width: outputAlong(width, kernel, stride, padding),
  };
}

/**
 * - "winograd": see `kernels/winograd.gen.ts`; a pixel is a tile, one product for each of 36, 16 or 25 planes.
 * - "rows": the runs of words under the kernel, read where they are (in a zero-bordered copy if there is padding).
 * - "gathered": the words under the kernel copied to one run (im2col), for short runs and few pixels.
 * - "taps": one product per kernel position over the pixels for which it lies inside; for maps up to 2x2.
 */
export type Method = "winograd" | "rows" | "gathered" | "taps";

export type Algorithm = "F4" | "F2" | "S2";

/** Inputs of a tile in one dimension, which is also the number of products. */
export const TILE_INPUTS: Readonly<Record<Algorithm, number>> = { F4: 6, F2: 4, S2: 5 };

export interface ConvolutionPlan {
  readonly method: Method;
  /** Which operand is kept in the panel: weights for many pixels, pixels for few. */
  readonly panel: "weights" | "pixels";
  readonly height: number;
  readonly width: number;
  /** Pixels of each product. */
  readonly pixels: number;
  /** Products: 36, 16 or 25 for Winograd, one for each tap of "taps", otherwise 1. */
  readonly planes: number;
  /** Matrices of weights: one for each product, but Winograd's S2 shares 16 among 25. */
  readonly weightPlanes: number;
  /** Words of a pixel: rows of each plane's weights, zero-filled up to this. */
  readonly length: number;
  /** Columns of each plane's weights, zero-filled up to this. */
  readonly outputs: number;
  /** Winograd: 4x4 or 2x2 outputs a tile at stride 1, 2x2 at stride 2; and tiles. */
  readonly algorithm: Algorithm;
  readonly tileRows: number;
  readonly tileColumns: number;
  /** "taps": the kernel positions that lie inside the map for some output; one that does for all comes first. */
  readonly taps: readonly Tap[];
}

/** Kernel position (row, column) and the rectangle of outputs whose input there is inside the image. */
export interface Tap {
  readonly index: number;
  readonly firstRow: number;
  readonly rows: number;
  readonly firstColumn: number;
  readonly columns: number;
}

/** Runs of 9 and 21 words have products of their own (first layers of 3 channels). */
const FUSED = [[3, 9], [7, 21]];
/** Pixels up to which they are kept in the panel (measured). */
const MOST_PANEL_PIXELS: Record<Width, number> = { 64: 16, 32: 8 };
/** Outputs that a weights panel holds. */
const PANEL_OUTPUTS: Record<Width, number> = { 64: 8, 32: 16 };

const roundUp = (n: number, step: number) => Math.ceil(n / step) * step;

/** Whether the result carries two more fraction bits; the same for both widths and any weights. */
export function yieldsFourfold(spec: ConvolutionSpec): boolean {
  const { height, width } = outputSize(spec);
  return spec.kernel === 3 && spec.stride === 1 && spec.inputs >= 8 && spec.outputs >= 8 && height >= 3 &&
    width >= 3;
}

export function planConvolution(spec: ConvolutionSpec, width: Width): ConvolutionPlan {
  const out = outputSize(spec);
  if (!(out.height >= 1 && out.width >= 1)) {
    throw new RangeError(
      `convolution of ${spec.height} x ${spec.width} has no output: ${JSON.stringify(spec)}`,
    );
  }
  if (yieldsFourfold(spec)) return planWinograd(spec, width, fewerProducts(out.height, out.width));
  // 25 products instead of 36; with few channels the transforms cost what that saves.
  if (spec.kernel === 3 && spec.stride === 2 && spec.inputs >= 32 && spec.outputs >= 16) {
    return planWinograd(spec, width, "S2");
  }
  return (out.height * out.width <= MOST_PANEL_PIXELS[width] ? planFewPixels : planManyPixels)(spec, width);
}

/** What the methods without transform have in common. */
function commonPlan(spec: ConvolutionSpec) {
  const out = outputSize(spec);
  return {
    ...out,
    pixels: out.height * out.width,
    planes: 1,
    weightPlanes: 1,
    algorithm: "F4",
    tileRows: 0,
    tileColumns: 0,
    taps: [],
  } as const;
}

function planFewPixels(spec: ConvolutionSpec): ConvolutionPlan {
  const common = commonPlan(spec), { height, width, pixels } = common, segment = spec.kernel * spec.inputs;
  const outputs = roundUp(spec.outputs, 8), taps = kernelTaps(spec);
  const isSmallMap = spec.kernel > 1 && spec.stride === 1 && height <= 2 && width <= 2;
  if (isSmallMap && spec.inputs % 16 === 0 && taps[0].rows * taps[0].columns === pixels) {
    return {
      ...common,
      method: "taps",
      panel: "pixels",
      planes: taps.length,
      weightPlanes: taps.length,
      length: spec.inputs,
      outputs,
      taps,
    };
  }
  const isRun = spec.kernel === 1 && spec.stride === 1 && spec.padding === 0 && segment % 16 === 0;
  const length = roundUp(spec.kernel * segment, 16);
  return { ...common, method: isRun ? "rows" : "gathered", panel: "pixels", length, outputs };
}

function planManyPixels(spec: ConvolutionSpec, width: Width): ConvolutionPlan {
  const segment = spec.kernel * spec.inputs, words = spec.kernel * segment;
  const isFused = FUSED.some(([segments, words]) => segments === spec.kernel && words === segment);
  const isLong = spec.kernel === 1 || segment >= 64 || segment % 16 === 0;
  return {
    ...commonPlan(spec),
    method: isFused || isLong ? "rows" : "gathered",
    panel: "weights",
    length: isFused || isLong ? words : roundUp(words, 8),
    outputs: roundUp(spec.outputs, PANEL_OUTPUTS[width]),
  };
}

/** The larger tile needs fewer products but more weights, and 4 tiles at least to use each weight well. */
function fewerProducts(height: number, width: number): "F4" | "F2" {
  const tiles = (size: number) => Math.ceil(height / size) * Math.ceil(width / size);
  return Math.max(height, width) <= 4 || 16 * tiles(2) <= 36 * tiles(4) ? "F2" : "F4";
}

function planWinograd(spec: ConvolutionSpec, width: Width, algorithm: Algorithm): ConvolutionPlan {
  const out = outputSize(spec);
  const size = algorithm === "F4" ? 4 : 2;
  const tileRows = Math.ceil(out.height / size), tileColumns = Math.ceil(out.width / size);
  const pixels = tileRows * tileColumns;
  const planes = TILE_INPUTS[algorithm] ** 2;
  const isFew = pixels <= MOST_PANEL_PIXELS[width] && spec.inputs % 16 === 0;
  return {
    method: "winograd",
    panel: isFew ? "pixels" : "weights",
    ...out,
    pixels,
    planes,
    weightPlanes: algorithm === "S2" ? 16 : planes,
    length: roundUp(spec.inputs, 4),
    outputs: roundUp(spec.outputs, isFew ? 8 : PANEL_OUTPUTS[width]),
    algorithm,
    tileRows,
    tileColumns,
    taps: [],
  };
}

/** The kernel positions that some output sees inside the image; those that most outputs see first. */
function kernelTaps(spec: ConvolutionSpec): Tap[] {
  const out = outputSize(spec);
  const inside = (offset: number, size: number, outputs: number) => {
    const seen = [...Array(outputs).keys()].filter((o) => {
      const at = o * spec.stride + offset - spec.padding;
      return at >= 0 && at < size;
    });
    return { first: seen[0] ?? 0, count: seen.length };
  };
  const taps: Tap[] = [];
  for (let i = 0; i < spec.kernel; i++) {
    for (let j = 0; j < spec.kernel; j++) {
      const rows = inside(i, spec.height, out.height), columns = inside(j, spec.width, out.width);
      if (rows.count === 0 || columns.count === 0) continue;
      taps.push({
        index: i * spec.kernel + j,
        firstRow: rows.first,
        rows: rows.count,
        firstColumn: columns.first,
        columns: columns.count,
      });
    }
  }
  return taps.sort((a, b) => b.rows * b.columns - a.rows * a.columns);
}
