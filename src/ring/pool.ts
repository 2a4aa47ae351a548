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

  /** Whether all threads answer; if not, convolutions that were made before on several of them can no longer be run. */
  get isWhole(): boolean {
    return this.#threads.isWhole;
  }

  /** Blocks until every thread has loaded its modules: from then on they read no file. */
  awaitThreads(): void {
    const { workers } = this.#threads;
    for (const worker of workers) worker.start(RELEASE, NO_LAYER);
    forAll(workers, (worker) => worker.finish());
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
    const slices = this.#threads.isWhole
      ? Math.min(this.threads, Math.floor(spec.outputs / SLICE_OUTPUTS))
      : 1;
    const { planes, pixels, length, outputs } = planConvolution(spec, width);
    if (slices < 2 || planes * pixels * length * outputs < FEWEST_MULTIPLICATIONS[width]) {
      return new Convolution(this.ring, width, spec, weights, options);
    }
    return new SlicedConvolution(this.ring, this.#threads, slices, width, spec, weights, options);
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
      forAll(this.#convolutions, (convolution) => convolution[Symbol.dispose]());
    } finally {
      // Whatever became of the workers, other sessions need the memory.
      this.ring[Symbol.dispose]();
    }
  }
}

/** The workers of a pool and of its regions. */
export class Threads {
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

  /** Whether all answer. What one that does not may still write lies in the block of all, so no slice is put there any more. */
  get isWhole(): boolean {
    return this.workers.every(({ isFit }) => isFit);
  }
}

/** The main thread's end of a worker. */
class PoolWorker implements Disposable {
  readonly #worker: Worker;
  readonly #control = new Int32Array(new SharedArrayBuffer(4 * CONTROL_WORDS));
  #requests = 0;
  #isFit = true;

  constructor(data: SharedArrayBuffer) {
    const workerData: PoolStart = { control: this.#control, data };
    this.#worker = new Worker(new URL("./pool_worker.ts", import.meta.url), { workerData });
    this.#worker.unref(); // a pool that nobody disposed of must not keep the process alive
  }

  /** Starts an operation; {@linkcode finish} waits for its end. Of a worker that is lost it does nothing. */
  start(operation: number, ...parameters: readonly number[]): void {
    if (!this.#isFit) return;
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
    if (!this.#isFit) throw new Error("a worker of the convolution pool is lost");
    if (!waitForValue(this.#control, REPLY, this.#requests, TIMEOUT_MS)) {
      this.#isFit = false;
      throw new Error(`a worker of the convolution pool has not answered for ${TIMEOUT_MS / 1000} s`);
    }
    // Of this operation alone: the memory that it lacked may be there for the next one.
    if (Atomics.exchange(this.#control, FAILED, 0) !== 0) {
      throw new Error("a worker of the convolution pool has failed; see the error stream");
    }
  }

  /** Whether it answers: neither ended nor lost. */
  get isFit(): boolean {
    return this.#isFit;
  }

  [Symbol.dispose](): void {
    this.start(EXIT);
    this.#isFit = false;
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
  readonly #id: number;
  readonly #workers: readonly PoolWorker[];
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
    readonly threads: Threads,
    slices: number,
    readonly width: W,
    readonly spec: ConvolutionSpec,
    weights: number,
    options: ConvolutionOptions,
  ) {
    const workers = this.#workers = threads.workers.slice(0, slices - 1);
    const bytes = width / 8;
    const out = outputSize(spec);
    this.extraBits = extraBits(spec);
    this.#pixels = out.height * out.width;
    this.#inputBytes = spec.height * spec.width * spec.inputs * bytes;
    this.#id = threads.nextId++;
    this.#slices = slicesOf(spec.outputs, slices);
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
      failing.defer(() => this.#release(workers[i - 1]));
      this.#shared(weightBytes).set(ring.bytes.subarray(sliced.address, sliced.address + weightBytes));
      workers[i - 1].prepare(this.#id, {
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
    const data = this.threads.data!;
    if (data.byteLength < bytes) data.grow(Math.ceil(bytes / 65536) * 65536);
    return new Uint8Array(data);
  }

  run(x: number, y: number): void {
    if (!this.threads.isWhole) throw new Error("a worker of the convolution pool is lost");
    const { ring } = this, bytes = this.width / 8, outputs = this.spec.outputs * bytes;
    const offset = Math.ceil(this.#inputBytes / 64) * 64;
    const shared = this.#shared(offset + this.#workers.length * this.#sliceBytes);
    shared.set(ring.bytes.subarray(x, x + this.#inputBytes));
    // Before the workers start: a slice of our own that failed would leave theirs without anybody who waits for them.
    this.#own.reserve();
    this.#workers.forEach((worker, i) => worker.start(RUN, this.#id, offset + i * this.#sliceBytes));
    this.#own.run(x, this.#sliceAddress);
    const place = (slice: Slice) => {
      const row = slice.outputs * bytes, to = y + slice.firstOutput * bytes;
      ring.kernels.copyRows(this.#sliceAddress, row, to, outputs, row, row, this.#pixels);
    };
    const [first, ...others] = this.#slices;
    place(first);
    // All of them, whatever one has met: the next layer finds them waiting.
    forAll(this.#workers, (worker) => worker.finish());
    others.forEach((slice, i) => {
      const from = offset + i * this.#sliceBytes, size = this.#pixels * slice.outputs * bytes;
      ring.bytes.set(shared.subarray(from, from + size), this.#sliceAddress);
      place(slice);
    });
  }

  [Symbol.dispose](): void {
    if (this.#released) return;
    this.#released = true;
    this.#own[Symbol.dispose]();
    this.ring.release(this.#sliceAddress, this.#sliceBytes);
    forAll(this.#workers, (worker) => this.#release(worker));
  }

  #release(worker: PoolWorker): void {
    if (!worker.isFit) return;
    worker.start(RELEASE, this.#id);
    worker.finish();
  }
}

/** Does something with each of several, also after one has failed, and then throws what the first failure threw. */
function forAll<T>(list: Iterable<T>, action: (one: T) => void): void {
  const errors: unknown[] = [];
  for (const one of list) {
    try {
      action(one);
    } catch (error) {
      errors.push(error);
    }
  }
  if (errors.length > 0) throw errors[0];
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
