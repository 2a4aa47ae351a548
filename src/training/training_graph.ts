/** What is trained for a network and the name of its activation, and what becomes of the result. */
import type { Activation, Graph, Weights } from "../models/graph.ts";
import { withLearnedActivations } from "../models/trigonometric.ts";
import { parseActivation } from "./activations.ts";
import { HERMITE, HERMITE_2, hermiteGraph } from "./hermite.ts";
import { checkFoldable, foldHermite } from "./hermite_fold.ts";

/** A network as engines train it. */
export interface TrainingGraph {
  readonly graph: Graph;
  readonly activation: Activation;
  /** The network's own weights, for the activation of `parseActivation`, from those of `graph`. */
  readonly finish: (weights: Weights) => Weights;
}

/**
 * Most activations are trained as they are inferred, learned ones with tensors of their own; AESPA's in a graph of its own.
 *
 * @param name as `parseActivation` takes it
 * @throws {SyntaxError | RangeError} one sentence, for an unknown activation or one that does not fit the network
 */
export function trainingGraph(graph: Graph, name: string): TrainingGraph {
  if (name !== HERMITE) {
    const activation = parseActivation(name);
    return { graph: withLearnedActivations(graph, activation), activation, finish: (weights) => weights };
  }
  checkFoldable(graph);
  return {
    graph: hermiteGraph(graph),
    activation: HERMITE_2,
    finish: (weights) => foldHermite(graph, weights),
  };
}
