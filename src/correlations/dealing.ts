/** The dealer's work: own numbers of both parties expanded from their seeds, dealt ones computed, shared and sent as corrections. */
import type { Seed, Stream } from "../random/stream.ts";
import { convolveImages } from "../ring/images.ts";
import type { ConvolutionPool, RunnableConvolution } from "../ring/pool.ts";
import type { Ring } from "../ring/ring.ts";
import type { RingTensor, Width } from "../ring/tensor.ts";
import {
  type Correlation,
  type DealtConvolution,
  lengthOf,
  type Own,
  type Role,
  type StepCorrelations,
  tensorFor,
} from "./correlation.ts";

/** One of each party. */
export type Seeds = Readonly<Record<Role, Seed>>;
type Streams = Readonly<Record<Role, Stream>>;

/** Sends a correction to the server. */
export type SendCorrection = (label: number, bytes: Uint8Array) => Promise<void>;

/** A dealer after the set-up of a session: the masks of the weights are drawn and packed for all queries. */
export class Dealing implements Disposable {
  readonly #convolutions = new Map<DealtConvolution, RunnableConvolution>();
  /** Place of the last correlation that needs an own number. */
  readonly #lastUses = new Map<Own, Correlation>();

  constructor(
    private readonly pool: ConvolutionPool,
    private readonly steps: readonly StepCorrelations[],
    seeds: Seeds,
  ) {
    const { ring } = pool;
    for (const { label, session, query } of steps) {
      const streams = streamsOf(seeds, label), masks = new Map<Own, RingTensor<Width>>();
      for (const own of session) masks.set(own, drawMask(ring, own, streams));
      for (const correlation of query) {
        if (correlation.kind === "convolution") {
          const { spec, bits, weights } = correlation;
          this.#convolutions.set(correlation, pool.convolution(bits, spec, masks.get(weights)!.address));
          this.#lastUses.set(correlation.input, correlation);
        } else if (correlation.kind === "own") this.#lastUses.set(correlation, correlation);
        else for (const own of correlation.from) this.#lastUses.set(own, correlation);
      }
      for (const mask of masks.values()) mask[Symbol.dispose]();
    }
  }

  /** Deals one query. */
  async query(seeds: Seeds, send: SendCorrection): Promise<void> {
    const { ring } = this.pool, masks = new Map<Own, RingTensor<Width>>();
    for (const { label, query } of this.steps) {
      const streams = streamsOf(seeds, label);
      for (const correlation of query) {
        if (correlation.kind === "own") masks.set(correlation, drawMask(ring, correlation, streams));
        else {
          using numbers = tensorFor(ring, lengthOf(correlation), correlation.bits);
          if (correlation.kind === "dealt") {
            correlation.fill(ring, correlation.from.map((own) => masks.get(own)!), numbers);
          } else {
            const convolution = this.#convolutions.get(correlation)!;
            convolveImages(convolution, masks.get(correlation.input)!, numbers);
          }
          // The client's share is of its stream; what is left is the server's.
          using share = tensorFor(ring, lengthOf(correlation), correlation.bits);
          streams.client.fill(share);
          const { bits } = correlation, { address, byteLength } = numbers;
          const isXor = correlation.kind === "dealt" && correlation.group === "xor";
          if (isXor) ring.kernels.xor64(address, share.address, address, byteLength / 8);
          else ring.kernels[`sub${bits}`](address, share.address, address, byteLength * 8 / bits);
          await send(label, numbers.bytes);
        }
        for (const [own, mask] of masks) {
          if (this.#lastUses.get(own) !== correlation) continue;
          mask[Symbol.dispose]();
          masks.delete(own);
        }
      }
    }
  }

  [Symbol.dispose](): void {
    for (const convolution of this.#convolutions.values()) convolution[Symbol.dispose]();
  }
}

const streamsOf = ({ server, client }: Seeds, label: number): Streams => ({
  server: server.stream(label),
  client: client.stream(label),
});

/** The numbers that the parties draw, put together. */
function drawMask(ring: Ring, { of, words, bits, group }: Own, streams: Streams): RingTensor<Width> {
  const mask = tensorFor(ring, words, bits);
  streams[of === "client" ? "client" : "server"].fill(mask);
  if (of !== "both") return mask;
  using other = tensorFor(ring, words, bits);
  streams.client.fill(other);
  if (group === "xor") ring.kernels.xor64(mask.address, other.address, mask.address, mask.byteLength / 8);
  else ring.kernels[`add${bits}`](mask.address, other.address, mask.address, words);
  return mask;
}
