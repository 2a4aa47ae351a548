/** Addresses in the memory of a shard, handed out once while a plan is made. */
import { RESERVED_BYTES } from "../convolution.ts";

/** Over-reads of the last vector, and a shift that keeps buffers of power-of-two sizes in different cache sets. */
const GAP_BYTES = 192;

export class Arena {
  #top = RESERVED_BYTES;

  /** Bytes handed out so far, with those that are reserved. */
  get top(): number {
    return this.#top;
  }

  allocate(bytes: number): number {
    const at = this.#top;
    this.#top += Math.ceil(bytes / 64) * 64 + GAP_BYTES;
    return at;
  }
}
