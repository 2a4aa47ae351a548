/** Working memory of the linear layers: one block per ring, shared by all layers and grown on demand. */
import type { Ring } from "./ring.ts";

const MINIMUM = 1 << 20;

class Scratch {
  #address = 0;
  #bytes = 0;

  constructor(readonly ring: Ring) {}

  /** Grows to a power of two: the blocks given up on the way add up to less than the last. */
  reserve(bytes: number): void {
    if (bytes <= this.#bytes) return;
    if (this.#bytes) this.ring.release(this.#address, this.#bytes);
    this.#bytes = 2 ** Math.ceil(Math.log2(Math.max(bytes, MINIMUM)));
    this.#address = this.ring.allocate(this.#bytes);
  }

  /** Where the block lies now. Nobody's contents survive a call of somebody else. */
  get address(): number {
    return this.#address;
  }
}

const scratches = new WeakMap<Ring, Scratch>();

export function scratchOf({ root }: Ring): Scratch {
  let scratch = scratches.get(root);
  if (!scratch) scratches.set(root, scratch = new Scratch(root));
  return scratch;
}
