/** Which parameters weight decay acts on. */
import type { StepSettings } from "./engine.ts";

/** Weight decay of a parameter by its name. Learned activations have none: their numbers are not scales of a layer. */
export function decayOf(name: string, { weightDecay, decayNorms }: StepSettings): number {
  if (name.endsWith(".fourier")) return 0;
  return decayNorms || !/\.(scale|offset)$/.test(name) ? weightDecay : 0;
}
