/** The network that `infer` and `explain` run, and its plan. */
import { fileURLToPath } from "node:url";
import { graphPath, type Model, readModelDescription } from "../data/model_folder.ts";
import type { Activation, Graph, Weights } from "../models/graph.ts";
import {
  activationProtocol,
  DEFAULT_ACTIVATION,
  protocolFor,
  WAVE_ACTIVATION,
} from "../protocols/registry.ts";
import type { Plan } from "../inference/plan.ts";
import {
  activationFunction,
  checkModel,
  DEFAULT_SEED,
  formatRangesOption,
  planFrom,
  type PlanValues,
} from "./inference_options.ts";
import { formatFunctions, trainedFunctions } from "./function_options.ts";
import { asksMany } from "./query_images.ts";
import { modelFrom } from "./random_model.ts";

interface NetworkOptions extends PlanValues {
  readonly weights: string | undefined;
  readonly modelSeed: number | undefined;
}

/** What `infer` and `explain` are told about network and image. */
interface Choice extends Omit<NetworkOptions, "model" | "graph" | "activation"> {
  readonly model: string | undefined;
  readonly activation: string | undefined;
  readonly image: string | undefined;
  readonly images?: string | undefined;
  readonly dataset?: string | undefined;
  readonly drawn: number | undefined;
  readonly seed: number | undefined;
}

/** What runs where nothing says which network. */
export const RANDOM_MODEL = "minionn-bn";
/** The picture for those who ask for none: a square, which both shipped networks tell from the others by far. */
const KNOWN_PICTURE = 1;
/** What is shipped for drawn shapes, by the kind of its activation. */
const SHIPPED: Partial<Record<Activation["kind"], string>> = {
  polynomial: "convnet-pillar-shapes",
  relu: "convnet-relu-shapes",
};

/**
 * Puts a shipped network, trained on drawn shapes, and one of these in the place of what is not said at all; the protocol is the one that
 * computes what the weights were trained with. A protocol whose function none was trained with gets a random network.
 */
export async function withDefaults<T extends Choice>(
  options: T,
): Promise<T & { readonly model: string; readonly graph: string | undefined; readonly activation: string }> {
  const { model, weights, elements, modelSeed, polynomial, wave, activation, image, seed } = options;
  if (weights !== undefined) return { ...options, ...await networkIn(weights, options) };
  const protocol = activation === undefined
    ? wave === undefined ? DEFAULT_ACTIVATION : WAVE_ACTIVATION
    : activationProtocol(activation);
  const shipped = SHIPPED[protocol.usual.kind];
  if (
    shipped === undefined ||
    [model, elements, modelSeed, polynomial, wave].some((given) => given !== undefined)
  ) {
    return { ...options, model: model ?? RANDOM_MODEL, graph: undefined, activation: protocol.name };
  }
  const folder = fileURLToPath(new URL(`../../results/models/${shipped}`, import.meta.url));
  const asked = image ?? seed ?? (asksMany(options) || undefined);
  const drawn = options.drawn ?? (asked === undefined ? KNOWN_PICTURE : undefined);
  return { ...options, drawn, weights: folder, ...await networkIn(folder, options) };
}

/** The network whose weights lie in a folder, and its graph where it is none of ours; the protocol that computes its activation. */
export async function networkIn(
  folder: string,
  { model, classes, activation }: Partial<Pick<Choice, "model" | "classes" | "activation">>,
) {
  const found = await readModelDescription(folder);
  return {
    model: model ?? found.model,
    graph: model === undefined ? graphPath(folder) : undefined,
    classes: classes ?? found.classes,
    activation: activation ?? protocolFor(found.activation).name,
  };
}

/** `folder` is null for a single activation layer, which has no weights. */
export type LocatedModel = Model & { readonly folder: string | null };

/** Trained weights bring their own functions, and audited ones their ranges with them, unless others were asked for. */
export async function networkAndPlan(options: NetworkOptions): Promise<{ model: LocatedModel; plan: Plan }> {
  const wanted = planFrom(options), { graph } = wanted;
  const model = await networkOf(options, wanted);
  const trained = trainedFunctions(graph, options.activation, model.activation, model.weights);
  const { polynomial = trained.polynomial, wave = trained.wave } = options;
  const asked = { ...formatFunctions(graph, planFrom({ ...options, polynomial, wave }).options) };
  const fits = Object.keys(trained).length === 0 || JSON.stringify(asked) === JSON.stringify(trained);
  const ranges = options.ranges ??
    (model.ranges && fits ? formatRangesOption(graph, model.ranges) : undefined);
  const plan = planFrom({ ...options, polynomial, wave, ranges });
  if (model.folder !== null) checkModel(model.folder, model, plan);
  return { model, plan };
}

/** The network of a plan for the engines in the clear: functions of each layer's own are weights there. */
export function plainNetwork({ graph, options }: Plan, folded: Weights): PlainNetwork {
  const activation = activationProtocol(options.activation).computes ?? options.function;
  if (activation.kind !== "trigonometric" || options.functions === undefined) {
    return { graph, weights: folded, activation };
  }
  const weights = new Map(folded);
  for (const [id, f] of Object.entries(options.functions)) {
    if (f.kind !== "trigonometric") continue;
    const data = Float32Array.of(f.offset, ...f.amplitudes);
    weights.set(`${id}.fourier`, { shape: [data.length], data });
  }
  return { graph, weights, activation: { ...activation, learned: true } };
}

/** A network for the engines in the clear. */
export interface PlainNetwork {
  readonly graph: Graph;
  readonly weights: Weights;
  readonly activation: Activation;
}

async function networkOf(options: NetworkOptions, plan: Plan): Promise<LocatedModel> {
  const { graph } = plan, { classes } = graph, activation = activationFunction(plan);
  if (options.elements !== undefined) {
    return { model: graph.name, classes, activation, graph, weights: new Map(), folder: null };
  }
  return await modelFrom(options.weights, {
    name: graph.name,
    classes,
    activation,
    seed: options.modelSeed ?? DEFAULT_SEED,
  });
}
