/**
 * Convolutions on several threads of one process. Each thread computes a slice of the output channels with its own ring
 * and its own slice of the weights; operands cross threads in shared memory, hand-over is by Atomics (0.2 to 6
 * microseconds; messages would take 17 to 400). Two threads with a core each are 1.5 to 1.9 times as fast as one on
 * the layers of ResNet-18 (measured); without a core each they are slower: with two parties on two cores use one
 * thread a party.
 */
import {
  Convolution,
  type ConvolutionOptions,
  type ConvolutionSpec,
  extraBits,
  outputSize,
} from "./convolution.ts";
import { planConvolution } from "./convolution_plan.ts";
import {
  CONTROL_WORDS,
  countAfter,
  EXIT,
  FAILED,
  LAYER_FIELDS,
  type LayerNumbers,
  MOST_DATA_BYTES,
  OPERATION,
  PARAMETERS,
  type PoolStart,
  PREPARE,
  RELEASE,
  REPLY,
  REQUEST,
  RUN,
  waitForValue,
} from "./pool_protocol.ts";
import type { Ring, RingRegion } from "./ring.ts";
import type { Width } from "./tensor.ts";
import { Worker } from "node:worker_threads";

/** Slices are whole panels of weights, and wide enough for Winograd whenever the whole layer is. */
const SLICE_OUTPUTS = 16;
/** Multiplications below which copying the operands costs more than a second thread saves: 0.15 ms (measured). */
const FEWEST_MULTIPLICATIONS: Record<Width, number> = { 64: 1e6, 32: 4e6 };
const TIMEOUT_MS = 60_000;
/** What no layer is called. */
const NO_LAYER = -1;

/** A convolution of any number of threads. */
export interface RunnableConvolution extends Disposable {
  readonly spec: ConvolutionSpec;
  readonly extraBits: 0 | 2;
  /** Bytes of prepared weights, all threads together. */
  readonly weightBytes: number;
  run(x: number, y: number): void;
}

export class ConvolutionPool implements Disposable {
  readonly #threads: Threads;

  /** `threads` counts the calling one; with 1 there are no workers and {@linkcode convolution} returns plain ones. */
  constructor(readonly ring: Ring, threads: number | Threads) {
    this.#threads = typeof threads === "number" ? new Threads(threads) : threads;
  }

  get threads(): number {
    return this.#threads.count;
  }

  /** Blocks until every thread has loaded its modules: from then on they read no file. */
  awaitThreads(): void {
    const { workers } = this.#threads;
    for (const worker of workers) worker.start(RELEASE, NO_LAYER);
    for (const worker of workers) worker.finish();
  }

  /** The same threads for a piece of work that may break off. */
  region(): PoolRegion {
    return new PoolRegion(this.ring.region(), this.#threads);
  }

  /** As the constructor of {@linkcode Convolution}. */
  convolution<W extends Width>(
    width: W,
    spec: ConvolutionSpec,
    weights: number,
    options: ConvolutionOptions = {},
  ): RunnableConvolution {
    const { workers, data } = this.#threads;
    const slices = Math.min(this.threads, Math.floor(spec.outputs / SLICE_OUTPUTS));
    const { planes, pixels, length, outputs } = planConvolution(spec, width);
    if (slices < 2 || planes * pixels * length * outputs < FEWEST_MULTIPLICATIONS[width]) {
      return new Convolution(this.ring, width, spec, weights, options);
    }
    return new SlicedConvolution(
      this.ring,
      workers.slice(0, slices - 1),
      data!,
      this.#threads.nextId++,
      width,
      spec,
      weights,
      options,
    );
  }

  [Symbol.dispose](): void {
    for (const worker of this.#threads.workers.splice(0)) worker[Symbol.dispose]();
  }
}

/** A pool for one piece of work: its tensors and convolutions go back as a whole, those of workers too; the threads stay. */
class PoolRegion extends ConvolutionPool {
  readonly #convolutions: RunnableConvolution[] = [];

  constructor(override readonly ring: RingRegion, threads: Threads) {
    super(ring, threads);
  }

  override convolution<W extends Width>(
    ...parameters: Parameters<typeof ConvolutionPool.prototype.convolution<W>>
  ): RunnableConvolution {
    const convolution = super.convolution(...parameters);
    this.#convolutions.push(convolution);
    return convolution;
  }

  override [Symbol.dispose](): void {
    try {
      for (const convolution of this.#convolutions) convolution[Symbol.dispose]();
    } finally {
      // Whatever became of the workers, other sessions need the memory.
      this.ring[Symbol.dispose]();
    }
  }
}

/** The workers of a pool and of its regions. */
class Threads {
  readonly workers: PoolWorker[] = [];
  readonly data: SharedArrayBuffer | undefined;
  nextId = 0;

  constructor(readonly count: number) {
    if (!(Number.isInteger(count) && count >= 1)) {
      throw new RangeError(`a convolution pool needs at least 1 thread, got ${count}`);
    }
    if (count === 1) return;
    const data = new SharedArrayBuffer(65536, { maxByteLength: MOST_DATA_BYTES });
    this.data = data;
    this.workers = Array.from({ length: count - 1 }, () => new PoolWorker(data));
  }
}

/** The main thread's end of a worker. */
class PoolWorker implements Disposable {
  readonly #worker: Worker;
  readonly #control = new Int32Array(new SharedArrayBuffer(4 * CONTROL_WORDS));
  #requests = 0;
  #isOpen = true;

  constructor(data: SharedArrayBuffer) {
    const workerData: PoolStart = { control: this.#control, data };
    this.#worker = new Worker(new URL("./pool_worker.ts", import.meta.url), { workerData });
    this.#worker.unref(); // a pool that nobody disposed of must not keep the process alive
  }

  /** Starts an operation; {@linkcode finish} waits for its end. */
  start(operation: number, ...parameters: readonly number[]): void {
    this.#control[OPERATION] = operation;
    this.#control.set(parameters, PARAMETERS);
    this.#requests = countAfter(this.#requests);
    Atomics.store(this.#control, REQUEST, this.#requests);
    Atomics.notify(this.#control, REQUEST);
  }

  /** Sets up a layer of its own; its weights lie at the start of the shared block. */
  prepare(id: number, layer: LayerNumbers): void {
    this.start(PREPARE, id, ...LAYER_FIELDS.map((field) => layer[field]));
    this.finish();
  }

  finish(): void {
    if (!waitForValue(this.#control, REPLY, this.#requests, TIMEOUT_MS)) {
      // What it still writes belongs to nobody: the pool is never used again.
      Atomics.store(this.#control, FAILED, 1);
      throw new Error(`a worker of the convolution pool has not answered for ${TIMEOUT_MS / 1000} s`);
    }
    if (this.#control[FAILED]) {
      throw new Error("a worker of the convolution pool has failed; see the error stream");
    }
  }

  get isOpen(): boolean {
    return this.#isOpen;
  }

  [Symbol.dispose](): void {
    this.#isOpen = false;
    this.start(EXIT);
    this.#worker.terminate();
  }
}

interface Slice {
  readonly firstOutput: number;
  readonly outputs: number;
}

/** One layer, its outputs spread over the main thread (first slice) and workers. */
class SlicedConvolution<W extends Width> implements RunnableConvolution {
  readonly extraBits: 0 | 2;
  readonly weightBytes: number;
  readonly #own: Convolution<W>;
  readonly #slices: readonly Slice[];
  readonly #pixels: number;
  readonly #inputBytes: number;
  /** A slice of the outputs, before its channels are put in place. */
  readonly #sliceAddress: number;
  readonly #sliceBytes: number;
  #released = false;

  constructor(
    readonly ring: Ring,
    readonly workers: readonly PoolWorker[],
    readonly data: SharedArrayBuffer,
    readonly id: number,
    readonly width: W,
    readonly spec: ConvolutionSpec,
    weights: number,
    options: ConvolutionOptions,
  ) {
    const bytes = width / 8;
    const out = outputSize(spec);
    this.extraBits = extraBits(spec);
    this.#pixels = out.height * out.width;
    this.#inputBytes = spec.height * spec.width * spec.inputs * bytes;
    this.#slices = slicesOf(spec.outputs, workers.length + 1);
    this.#sliceBytes = this.#pixels * Math.max(...this.#slices.map(({ outputs }) => outputs)) * bytes;
    const rows = spec.kernel ** 2 * spec.inputs;
    const largest = rows * Math.max(...this.#slices.map(({ outputs }) => outputs)) * bytes;
    // What fails half-way gives back what it has; `sliced` goes back in any case.
    using failing = new DisposableStack();
    using sliced = held(ring, largest);
    this.#sliceAddress = failing.use(held(ring, this.#sliceBytes)).address;
    let own: Convolution<W> | undefined;
    this.#slices.forEach(({ firstOutput, outputs }, i) => {
      const row = outputs * bytes, weightBytes = rows * row;
      const from = weights + firstOutput * bytes;
      ring.kernels.copyRows(from, spec.outputs * bytes, sliced.address, row, row, row, rows);
      const part = { ...spec, outputs };
      if (i === 0) {
        own = failing.use(new Convolution(ring, width, part, sliced.address, options));
        return;
      }
      this.#shared(weightBytes).set(ring.bytes.subarray(sliced.address, sliced.address + weightBytes));
      workers[i - 1].prepare(id, {
        ...part,
        columns: spec.width,
        width,
        small: Number(options.small ?? false),
        inputBytes: this.#inputBytes,
        outputBytes: this.#pixels * row,
        weightBytes,
      });
    });
    this.#own = own!;
    this.weightBytes = Math.round(this.#own.weightBytes * spec.outputs / this.#slices[0].outputs);
    failing.move();
  }

  /** The shared block as bytes, at least `bytes` of them. */
  #shared(bytes: number): Uint8Array<SharedArrayBuffer> {
    if (this.data.byteLength < bytes) this.data.grow(Math.ceil(bytes / 65536) * 65536);
    return new Uint8Array(this.data);
  }

  run(x: number, y: number): void {
    const { ring, workers } = this;
    const bytes = this.width / 8;
    const outOffset = Math.ceil(this.#inputBytes / 64) * 64;
    const shared = this.#shared(outOffset + workers.length * this.#sliceBytes);
    shared.set(ring.bytes.subarray(x, x + this.#inputBytes));
    // Before the workers start: a slice of our own that failed would leave theirs without anybody who waits for them.
    this.#own.reserve();
    workers.forEach((worker, i) => worker.start(RUN, this.id, outOffset + i * this.#sliceBytes));
    this.#own.run(x, this.#sliceAddress);
    this.#slices.forEach(({ firstOutput, outputs }, i) => {
      const row = outputs * bytes;
      if (i > 0) {
        workers[i - 1].finish();
        const from = outOffset + (i - 1) * this.#sliceBytes;
        ring.bytes.set(shared.subarray(from, from + this.#pixels * row), this.#sliceAddress);
      }
      const to = y + firstOutput * bytes;
      ring.kernels.copyRows(this.#sliceAddress, row, to, this.spec.outputs * bytes, row, row, this.#pixels);
    });
  }

  [Symbol.dispose](): void {
    if (this.#released) return;
    this.#released = true;
    this.#own[Symbol.dispose]();
    this.ring.release(this.#sliceAddress, this.#sliceBytes);
    for (const worker of this.workers.filter(({ isOpen }) => isOpen)) {
      worker.start(RELEASE, this.id);
      worker.finish();
    }
  }
}

/** A block of ring memory that goes back with its scope. */
function held(ring: Ring, bytes: number): Disposable & { readonly address: number } {
  const address = ring.allocate(bytes);
  return { address, [Symbol.dispose]: () => ring.release(address, bytes) };
}

/** Whole multiples of {@linkcode SLICE_OUTPUTS}, but for the last; as equal as they can be. */
function slicesOf(outputs: number, count: number): Slice[] {
  const blocks = Math.floor(outputs / SLICE_OUTPUTS);
  const first = (i: number) => i === count ? outputs : Math.round(i * blocks / count) * SLICE_OUTPUTS;
  return Array.from(
    { length: count },
    (_, i) => ({ firstOutput: first(i), outputs: first(i + 1) - first(i) }),
  );
}
