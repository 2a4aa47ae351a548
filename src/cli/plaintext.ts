/** `deno task plaintext`: the same network in the clear on one thread: the yardstick for private inference. */
import { foldBatchNorm } from "../models/fold.ts";
import type { Activation, Graph, Weights } from "../models/graph.ts";
import { seededImage } from "../models/weights.ts";
import { buildModel, MODEL_NAMES } from "../models/zoo.ts";
import { exportOnnx } from "../onnx/export.ts";
import { imageToOnnx } from "../onnx/layout.ts";
import { askOnnxRuntime, NotLoadedError, type OnnxRuntime } from "../onnx/runtime.ts";
import { QUARTIC } from "../polynomial/polynomial.ts";
import type { NotLoadedResult, PlaintextResult, PlaintextRuntime } from "../reproduction/command_results.ts";
import { median, quartiles } from "../report/statistics.ts";
import { runCommand } from "../terminal/command.ts";
import { modelFrom } from "../options/random_model.ts";

const ACTIVATIONS: Readonly<Record<"relu" | "quartic", Activation>> = {
  relu: { kind: "relu" },
  quartic: QUARTIC,
};

interface Work {
  readonly graph: Graph;
  readonly weights: Weights;
  readonly activation: Activation;
  readonly image: Float32Array;
  readonly repetitions: number;
  readonly warmUp: number;
}

async function byTensorflow(
  { graph, weights, activation, image, repetitions, warmUp }: Work,
): Promise<number[]> {
  // Loaded here only: whoever times ONNX Runtime has no use for it.
  const { createTensorflowNetwork } = await import("../models/tensorflow_engine.ts");
  const { openTensorflow } = await import("../models/tensorflow_backend.ts");
  await openTensorflow();
  const engine = createTensorflowNetwork(graph, weights, activation), times: number[] = [];
  for (let i = 0; i < warmUp + repetitions; i++) {
    const start = performance.now();
    engine.run(image);
    if (i >= warmUp) times.push(performance.now() - start);
  }
  engine.dispose();
  return times;
}

const byOnnxRuntime =
  (runtime: OnnxRuntime) => async ({ graph, weights, activation, image, ...counts }: Work) => {
    const [height, width, channels] = graph.inputShape, { repetitions, warmUp } = counts;
    const file = exportOnnx(graph, weights, activation), pixels = imageToOnnx(image, graph.inputShape);
    const question = { shape: [1, channels, height, width], repetitions, warmUp };
    return (await askOnnxRuntime(runtime, file, pixels, question)).times;
  };

/** Who can be timed: each with batch norm folded, on one thread, transfers of image and logits included. */
const RUNTIMES = {
  "tfjs": { title: "TensorFlow.js", time: byTensorflow },
  "onnx-web": { title: "ONNX Runtime Web", time: byOnnxRuntime("web") },
  "onnx-native": { title: "ONNX Runtime native", time: byOnnxRuntime("native") },
} satisfies Record<PlaintextRuntime, unknown>;

await runCommand({
  name: "plaintext",
  summary: "time plaintext inference on one thread, batch norm folded",
  notes: "TensorFlow.js and ONNX Runtime Web are WebAssembly with SIMD, ONNX Runtime native is machine code.",
  options: {
    model: { type: "string", choices: MODEL_NAMES, default: "minionn-bn", help: "network" },
    classes: {
      type: "integer",
      min: 2,
      max: 100_000,
      help: "classes of the network (default: 10; ResNet-50: 1000)",
    },
    activation: {
      type: "string",
      choices: ["relu", "quartic"],
      default: "relu",
      help: "activation function",
    },
    runtime: {
      type: "string",
      choices: Object.keys(RUNTIMES) as PlaintextRuntime[],
      default: "tfjs",
      help: "by what",
    },
    repetitions: { type: "integer", min: 1, max: 100_000, default: 25, help: "inferences measured" },
    warmUp: { type: "integer", min: 0, max: 1000, default: 5, help: "inferences before the measured ones" },
    seed: { type: "integer", min: 0, default: 1, help: "seed of the image" },
    json: {
      type: "boolean",
      help: "print one JSON object on one line; a runtime that does not load is a result",
    },
  },
  async run({ model: name, classes, activation: kind, runtime, repetitions, warmUp, seed, json }) {
    const wanted = buildModel(name, classes), activation = ACTIVATIONS[kind];
    const model = await modelFrom(undefined, { name, classes: wanted.classes, activation, seed: 1 });
    const { graph, weights } = foldBatchNorm(model.graph, model.weights),
      image = seededImage(model.graph, seed);
    const { title, time } = RUNTIMES[runtime];
    let times: readonly number[];
    try {
      times = await time({ graph, weights, activation, image, repetitions, warmUp });
    } catch (error) {
      if (!json || !(error instanceof NotLoadedError)) throw error;
      const result: NotLoadedResult = { runtime, notLoaded: error.message };
      return console.log(JSON.stringify(result));
    }
    const { low, high } = quartiles(times), medianMs = median(times);
    const result = {
      model: name,
      classes: wanted.classes,
      activation: kind,
      runtime,
      medianMs,
      q1Ms: low,
      q3Ms: high,
      times,
    } satisfies PlaintextResult;
    if (json) console.log(JSON.stringify(result));
    else {
      console.log(
        `${name} with ${kind} in ${title}: median ${medianMs.toFixed(2)} ms, quartiles ${low.toFixed(2)} to ${
          high.toFixed(2)
        } ms`,
      );
    }
  },
});
