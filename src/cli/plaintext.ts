/** `deno task plaintext`: the same network in the clear, by TensorFlow.js: the yardstick for private inference. */
import { foldBatchNorm } from "../models/fold.ts";
import { createTensorflowEngine } from "../models/tensorflow_engine.ts";
import { openTensorflow } from "../models/tensorflow_backend.ts";
import type { Activation } from "../models/graph.ts";
import { seededImage } from "../models/weights.ts";
import { buildModel, MODEL_NAMES } from "../models/zoo.ts";
import { QUARTIC } from "../polynomial/polynomial.ts";
import type { PlaintextResult } from "../reproduction/command_results.ts";
import { median, quartiles } from "../report/statistics.ts";
import { runCommand } from "../terminal/command.ts";
import { modelFrom } from "../options/random_model.ts";

const ACTIVATIONS: Readonly<Record<"relu" | "quartic", Activation>> = {
  relu: { kind: "relu" },
  quartic: QUARTIC,
};

await runCommand({
  name: "plaintext",
  summary: "time plaintext inference by TensorFlow.js (WebAssembly, SIMD, one thread, batch norm folded)",
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
    repetitions: { type: "integer", min: 1, max: 100_000, default: 25, help: "inferences measured" },
    warmUp: { type: "integer", min: 0, max: 1000, default: 5, help: "inferences before the measured ones" },
    seed: { type: "integer", min: 0, default: 1, help: "seed of the image" },
    json: { type: "boolean", help: "print one JSON object on one line" },
  },
  async run({ model: name, classes, activation, repetitions, warmUp, seed, json }) {
    const wanted = buildModel(name, classes), kind = ACTIVATIONS[activation];
    const model = await modelFrom(undefined, { name, classes: wanted.classes, activation: kind, seed: 1 });
    const { graph, weights } = foldBatchNorm(model.graph, model.weights),
      image = seededImage(model.graph, seed);
    await openTensorflow();
    const engine = createTensorflowEngine(graph, weights, kind), times: number[] = [];
    for (let i = 0; i < warmUp + repetitions; i++) {
      const start = performance.now();
      engine.run(image);
      if (i >= warmUp) times.push(performance.now() - start);
    }
    engine.dispose();
    const { low, high } = quartiles(times);
    const result = {
      model: name,
      classes: wanted.classes,
      activation,
      medianMs: median(times),
      q1Ms: low,
      q3Ms: high,
      times,
    } satisfies PlaintextResult;
    if (json) console.log(JSON.stringify(result));
    else {
      console.log(
        `${name} with ${activation} in TensorFlow.js: median ${result.medianMs.toFixed(2)} ms, quartiles ${
          low.toFixed(2)
        } to ${high.toFixed(2)} ms`,
      );
    }
  },
});
