/**
 * The bits of a training, from the seed to the weights: a `training.json` names the weights that its recipe gives, and no
 * move of code may change which. Twenty steps over two epochs, on images that need no download.
 */
import { assertEquals } from "@std/assert";
import { it } from "@std/testing/bdd";
import { openDataset } from "../data/open_dataset.ts";
import type { Weights } from "../models/graph.ts";
import { buildModel } from "../models/zoo.ts";
import { hasFusedMultiplyAdd, instantiateConvolutionKernels, loadConvolutionModules } from "./convolution.ts";
import { initialState } from "./initial.ts";
import { PLAIN_FIELDS, type Run } from "./recipe.ts";
import { train } from "./trainer.ts";
import { trainingGraph } from "./training_graph.ts";
import { createWasmEngine } from "./wasm_engine.ts";

const BATCH = 16, IMAGES = 160;

const CONVNET: Run = {
  ...PLAIN_FIELDS,
  model: "convnet",
  dataset: "shapes",
  activation: "relu",
  epochs: 2,
  batch: BATCH,
  learningRate: 0.05,
  warmUp: { epochs: 1, from: 0.2 },
  momentum: 0.9,
  weightDecay: 1e-4,
  decayNorms: true,
  clip: null,
  penalty: null,
  labelSmoothing: 0,
  gradientNorm: null,
  augment: { crop: 4, flip: true },
  mixup: null,
  cutmix: null,
  average: null,
  seed: 1,
  engine: "wasm",
  backend: null,
  holdOut: false,
  limit: IMAGES,
};
const MINIONN: Run = {
  ...CONVNET,
  model: "minionn-bn",
  learningRate: 0.06,
  weightDecay: 5e-4,
  gradientNorm: 1,
};
const penalty = (range: number, coefficient: number) =>
  ({ range, coefficient, exponent: 10, reduction: "sum", warmUp: "short" }) as const;
const PILLAR = { activation: "poly:4:10", clip: 5 };

/** Runs, and the SHA-256 of all their weights after the last step. */
const RUNS: readonly (readonly [Run, weights: string])[] = [
  [CONVNET, "8fc8bc0426749a6ec452196632404bb7d129c678549099a7aa65c9a03e47e2d4"],
  [
    { ...CONVNET, ...PILLAR, penalty: penalty(4.8, 1e-5) },
    "57b6bcbbba89e1123bbf0b230ac1f0842dbe4671ad7cfeedfc2d114242b7d778",
  ],
  [MINIONN, "53cf43e31d0348dd0e32cb405002680e2da8cfbd595f3d4104144b7c30f03a39"],
  [
    { ...MINIONN, ...PILLAR, penalty: penalty(4.4, 1e-6) },
    "0f02f09a171d469f7e75f3106681f35b9b9e6ddd2456d15eb09b4e2a35d56933",
  ],
];

const dataset = await openDataset("shapes", { limit: { train: IMAGES, test: BATCH } });
const memory = new WebAssembly.Memory({ initial: 16, maximum: 65_536 });
const isFused = hasFusedMultiplyAdd(instantiateConvolutionKernels(memory, await loadConvolutionModules()));

for (const [run, expected] of RUNS) {
  // A product and a sum that are rounded one by one give other bits.
  (isFused ? it : it.ignore)(
    `twenty steps of ${run.model} with ${run.activation} give the same bits as ever` +
      (isFused ? "" : " (skipped: this processor has no fused multiply-add)"),
    async () => {
      const { graph, activation } = trainingGraph(
        buildModel(run.model, dataset.classes),
        run.activation,
      );
      const engine = await createWasmEngine(graph, activation, {
        batchSize: BATCH,
        initial: initialState(graph, run.seed),
      });
      try {
        const { weights, diverged } = await train(engine, dataset, run, { evaluate: "last" });
        assertEquals([diverged, await digestOf(weights)], [null, expected]);
      } finally {
        engine.close();
      }
    },
  );
}

async function digestOf(weights: Weights): Promise<string> {
  const bytes = [...weights.values()].flatMap(({ data }) => [...new Uint8Array(data.slice().buffer)]);
  return new Uint8Array(await crypto.subtle.digest("SHA-256", Uint8Array.from(bytes))).toHex();
}
