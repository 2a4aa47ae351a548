/** ONNX Runtime in machine code. The package runs without its install script, which would only add what graphics cards need. */
import { answerWith, type Runtime } from "./runtime_answer.ts";

await answerWith(async () => (await import("onnxruntime-node")) as Runtime);
