/** The engines that `train` and `evaluate` know. Each is loaded only when it is asked for. */
import type { Activation, Graph } from "../models/graph.ts";
import type { TensorflowBackend } from "../models/tensorflow_backend.ts";
import type { EngineState, TrainingEngine } from "../training/engine.ts";
import { onExit, type OptionSpecs, UsageError } from "../terminal/command.ts";
import { TURBO } from "../terminal/v8_flags.ts";

const ENGINES = ["wasm", "tfjs"] as const;
const BACKENDS = ["wasm", "cpu", "webgpu", "webgpu-software"] as const satisfies readonly TensorflowBackend[];

/** Options that choose an engine. */
export const ENGINE_OPTIONS = {
  engine: {
    type: "string",
    choices: ENGINES,
    default: "wasm",
    help: "wasm: our kernels, for CPUs; tfjs: TensorFlow.js, for comparison, and the way to a GPU",
  },
  backend: {
    type: "string",
    choices: BACKENDS,
    help: "backend of tfjs (default: wasm)",
  },
  workers: {
    type: "integer",
    min: 1,
    max: 2,
    help: "threads of wasm; their number does not change a bit (default: 2, or 1 on one core)",
  },
  // What `deno task train:turbo` gives beside the flags themselves, which a program cannot see.
  turbo: { type: "boolean", hidden: true, help: "record that V8 runs with flags" },
} as const satisfies OptionSpecs;

/** An engine as it was asked for. */
export interface EngineChoice {
  readonly engine: typeof ENGINES[number];
  readonly backend: string | null;
  readonly workers: number;
  readonly flags: readonly string[];
}

/** Reads the options; settings that the chosen engine does not have are a mistake. */
export function engineChoice(
  { engine, backend, workers, turbo }: {
    engine: typeof ENGINES[number];
    backend?: string | undefined;
    workers?: number | undefined;
    turbo: boolean;
  },
): EngineChoice {
  const flags = turbo ? TURBO : [];
  if (engine === "tfjs") {
    if (workers !== undefined) throw new UsageError("--workers is for --engine wasm; tfjs has one thread");
    return { engine, backend: backend ?? "wasm", workers: 1, flags };
  }
  if (backend !== undefined) throw new UsageError("--backend is for --engine tfjs");
  return { engine, backend: null, workers: workers ?? Math.min(2, navigator.hardwareConcurrency), flags };
}

/** Whether the kernels of wasm round a product and a sum once on this machine, which decides bits; null for tfjs. */
export async function fusedMultiplyAdd({ engine }: EngineChoice): Promise<boolean | null> {
  if (engine !== "wasm") return null;
  const { hasFusedMultiplyAdd, instantiateConvolutionKernels, loadConvolutionModules } = await import(
    "../training/convolution.ts"
  );
  const memory = new WebAssembly.Memory({ initial: 16, maximum: 65_536 });
  return hasFusedMultiplyAdd(instantiateConvolutionKernels(memory, await loadConvolutionModules()));
}

/** Opens the engine; it is closed when the command ends. */
export async function openEngine(
  { engine: name, backend, workers }: EngineChoice,
  graph: Graph,
  activation: Activation,
  batchSize: number,
  initial: EngineState,
): Promise<TrainingEngine> {
  const create = name === "wasm"
    ? (await import("../training/wasm_engine.ts")).createWasmEngine
    : (await import("../training/tensorflow_engine.ts")).createTensorflowEngine;
  const place = backend === null ? { workers } : { backend };
  const engine = await create(graph, activation, { batchSize, initial, ...place });
  onExit(() => engine.close());
  return engine;
}
