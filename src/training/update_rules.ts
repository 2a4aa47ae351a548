/** Which parameters the rules of the optimiser act on, by their names. */
import type { Graph } from "../models/graph.ts";
import type { StepSettings } from "./engine.ts";
import { normsBefore } from "./hermite.ts";

/** Weight decay of a parameter by its name. Learned activations have none: their numbers are not scales of a layer. */
export function decayOf(name: string, { weightDecay, decayNorms, decayBiases }: StepSettings): number {
  if (name.endsWith(".fourier")) return 0;
  if (name.endsWith(".bias")) return decayBiases ? weightDecay : 0;
  return decayNorms || name.endsWith(".weight") ? weightDecay : 0;
}

/** The scales that a cap bounds: of batch norms that an activation reads, and nothing else. */
export const cappedScales = (graph: Graph): string[] =>
  [...normsBefore(graph).values()].map(({ id }) => `${id}.scale`);
