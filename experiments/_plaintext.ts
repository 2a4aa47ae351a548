/** Plaintext inference of a network on one thread, each time in a process of its own. */
import { PERMISSIONS } from "./_infer.ts";
import { runJson } from "./experiment.ts";

/** By what, as `plaintext --runtime` knows it. */
export type Runtime = "tfjs" | "onnx-web" | "onnx-native";

/** Milliseconds of each inference, or why the runtime cannot be had on this machine. */
export type Plaintext = { readonly times: readonly number[] } | { readonly notLoaded: string };

export const plaintext = async (
  { model, activation, runtime, queries, warmUp }: {
    readonly model: string;
    readonly activation: string;
    readonly runtime: Runtime;
    readonly queries: number;
    readonly warmUp: number;
  },
): Promise<Plaintext> =>
  await runJson([
    ...PERMISSIONS,
    "src/cli/plaintext.ts",
    ...["--model", model, "--activation", activation, "--runtime", runtime, "--json"],
    ...["--repetitions", String(queries), "--warm-up", String(warmUp)],
  ], { timeoutSeconds: 1800 }) as Plaintext;
