/** ONNX Runtime in WebAssembly with SIMD, which is how browsers have it. */
import { answerWith, type Runtime } from "./runtime_answer.ts";

await answerWith(async () => {
  const runtime = await import("onnxruntime-web");
  runtime.env.wasm.numThreads = 1;
  return runtime as Runtime;
});
