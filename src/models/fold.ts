/** Batch norm merged into the linear layer before it, and what reads what in a graph. */
import {
  type BatchNormNode,
  type ConvNode,
  type DenseNode,
  type FloatTensor,
  type Graph,
  inputsOf,
  type Node,
  type Weights,
} from "./graph.ts";

/** Added to the variance of every batch norm. */
export const BATCH_NORM_EPSILON = 1e-5;

/** A convolution or dense layer. */
export type LinearNode = ConvNode | DenseNode;

/** Whether a node multiplies with weights. */
export const isLinear = (node: Node): node is LinearNode => node.op === "conv" || node.op === "dense";

/** For each node, the nodes that read its value, in evaluation order; none for the logits. */
export function consumersOf(graph: Graph): Map<string, Node[]> {
  const consumers = new Map<string, Node[]>(graph.nodes.map((node) => [node.id, []]));
  for (const node of graph.nodes) for (const id of new Set(inputsOf(node))) consumers.get(id)!.push(node);
  return consumers;
}

/** For each node, the node after which its value is no longer needed (itself if nothing reads it). */
export function lastReaders(graph: Graph): Map<string, string> {
  return new Map([...consumersOf(graph)].map(([id, readers]) => [id, readers.at(-1)?.id ?? id]));
}

/** Factor and summand of a batch norm at inference: y = scale * x + offset per channel. */
export function batchNormAffine(id: string, weights: Weights): { scale: Float64Array; offset: Float64Array } {
  const of = (part: string) => weights.get(`${id}.${part}`)!.data;
  const gain = of("scale"), shift = of("offset"), mean = of("mean"), variance = of("variance");
  const scale = Float64Array.from(gain, (g, c) => g / Math.sqrt(variance[c] + BATCH_NORM_EPSILON));
  return { scale, offset: Float64Array.from(shift, (b, c) => b - mean[c] * scale[c]) };
}

/**
 * Merges every batch norm into the convolution or dense layer before it: an equivalent network without
 * batch norm, in which those layers have a bias. A merged layer keeps its own name; the batch norm's is gone.
 * An average without padding may lie between them: it commutes with a factor and a summand a channel.
 *
 * @throws {RangeError} if a batch norm does not follow a linear layer that only it reads
 */
export function foldBatchNorm(
  graph: Graph,
  weights: Weights,
): { graph: Graph; weights: Map<string, FloatTensor> } {
  const norms = normsByLayer(graph), folded = new Map<string, FloatTensor>();
  for (const node of graph.nodes) {
    if (isLinear(node)) foldLayer(node, norms.get(node.id), weights, folded);
    else if (node.op === "activation" && node.fourier) {
      folded.set(`${node.id}.fourier`, weights.get(`${node.id}.fourier`)!);
    }
  }
  return { graph: foldGraph(graph), weights: folded };
}

/** The graph of {@linkcode foldBatchNorm}, which does not depend on weights. */
export function foldGraph(graph: Graph): Graph {
  const norms = normsByLayer(graph);
  const renamed = new Map([...norms.values()].map((norm) => [norm.id, norm.input]));
  const nodes = graph.nodes.filter((node) => node.op !== "batchNorm").map((node) =>
    rename(norms.has(node.id) ? { ...node, bias: true } as LinearNode : node, renamed)
  );
  return { ...graph, nodes };
}

/** The batch norm that follows each linear layer, by the layer's name. */
function normsByLayer(graph: Graph): Map<string, BatchNormNode> {
  const consumers = consumersOf(graph);
  const byId = new Map(graph.nodes.map((node) => [node.id, node]));
  const isReadOnce = (node: Node) => consumers.get(node.id)!.length === 1;
  const norms = new Map<string, BatchNormNode>();
  for (const node of graph.nodes) {
    if (node.op !== "batchNorm") continue;
    let before = byId.get(node.input)!;
    while (before.op === "averagePool" && before.padding === 0 && isReadOnce(before)) {
      before = byId.get(before.input)!;
    }
    if (!isLinear(before) || !isReadOnce(before)) {
      throw new RangeError(
        `${graph.name}: batch norm ${node.id} cannot be merged: it must be the only reader of a convolution or ` +
          `dense layer, it reads ${before.op} ${before.id} (read by ${
            consumers.get(before.id)!.map((n) => n.id)
          })`,
      );
    }
    norms.set(before.id, node);
  }
  return norms;
}

/** A node that reads each value under its new name, where it has one. */
export function rename(node: Node, renamed: ReadonlyMap<string, string>): Node {
  if (node.op === "input") return node;
  const input = renamed.get(node.input) ?? node.input;
  return node.op === "add"
    ? { ...node, input, shortcut: renamed.get(node.shortcut) ?? node.shortcut }
    : { ...node, input };
}

function foldLayer(
  node: LinearNode,
  norm: BatchNormNode | undefined,
  from: Weights,
  to: Map<string, FloatTensor>,
) {
  const weight = from.get(`${node.id}.weight`)!, bias = from.get(`${node.id}.bias`);
  if (!norm) {
    to.set(`${node.id}.weight`, weight);
    if (bias) to.set(`${node.id}.bias`, bias);
    return;
  }
  const { scale, offset } = batchNormAffine(norm.id, from);
  const channels = node.outputs, data = new Float32Array(weight.data.length);
  for (let i = 0; i < data.length; i += channels) {
    for (let c = 0; c < channels; c++) data[i + c] = weight.data[i + c] * scale[c];
  }
  const merged = Float32Array.from(offset, (b, c) => b + (bias ? bias.data[c] * scale[c] : 0));
  to.set(`${node.id}.weight`, { shape: weight.shape, data });
  to.set(`${node.id}.bias`, { shape: [channels], data: merged });
}
