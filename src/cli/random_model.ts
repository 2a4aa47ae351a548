/** Seeded random networks, kept between runs: calibrating ResNet-50 takes seconds, reading it back does not. */
import { fileURLToPath } from "node:url";
import { type Model, readModelFolder, writeModelFolder } from "../data/model_folder.ts";
import type { Activation, Graph, Weights } from "../models/graph.ts";
import { checkWeights, randomWeights } from "../models/weights.ts";
import { buildModel } from "../models/zoo.ts";
import { formatPolynomial } from "../polynomial/polynomial.ts";

/** Random weights, checked: through a polynomial that is almost constant no signal passes, whatever the weights. */
export function usableRandomWeights(graph: Graph, seed: number, activation: Activation): Weights {
  const weights = randomWeights(graph, seed, activation);
  try {
    checkWeights(graph, weights);
  } catch (cause) {
    const function_ = activation.kind === "relu" ? "ReLU" : formatPolynomial(activation);
    throw new RangeError(
      `no random weights of ${graph.name} suit the activation ${function_}; choose another --polynomial`,
      { cause },
    );
  }
  return weights;
}

/** The folder (below `build/`) of the random network with this seed, made when it is missing. */
export async function randomModelFolder(
  name: string,
  classes: number,
  activation: Activation,
  seed: number,
): Promise<string> {
  const function_ = activation.kind === "relu"
    ? "relu"
    : `${activation.coefficients.join("_")}p${activation.precision}`;
  const folder = fileURLToPath(
    new URL(`../../build/models/${name}-${classes}-${function_}-${seed}`, import.meta.url),
  );
  try {
    await Deno.stat(`${folder}/model.json`);
  } catch {
    const graph = buildModel(name, classes);
    await writeModelFolder(
      folder,
      { model: name, classes, activation },
      usableRandomWeights(graph, seed, activation),
    );
  }
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
