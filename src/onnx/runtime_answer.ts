/** What a process of `runtime.ts` does: reads a line, the ONNX file and the images from standard input, and answers. */
import type { InferenceSession, TensorConstructor } from "onnxruntime-common";
import { LOADED, type Question, type RuntimeAnswer } from "./runtime.ts";

/** What both packages have. */
export interface Runtime {
  readonly InferenceSession: {
    create(model: Uint8Array, options: InferenceSession.SessionOptions): Promise<InferenceSession>;
  };
  readonly Tensor: TensorConstructor;
}

/** Everything that the runtime optimises, on one thread. */
const OPTIONS: InferenceSession.SessionOptions = {
  graphOptimizationLevel: "all",
  executionMode: "sequential",
  intraOpNumThreads: 1,
  interOpNumThreads: 1,
  /** Errors alone. */
  logSeverityLevel: 3,
};

export async function answerWith(load: () => Promise<Runtime>): Promise<void> {
  const given = await new Response(Deno.stdin.readable).bytes(), end = given.indexOf("\n".charCodeAt(0));
  const question = JSON.parse(new TextDecoder().decode(given.subarray(0, end)));
  const model = given.slice(end + 1, end + 1 + question.modelBytes);
  const images = new Float32Array(given.slice(end + 1 + model.length).buffer);
  const runtime = await load();
  console.log(LOADED);
  console.log(JSON.stringify(await answer(runtime, model, images, question)));
}

async function answer(
  { InferenceSession, Tensor }: Runtime,
  model: Uint8Array,
  images: Float32Array,
  { shape, repetitions, warmUp }: Question,
): Promise<RuntimeAnswer> {
  const session = await InferenceSession.create(model, OPTIONS),
    size = shape.reduce((product, n) => product * n, 1);
  const input = session.inputNames[0], output = session.outputNames[0];
  const outputs: number[][] = [], times: number[] = [];
  for (let i = -warmUp; i < repetitions; i++) {
    const at = (i + warmUp) * size % images.length, start = performance.now();
    const values = await session.run({
      [input]: new Tensor("float32", images.subarray(at, at + size), shape),
    });
    const logits = values[output].data as Float32Array;
    if (i < 0) continue;
    times.push(performance.now() - start);
    outputs.push([...logits]);
  }
  return { outputs, times };
}
