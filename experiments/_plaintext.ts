/** Plaintext inference of a network on one thread, each time in a process of its own. */
import { PERMISSIONS } from "./_infer.ts";
import type {
  NotLoadedResult,
  PlaintextResult,
  PlaintextRuntime,
} from "../src/reproduction/command_results.ts";
import { runJson } from "../src/reproduction/experiment.ts";

export const plaintext = async (
  { model, activation, runtime, queries, warmUp }: {
    readonly model: string;
    readonly activation: string;
    readonly runtime: PlaintextRuntime;
    readonly queries: number;
    readonly warmUp: number;
  },
): Promise<PlaintextResult | NotLoadedResult> =>
  await runJson([
    ...PERMISSIONS,
    "src/cli/plaintext.ts",
    ...["--model", model, "--activation", activation, "--runtime", runtime, "--json"],
    ...["--repetitions", String(queries), "--warm-up", String(warmUp)],
  ], { timeoutSeconds: 1800 }) as PlaintextResult | NotLoadedResult;
