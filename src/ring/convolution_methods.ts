/** Convolutions by each of the methods, with all that is known of a layer given to the kernels beforehand. */
import type { ConvolutionPlan, ConvolutionSpec } from "./convolution_plan.ts";
import type { ScratchParts } from "./convolution_scratch.ts";
import type { PreparedWeights } from "./convolution_weights.ts";
import type { Kernels } from "./kernels.ts";
import type { Width } from "./tensor.ts";

/** A convolution that is set up: what a method needs to know. */
export interface Setup {
  readonly kernels: Kernels;
  readonly width: Width;
  readonly spec: ConvolutionSpec;
  readonly plan: ConvolutionPlan;
  readonly weights: PreparedWeights;
  readonly parts: ScratchParts;
}

/** From words at `x` to words at `y`, whose channels are those of the plan; `base`: address of scratch memory. */
type Run = (x: number, y: number, base: number) => void;

export function runOf(setup: Setup): Run {
  switch (setup.plan.method) {
    case "winograd":
      return winograd(setup);
    case "rows":
      return rows(setup);
    case "gathered":
      return gathered(setup);
    case "taps":
      return taps(setup);
  }
}

function winograd(setup: Setup): Run {
  const { kernels, width, spec, plan, parts } = setup, { tileRows, tileColumns, algorithm } = plan;
  const transform = kernels[`winogradInput${algorithm}_${width}`]({
    planeStep: parts.inputPlane,
    height: spec.height,
    width: spec.width,
    channels: spec.inputs,
    paddedChannels: plan.length,
    padding: spec.padding,
    tileRows,
    tileColumns,
  });
  const multiply = products(setup, plan.length * width / 8, parts.inputPlane, parts.productsPlane);
  const transformBack = kernels[`winogradOutput${algorithm}_${width}`]({
    planeStep: parts.productsPlane,
    tileStep: plan.outputs * width / 8,
    outHeight: plan.height,
    outWidth: plan.width,
    channels: parts.outputChannels,
    tileRows,
    tileColumns,
  });
  return (x, y, base) => {
    const planes = base + parts.input, results = base + parts.products;
    transform(x, planes, base + parts.patch);
    multiply(planes, results);
    transformBack(results, y);
  };
}

function rows(setup: Setup): Run {
  const { kernels, width, spec, plan, weights, parts } = setup;
  const pixelBytes = spec.inputs * width / 8;
  if (spec.kernel === 1 && spec.stride === 1 && spec.padding === 0) return products(setup, pixelBytes);
  const line = (spec.width + 2 * spec.padding) * pixelBytes;
  const multiply = kernels[`weightsPanel${width}`]({
    w: weights.address,
    size: weights.size,
    planes: 1,
    xPlane: 0,
    yPlane: 0,
    outputs: plan.outputs,
    segments: spec.kernel,
    length: spec.kernel * spec.inputs,
    segmentStep: line,
    rows: plan.height,
    columns: plan.width,
    lineStep: spec.stride * line,
    pixelStep: spec.stride * pixelBytes,
    outGap: 0,
  });
  if (spec.padding === 0) return multiply;
  return (x, y, base) => {
    const bordered = base + parts.input;
    kernels.padImage(x, bordered, spec.height, spec.width, pixelBytes, spec.padding);
    multiply(bordered, y);
  };
}

function gathered(setup: Setup): Run {
  const { kernels, width, spec, plan, parts } = setup, bytes = width / 8, rowBytes = plan.length * bytes;
  const gather = kernels.gatherWindows({
    height: spec.height,
    width: spec.width,
    pixelBytes: spec.inputs * bytes,
    kernel: spec.kernel,
    stride: spec.stride,
    padding: spec.padding,
    outHeight: plan.height,
    outWidth: plan.width,
    rowBytes,
  });
  const multiply = products(setup, rowBytes);
  return (x, y, base) => {
    gather(x, base + parts.input);
    multiply(base + parts.input, y);
  };
}

function taps(setup: Setup): Run {
  const { spec, plan, width } = setup, bytes = width / 8;
  const xStep = spec.inputs * bytes, yStep = plan.outputs * bytes;
  const parts = plan.taps.map((tap, position) => {
    const row = tap.firstRow + Math.floor(tap.index / spec.kernel) - spec.padding;
    const column = tap.firstColumn + tap.index % spec.kernel - spec.padding;
    // Whole rows of inputs and outputs are one run of pixels.
    const isWhole = tap.columns === plan.width && tap.columns === spec.width;
    const multiply = pixelsPanel(setup)({
      w: weightsOf(setup, position),
      xStep,
      outStep: yStep,
      planes: 1,
      xPlane: 0,
      yPlane: 0,
      outputs: plan.outputs,
      length: plan.length,
      n: isWhole ? tap.rows * tap.columns : tap.columns,
      runs: isWhole ? 1 : tap.rows,
      xRun: spec.width * xStep,
      yRun: plan.width * yStep,
      accumulates: position > 0,
    });
    return {
      multiply,
      x: (row * spec.width + column) * xStep,
      y: (tap.firstRow * plan.width + tap.firstColumn) * yStep,
    };
  });
  return (x, y) => {
    for (const part of parts) part.multiply(x + part.x, y + part.y);
  };
}

/** All planes' products of runs of words, `pixelStep` bytes apart. */
function products(setup: Setup, pixelStep: number, xPlane = 0, yPlane = 0): (x: number, y: number) => void {
  const { planes, weightPlanes } = setup.plan, steps = { pixelStep, xPlane, yPlane };
  if (planes === weightPlanes) return product(setup, { ...steps, first: 0, planes, ...ONE_RUN });
  const parts = sharedPlanes().map(({ plane, first, runs, step }) => ({
    plane,
    multiply: product(setup, {
      ...steps,
      first,
      planes: 1,
      runs,
      xRun: step * xPlane,
      yRun: step * yPlane,
    }),
  }));
  return (x, y) => {
    for (const { plane, multiply } of parts) multiply(x + plane * xPlane, y + plane * yPlane);
  };
}

const ONE_RUN = { runs: 1, xRun: 0, yRun: 0 };

/**
 * S2: 5 x 5 planes of products over 4 x 4 matrices of weights, the last of which serves two in each dimension. `first` is the
 * matrix; `runs` planes share it, `step` planes apart.
 */
function sharedPlanes() {
  const list: { plane: number; first: number; runs: number; step: number }[] = [];
  for (let i = 0; i < 4; i++) {
    for (let j = 0; j < 4; j++) {
      const plane = 5 * i + j, first = 4 * i + j;
      if (i < 3) list.push({ plane, first, runs: j < 3 ? 1 : 2, step: 1 });
      else if (j < 3) list.push({ plane, first, runs: 2, step: 5 });
      else for (const line of [plane, plane + 5]) list.push({ plane: line, first, runs: 2, step: 1 });
    }
  }
  return list;
}

interface Product {
  /** The first matrix of weights; there is one for each plane. */
  readonly first: number;
  readonly planes: number;
  readonly pixelStep: number;
  readonly xPlane: number;
  readonly yPlane: number;
  /** How often a matrix is multiplied with `plan.pixels` pixels, at these distances. */
  readonly runs: number;
  readonly xRun: number;
  readonly yRun: number;
}

function product(setup: Setup, { first, pixelStep, runs, xRun, yRun, ...planes }: Product) {
  const { kernels, width, plan, weights } = setup, { outputs, length, pixels } = plan;
  const outStep = outputs * width / 8, common = { ...planes, w: weightsOf(setup, first), outputs, length };
  if (plan.panel === "pixels") {
    const accumulates = false;
    return pixelsPanel(setup)({
      ...common,
      xStep: pixelStep,
      outStep,
      n: pixels,
      runs,
      xRun,
      yRun,
      accumulates,
    });
  }
  return kernels[`weightsPanel${width}`]({
    ...common,
    size: weights.size,
    segments: 1,
    segmentStep: 0,
    rows: runs,
    columns: pixels,
    lineStep: xRun,
    pixelStep,
    outGap: runs > 1 ? yRun - pixels * outStep : 0,
  });
}

/** Address of a matrix of weights. */
const weightsOf = ({ plan, weights }: Setup, index: number): number =>
  weights.address + index * plan.length * plan.outputs * weights.size;

/** All of them have the same parameters. */
const pixelsPanel = ({ kernels, width, weights }: Setup) =>
  kernels[`pixelsPanel${width}s${weights.size}` as "pixelsPanel64s8"];
