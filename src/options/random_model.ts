/** Seeded random networks, kept between runs: adjusting ResNet-50's takes seconds, reading it back does not. */
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import { type Model, readModelFolder, writeModelFolder } from "../data/model_folder.ts";
import { foldBatchNorm } from "../models/fold.ts";
import type { Activation, Graph, Weights } from "../models/graph.ts";
import { measureRanges, type Ranges, rangesOf } from "../models/ranges.ts";
import { countModel } from "../models/counts.ts";
import { checkWeights, randomWeights } from "../models/weights.ts";
import { buildModel } from "../models/zoo.ts";
import { makeInPlace } from "../folders/make_in_place.ts";
import { checkWritable } from "../folders/writable.ts";
import { formatActivation } from "../training/activations.ts";

/** Random weights, checked: through a polynomial that is almost constant no signal passes, whatever the weights. */
export function usableRandomWeights(graph: Graph, seed: number, activation: Activation): Weights {
  const weights = randomWeights(graph, seed, activation);
  try {
    checkWeights(graph, weights);
  } catch (cause) {
    throw new RangeError(
      `no random weights of ${graph.name} suit the activation ${
        formatActivation(activation)
      }; choose another --polynomial or --wave`,
      { cause },
    );
  }
  return weights;
}

/** Work of the audit of random weights, in multiply-accumulates: decides its number of images. */
const AUDIT_MACS = 2e10;

/** Inputs of activations are made to stay below 5; but now and then an image escapes from a deep network, and says nothing about others. */
const MOST_RANDOM_RANGE = 16;

/** Ranges on seeded images; none if one of them escapes. */
async function auditRandomModel(
  graph: Graph,
  weights: Weights,
  activation: Activation,
): Promise<{ ranges?: Ranges }> {
  // Loaded here only: it brings TensorFlow.js with it.
  const { fastForward, seededImages } = await import("./audit_images.ts");
  const folded = foldBatchNorm(graph, weights);
  const images = Math.max(4, Math.min(100, Math.floor(AUDIT_MACS / countModel(graph).macs)));
  using engine = await fastForward(folded.graph, folded.weights, activation);
  const ranges = rangesOf(measureRanges(folded.graph, engine.forward, seededImages(graph, images)));
  return Object.values(ranges).every((range) => range <= MOST_RANDOM_RANGE) ? { ranges } : {};
}

/** The folder (below `build/`) of the random network with this seed, made when it is missing. */
async function randomModelFolder(
  name: string,
  classes: number,
  activation: Activation,
  seed: number,
): Promise<string> {
  const function_ = activation.kind === "polynomial"
    ? `${activation.coefficients.join("_")}p${activation.precision}`
    : activation.kind === "trigonometric"
    ? `wave${[activation.period, activation.offset, ...activation.amplitudes].join("_")}`
    : activation.kind;
  const folder = fileURLToPath(
    new URL(`../../build/models/${name}-${classes}-${function_}-${seed}-audited`, import.meta.url),
  );
  if (await Deno.stat(`${folder}/model.json`).then(() => true, () => false)) return folder;
  checkWritable(dirname(folder));
  const graph = buildModel(name, classes), weights = usableRandomWeights(graph, seed, activation);
  const audited = await auditRandomModel(graph, weights, activation);
  const description = { model: name, classes, activation, ...audited };
  await makeInPlace(folder, "model.json", (own) => writeModelFolder(own, description, weights));
  return folder;
}

/** The network in `folder`, or the random one with `seed`, and where it is. */
export async function modelFrom(
  folder: string | undefined,
  random: {
    readonly name: string;
    readonly classes: number;
    readonly activation: Activation;
    readonly seed: number;
  },
): Promise<Model & { readonly folder: string }> {
  const where = folder ??
    await randomModelFolder(random.name, random.classes, random.activation, random.seed);
  return { ...await readModelFolder(where), folder: where };
}
