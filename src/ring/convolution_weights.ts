/** Weights in the order, transform and storage size that a {@linkcode ConvolutionPlan} wants. */
import type { ConvolutionPlan, ConvolutionSpec } from "./convolution_plan.ts";
import type { Ring } from "./ring.ts";
import { scratchOf } from "./scratch.ts";
import type { Width } from "./tensor.ts";

export interface PreparedWeights {
  readonly address: number;
  readonly bytes: number;
  /** Bytes a stored weight takes: 2, 4 or 8, sign-extended when used. */
  readonly size: 2 | 4 | 8;
}

/**
 * Prepares the words [kernel, kernel, inputs, outputs] at `weights`. `small`: store them in the smallest size that
 * holds their (transformed) values; otherwise as whole words.
 */
export function prepareWeights(
  ring: Ring,
  width: Width,
  spec: ConvolutionSpec,
  plan: ConvolutionPlan,
  weights: number,
  small: boolean,
): PreparedWeights {
  const bytes = width / 8, lanes = plan.panel === "pixels" || width === 64 ? 8 : 16;
  const panels = fillPanels(ring, width, spec, plan, weights, lanes);
  const size = small ? smallestSize(ring, width, plan, panels) : bytes as 4 | 8;
  const planeBytes = plan.length * plan.outputs * size, total = plan.weightPlanes * planeBytes;
  const address = ring.allocate(total);
  const pack = ring.kernels.pack({
    bytes,
    length: plan.length,
    lanes,
    size,
    outputs: plan.outputs,
    group: plan.panel === "weights" ? lanes : width === 64 ? 1 : 8,
    blocked: plan.panel === "pixels",
  });
  for (let m = 0; m < plan.outputs; m += lanes) {
    panels.fill(m);
    for (let plane = 0; plane < plan.weightPlanes; plane++) {
      pack(panels.address + plane * plan.length * lanes * bytes, address + plane * planeBytes, m);
    }
  }
  return { address, bytes: total, size };
}

/** Panels of words [plane][length][lanes] in scratch memory, for `lanes` outputs at a time. */
interface Panels {
  readonly address: number;
  readonly lanes: number;
  /** Fills them for the outputs m ... m + lanes - 1. */
  fill(m: number): void;
}

/** Bytes of the smallest words that hold all values. */
function smallestSize(
  { kernels }: Ring,
  width: Width,
  plan: ConvolutionPlan,
  { address, lanes, fill }: Panels,
): 2 | 4 | 8 {
  const words = plan.weightPlanes * plan.length * lanes;
  let magnitude = 0n;
  for (let m = 0; m < plan.outputs; m += lanes) {
    fill(m);
    magnitude |= width === 64
      ? BigInt.asUintN(64, kernels.magnitudeBits64(address, words))
      : BigInt(kernels.magnitudeBits32(address, words) >>> 0);
  }
  return magnitude < 1n << 15n ? 2 : magnitude < 1n << 31n ? 4 : width / 8 as 4 | 8;
}

function fillPanels(
  ring: Ring,
  width: Width,
  spec: ConvolutionSpec,
  plan: ConvolutionPlan,
  weights: number,
  lanes: number,
): Panels {
  const { kernels } = ring, bytes = width / 8, isTransformed = plan.method === "winograd";
  const panelBytes = plan.weightPlanes * plan.length * lanes * bytes;
  const { matrices, taps } = weightMatrices(ring, bytes, spec, plan, weights, panelBytes);
  const address = scratchOf(ring).address, row = lanes * bytes, rowBytes = plan.outputs * bytes;
  return {
    address,
    lanes,
    fill(m) {
      if (isTransformed) {
        const transform = kernels[`winogradWeights${plan.algorithm}_${width}`];
        transform(matrices, address, plan.length, plan.outputs, m, lanes);
      } else {
        kernels.copyRows(matrices + m * bytes, rowBytes, address, row, row, row, taps * plan.length);
      }
    },
  };
}

/**
 * The weights as matrices [taps][length][outputs]: as they are where sizes fit, else copied behind the panels and filled with
 * zeros. Reserves scratch memory for both.
 */
function weightMatrices(
  ring: Ring,
  bytes: number,
  spec: ConvolutionSpec,
  plan: ConvolutionPlan,
  weights: number,
  panelBytes: number,
): { matrices: number; taps: number } {
  const isTransformed = plan.method === "winograd", isByTap = plan.method === "taps";
  const taps = isTransformed ? 9 : isByTap ? plan.taps.length : 1;
  const used = isTransformed || isByTap ? spec.inputs : spec.kernel ** 2 * spec.inputs;
  const needsCopy = plan.length !== used || plan.outputs !== spec.outputs || isByTap;
  const rowBytes = plan.outputs * bytes, tapBytes = plan.length * rowBytes;
  const scratch = scratchOf(ring);
  scratch.reserve(panelBytes + 256 + (needsCopy ? taps * tapBytes + 256 : 0));
  if (!needsCopy) return { matrices: weights, taps };
  const matrices = scratch.address + Math.ceil(panelBytes / 64) * 64 + 64;
  ring.bytes.fill(0, matrices, matrices + taps * tapBytes);
  const row = spec.outputs * bytes, tapStep = used * row;
  for (let tap = 0; tap < taps; tap++) {
    const from = weights + (isByTap ? plan.taps[tap].index : tap) * tapStep;
    ring.kernels.copyRows(from, row, matrices + tap * tapBytes, rowBytes, row, rowBytes, used);
  }
  return { matrices, taps };
}
