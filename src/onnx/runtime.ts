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

/** The process could not load the runtime: the platform lacks it, or the package cannot be downloaded. */
export class NotLoadedError extends Error {
  override readonly name = "NotLoadedError";
}

/** The first line of the process, when it has loaded the runtime. The next one is its {@linkcode RuntimeAnswer}. */
export const LOADED = "loaded";

/** Packages are read from Deno's cache. */
const RIGHTS = ["--allow-read"], NATIVE_RIGHTS = [...RIGHTS, "--allow-ffi"];

/**
 * Runs an ONNX file on images of float32.
 *
 * @throws {NotLoadedError} where the runtime is not to be had
 * @throws {Error} where it cannot run the file
 */
export async function askOnnxRuntime(
  runtime: OnnxRuntime,
  model: Uint8Array<ArrayBuffer>,
  images: Float32Array<ArrayBuffer>,
  question: Question,
): Promise<RuntimeAnswer> {
  const module = new URL(`./runtime_${runtime}.ts`, import.meta.url);
  const child = new Deno.Command(Deno.execPath(), {
    args: [
      "run",
      "--quiet",
      "--no-prompt",
      ...runtime === "native" ? NATIVE_RIGHTS : RIGHTS,
      fileURLToPath(module),
    ],
    env: { NO_COLOR: "1" },
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const head = new TextEncoder().encode(`${JSON.stringify({ ...question, modelBytes: model.length })}\n`);
  // A process that ends before it has read everything says why itself.
  const sent = new Blob([head, model, images]).stream().pipeTo(child.stdin).catch(() => {});
  const [{ success, stdout, stderr }] = await Promise.all([child.output(), sent]);
  const [loaded, answer] = new TextDecoder().decode(stdout).split("\n");
  if (success && answer) return JSON.parse(answer);
  const said = new TextDecoder().decode(stderr).trim().split("\n")[0]
    .replace(/^error: (Uncaught (\(in promise\) )?)?(\w*Error: )?/, "");
  if (loaded === LOADED) throw new Error(`ONNX Runtime (${runtime}) cannot run this file: ${said}`);
  throw new NotLoadedError(`ONNX Runtime (${runtime}) does not load here: ${said}`);
}
