/** The convolutions of a linear group as every protocol handles them. */
import { outputLength } from "../../correlations/correlation.ts";
import { type ConvolutionSpec, extraBits } from "../../ring/convolution.ts";
import type { RunnableConvolution } from "../../ring/pool.ts";
import { RingTensor, type Width } from "../../ring/tensor.ts";
import { arithmetic } from "../../wires/arithmetic.ts";
import type { Wire } from "../../wires/wire.ts";
import type { EncodedLayer, LinearGroup, LinearLayer } from "../protocol.ts";

/** Words of the weights of a layer. */
export const weightsOf = ({ kernel, inputs, outputs }: ConvolutionSpec): number =>
  kernel * kernel * inputs * outputs;

/** What a layer makes of a wire: the scales of input and weights add up, and nothing is truncated. */
export function outputWire(input: Wire, { spec, weightBits }: LinearLayer, clientLate: boolean): Wire {
  const extra = extraBits(spec);
  return {
    words: outputLength(spec),
    width: input.width,
    ringBits: input.ringBits,
    fractionBits: input.fractionBits + weightBits + extra,
    extraBits: extra,
    factor: 1,
    clientLate,
    mask: null,
  };
}

/** What a digest says of a group. */
export const specOf = ({ input, layers }: LinearGroup) => ({
  factor: input.factor,
  layers: layers.map(({ name, spec, weightBits }) => ({
    name,
    ...spec,
    weightBits,
    extraBits: extraBits(spec),
  })),
});

/** The product with `x`, times 2^extraBits of the layer. */
export function convolve(
  convolution: RunnableConvolution,
  x: RingTensor<Width>,
  { words, fractionBits }: Wire,
): RingTensor<Width> {
  const y = new RingTensor(x.ring, x.width, words, fractionBits);
  convolution.run(x.address, y.address);
  return y;
}

/** a += b. */
export function accumulate(a: RingTensor<Width>, b: RingTensor<Width>): RingTensor<Width> {
  arithmetic(a.ring, a.width).add(a.address, b.address, a.address, a.length);
  return a;
}

/** Adds a bias to the rows of a share; the server's, who alone knows it. */
export function addBias(
  share: RingTensor<Width>,
  layer: Pick<EncodedLayer, "bias"> | undefined,
): RingTensor<Width> {
  const bias = layer?.bias;
  if (bias) {
    arithmetic(share.ring, share.width)
      .addRow(share.address, bias.address, share.address, share.length, bias.length);
  }
  return share;
}

export function disposeAll(resources: readonly (Disposable | null | undefined)[]): void {
  for (const resource of resources) resource?.[Symbol.dispose]();
}
