/**
 * One way to open TensorFlow.js. Its current backend is a global of the process: whoever works with tensors
 * opens the backend first, and work on two backends must not overlap in time.
 */
import * as tf from "@tensorflow/tfjs";
import { setThreadsCount, setWasmPaths } from "@tensorflow/tfjs-backend-wasm";

/**
 * What {@linkcode openTensorflow} accepts: WebAssembly with SIMD and one thread (the yardstick for the speed of
 * plaintext), plain JavaScript (an oracle, slow), a graphics card, and WebGPU on whatever adapter there is,
 * which may be a program on the CPU: good for checking the code, not for speed.
 */
export const TENSORFLOW_BACKENDS = ["wasm", "cpu", "webgpu", "webgpu-software"] as const;

export type TensorflowBackend = typeof TENSORFLOW_BACKENDS[number];

let configured = false;

/**
 * Makes a backend the current one; costs nothing if it is that already.
 *
 * @throws {Error} of one sentence if the machine has no adapter for webgpu, or only one in software
 */
export async function openTensorflow(backend: TensorflowBackend = "wasm"): Promise<void> {
  if (!configured) configure();
  const name = backend === "webgpu-software" ? "webgpu" : backend;
  if (name === "webgpu" && opened !== backend) await registerWebgpu(backend === "webgpu-software");
  if (tf.getBackend() !== name && !await tf.setBackend(name)) {
    throw new Error(`TensorFlow.js cannot start its backend ${name}`);
  }
  await tf.ready();
  opened = backend;
}

let opened: TensorflowBackend | undefined;

function configure(): void {
  configured = true;
  tf.enableProdMode(); // no advice on the console, no checks of values
  setThreadsCount(1);
  const module = import.meta.resolve("@tensorflow/tfjs-backend-wasm/dist/tfjs-backend-wasm.wasm");
  setWasmPaths(new URL("./", module).href);
}

async function registerWebgpu(software: boolean): Promise<void> {
  // The adapter that the backend will ask for.
  const adapter = await navigator.gpu?.requestAdapter({ powerPreference: "high-performance" });
  if (!adapter) {
    throw new Error("backend webgpu: this machine offers no graphics adapter; use backend wasm");
  }
  const { isFallbackAdapter, description } = adapter.info;
  if (isFallbackAdapter && !software) {
    throw new Error(
      `backend webgpu: the only adapter is ${description}, software on the CPU; use backend wasm, ` +
        "or webgpu-software to check the code",
    );
  }
  await import("@tensorflow/tfjs-backend-webgpu"); // registers itself
}
