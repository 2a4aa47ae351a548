/**
 * How fast the machine is while something else is timed: one plain kernel, the direct 3x3 convolution of 64 channels, on
 * as many threads at once. Cores that are shared with other guests of a host, or lower clocks, slow it down as they slow
 * everything that multiplies.
 */
import { loadConvolutionModules } from "../training/convolution.ts";
import { Worker } from "node:worker_threads";

/** Nominal GFLOP/s a thread, to which speeds are scaled: a unit, not a measurement. Four fused lanes bound it near 60. */
export const NOMINAL_GFLOPS = 53;

export interface GaugeStart {
  readonly modules: readonly WebAssembly.Module[];
}

/** What a thread answers to a number of milliseconds. */
export interface GaugeReading {
  readonly operations: number;
  readonly ms: number;
}

export class Gauge {
  readonly #workers: readonly Worker[];
  #operations = 0;
  #ms = 0;

  private constructor(workers: readonly Worker[]) {
    this.#workers = workers;
  }

  static async open(threads: number): Promise<Gauge> {
    const workerData: GaugeStart = { modules: await loadConvolutionModules() };
    const url = new URL("./kernel_gauge_worker.ts", import.meta.url);
    return new Gauge(Array.from({ length: threads }, () => new Worker(url, { workerData })));
  }

  /** Runs the kernel on all threads for `ms`; readings add up until {@linkcode Gauge.take}. */
  async read(ms: number): Promise<void> {
    const readings = await Promise.all(
      this.#workers.map((worker) =>
        new Promise<GaugeReading>((resolve, reject) => {
          worker.once("error", reject);
          worker.once("message", (reading) => {
            worker.off("error", reject);
            resolve(reading);
          });
          worker.postMessage(ms);
        })
      ),
    );
    for (const reading of readings) {
      this.#operations += reading.operations;
      this.#ms += reading.ms;
    }
  }

  /** GFLOP/s a thread over the readings since the last call. */
  take(): number {
    const gflops = this.#operations / this.#ms / 1e6;
    this.#operations = this.#ms = 0;
    return gflops;
  }

  close(): void {
    for (const worker of this.#workers) worker.terminate();
  }
}
