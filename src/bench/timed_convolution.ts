/** A convolution of the training kernels with buffers of its own, to be timed. */
import {
  type ConvolutionShape,
  instantiateConvolutionKernels,
  planConvolution,
  RESERVED_BYTES,
  sideOf,
} from "../training/convolution.ts";
import { SeededRandom } from "../models/seeded_random.ts";

export interface TimedConvolution {
  readonly method: string;
  /** Of each of the three passes: 2 for each multiplication of the direct convolution. */
  readonly operations: number;
  forward(): void;
  inputGradient(): void;
  weightGradient(): void;
}

/** Places a convolution in a memory of its own, on random numbers; `winograd: false` declines Winograd's method. */
export function placeConvolution(
  modules: readonly WebAssembly.Module[],
  shape: ConvolutionShape,
  options: { readonly winograd?: boolean } = {},
): TimedConvolution {
  const memory = new WebAssembly.Memory({ initial: 16, maximum: 65536 });
  const plan = planConvolution(instantiateConvolutionKernels(memory, modules), shape, options);
  const { batch, height, width, inputs, outputs, kernel } = shape;
  const outHeight = sideOf(height, shape), outWidth = sideOf(width, shape);
  let top = RESERVED_BYTES;
  const block = (bytes: number) => {
    const at = top;
    top += Math.ceil((bytes + plan.slackBytes) / 64) * 64 + 192;
    return at;
  };
  const image = (h: number, w: number, channels: number, border: number) =>
    block(4 * batch * (h + 2 * border) * (w + 2 * border) * channels);
  const x = image(height, width, inputs, plan.inputBorder), dx = image(height, width, inputs, 0);
  const z = image(outHeight, outWidth, outputs, 0),
    dz = image(outHeight, outWidth, outputs, plan.gradientBorder);
  const weights = block(4 * kernel ** 2 * inputs * outputs), dw = block(4 * kernel ** 2 * inputs * outputs);
  const packed = block(plan.packedBytes), scratch = block(plan.scratchBytes);
  memory.grow(Math.ceil(top / 65536) - 16);
  // Numbers of ordinary size; zeros would do for the speed of the kernels, but not for that of fresh memory.
  const random = new SeededRandom(1, "kernels"),
    noise = Float32Array.from({ length: 4099 }, () => random.normal());
  const floats = new Float32Array(memory.buffer);
  for (let at = RESERVED_BYTES / 4; at < floats.length; at += noise.length) {
    floats.set(noise.subarray(0, floats.length - at), at);
  }
  plan.prepare(weights, packed);
  return {
    method: plan.method,
    operations: 2 * batch * outHeight * outWidth * kernel ** 2 * inputs * outputs,
    forward: () => plan.forward(x, packed, 0, z, scratch),
    inputGradient: () => plan.inputGradient(dz, packed, dx, scratch),
    weightGradient: () => plan.weightGradient(x, dz, dw, scratch),
  };
}
