/**
 * AESPA's activation as a rewriting of the network ("AESPA: Accuracy Preserving Low-degree Polynomial Activation for
 * Fast Private Inference", arXiv 2201.06699, eq. 5). In place of batch norm and ReLU it computes, per channel,
 *
 *     gamma * sum over i = 1, 2 of f_i (h_i(x) - mean_i) / sqrt(variance_i + eps) + beta,
 *
 * h_1(x) = x, h_2(x) = (x^2 - 1) / sqrt(2), with mean and variance of h_i(x) over the batch, in inference running
 * ones. f_1 and f_2 are the coefficients of ReLU in the normalised Hermite basis; h_0 is constant and would vanish.
 *
 * That is a graph of nodes that every engine trains: two batch norms, of x and of h_2(x), and their sum.
 */
import { consumersOf, rename } from "../models/fold.ts";
import type { BatchNormNode, Graph, Node } from "../models/graph.ts";
import type { Polynomial } from "../polynomial/polynomial.ts";

/** The activation's name on the command line. */
export const HERMITE = "hermite";

/** ReLU = sum over i of f_i h_i for a standard normal x: f_1, f_2. */
const RELU_COEFFICIENTS = [1 / 2, 1 / Math.sqrt(4 * Math.PI)] as const;

/** h_2(x) = (x^2 - 1) / sqrt(2), in integers over so fine a grid that a float32 does not feel it. */
export const HERMITE_2: Polynomial = polynomialOf([-Math.SQRT1_2, 0, Math.SQRT1_2], 40);

/** x^2: what is left of the activation when all the rest has gone into the layers around it (`foldHermite`). */
export const SQUARE: Polynomial = { kind: "polynomial", coefficients: [0, 0, 1], precision: 0 };

/** Names of the nodes that take the place of an activation, which keeps its own for h_2. */
export const hermiteNodes = (activation: string) => ({
  norms: [`${activation}.norm1`, `${activation}.norm2`],
  sum: `${activation}.sum`,
} as const);

/**
 * The network with AESPA's activation, to be trained with {@linkcode HERMITE_2}: every activation, together with the
 * batch norm before it if only the activation reads that, becomes h_2 of the value before, a batch norm of h_2, one of
 * the value itself, and their sum. Activations keep their names and read x, so what engines record is of x.
 *
 * A superset of AESPA with the same start: each of h_1 and h_2 has a scale of its own, which starts as f_i, where AESPA
 * has one gamma for both, which starts as 1; beta is the sum of two offsets, both from 0.
 */
export function hermiteGraph(graph: Graph): Graph {
  const norms = normsBefore(graph), dropped = new Set([...norms.values()].map(({ id }) => id));
  const activations = graph.nodes.filter(({ op }) => op === "activation");
  const renamed = new Map(activations.map(({ id }) => [id, hermiteNodes(id).sum]));
  const nodes = graph.nodes.filter(({ id }) => !dropped.has(id)).flatMap((node): Node[] => {
    if (node.op !== "activation") return [rename(node, renamed)];
    const before = norms.get(node.id)?.input ?? node.input;
    return block(node.id, renamed.get(before) ?? before);
  });
  return { ...graph, nodes };
}

/** The batch norm that an activation alone reads, by the activation's name. */
export function normsBefore(graph: Graph): Map<string, BatchNormNode> {
  const nodes = new Map(graph.nodes.map((node) => [node.id, node])), consumers = consumersOf(graph);
  return new Map(graph.nodes.flatMap((node): [string, BatchNormNode][] => {
    if (node.op !== "activation") return [];
    const before = nodes.get(node.input)!;
    return before.op === "batchNorm" && consumers.get(before.id)!.length === 1 ? [[node.id, before]] : [];
  }));
}

function block(id: string, x: string): Node[] {
  const { norms, sum } = hermiteNodes(id), [f1, f2] = RELU_COEFFICIENTS;
  return [
    { id: norms[0], op: "batchNorm", input: x, initialScale: f1 },
    { id, op: "activation", input: x },
    { id: norms[1], op: "batchNorm", input: id, initialScale: f2 },
    { id: sum, op: "add", input: norms[1], shortcut: norms[0] },
  ];
}

function polynomialOf(coefficients: readonly number[], precision: number): Polynomial {
  const integers = coefficients.map((c) => Math.round(c * 2 ** precision));
  return { kind: "polynomial", coefficients: integers, precision };
}
