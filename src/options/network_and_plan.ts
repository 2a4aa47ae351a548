/** The network that `infer` and `explain` run, and its plan. */
import { fileURLToPath } from "node:url";
import { graphPath, type Model, readModelDescription } from "../data/model_folder.ts";
import type { Plan } from "../inference/plan.ts";
import { ACTIVATION_PROTOCOLS, DEFAULT_ACTIVATION } from "../protocols/registry.ts";
import {
  activationFunction,
  checkModel,
  formatPolynomialOption,
  formatRangesOption,
  parsePolynomialOption,
  planFrom,
  type PlanValues,
  takesPolynomial,
} from "./inference_options.ts";
import { modelFrom } from "./random_model.ts";

interface NetworkOptions extends PlanValues {
  readonly weights: string | undefined;
  readonly modelSeed: number;
}

/** What `infer` and `explain` are told about network and image. */
interface Choice extends Omit<NetworkOptions, "model" | "graph"> {
  readonly model: string | undefined;
  readonly image: string | undefined;
  readonly images: string | undefined;
  readonly drawn: number | undefined;
}

const RANDOM_MODEL = "minionn-bn";
/** The picture for those who ask for none: a square, which both shipped networks tell from the others by far. */
const KNOWN_PICTURE = 1;

/** Puts a shipped network, trained on drawn shapes, and one of these in the place of what is not said at all. */
export async function withDefaults<T extends Choice>(
  options: T,
): Promise<T & { readonly model: string; readonly graph: string | undefined }> {
  const { model, weights, elements, polynomial, activation, image, images } = options;
  if (model !== undefined || weights !== undefined || elements !== undefined || polynomial !== undefined) {
    return { ...options, ...await networkAsked(options) };
  }
  const name = activation === "relu" ? "convnet-relu-shapes" : "convnet-pillar-shapes";
  const shipped = {
    ...options,
    weights: fileURLToPath(new URL(`../../results/models/${name}`, import.meta.url)),
  };
  const drawn = options.drawn ?? (image === undefined && images === undefined ? KNOWN_PICTURE : undefined);
  return { ...shipped, drawn, ...await networkAsked(shipped) };
}

/** The network by its name, or the one whose weights lie in a folder: where that is none of ours, its graph is there too. */
export async function networkAsked(
  { model, weights, classes }: Pick<Choice, "model" | "weights" | "classes">,
) {
  if (model !== undefined || weights === undefined) {
    return { model: model ?? RANDOM_MODEL, graph: undefined, classes };
  }
  const found = await readModelDescription(weights);
  return { model: found.model, graph: graphPath(weights), classes: classes ?? found.classes };
}

/** The protocol that runs the weights in a folder: the default one, unless another alone computes what they were trained with. */
export async function protocolFor(weights: string | undefined): Promise<string> {
  const activation = weights === undefined ? undefined : (await readModelDescription(weights)).activation;
  const only = ACTIVATION_PROTOCOLS.find(({ computes }) =>
    computes !== undefined && computes.kind === activation?.kind
  );
  return (only ?? DEFAULT_ACTIVATION).name;
}

/** `folder` is null for a single activation layer, which has no weights. */
export type LocatedModel = Model & { readonly folder: string | null };

/** Trained weights bring their own polynomial, and audited ones their ranges with it, unless others were asked for. */
export async function networkAndPlan(options: NetworkOptions): Promise<{ model: LocatedModel; plan: Plan }> {
  const wanted = planFrom(options);
  const model = await networkOf(options, wanted);
  const trained = model.activation.kind === "polynomial" && takesPolynomial(options.activation)
    ? formatPolynomialOption(model.activation)
    : undefined;
  const polynomial = options.polynomial ?? trained;
  const fits = trained === undefined || formatPolynomialOption(parsePolynomialOption(polynomial)) === trained;
  const ranges = options.ranges ??
    (model.ranges && fits ? formatRangesOption(wanted.graph, model.ranges) : undefined);
  const plan = planFrom({ ...options, polynomial, ranges });
  if (model.folder !== null) checkModel(model.folder, model, plan);
  return { model, plan };
}

async function networkOf(options: NetworkOptions, plan: Plan): Promise<LocatedModel> {
  const { graph, classes } = plan, activation = activationFunction(plan);
  if (options.elements !== undefined) {
    return { model: graph.name, classes, activation, graph, weights: new Map(), folder: null };
  }
  return await modelFrom(options.weights, { name: graph.name, classes, activation, seed: options.modelSeed });
}
