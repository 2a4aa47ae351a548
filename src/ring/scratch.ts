/** Working memory of the linear layers: one block per ring, shared by all layers and grown on demand. */
import type { Ring } from "./ring.ts";

const MINIMUM = 1 << 20;

/** A power of two: the blocks given up on the way to it add up to less than it has itself. */
const blockFor = (bytes: number): number => 2 ** Math.ceil(Math.log2(Math.max(bytes, MINIMUM)));

/** Bytes of ring memory that blocks take, the last and those given up on the way, where a layer needs `bytes`. */
export const scratchBytes = (bytes: number): number => 2 * blockFor(bytes);

class Scratch {
  #address = 0;
  #bytes = 0;

  constructor(readonly ring: Ring) {}

  /** Throws a RangeError where the ring has no room; then there is no block at all, and the next to ask gets none that is another's. */
  reserve(bytes: number): void {
    if (bytes <= this.#bytes) return;
    if (this.#bytes) this.ring.release(this.#address, this.#bytes);
    this.#bytes = 0;
    const size = blockFor(bytes);
    this.#address = this.ring.allocate(size);
    this.#bytes = size;
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
