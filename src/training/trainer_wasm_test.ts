/** The training loop on the engine that trains on CPUs: whole runs, small ones. */
import { assertEquals } from "@std/assert";
import { it } from "@std/testing/bdd";
import type { Dataset } from "../data/dataset.ts";
import { openDataset } from "../data/open_dataset.ts";
import type { Weights } from "../models/graph.ts";
import { buildModel } from "../models/zoo.ts";
import { initialState } from "./initial.ts";
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
const FEW = await openDataset("shapes", { limit: { train: 48, test: 16 } });

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
/** Filters of 3x3, which Muon takes. */
const MUON: Run = { ...ALL, model: "resnet20", activation: "trig:16:2:1", muon: 0.02, batch: 16 };

/** Learns from a network of random weights: what it is taught does not matter here. */
const TAUGHT: Run = { ...RUN, distillation: { teacher: "a digest", weight: 0.7, temperature: 2 } };

async function trained(
  run: Run,
  dataset: Dataset,
  workers: number,
  options: TrainingOptions = {},
): Promise<TrainingResult> {
  const { graph, activation } = trainingGraph(buildModel(run.model), run.activation);
  const initial = startOf(graph, run, dataset);
  const engine = await createWasmEngine(graph, activation, { batchSize: run.batch, workers, initial });
  const relu = buildModel(run.model), unlearned = initialState(relu, 9);
  const teacher = run.distillation
    ? await createWasmEngine(relu, { kind: "relu" }, { batchSize: run.batch, workers, initial: unlearned })
    : undefined;
  try {
    return await train(engine, dataset, run, { ...options, teacher });
  } finally {
    engine.close();
    teacher?.close();
  }
}

const bits = (weights: Weights) =>
  new Map([...weights].map(([name, { data }]) => [name, new Uint32Array(data.slice().buffer)]));
const figures = ({ history }: TrainingResult) =>
  history.map((row) => ({ ...row, seconds: 0, imagesPerSecond: 0 }));

it("train() gives the same bits on one and on two workers, and interrupted between epochs", async () => {
  for (const [run, dataset] of [[RUN, DATASET], [TAUGHT, DATASET], [ALL, DATASET], [MUON, FEW]] as const) {
    const checkpoints: TrainingCheckpoint[] = [];
    const whole = await trained(run, dataset, 2, {
      onEpoch: (checkpoint) => void checkpoints.push(checkpoint),
    });
    const single = await trained(run, dataset, 1),
      resumed = await trained(run, dataset, 2, { resumeFrom: checkpoints[0] });
    const finished = await trained(run, dataset, 2, { resumeFrom: checkpoints[1] });
    for (const other of [single, resumed, finished]) {
      assertEquals(bits(other.weights), bits(whole.weights));
      assertEquals(figures(other), figures(whole));
    }
  }
});
