/**
 * A polynomial network that starts from its trained twin with ReLU. ReLU commutes with positive factors, relu(x) = s relu(x / s), so
 * every activation gets its own unit: the layer before it is divided by s, those behind it are multiplied. The network with
 * ReLU stays what it was, and its inputs fit the range of the polynomial that takes ReLU's place.
 */
import type { Dataset } from "../data/dataset.ts";
import { consumersOf, isLinear } from "../models/fold.ts";
import { evaluate } from "../models/float_engine.ts";
import {
  type FloatTensor,
  type Graph,
  inferShapes,
  type Node,
  sizeOf,
  type Weights,
} from "../models/graph.ts";
import { FITTED_RANGE } from "../polynomial/polynomial.ts";
import { evaluationBatches } from "./batches.ts";

/** The inputs of an activation up to this quantile come to lie within this part of the range. */
const QUANTILE = 0.999, PART = 0.8;
/** Inputs of a layer that are looked at, at least those of one image. */
const VALUES = 1_000_000, MOST_IMAGES = 200;

/**
 * The weights of the twin with every activation in a unit of its own.
 *
 * @param dataset whose first training images are looked at
 * @throws {RangeError} one sentence, where a value goes through a residual sum, whose other side has another unit
 */
export function rescaledTwin(graph: Graph, weights: Weights, dataset: Dataset): Map<string, FloatTensor> {
  const nodes = new Map(graph.nodes.map((node) => [node.id, node])), consumers = consumersOf(graph);
  const scaled = new Map(
    [...weights].map(([name, { shape, data }]) => [name, { shape, data: data.slice() }]),
  );
  const multiply = (name: string, factor: number) =>
    scaled.get(name)?.data.forEach((v, i, all) => all[i] = v * factor);
  for (const [id, size] of largeInputs(graph, weights, dataset)) {
    const node = nodes.get(id)!, unit = size / (PART * FITTED_RANGE);
    const before = sourceOf(graph, nodes, node, consumers);
    for (const part of before.op === "batchNorm" ? ["scale", "offset"] : ["weight", "bias"]) {
      multiply(`${before.id}.${part}`, 1 / unit);
    }
    for (const layer of linearReaders(graph, consumers, id)) multiply(`${layer}.weight`, unit);
  }
  return scaled;
}

/** The layer whose output an activation reads, perhaps pooled, and nothing else does: its unit changes. */
function sourceOf(
  graph: Graph,
  nodes: ReadonlyMap<string, Node>,
  node: Node,
  consumers: ReadonlyMap<string, readonly Node[]>,
): Node {
  let source = node;
  do {
    source = nodes.get((source as Exclude<Node, { op: "input" }>).input)!;
    if (consumers.get(source.id)!.length > 1) {
      throw new RangeError(
        `${graph.name} cannot start from a twin: ${source.id} is read by ${node.id} and by others`,
      );
    }
  } while (source.op === "averagePool" || source.op === "maxPool" || source.op === "flatten");
  if (source.op === "batchNorm" || isLinear(source)) return source;
  throw new RangeError(`${graph.name} cannot start from a twin: ${node.id} reads ${source.op} ${source.id}`);
}

function linearReaders(graph: Graph, consumers: ReadonlyMap<string, readonly Node[]>, id: string): string[] {
  return consumers.get(id)!.flatMap((reader) => {
    if (isLinear(reader)) return [reader.id];
    if (reader.op === "add" || reader.op === "batchNorm" || reader.op === "activation") {
      throw new RangeError(
        `${graph.name} cannot start from a twin: ${id} is read by ${reader.op} ${reader.id}`,
      );
    }
    return linearReaders(graph, consumers, reader.id);
  });
}

/** By activation: the quantile of the sizes of its inputs. */
function largeInputs(graph: Graph, weights: Weights, dataset: Dataset): Map<string, number> {
  const shapes = inferShapes(graph), layers = graph.nodes.filter((node) => node.op === "activation");
  const values = Math.max(...layers.map(({ id }) => sizeOf(shapes.get(id)!)));
  const images = Math.min(dataset.train.count, MOST_IMAGES, Math.max(1, Math.floor(VALUES / values)));
  const sizes = new Map(layers.map(({ id }) => [id, new Float64Array(images * sizeOf(shapes.get(id)!))]));
  let image = 0;
  for (const batch of evaluationBatches(dataset.train, dataset, 1)) {
    if (image === images) break;
    const all = evaluate(graph, weights, { kind: "relu" }, batch.images);
    for (const { id, input } of layers) {
      const inputs = all.get(input)!;
      sizes.get(id)!.set(inputs.map(Math.abs), image * inputs.length);
    }
    image++;
  }
  return new Map([...sizes].map(([id, all]) => [id, all.sort()[Math.floor(QUANTILE * (all.length - 1))]]));
}
