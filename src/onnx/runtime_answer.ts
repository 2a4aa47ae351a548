/** What a process of `runtime.ts` does: takes a file and images from standard input, then a question a line, until it ends. */
import type { InferenceSession, TensorConstructor } from "onnxruntime-common";
import { type Given, LOADED, type Question, type RuntimeAnswer } from "./runtime.ts";

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
  const input = new Input(), { modelBytes, imageBytes }: Given = JSON.parse((await input.line())!);
  const model = await input.bytes(modelBytes),
    images = new Float32Array((await input.bytes(imageBytes)).buffer);
  const runtime = await load();
  console.log(LOADED);
  const session = await runtime.InferenceSession.create(model, OPTIONS);
  for (let line = await input.line(); line !== undefined; line = await input.line()) {
    console.log(JSON.stringify(await answer(runtime, session, images, JSON.parse(line))));
  }
}

/** Standard input, of which lines and blocks of bytes are taken. */
class Input {
  #left = new Uint8Array();

  /** The next line, or undefined at the end. */
  async line(): Promise<string | undefined> {
    let end: number;
    while ((end = this.#left.indexOf(NEW_LINE)) < 0) if (!await this.#more()) return undefined;
    const line = new TextDecoder().decode(this.#left.subarray(0, end));
    this.#left = this.#left.subarray(end + 1);
    return line;
  }

  async bytes(count: number): Promise<Uint8Array<ArrayBuffer>> {
    const bytes = new Uint8Array(count), known = Math.min(count, this.#left.length);
    bytes.set(this.#left.subarray(0, known));
    this.#left = this.#left.subarray(known);
    for (let filled = known; filled < count;) {
      const read = await Deno.stdin.read(bytes.subarray(filled));
      if (read === null) throw new Error(`standard input ends after ${filled} of ${count} bytes`);
      filled += read;
    }
    return bytes;
  }

  async #more(): Promise<boolean> {
    const block = new Uint8Array(4096), count = await Deno.stdin.read(block);
    if (count === null) return false;
    const both = new Uint8Array(this.#left.length + count);
    both.set(this.#left);
    both.set(block.subarray(0, count), this.#left.length);
    this.#left = both;
    return true;
  }
}

const NEW_LINE = "\n".charCodeAt(0);

async function answer(
  { Tensor }: Runtime,
  session: InferenceSession,
  images: Float32Array,
  { shape, repetitions, warmUp }: Question,
): Promise<RuntimeAnswer> {
  const size = shape.reduce((product, n) => product * n, 1);
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
