/**
 * Runs a network in plaintext fixed point: integers with a scale, the oracle of the secure run. Independent of the ring kernels: integers
 * are kept in doubles, exact below 2^53, and a value that needs more is an error that names its layer.
 *
 * Rules: the image has f fraction bits, weights have f; a linear layer adds the scales of input and weights and does not
 * truncate; average pooling is a sum whose division goes into the scale; of two summands the one with fewer bits is
 * shifted left; before an activation the value is truncated (floor) to f bits.
 */
import { addBias, applyLinear, linearMatrix, maxPool, sumPool } from "./_layers.ts";
import { checkImage } from "./float_engine.ts";
import { isLinear } from "./fold.ts";
import { type Graph, inferShapes, type Node, type Shape, type Weights } from "./graph.ts";

/** The integers v stand for v / 2^fractionBits. */
export interface FixedValue {
  readonly integers: Float64Array;
  readonly fractionBits: number;
}

/** An activation on integers with f bits, as a protocol computes it. */
export type FixedActivation = (x: Float64Array) => Float64Array;

/** What an average over n elements makes of the scale: log2 n more bits, rounded up, and the rest 2^bits / n for the next weights. */
export function averageScale(elements: number): { readonly bits: number; readonly weightFactor: number } {
  const bits = Math.ceil(Math.log2(elements));
  return { bits, weightFactor: 2 ** bits / elements };
}

/** Evaluates a network without batch norm and keeps the value of every node. */
export function evaluateFixed(
  graph: Graph,
  weights: Weights,
  fractionBits: number,
  image: ArrayLike<number>,
  activation: FixedActivation,
): Map<string, FixedValue> {
  checkImage(graph, image);
  const shapes = inferShapes(graph),
    values = new Map<string, FixedValue>(),
    factors = new Map<string, number>();
  for (const node of graph.nodes) {
    const value = node.op === "input"
      ? { integers: Float64Array.from(image, (v) => Math.round(v * 2 ** fractionBits)), fractionBits }
      : step(node, shapes, values, factors, weights, fractionBits, activation);
    checkExact(graph, node, value);
    values.set(node.id, value);
  }
  return values;
}

function checkExact(graph: Graph, node: Node, { integers, fractionBits }: FixedValue): void {
  for (let i = 0; i < integers.length; i++) {
    if (Math.abs(integers[i]) < 2 ** 53) continue;
    throw new RangeError(
      `${graph.name}: a value of ${node.id} is ${
        (integers[i] / 2 ** fractionBits).toPrecision(3)
      }, too large for fixed point with ` +
        `${fractionBits} fraction bits (at most ${2 ** (53 - fractionBits)})`,
    );
  }
}

function step(
  node: Exclude<Node, { op: "input" }>,
  shapes: ReadonlyMap<string, Shape>,
  values: ReadonlyMap<string, FixedValue>,
  factors: Map<string, number>,
  weights: Weights,
  fractionBits: number,
  activation: FixedActivation,
): FixedValue {
  const x = values.get(node.input)!, input = shapes.get(node.input)!, output = shapes.get(node.id)!;
  const factor = factors.get(node.input) ?? 1;
  if (factor !== 1 && !isLinear(node) && node.op !== "flatten") {
    throw new RangeError(
      `an average over a window whose size is no power of two must feed a linear layer, not ${node.id}`,
    );
  }
  switch (node.op) {
    case "conv":
    case "dense": {
      const bits = x.fractionBits + fractionBits,
        encode = (w: number) => Math.round(Math.fround(w * factor) * 2 ** fractionBits);
      const integers = applyLinear(
        node,
        x.integers,
        input,
        output,
        linearMatrix(weights.get(`${node.id}.weight`)!.data, node.outputs, encode),
      );
      if (node.bias) {
        addBias(
          integers,
          Float64Array.from(weights.get(`${node.id}.bias`)!.data, (b) => Math.round(b * 2 ** bits)),
        );
      }
      return { integers, fractionBits: bits };
    }
    case "batchNorm":
      throw new RangeError(`batch norm ${node.id} must be merged into the layer before it`);
    case "activation":
      return { integers: activation(shift(x, fractionBits)), fractionBits };
    case "averagePool": {
      const { bits, weightFactor } = averageScale(node.kernel ** 2);
      if (weightFactor !== 1) factors.set(node.id, weightFactor);
      return { integers: sumPool(node, x.integers, input, output), fractionBits: x.fractionBits + bits };
    }
    case "maxPool":
      return { integers: maxPool(node, shift(x, fractionBits), input, output), fractionBits };
    case "add": {
      const other = values.get(node.shortcut)!, bits = Math.max(x.fractionBits, other.fractionBits);
      const a = shift(x, bits), b = shift(other, bits);
      return { integers: a.map((v, i) => v + b[i]), fractionBits: bits };
    }
    case "flatten":
      if (factor !== 1) factors.set(node.id, factor);
      return x;
  }
}

/** The integers at another scale: exact to more bits, floor to fewer. */
function shift({ integers, fractionBits }: FixedValue, bits: number): Float64Array {
  const unit = 2 ** (bits - fractionBits);
  return bits === fractionBits ? integers : integers.map((v) => Math.floor(v * unit));
}
