/** The network that `infer` and `explain` run, and its plan. */
import type { Model } from "../data/model_folder.ts";
import type { Plan } from "../inference/plan.ts";
import {
  activationFunction,
  checkDescription,
  formatPolynomialOption,
  formatRangesOption,
  parsePolynomialOption,
  planFrom,
  type PlanValues,
} from "./inference_options.ts";
import { modelFrom } from "./random_model.ts";

interface NetworkOptions extends PlanValues {
  readonly weights: string | undefined;
  readonly modelSeed: number;
}

/** `folder` is null for a single activation layer, which has no weights. */
export type LocatedModel = Model & { readonly folder: string | null };

/** Trained weights bring their own polynomial, and audited ones their ranges with it, unless others were asked for. */
export async function networkAndPlan(options: NetworkOptions): Promise<{ model: LocatedModel; plan: Plan }> {
  const wanted = planFrom(options);
  const model = await networkOf(options, wanted);
  const polynomial = options.polynomial === undefined && model.activation.kind === "polynomial"
    ? formatPolynomialOption(model.activation)
    : formatPolynomialOption(parsePolynomialOption(options.polynomial));
  const fits = model.activation.kind !== "polynomial" ||
    polynomial === formatPolynomialOption(model.activation);
  const ranges = options.ranges ??
    (model.ranges && fits ? formatRangesOption(wanted.graph, model.ranges) : undefined);
  const plan = planFrom({ ...options, polynomial, ranges });
  if (model.folder !== null) checkDescription(model.folder, model, plan);
  return { model, plan };
}

async function networkOf(options: NetworkOptions, plan: Plan): Promise<LocatedModel> {
  const { graph, classes } = plan, activation = activationFunction(plan);
  if (options.elements !== undefined) {
    return { model: graph.name, classes, activation, graph, weights: new Map(), folder: null };
  }
  return await modelFrom(options.weights, { name: graph.name, classes, activation, seed: options.modelSeed });
}
