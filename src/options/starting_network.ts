/**
 * The networks of other folders that a training needs: the one it starts from, which brings its architecture, and the one it learns
 * from. What they are goes into the run, so that a repetition with others is refused.
 */
import { graphPath, type Model, readModelFolder, weightsFile } from "../data/model_folder.ts";
import { planInference } from "../inference/planner.ts";
import { withAveragePools } from "../models/average_pools.ts";
import { consumersOf, foldGraph } from "../models/fold.ts";
import type { Graph } from "../models/graph.ts";
import { formatGraph } from "../models/graph_json.ts";
import { withLearnedActivations } from "../models/trigonometric.ts";
import { buildModel } from "../models/zoo.ts";
import type { ActivationProtocol } from "../protocols/protocol.ts";
import { ACTIVATION_PROTOCOLS, DEFAULT_LINEAR, protocolFor } from "../protocols/registry.ts";
import { EXACT_SIGMOID, parseActivation } from "../training/activations.ts";
import { HERMITE } from "../training/hermite.ts";
import type { Recipe, Run } from "../training/recipe.ts";
import type { GivenWeights } from "../training/start.ts";
import { trainingGraph } from "../training/training_graph.ts";
import { cappedScales } from "../training/update_rules.ts";
import { UsageError } from "../terminal/command.ts";

/** A trained network, where it lies, and the SHA-256 of its weights. */
export interface TrainedNetwork extends Model {
  readonly folder: string;
  readonly sha256: string;
  /** Whether its architecture lies in the folder too: it is none of ours. */
  readonly isOwn: boolean;
}

/** A network that a training starts from: as it is, or as a twin with ReLU. */
export interface StartingNetwork extends TrainedNetwork {
  readonly isTwin: boolean;
}

export async function trainedNetwork(folder: string): Promise<TrainedNetwork> {
  const model = await readModelFolder(folder), { sha256 } = await weightsFile(folder);
  return { ...model, folder, sha256, isOwn: graphPath(folder) !== undefined };
}

/** The network that the options name; undefined where a training starts from its seed. */
export async function startingNetwork(
  { from, twin }: { readonly from: string | undefined; readonly twin: string | undefined },
): Promise<StartingNetwork | undefined> {
  if (from !== undefined && twin !== undefined) {
    throw new UsageError("--from and --twin both say what training starts from; give one");
  }
  const folder = from ?? twin;
  return folder === undefined ? undefined : { ...await trainedNetwork(folder), isTwin: from === undefined };
}

/** What a run says of the network that it starts from. */
export async function beginning(
  start: StartingNetwork | undefined,
): Promise<Pick<Run, "graph" | "pixels" | "from" | "twin">> {
  if (start === undefined) return { graph: null, pixels: null, from: null, twin: null };
  const { isOwn, isTwin, graph, pixels = null, sha256 } = start;
  return {
    graph: isOwn ? await sha256Of(formatGraph(graph)) : null,
    pixels,
    from: isTwin ? null : sha256,
    twin: isTwin ? sha256 : null,
  };
}

async function sha256Of(text: string): Promise<string> {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text))).toHex();
}

/** The network that a recipe trains, before its activation changes it. */
export function networkOf(
  { model, pooling }: Pick<Recipe, "model" | "pooling">,
  start: Pick<StartingNetwork, "graph" | "isOwn"> | undefined,
  classes?: number,
): Graph {
  const graph = start?.isOwn ? start.graph : buildModel(model, start?.graph.classes ?? classes);
  if (pooling === null) return graph;
  if (start?.isOwn) return withAveragePools(graph);
  throw new UsageError(
    "--pooling average changes networks that --from brings from elsewhere; of ours, resnet50-avg has averages",
  );
}

/** The weights that a training starts from; numbers of activations that another function has learned say nothing. */
export function givenWeights(
  { activation, weights, isTwin }: StartingNetwork,
  run: Pick<Recipe, "activation">,
): GivenWeights {
  const isSame = JSON.stringify(activation) === JSON.stringify(parseActivation(run.activation));
  const kept = isSame ? weights : new Map([...weights].filter(([name]) => !name.endsWith(".fourier")));
  return { weights: kept, isTwin };
}

/**
 * Refuses a recipe that the network cannot follow, or after which nobody could infer it in private.
 *
 * @throws {Error} one sentence that says what does not fit
 */
export function checkRecipe(recipe: Recipe, start: StartingNetwork | undefined): void {
  if (start) checkStart(recipe, start);
  const graph = networkOf(recipe, start);
  checkRules(recipe, graph);
  trainingGraph(graph, recipe.activation);
  if (recipe.activation !== EXACT_SIGMOID) inferringProtocol(graph, recipe.activation);
}

/** Rules that would undo what the network is, or do nothing. */
function checkRules(
  { activation, muon, learningRate, zeroResidual, replacement, scaleCap }: Recipe,
  graph: Graph,
): void {
  if (activation === HERMITE && (zeroResidual || replacement !== null)) {
    throw new UsageError(
      `--zero-residual and --replacement do not go with ${HERMITE}, whose square is a sum of its own; leave them out`,
    );
  }
  if (zeroResidual && !graph.nodes.some(({ op }) => op === "add")) {
    throw new UsageError(`--zero-residual: ${graph.name} has no residual blocks; leave it out`);
  }
  if (scaleCap !== null && cappedScales(trainingGraph(graph, activation).graph).length === 0) {
    throw new UsageError(
      `--scale-cap: ${graph.name} has no batch norm right before an activation; leave it out`,
    );
  }
  if (muon === null) return;
  if (learningRate === 0) throw new UsageError("--muon needs --lr above 0, whose way to 0 its rate follows");
  const readers = consumersOf(graph);
  const bare = graph.nodes.find((node) =>
    node.op === "conv" && node.kernel === 3 && readers.get(node.id)!.some(({ op }) => op !== "batchNorm")
  );
  if (bare === undefined) return;
  throw new UsageError(
    `--muon sets the size of 3x3 filters, which batch norm takes out again, but none follows ${bare.id}; leave it out`,
  );
}

function checkStart(recipe: Recipe, { model, activation, folder, isTwin }: StartingNetwork): void {
  const flag = isTwin ? "--twin" : "--from";
  if (model !== recipe.model) {
    throw new UsageError(
      `${flag} holds ${model}, but --preset or --model asks for ${recipe.model}; leave that out, or give another folder`,
    );
  }
  if (isTwin && activation.kind !== "relu") {
    throw new UsageError(
      `${flag} must hold a network with ReLU, ${folder} holds one with ${activation.kind}`,
    );
  }
  if (recipe.whitening || recipe.zeroResidual) {
    throw new UsageError(
      `--whitening and --zero-residual change weights that are drawn from the seed; leave them out with ${flag}`,
    );
  }
  if (recipe.activation === HERMITE) {
    throw new UsageError(
      `the activation ${HERMITE} has batch norms of its own, of which ${folder} holds nothing; give another --activation`,
    );
  }
}

/**
 * The protocol that infers a network once it is trained: the usual one of its activation where that can, else another.
 *
 * @throws {RangeError} of one sentence, where none can
 */
export function inferringProtocol(graph: Graph, text: string): ActivationProtocol {
  const f = parseActivation(text), usual = protocolFor(f);
  const folded = foldGraph(withLearnedActivations(graph, { kind: "relu" }));
  const refusals: Error[] = [];
  for (const protocol of new Set([usual, ...ACTIVATION_PROTOCOLS])) {
    if (protocol.usual.kind !== f.kind) continue;
    try {
      planInference(folded, { activation: protocol.name, linear: DEFAULT_LINEAR.name, function: f });
      return protocol;
    } catch (error) {
      refusals.push(error as Error);
    }
  }
  const pool = graph.nodes.find(({ op }) => op === "maxPool");
  throw new RangeError(
    pool
      ? `no protocol computes ${text} in a network with max pooling (${pool.id} of ${graph.name}); give --pooling average`
      : `no protocol infers ${graph.name} with ${text}: ${refusals[0]?.message}`,
  );
}
