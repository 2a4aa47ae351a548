/** Exact convolutions modulo 2^32 and 2^64 with prepared weights; dense layers and matrix products are 1x1 ones. */
import { runOf } from "./convolution_methods.ts";
import {
  type ConvolutionPlan,
  type ConvolutionSpec,
  planConvolution,
  yieldsFourfold,
} from "./convolution_plan.ts";
import { type ScratchParts, scratchParts } from "./convolution_scratch.ts";
import { type PreparedWeights, prepareWeights } from "./convolution_weights.ts";
import type { Ring } from "./ring.ts";
import { scratchOf } from "./scratch.ts";
import type { Width } from "./tensor.ts";

export { type ConvolutionSpec, inputLength, outputAlong, outputSize } from "./convolution_plan.ts";

/**
 * Fraction bits that the result has beyond the product's: Winograd's transforms yield 4z modulo 2^width, the direct
 * method z. Depends on public sizes alone, so all parties agree whatever their weights and storage.
 */
export function extraBits(spec: ConvolutionSpec): 0 | 2 {
  return yieldsFourfold(spec) ? 2 : 0;
}

export interface ConvolutionOptions {
  /** Weights are small plaintext integers: store them in 2 or 4 bytes if all fit. The result is the same. */
  readonly small?: boolean;
}

export class Convolution<W extends Width> implements Disposable {
  readonly extraBits: 0 | 2;
  readonly weightBytes: number;
  readonly plan: ConvolutionPlan;
  readonly #weights: PreparedWeights;
  /** Offsets of the parts of scratch memory that a run uses. */
  readonly #parts: ScratchParts;
  readonly #run: ReturnType<typeof runOf>;
  #released = false;

  /** `weights`: address of the words [kernel, kernel, inputs, outputs], no longer needed afterwards. */
  constructor(
    readonly ring: Ring,
    readonly width: W,
    readonly spec: ConvolutionSpec,
    weights: number,
    options: ConvolutionOptions = {},
  ) {
    this.extraBits = extraBits(spec);
    this.plan = planConvolution(spec, width);
    this.#parts = scratchParts(spec, this.plan, width / 8);
    // First of all: where it fails, no weights are there that nobody would give back.
    scratchOf(ring).reserve(this.#parts.bytes);
    this.#weights = prepareWeights(ring, width, spec, this.plan, weights, options.small ?? false);
    this.weightBytes = this.#weights.bytes;
    const { plan } = this, { kernels } = ring;
    this.#run = runOf({ kernels, width, spec, plan, weights: this.#weights, parts: this.#parts });
  }

  /** Has working memory, or throws: where somebody else failed to get more, there is none. */
  reserve(): void {
    scratchOf(this.ring).reserve(this.#parts.bytes);
  }

  /** From words [height, width, inputs] at `x` to words [outHeight, outWidth, outputs] at `y`, times 2^extraBits. */
  run(x: number, y: number): void {
    this.reserve();
    const { spec: { outputs }, plan, ring, width } = this, base = scratchOf(ring).address;
    const { output, outputChannels } = this.#parts;
    if (outputChannels === outputs) return this.#run(x, y, base);
    const out = base + output, row = outputs * width / 8;
    this.#run(x, out, base);
    ring.kernels.copyRows(out, outputChannels * width / 8, y, row, row, row, plan.height * plan.width);
  }

  [Symbol.dispose](): void {
    if (this.#released) return;
    this.#released = true;
    this.ring.release(this.#weights.address, this.#weights.bytes);
  }
}
