/**
 * Asks ONNX Runtime what a file computes, and how long that takes on one thread. It runs in a process of its own with the rights that it
 * needs: the native one is machine code that a package brings, which no other process of ours loads.
 */
import { fileURLToPath } from "node:url";

/** Machine code of this processor, or WebAssembly as in a browser. */
export type OnnxRuntime = "native" | "web";

export interface Question {
  /** Of one image, as the file takes it. */
  readonly shape: readonly number[];
  /** Runs, of image 0, 1, ... and from the start again, and others before them that do not count. */
  readonly repetitions: number;
  readonly warmUp: number;
}

export interface RuntimeAnswer {
  /** The file's first output in each run. */
  readonly outputs: readonly (readonly number[])[];
  /** Milliseconds of each run. */
  readonly times: readonly number[];
}

/** The first line that the process reads; the file and the images follow it, then a {@linkcode Question} a line. */
export interface Given {
  readonly modelBytes: number;
  readonly imageBytes: number;
}

/** The process could not load the runtime: the platform lacks it, or the package cannot be downloaded. */
export class NotLoadedError extends Error {
  override readonly name = "NotLoadedError";
}

/** The first line of the process, when it has loaded the runtime. A {@linkcode RuntimeAnswer} a question follows. */
export const LOADED = "loaded";

/** Packages are read from Deno's cache. */
const RIGHTS = ["--allow-read"], NATIVE_RIGHTS = [...RIGHTS, "--allow-ffi"];

/** An ONNX file and images of float32 in a process that answers questions about them until it is closed. */
export class OnnxProcess implements AsyncDisposable {
  readonly #runtime: OnnxRuntime;
  readonly #child: Deno.ChildProcess;
  readonly #stdin: WritableStreamDefaultWriter<Uint8Array>;
  readonly #lines: AsyncIterator<string>;
  #isLoaded = false;

  constructor(
    runtime: OnnxRuntime,
    model: Uint8Array<ArrayBuffer>,
    images: Float32Array<ArrayBuffer>,
  ) {
    this.#runtime = runtime;
    this.#child = new Deno.Command(Deno.execPath(), {
      args: [
        "run",
        "--quiet",
        "--no-prompt",
        ...runtime === "native" ? NATIVE_RIGHTS : RIGHTS,
        fileURLToPath(new URL(`./runtime_${runtime}.ts`, import.meta.url)),
      ],
      env: { NO_COLOR: "1" },
      stdin: "piped",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    this.#stdin = this.#child.stdin.getWriter();
    this.#lines = linesOf(this.#child.stdout);
    this.#send({ modelBytes: model.length, imageBytes: images.byteLength } satisfies Given);
    this.#write(model);
    this.#write(new Uint8Array(images.buffer, images.byteOffset, images.byteLength));
  }

  /**
   * @throws {NotLoadedError} where the runtime is not to be had
   * @throws {Error} where it cannot run the file
   */
  async ask(question: Question): Promise<RuntimeAnswer> {
    this.#send(question);
    this.#isLoaded ||= (await this.#lines.next()).value === LOADED;
    const answer = this.#isLoaded && (await this.#lines.next()).value;
    if (answer) return JSON.parse(answer);
    const said = (await new Response(this.#child.stderr).text()).trim().split("\n")[0]
      .replace(/^error: (Uncaught (\(in promise\) )?)?(\w*Error: )?/, "");
    if (this.#isLoaded) throw new Error(`ONNX Runtime (${this.#runtime}) cannot run this file: ${said}`);
    throw new NotLoadedError(`ONNX Runtime (${this.#runtime}) does not load here: ${said}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stdin.close().catch(() => {});
    await this.#lines.return?.();
    if (!this.#child.stderr.locked) await this.#child.stderr.cancel();
    await this.#child.status;
  }

  #send(line: Given | Question): void {
    this.#write(new TextEncoder().encode(`${JSON.stringify(line)}\n`));
  }

  /** A process that ends before it has read everything says why itself. */
  #write(bytes: Uint8Array): void {
    this.#stdin.write(bytes).catch(() => {});
  }
}

async function* linesOf(bytes: ReadableStream<Uint8Array<ArrayBuffer>>): AsyncGenerator<string> {
  let left = "";
  for await (const text of bytes.pipeThrough(new TextDecoderStream())) {
    const lines = (left + text).split("\n");
    left = lines.pop()!;
    yield* lines;
  }
}

/** One question to a process of its own; throws as {@linkcode OnnxProcess.ask} does. */
export async function askOnnxRuntime(
  runtime: OnnxRuntime,
  model: Uint8Array<ArrayBuffer>,
  images: Float32Array<ArrayBuffer>,
  question: Question,
): Promise<RuntimeAnswer> {
  await using process = new OnnxProcess(runtime, model, images);
  return await process.ask(question);
}
