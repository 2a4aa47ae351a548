/** Where a convolution keeps what while it runs, as offsets into scratch memory. */
import { type ConvolutionPlan, type ConvolutionSpec, TILE_INPUTS } from "./convolution_plan.ts";

export interface ScratchParts {
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

export function scratchParts(spec: ConvolutionSpec, plan: ConvolutionPlan, bytes: number): ScratchParts {
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
