/** One thread of the gauge: for each number of milliseconds it is sent, runs the kernel as long. */
import { placeConvolution } from "./timed_convolution.ts";
import type { GaugeReading, GaugeStart } from "./kernel_gauge.ts";
import { parentPort, workerData } from "node:worker_threads";

/** Eight images fit the cache of a core, so that memory has no say. */
const SHAPE = { batch: 8, height: 16, width: 16, inputs: 64, outputs: 64, kernel: 3, stride: 1, padding: 1 };

const { modules } = workerData as GaugeStart;
const { forward, operations } = placeConvolution(modules, SHAPE, { winograd: false });

/** A core that has slept takes a moment to be at its speed. */
const AWAKE_MS = 20;

parentPort!.on("message", (milliseconds: number) => {
  const woken = performance.now();
  while (performance.now() - woken < AWAKE_MS) forward();
  const started = performance.now();
  let runs = 0, ms = 0;
  for (; ms < milliseconds; runs++) {
    forward();
    ms = performance.now() - started;
  }
  const reading: GaugeReading = { operations: runs * operations, ms };
  parentPort!.postMessage(reading);
});
