/**
 * The memory in which all ring arithmetic happens: one WebAssembly memory per process, an allocator,
 * and the kernels that work on it. Runs in any JavaScript engine.
 *
 * The memory never grows: 4 GiB of address space are reserved at once and pages cost nothing until they
 * are written (measured: 1.4 ms and 1 MB of resident memory), so typed-array views stay valid for good and
 * sockets can read straight into them.
 */
import { RESERVED_BYTES } from "./kernel_modules.ts";
import { type Kernels, loadKernels } from "./kernels.ts";

const PAGE = 65536;
const ALIGNMENT = 64;

/** Address space asked for, largest first: a machine that refuses 4 GiB gets less. */
const PAGES = [65535, 49152, 32768, 16384, 8192];

export class Ring {
  /** The ring whose memory this is; a {@linkcode region} is none of its own. */
  readonly root: Ring;
  #top = RESERVED_BYTES;
  #used = 0;
  readonly #free = new Map<number, number[]>();

  protected constructor(readonly bytes: Uint8Array, readonly kernels: Kernels, root?: Ring) {
    this.root = root ?? this;
  }

  /** Reserves the memory and instantiates the kernels in it. */
  static async open(): Promise<Ring> {
    const memory = reserve();
    return new Ring(new Uint8Array(memory.buffer), await loadKernels(memory));
  }

  /** The same memory for a piece of work that may break off. */
  region(): RingRegion {
    return new RingRegion(this.root);
  }

  /** Bytes handed out and not released. */
  get bytesInUse(): number {
    return this.#used;
  }

  /**
   * Address of `bytes` fresh bytes, 64-byte aligned, contents undefined. Freed blocks are kept by exact size:
   * every query repeats the sizes of the one before, so nothing fragments.
   */
  allocate(bytes: number): number {
    const size = blockSize(bytes), reused = this.#free.get(size)?.pop(), address = reused ?? this.#top;
    if (reused === undefined && address + size > this.bytes.length) {
      throw new RangeError(
        `ring memory is full: ${mebibytes(this.#used)} in use of ${mebibytes(this.bytes.length)}, ` +
          `${mebibytes(size)} more wanted; use a smaller network, a smaller batch or fewer prepared queries`,
      );
    }
    if (reused === undefined) this.#top = address + size;
    this.#used += size;
    return address;
  }

  /** Gives back a block of {@linkcode allocate}; `bytes` as at its allocation. */
  release(address: number, bytes: number): void {
    const size = blockSize(bytes);
    this.#used -= size;
    const list = this.#free.get(size);
    if (list) list.push(address);
    else this.#free.set(size, [address]);
  }
}

/** A part of a ring's memory that goes back as a whole: what nobody has released does when the region is disposed of. */
export class RingRegion extends Ring implements Disposable {
  readonly #blocks = new Map<number, number>();
  #used = 0;
  #most = 0;
  #isOpen = true;

  constructor(root: Ring) {
    super(root.bytes, root.kernels, root);
  }

  override get bytesInUse(): number {
    return this.#used;
  }

  /** The most that was in use at a time. */
  get mostBytesInUse(): number {
    return this.#most;
  }

  override allocate(bytes: number): number {
    if (!this.#isOpen) throw new Error("the session to which this memory belonged has ended");
    const address = this.root.allocate(bytes);
    this.#blocks.set(address, bytes);
    this.#used += blockSize(bytes);
    this.#most = Math.max(this.#most, this.#used);
    return address;
  }

  /** A block that went back with the region is not given back again. */
  override release(address: number, bytes: number): void {
    if (!this.#blocks.delete(address)) return;
    this.#used -= blockSize(bytes);
    this.root.release(address, bytes);
  }

  [Symbol.dispose](): void {
    this.#isOpen = false;
    for (const [address, bytes] of this.#blocks) this.release(address, bytes);
  }
}

/**
 * Bytes that a block takes: 192 extra ones, since kernels may read or write up to one vector tile past the end of an operand, and
 * blocks of power-of-two sizes do not fall into one cache set.
 */
export const blockSize = (bytes: number): number => Math.ceil(bytes / ALIGNMENT) * ALIGNMENT + 192;
const mebibytes = (bytes: number) => `${Math.ceil(bytes / 2 ** 20)} MiB`;

function reserve(): WebAssembly.Memory {
  for (const pages of PAGES) {
    try {
      return new WebAssembly.Memory({ initial: pages, maximum: pages });
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
    }
  }
  throw new RangeError(`cannot reserve ${mebibytes(PAGES.at(-1)! * PAGE)} of address space for ring memory`);
}
