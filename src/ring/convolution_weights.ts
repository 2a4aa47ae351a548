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
  const { kernels } = ring;
  const bytes = width / 8;
  const lanes = plan.panel === "pixels" || width === 64 ? 8 : 16;
  const panelBytes = plan.weightPlanes * plan.length * lanes * bytes;
  const source = fillPanels(ring, width, spec, plan, weights, lanes, panelBytes);
  const panelWords = panelBytes / bytes;

  let size = bytes as 4 | 8;
  let storage: 2 | 4 | 8 = size;
  if (small) {
    let magnitude = 0n;
    for (let m = 0; m < plan.outputs; m += lanes) {
      source.fill(m);
      magnitude |= width === 64
        ? BigInt.asUintN(64, kernels.magnitudeBits64(source.panel, panelWords))
        : BigInt(kernels.magnitudeBits32(source.panel, panelWords) >>> 0);
    }
    storage = magnitude < 1n << 15n ? 2 : magnitude < 1n << 31n ? 4 : size;
  }
  size = storage as 4 | 8;

  const planeBytes = plan.length * plan.outputs * storage;
  const total = plan.weightPlanes * planeBytes;
  const address = ring.allocate(total);
  const group = plan.panel === "weights" ? lanes : width === 64 ? 1 : 8;
  const pack = kernels.pack({
    bytes,
    length: plan.length,
    lanes,
    size: storage,
    outputs: plan.outputs,
    group,
    blocked: plan.panel === "pixels",
  });
  for (let m = 0; m < plan.outputs; m += lanes) {
    source.fill(m);
    for (let plane = 0; plane < plan.weightPlanes; plane++) {
      pack(source.panel + plane * plan.length * lanes * bytes, address + plane * planeBytes, m);
    }
  }
  return { address, bytes: total, size: storage };
}

/** A filler of panels of words [plane][length][lanes] for the outputs m ... m + lanes - 1, in scratch memory. */
function fillPanels(
  ring: Ring,
  width: Width,
  spec: ConvolutionSpec,
  plan: ConvolutionPlan,
  weights: number,
  lanes: number,
  panelBytes: number,
): { readonly panel: number; fill(m: number): void } {
  const { kernels } = ring;
  const bytes = width / 8;
  const isTransformed = plan.method === "winograd";
  // The weights as matrices [taps][length][outputs]: as they are where sizes fit, else copied and filled with zeros.
  const taps = isTransformed ? 9 : plan.method === "taps" ? plan.taps.length : 1;
  const used = isTransformed || plan.method === "taps" ? spec.inputs : spec.kernel ** 2 * spec.inputs;
  const needsCopy = plan.length !== used || plan.outputs !== spec.outputs || plan.method === "taps";
  const rowBytes = plan.outputs * bytes, tapBytes = plan.length * rowBytes;
  const scratch = scratchOf(ring);
  scratch.reserve(panelBytes + 256 + (needsCopy ? taps * tapBytes + 256 : 0));
  const panel = scratch.address;
  let matrices = weights;
  if (needsCopy) {
    matrices = panel + Math.ceil(panelBytes / 64) * 64 + 64;
    ring.bytes.fill(0, matrices, matrices + taps * tapBytes);
    const sourceRow = spec.outputs * bytes, sourceTap = used * sourceRow;
    for (let tap = 0; tap < taps; tap++) {
      const from = plan.method === "taps" ? plan.taps[tap]!.index : tap;
      kernels.copyRows(
        weights + from * sourceTap,
        sourceRow,
        matrices + tap * tapBytes,
        rowBytes,
        sourceRow,
        rowBytes,
        used,
      );
    }
  }
  return {
    panel,
    fill: (m) => {
      if (isTransformed) {
        kernels[`winogradWeights${plan.algorithm}_${width}`](
          matrices,
          panel,
          plan.length,
          plan.outputs,
          m,
          lanes,
        );
      } else {
        const row = lanes * bytes;
        kernels.copyRows(matrices + m * bytes, rowBytes, panel, row, row, row, taps * plan.length);
      }
    },
  };
}
