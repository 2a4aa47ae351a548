/** What several tests train: a network of one channel, and random batches; and what they hold gradients to. */
import type { Activation, Graph } from "../models/graph.ts";
import { SeededRandom } from "../models/seeded_random.ts";
import type { Batch, StepSettings } from "./engine.ts";
import { isTrainable } from "./initial.ts";
import { lossOf, type Parameters } from "./reference_engine.ts";

/** One channel of four pixels, normalised once. */
export const ONE_CHANNEL: Graph = {
  name: "one-channel",
  classes: 2,
  inputShape: [2, 2, 1],
  nodes: [
    { id: "input", op: "input" },
    { id: "conv", op: "conv", input: "input", kernel: 1, stride: 1, padding: 0, outputs: 1, bias: false },
    { id: "norm", op: "batchNorm", input: "conv" },
    { id: "act", op: "activation", input: "norm" },
    { id: "flatten", op: "flatten", input: "act" },
    { id: "dense", op: "dense", input: "flatten", outputs: 2, bias: true },
  ],
};

/** Normal pixels and, as mixed images have them, targets that are spread over the classes. */
export function randomBatch(graph: Graph, size: number, seed: number): Batch {
  const random = new SeededRandom(seed, "batch"), [h, w, c] = graph.inputShape;
  const images = Float32Array.from({ length: size * h * w * c }, () => random.normal());
  const targets = new Float32Array(size * graph.classes);
  for (let i = 0; i < size; i++) {
    const first = random.nextUint32() % graph.classes, second = random.nextUint32() % graph.classes;
    targets[i * graph.classes + first] += 0.75;
    targets[i * graph.classes + second] += 0.25;
  }
  return { size, images, targets };
}

/** Gradient of the reference's loss by central differences: no backward pass is trusted. Before norm limit and weight decay. */
export function differences(
  graph: Graph,
  activation: Activation,
  parameters: Parameters,
  batch: Batch,
  settings: StepSettings,
  shards: number,
): Parameters {
  const h = 1e-6, loss = () => lossOf(graph, activation, parameters, batch, settings, shards);
  const trainable = [...parameters].filter(([name]) => isTrainable(name));
  return new Map(trainable.map(([name, values]) => [
    name,
    values.map((value, i) => {
      values[i] = value + h;
      const above = loss();
      values[i] = value - h;
      const below = loss();
      values[i] = value;
      return (above - below) / (2 * h);
    }),
  ]));
}
