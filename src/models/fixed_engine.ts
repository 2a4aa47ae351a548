/**
 * Runs a network in plaintext fixed point: integers with a scale, the oracle of the secure run. Independent of the ring kernels: integers
 * are kept in doubles, exact below 2^53, and a value that needs more is an error that names its layer.
 *
 * Rules: a linear layer adds the scales of input and weights and does not truncate; average pooling is a sum whose division
 * goes into the scale; of two summands the one with fewer bits is shifted left; activations are the caller's.
 */
import { addBias, applyLinear, type LinearMatrix, linearMatrix, maxPool, sumPool } from "./_layers.ts";
import { checkImage } from "./float_engine.ts";
import { isLinear, type LinearNode } from "./fold.ts";
import { type Graph, inferShapes, type Node, type Shape, type Weights } from "./graph.ts";

/** The integers v stand for v / 2^fractionBits. */
export interface FixedValue {
  readonly integers: Float64Array;
  readonly fractionBits: number;
}

/** The scales and the activation of a fixed-point evaluation. */
export interface FixedArithmetic {
  /** Fraction bits of the image. */
  readonly inputBits: number;
  /** Fraction bits of the weights of a linear node. */
  weightBits(id: string): number;
  /** An activation node on its input, at whatever scale, as a protocol computes it. */
  activation(id: string, x: FixedValue): FixedValue;
}

/** What an average over n elements makes of the scale: log2 n more bits, rounded up, and the rest 2^bits / n for the next weights. */
function averageScale(elements: number): { readonly bits: number; readonly weightFactor: number } {
  const bits = Math.ceil(Math.log2(elements));
  return { bits, weightFactor: 2 ** bits / elements };
}

/** Evaluates a network without batch norm and keeps the value of every node. */
export function evaluateFixed(
  graph: Graph,
  weights: Weights,
  arithmetic: FixedArithmetic,
  image: ArrayLike<number>,
): Map<string, FixedValue> {
  checkImage(graph, image);
  const shapes = inferShapes(graph),
    values = new Map<string, FixedValue>(),
    factors = new Map<string, number>();
  for (const node of graph.nodes) {
    const value = node.op === "input"
      ? encodeImage(image, arithmetic.inputBits)
      : step(node, shapes, values, factors, weights, arithmetic);
    checkExact(graph, node, value);
    values.set(node.id, value);
  }
  return values;
}

const encodeImage = (image: ArrayLike<number>, fractionBits: number): FixedValue => ({
  integers: Float64Array.from(image, (v) => Math.round(v * 2 ** fractionBits)),
  fractionBits,
});

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

/**
 * Throws a RangeError unless every sum of a linear layer is exact in whatever order it is added. A bound from the
 * largest input and the largest column decides in all but extreme cases; else the sums of absolute values do.
 */
function checkSums(
  node: LinearNode,
  x: Float64Array,
  input: Shape,
  output: Shape,
  matrix: LinearMatrix,
): void {
  const { values, rows, columns } = matrix, sums = new Float64Array(columns);
  for (let i = 0; i < rows; i++) {
    for (let c = 0; c < columns; c++) sums[c] += Math.abs(values[i * columns + c]);
  }
  const max = (a: Float64Array) => a.reduce((m, v) => Math.max(m, Math.abs(v)), 0);
  if (max(x) * max(sums) < 2 ** 53) return;
  const sizes = applyLinear(node, x.map(Math.abs), input, output, {
    ...matrix,
    values: values.map(Math.abs),
  });
  if (max(sizes) < 2 ** 53) return;
  throw new RangeError(
    `the sums of ${node.id} reach 2^${
      Math.log2(max(sizes)).toFixed(1)
    }, more than the 2^53 up to which they are ` +
      "exact; use fewer fraction bits",
  );
}

function step(
  node: Exclude<Node, { op: "input" }>,
  shapes: ReadonlyMap<string, Shape>,
  values: ReadonlyMap<string, FixedValue>,
  factors: Map<string, number>,
  weights: Weights,
  arithmetic: FixedArithmetic,
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
      const weightBits = arithmetic.weightBits(node.id), bits = x.fractionBits + weightBits;
      const encode = (w: number) => Math.round(Math.fround(w * factor) * 2 ** weightBits);
      const matrix = linearMatrix(weights.get(`${node.id}.weight`)!.data, node.outputs, encode);
      checkSums(node, x.integers, input, output, matrix);
      const integers = applyLinear(node, x.integers, input, output, matrix);
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
      return arithmetic.activation(node.id, x);
    case "averagePool": {
      const { bits, weightFactor } = averageScale(node.kernel ** 2);
      if (weightFactor !== 1) factors.set(node.id, weightFactor);
      return { integers: sumPool(node, x.integers, input, output), fractionBits: x.fractionBits + bits };
    }
    case "maxPool":
      return {
        integers: maxPool(node, shift(x, arithmetic.inputBits), input, output),
        fractionBits: arithmetic.inputBits,
      };
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
export function shift({ integers, fractionBits }: FixedValue, bits: number): Float64Array {
  const unit = 2 ** (bits - fractionBits);
  return bits === fractionBits ? integers : integers.map((v) => Math.floor(v * unit));
}
