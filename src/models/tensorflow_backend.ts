/** TensorFlow.js on its WebAssembly backend with SIMD and one thread: the yardstick for the speed of plaintext. */
import * as tf from "@tensorflow/tfjs";
import { setThreadsCount, setWasmPaths } from "@tensorflow/tfjs-backend-wasm";

let opened: Promise<void> | undefined;

/** Makes the backend the current one; calls after the first do nothing. */
export function openTensorflow(): Promise<void> {
  return opened ??= open();
}

async function open(): Promise<void> {
  tf.enableProdMode(); // no advice on the console, no checks of values
  setThreadsCount(1);
  const module = import.meta.resolve("@tensorflow/tfjs-backend-wasm/dist/tfjs-backend-wasm.wasm");
  setWasmPaths(new URL("./", module).href);
  if (!await tf.setBackend("wasm")) throw new Error("TensorFlow.js cannot start its WebAssembly backend");
  await tf.ready();
}
