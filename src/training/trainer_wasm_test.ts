/** The training loop on the engine that trains on CPUs: whole runs, small ones. */
import { assertEquals } from "@std/assert";
import { openDataset } from "../data/open_dataset.ts";
import type { Weights } from "../models/graph.ts";
import { buildModel } from "../models/zoo.ts";
import { parseActivation } from "./activations.ts";
import { initialState } from "./initial.ts";
import { presetOf } from "./presets.ts";
import type { Run } from "./recipe.ts";
import { train, type TrainingCheckpoint, type TrainingOptions, type TrainingResult } from "./trainer.ts";
import { createWasmEngine } from "./wasm_engine.ts";

const RUN: Run = {
  ...presetOf("convnet-pillar-cpu"),
  dataset: "shapes",
  epochs: 2,
  batch: 32,
  seed: 5,
  engine: "wasm",
  backend: null,
  holdOut: false,
  limit: 256,
};

const DATASET = await openDataset("shapes", { limit: { train: 256, test: 100 } });

async function trained(workers: number, options: TrainingOptions = {}): Promise<TrainingResult> {
  const graph = buildModel(RUN.model), initial = initialState(graph, RUN.seed);
  const engine = await createWasmEngine(graph, parseActivation(RUN.activation), {
    batchSize: RUN.batch,
    workers,
    initial,
  });
  try {
    return await train(engine, DATASET, RUN, options);
  } finally {
    engine.close();
  }
}

const bits = (weights: Weights) =>
  new Map([...weights].map(([name, { data }]) => [name, new Uint32Array(data.slice().buffer)]));
const figures = ({ history }: TrainingResult) =>
  history.map((row) => ({ ...row, seconds: 0, imagesPerSecond: 0 }));

Deno.test("train() gives the same bits on one and on two workers, and interrupted between epochs", async () => {
  const checkpoints: TrainingCheckpoint[] = [];
  const whole = await trained(2, { onEpoch: (checkpoint) => void checkpoints.push(checkpoint) });
  const single = await trained(1), resumed = await trained(2, { resumeFrom: checkpoints[0] });
  for (const other of [single, resumed]) {
    assertEquals(bits(other.weights), bits(whole.weights));
    assertEquals(figures(other), figures(whole));
  }
});
