/**
 * Float32 convolutions and their gradients for training. One thread, one WebAssembly memory; all images of a shard in
 * one call. Addresses are byte offsets, multiples of 16. Every result is a fixed sequence of float operations: its bits
 * depend on the shape, the method, and on {@linkcode hasFusedMultiplyAdd}, nothing else.
 */
import { planDirect } from "./wasm/convolution_direct.ts";
import type { ConvolutionKernels } from "./wasm/convolution_kernels.ts";
import { checkShape, type Convolution, type ConvolutionShape } from "./wasm/convolution_shape.ts";
import { planRows, planWinograd, suitsRows, suitsWinograd } from "./wasm/convolution_winograd.ts";

export * from "./wasm/convolution_kernels.ts";
export { type Convolution, type ConvolutionShape, sideOf } from "./wasm/convolution_shape.ts";

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
