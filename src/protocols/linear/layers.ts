/** The convolutions of a linear group as every protocol handles them. */
import { type DealtConvolution, outputLength, type Own, own } from "../../correlations/correlation.ts";
import type { Drawn } from "../../correlations/drawn.ts";
import { type ConvolutionSpec, extraBits, inputLength } from "../../ring/convolution.ts";
import { convolveImages, imagesIn } from "../../ring/images.ts";
import type { RunnableConvolution } from "../../ring/pool.ts";
import { RingTensor, type Width } from "../../ring/tensor.ts";
import { arithmetic } from "../../wires/width_kernels.ts";
import type { Half, Wire } from "../../wires/wire.ts";
import type { EncodedLayer, LinearGroup, LinearLayer, Message } from "../protocol.ts";

/** Words of the weights of a layer. */
export const weightsOf = ({ kernel, inputs, outputs }: ConvolutionSpec): number =>
  kernel * kernel * inputs * outputs;

/** What a layer makes of a wire, image by image: the scales of input and weights add up, and nothing is truncated. */
function outputWire(input: Wire, { spec, weightBits }: LinearLayer, clientLate: boolean): Wire {
  const extra = extraBits(spec);
  return {
    ...input,
    words: imagesIn(input.words, inputLength(spec)) * outputLength(spec),
    fractionBits: input.fractionBits + weightBits + extra,
    extraBits: extra,
    factor: 1,
    clientLate,
    mask: null,
  };
}

/** What a digest says of a group. */
const specOf = ({ input, layers }: LinearGroup) => ({
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
  convolveImages(convolution, x, y);
  return y;
}

/** a += b. */
export function accumulate(a: RingTensor<Width>, b: RingTensor<Width>): RingTensor<Width> {
  if (a.length !== b.length || a.fractionBits !== b.fractionBits) {
    throw new RangeError(
      `${b.length} words with ${b.fractionBits} fraction bits are not added to ${a.length} with ${a.fractionBits}`,
    );
  }
  arithmetic(a.ring, a.width).add(a.address, b.address, a.address, a.length);
  return a;
}

/** Adds a bias to the rows of a share; the server's, who alone knows it. */
function addBias(
  share: RingTensor<Width>,
  layer: Pick<EncodedLayer, "bias"> | undefined,
): RingTensor<Width> {
  const bias = layer?.bias;
  if (bias) {
    if (share.length % bias.length !== 0) {
      throw new RangeError(`a bias of ${bias.length} does not fit ${share.length} words`);
    }
    arithmetic(share.ring, share.width)
      .addRow(share.address, bias.address, share.address, share.length, bias.length);
  }
  return share;
}

/**
 * What every protocol plans for a group whose weights are masked by numbers B of `of`, who send W - B once a session, and whose input by `a`: B
 * and the dealt products B * a, one of each a layer.
 */
export function plannedGroup(group: LinearGroup, of: "server" | "both", a: Own, clientLate: boolean) {
  const { input, layers } = group, { width } = input;
  const session = layers.map(({ name, spec }) => own(`B of ${name}`, of, weightsOf(spec), width));
  const products = layers.map(({ name, spec }, i): DealtConvolution => ({
    kind: "convolution",
    name: `product of masks of ${name}`,
    weights: session[i],
    input: a,
    spec,
    bits: width,
  }));
  return {
    spec: specOf(group),
    outputs: layers.map((layer) => outputWire(input, layer, clientLate)),
    session,
    products,
    messages: session.map(({ words }): Message => ({
      phase: "session",
      from: of,
      bytes: words * width / 8,
    })),
  };
}

/** This party's early halves: its shares of the products, biases, and `local` convolutions of its part of the input's mask. */
export async function earlyShares(
  drawn: Drawn,
  products: readonly DealtConvolution[],
  outputs: readonly Wire[],
  encoded: readonly EncodedLayer[] | null,
  local: readonly RunnableConvolution[],
  mask: Half,
): Promise<RingTensor<Width>[]> {
  const shares: RingTensor<Width>[] = [];
  for (const [i, product] of products.entries()) {
    const drawnShare = await drawn.share(product);
    const share = addBias(drawnShare.withFractionBits(outputs[i].fractionBits), encoded?.[i]);
    if (local[i] && mask) {
      using offline = convolve(local[i], mask, outputs[i]);
      accumulate(share, offline);
    }
    shares.push(share);
  }
  return shares;
}

export function disposeAll(resources: readonly (Disposable | null | undefined)[]): void {
  for (const resource of resources) resource?.[Symbol.dispose]();
}
