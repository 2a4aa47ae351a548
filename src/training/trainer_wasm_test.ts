/** The training loop on the engine that trains on CPUs: whole runs, small ones. */
import { assertEquals } from "@std/assert";
import { openDataset } from "../data/open_dataset.ts";
import type { Weights } from "../models/graph.ts";
import { buildModel } from "../models/zoo.ts";
import { presetOf } from "./presets.ts";
import type { Run } from "./recipe.ts";
import { startOf } from "./start.ts";
import { trainingGraph } from "./training_graph.ts";
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

/** Everything at once that the recipe of a plain run goes without. */
const ALL: Run = {
  ...RUN,
  ...{
    activation: "trig:8:2:1.5:learned",
    clip: null,
    warmUp: { epochs: 0.5, from: 0.2 },
    schedule: "linear",
  },
  ...{
    nesterov: true,
    decayNorms: false,
    decayBiases: false,
    labelSmoothing: 0.1,
    gradientNorm: 1,
    scaleCap: 1.05,
  },
  ...{ augment: { crop: 4, flip: "alternating" }, tailAverage: 0.5, whitening: true, zeroResidual: true },
  penalty: { coefficient: 0.01, range: 2, exponent: 10, reduction: "hinge", warmUp: "short" },
};

async function trained(run: Run, workers: number, options: TrainingOptions = {}): Promise<TrainingResult> {
  const { graph, activation } = trainingGraph(buildModel(run.model), run.activation);
  const initial = startOf(graph, run, DATASET);
  const engine = await createWasmEngine(graph, activation, { batchSize: run.batch, workers, initial });
  try {
    return await train(engine, DATASET, run, options);
  } finally {
    engine.close();
  }
}

const bits = (weights: Weights) =>
  new Map([...weights].map(([name, { data }]) => [name, new Uint32Array(data.slice().buffer)]));
const figures = ({ history }: TrainingResult) =>
  history.map((row) => ({ ...row, seconds: 0, imagesPerSecond: 0 }));

Deno.test("train() gives the same bits on one and on two workers, and interrupted between epochs", async () => {
  for (const run of [RUN, ALL]) {
    const checkpoints: TrainingCheckpoint[] = [];
    const whole = await trained(run, 2, { onEpoch: (checkpoint) => void checkpoints.push(checkpoint) });
    const single = await trained(run, 1), resumed = await trained(run, 2, { resumeFrom: checkpoints[0] });
    const finished = await trained(run, 2, { resumeFrom: checkpoints[1] });
    for (const other of [single, resumed, finished]) {
      assertEquals(bits(other.weights), bits(whole.weights));
      assertEquals(figures(other), figures(whole));
    }
  }
});
