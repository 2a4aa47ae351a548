/**
 * Another unit for the values inside a network: with f_P the trigonometric activation of period P, f_P(u x) = u f_(P/u)(x). So a network whose values
 * between image and logits are counted in units of u has the same logits, with the period P / u, the weights that read the image
 * divided by u, those that make the logits multiplied by it, and biases in the unit of what they are added to.
 */
import { consumersOf, isLinear } from "./fold.ts";
import type { FloatTensor, Graph, Trigonometric, Weights } from "./graph.ts";

/** What turns a period into the nearest power of two. */
export const unitOfPeriod = ({ period }: Pick<Trigonometric, "period">): number =>
  period / 2 ** Math.round(Math.log2(period));

/** The same function with input and output in units of `unit`. */
export const inUnit = (
  { period, offset, amplitudes, ...rest }: Trigonometric,
  unit: number,
): Trigonometric => ({
  ...rest,
  period: period / unit,
  offset: offset / unit,
  amplitudes: amplitudes.map((b) => b / unit),
});

/** By node the unit of its value: 1 for the image, what is a sum or an average of its pixels, and for the logits. */
export function unitsOf(graph: Graph, unit: number): Map<string, number> {
  const units = new Map<string, number>(), logits = logitsOf(graph), last = graph.nodes.at(-1)!.id;
  const refuse = (what: string): never => {
    throw new RangeError(
      `${graph.name}: ${what}, so it cannot be counted in the unit ${unit}; use a period that is a power of two`,
    );
  };
  for (const node of graph.nodes) {
    if (node.op === "input") units.set(node.id, 1);
    else if (isLinear(node)) units.set(node.id, logits.has(node.id) ? 1 : unit);
    else {
      const [of, other] = [units.get(node.input)!, node.op === "add" ? units.get(node.shortcut)! : undefined];
      if (node.op === "activation" ? of !== unit : other !== undefined && of !== other) {
        refuse(`${node.id} reads a value that no linear layer separates from the image or the logits`);
      }
      units.set(node.id, of);
    }
  }
  if (units.get(last) !== 1) refuse(`no linear layer separates the logits ${last} from an activation`);
  return units;
}

/** The nodes from whose values the logits follow by sums, poolings and flattening alone. */
function logitsOf(graph: Graph): ReadonlySet<string> {
  const readers = consumersOf(graph), found = new Set<string>();
  for (const node of graph.nodes.toReversed()) {
    const next = readers.get(node.id)!;
    if (next.every(({ op, id }) => found.has(id) && op !== "activation" && op !== "conv" && op !== "dense")) {
      found.add(node.id);
    }
  }
  return found;
}

/** Weights of a network without batch norm, and of its learned activations, in the units of {@linkcode unitsOf}. */
export function weightsInUnits(graph: Graph, weights: Weights, units: ReadonlyMap<string, number>): Weights {
  if ([...units.values()].every((unit) => unit === 1)) return weights;
  const scaled = new Map<string, FloatTensor>();
  const take = (name: string, factor: number) => {
    const tensor = weights.get(name);
    if (tensor) scaled.set(name, { ...tensor, data: tensor.data.map((w) => w * factor) });
  };
  for (const node of graph.nodes) {
    const unit = units.get(node.id)!;
    if (isLinear(node)) {
      take(`${node.id}.weight`, units.get(node.input)! / unit);
      take(`${node.id}.bias`, 1 / unit);
    } else if (node.op === "activation") take(`${node.id}.fourier`, 1 / unit);
  }
  return scaled;
}
