/**
 * The memory in which all ring arithmetic happens: one WebAssembly memory per process, an allocator,
 * and the kernels that work on it. Runs in any JavaScript engine.
 *
 * The memory never grows: 4 GiB of address space are reserved at once and pages cost nothing until they
 * are written (measured: 1.4 ms and 1 MB of resident memory), so typed-array views stay valid for good and
 * sockets can read straight into them.
 */
import { type Kernels, loadKernels, RESERVED_BYTES } from "./kernels.ts";

const PAGE = 65536;
const ALIGNMENT = 64;

/** Address space asked for, largest first: a machine that refuses 4 GiB gets less. */
const PAGES = [65535, 49152, 32768, 16384, 8192];

export class Ring {
  readonly bytes: Uint8Array;
  readonly kernels: Kernels;
  #top = RESERVED_BYTES;
  #used = 0;
  readonly #free = new Map<number, number[]>();

  private constructor(memory: WebAssembly.Memory, kernels: Kernels) {
    this.bytes = new Uint8Array(memory.buffer);
    this.kernels = kernels;
  }

  /** Reserves the memory and instantiates the kernels in it. */
  static async open(): Promise<Ring> {
    const memory = reserve();
    return new Ring(memory, await loadKernels(memory));
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
    const size = blockSize(bytes);
    this.#used += size;
    const reused = this.#free.get(size)?.pop();
    if (reused !== undefined) return reused;
    const address = this.#top;
    if (address + size > this.bytes.length) {
      throw new RangeError(
        `ring memory is full: ${mebibytes(this.#used)} in use of ${mebibytes(this.bytes.length)}, ` +
          `${mebibytes(size)} more wanted; use a smaller network or fewer prepared queries`,
      );
    }
    this.#top = address + size;
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

// 192 extra bytes: kernels may read or write up to one vector tile past the end of an operand, and blocks of
// power-of-two sizes do not fall into one cache set.
const blockSize = (bytes: number) => Math.ceil(bytes / ALIGNMENT) * ALIGNMENT + 192;
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
