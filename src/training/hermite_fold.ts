/**
 * A network trained with AESPA's activation as an ordinary network whose activation is x^2, one public polynomial for all
 * channels, as the protocols of private inference want it.
 *
 * Per channel the trained activation is a quadratic, and a quadratic is a square up to affine maps:
 *
 *     f(x) = factor * ((x - vertex) / deviation)^2 + constant.
 *
 * The map before the square goes into the batch norm before the activation, or into the layer if there is none; factor and
 * constant go into weights and bias of the next layers. Average pooling and flatten let them through. Zero padding does
 * not (a padded 0 would have to be the constant), nor does a sum (its other side has no such factor).
 *
 * Conditioning. Let z be x in standard deviations around its mean, so f = A z^2 + B z + C and the vertex is z0 = -B / 2A. The
 * square is taken of (z - z0) / sqrt(1 + z0^2), whose root mean square is 1. A channel with a tiny A has its vertex far
 * away, and its square differs from 1 by small amounts only, of which fixed point keeps few bits. So |z0| is at most
 * {@linkcode FARTHEST_VERTEX}: where it is not, A is raised until it is, which changes f by at most z^2 |B| / 512: z / 512
 * of the linear term that rules such a channel. Rounding the square's input at 16 fraction bits changes it by 1 / 256 of B at
 * most, so neither error is worth avoiding at the cost of the other. All other channels are exact up to the rounding of
 * float32 weights.
 */
import {
  BATCH_NORM_EPSILON,
  batchNormAffine,
  consumersOf,
  isLinear,
  type LinearNode,
} from "../models/fold.ts";
import type { BatchNormNode, FloatTensor, Graph, Node, Weights } from "../models/graph.ts";
import { realCoefficients } from "../polynomial/polynomial.ts";
import { HERMITE, HERMITE_2, hermiteNodes, normsBefore } from "./hermite.ts";

/** Standard deviations between the mean of x and the vertex of the parabola. */
export const FARTHEST_VERTEX = 256;

/** f(x) = factor * ((x - vertex) / deviation)^2 + constant, by channel. */
interface Squares {
  readonly vertex: Float64Array;
  readonly deviation: Float64Array;
  readonly factor: Float64Array;
  readonly constant: Float64Array;
}

/** An activation between the layers that its affine maps go into. */
interface Place {
  readonly activation: string;
  readonly before: BatchNormNode | LinearNode;
  readonly after: readonly LinearNode[];
}

/**
 * The weights of `graph`, to be used with the activation x^2, that compute what `hermiteGraph(graph)` computes.
 *
 * @param weights of `hermiteGraph(graph)`
 * @throws {RangeError} one sentence, for a network of which {@linkcode checkFoldable} says that it is impossible
 */
export function foldHermite(graph: Graph, weights: Weights): Map<string, FloatTensor> {
  const places = placesOf(graph), own = new Set(graph.nodes.map(({ id }) => id));
  const folded = new Map<string, FloatTensor>();
  for (const [name, { shape, data }] of weights) {
    if (own.has(name.slice(0, name.lastIndexOf(".")))) folded.set(name, { shape, data: data.slice() });
  }
  for (const { activation, before, after } of places) {
    const squares = squaresOf(activation, weights);
    if (before.op === "batchNorm") setNorm(before.id, squares, folded);
    else mapOutputs(before.id, squares, folded);
    for (const layer of after) mapInputs(layer.id, squares, folded);
  }
  return folded;
}

/**
 * Refuses networks whose trained activations cannot be folded, and so not be inferred in private.
 *
 * @throws {RangeError} one sentence that names what is in the way
 */
export const checkFoldable = (graph: Graph): void => void placesOf(graph);

function placesOf(graph: Graph): Place[] {
  const nodes = new Map(graph.nodes.map((node) => [node.id, node])), consumers = consumersOf(graph);
  const norms = normsBefore(graph);
  return graph.nodes.filter((node) => node.op === "activation").map(({ id, input }) => {
    const refuse = (reason: string): never => {
      throw new RangeError(
        `activation ${HERMITE} has a factor and a constant per channel, which must go into the layers around it, but in ` +
          `${graph.name} ${reason}; networks that it fits: convnet`,
      );
    };
    const layer = nodes.get(input)!, readers = consumers.get(input)!.length;
    const own = isLinear(layer) && layer.bias && readers === 1 ? layer : undefined;
    const before = norms.get(id) ?? own ?? refuse(`${id} reads ${layer.op} ${input}`);
    return { activation: id, before, after: layersAfter(id, consumers, refuse) };
  });
}

function layersAfter(
  id: string,
  consumers: ReadonlyMap<string, readonly Node[]>,
  refuse: (reason: string) => never,
): LinearNode[] {
  return consumers.get(id)!.flatMap((node) => {
    if (node.op === "averagePool" || node.op === "flatten") return layersAfter(node.id, consumers, refuse);
    if (!isLinear(node)) return refuse(`${id} is read by ${node.op} ${node.id}`);
    if (node.op === "conv" && node.padding > 0) return refuse(`${node.id} pads ${id} with zeros`);
    return node.bias ? [node] : refuse(`${node.id}, which reads ${id}, has no bias`);
  });
}

/** The quadratics of an activation as squares, from its batch norms at inference. */
function squaresOf(activation: string, weights: Weights): Squares {
  const { norms: [norm1, norm2] } = hermiteNodes(activation), [h0, h1, h2] = realCoefficients(HERMITE_2);
  const linear = batchNormAffine(norm1, weights), hermite = batchNormAffine(norm2, weights);
  const { data: means } = weights.get(`${norm1}.mean`)!,
    { data: variances } = weights.get(`${norm1}.variance`)!;
  const rows = Array.from(means, (mean, c) => {
    const sigma = Math.sqrt(variances[c] + BATCH_NORM_EPSILON);
    // f = a x^2 + b x + c, then x = mean + sigma z.
    const p = hermite.scale[c], a = p * h2, b = p * h1 + linear.scale[c];
    const constant = p * h0 + hermite.offset[c] + linear.offset[c];
    const A = a * sigma ** 2, B = (2 * a * mean + b) * sigma, C = (a * mean + b) * mean + constant;
    const { factor, vertex, rest } = squareOf(A, B, C), rms = Math.sqrt(1 + vertex ** 2);
    return {
      vertex: mean + sigma * vertex,
      deviation: sigma * rms,
      factor: factor * rms ** 2,
      constant: rest,
    };
  });
  const column = (name: keyof Squares) => Float64Array.from(rows, (row) => row[name]);
  return {
    vertex: column("vertex"),
    deviation: column("deviation"),
    factor: column("factor"),
    constant: column("constant"),
  };
}

/** A z^2 + B z + C = factor (z - vertex)^2 + rest, A raised where the vertex would be too far away. */
function squareOf(A: number, B: number, C: number): { factor: number; vertex: number; rest: number } {
  const least = Math.abs(B) / (2 * FARTHEST_VERTEX);
  const factor = Math.abs(A) >= least ? A : A < 0 ? -least : least;
  const vertex = factor === 0 ? 0 : -B / (2 * factor);
  return { factor, vertex, rest: C - factor * vertex ** 2 };
}

/** The batch norm becomes (x - vertex) / deviation; its variance is not below that of x, since the deviation is not. */
function setNorm(id: string, { vertex, deviation }: Squares, to: Map<string, FloatTensor>): void {
  const parts = {
    scale: vertex.map(() => 1),
    offset: vertex.map(() => 0),
    mean: vertex,
    variance: deviation.map((d) => Math.max(0, d ** 2 - BATCH_NORM_EPSILON)),
  };
  for (const [part, values] of Object.entries(parts)) {
    to.set(`${id}.${part}`, { shape: [values.length], data: Float32Array.from(values) });
  }
}

/** The layer computes (x - vertex) / deviation in place of x. */
function mapOutputs(id: string, { vertex, deviation }: Squares, to: Map<string, FloatTensor>): void {
  const { data } = to.get(`${id}.weight`)!, { data: bias } = to.get(`${id}.bias`)!, outputs = bias.length;
  for (let i = 0; i < data.length; i++) data[i] /= deviation[i % outputs];
  for (let c = 0; c < outputs; c++) bias[c] = (bias[c] - vertex[c]) / deviation[c];
}

/** The layer reads u and computes what it did of factor * u + constant. Its inputs have channels fastest, flattened or not. */
function mapInputs(id: string, { factor, constant }: Squares, to: Map<string, FloatTensor>): void {
  const { data } = to.get(`${id}.weight`)!, { data: bias } = to.get(`${id}.bias`)!, outputs = bias.length;
  const sums = Float64Array.from(bias);
  for (let i = 0; i < data.length; i++) {
    const c = Math.floor(i / outputs) % factor.length;
    sums[i % outputs] += data[i] * constant[c];
    data[i] *= factor[c];
  }
  bias.set(sums);
}
