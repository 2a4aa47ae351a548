/** The convolutions of a linear group as every protocol handles them. */
import { type ConvolutionSpec, outputSize } from "../../ring/convolution.ts";
import type { ConvolutionPool, RunnableConvolution } from "../../ring/pool.ts";
import { type RingTensor, words } from "../../ring/tensor.ts";
import type { LinearGroup } from "../protocol.ts";

/** Words of the weights of a layer or of all layers of a group. */
export function weightsOf(what: ConvolutionSpec | LinearGroup): number {
  if ("layers" in what) return what.layers.reduce((sum, layer) => sum + weightsOf(layer), 0);
  return what.kernel * what.kernel * what.inputs * what.outputs;
}

/** Words of the output of a layer. */
export function outputLength(layer: ConvolutionSpec): number {
  const { height, width } = outputSize(layer);
  return height * width * layer.outputs;
}

/** Words of the outputs of all layers of a group. */
export const outputsOf = (group: LinearGroup): number =>
  group.layers.reduce((sum, layer) => sum + outputLength(layer), 0);

/** Packs the weights of every layer for repeated use; the weights themselves may be freed afterwards. */
export function prepareConvolutions(
  pool: ConvolutionPool,
  layers: readonly ConvolutionSpec[],
  weights: readonly RingTensor[],
  options: { small?: boolean } = {},
): RunnableConvolution[] {
  return layers.map((layer, i) => pool.convolution(64, layer, weights[i]!.address, options));
}

/** The product with `x`, times 2^extraBits of the layer, as bare words. */
export function convolve(convolution: RunnableConvolution, x: RingTensor): RingTensor {
  const y = words(x.ring, outputLength(convolution.spec));
  convolution.run(x.address, y.address);
  return y;
}

export function disposeAll(resources: readonly Disposable[]): void {
  for (const resource of resources) resource[Symbol.dispose]();
}
