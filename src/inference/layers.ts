/** From a graph to its layers in order: shapes and who reads what, before any protocol or scale is chosen. */
import { isLinear, type LinearNode } from "../models/fold.ts";
import { type Graph, inferShapes, inputsOf, type Shape, sizeOf, windowOf } from "../models/graph.ts";
import type { ConvolutionSpec } from "../ring/convolution.ts";
import type { Windows } from "../wires/halves.ts";

/** One layer: values that it reads and makes, by node, and its shapes. Linear ones are all that read the same value. */
export type Layer =
  & { readonly reads: readonly string[]; readonly writes: readonly string[] }
  & (
    | { readonly kind: "linear"; readonly specs: readonly ConvolutionSpec[] }
    | { readonly kind: "maxPool"; readonly windows: Windows }
    | { readonly kind: "averagePool"; readonly windows: Windows }
    | { readonly kind: "activation" }
    | { readonly kind: "add" }
  );

export type LayerOf<K extends Layer["kind"]> = Extract<Layer, { readonly kind: K }>;

export interface Layers {
  readonly list: readonly Layer[];
  /** Where the image and the logits are. */
  readonly input: string;
  readonly output: string;
  /** Words of every value of one image, by node. */
  readonly lengths: ReadonlyMap<string, number>;
}

/** The layers of a graph whose batch norms are folded. A flattened value keeps its words: its readers read what was flattened. */
export function layersOf(graph: Graph): Layers {
  const shapes = inferShapes(graph), done = new Set<string>();
  // Before anything else: layers that read one value on both sides of a flattening are one group.
  const alias = new Map(
    graph.nodes.flatMap((node) => node.op === "flatten" ? [[node.id, node.input] as const] : []),
  );
  const resolve = (id: string): string => alias.has(id) ? resolve(alias.get(id)!) : id;
  const list: Layer[] = [];
  for (const node of graph.nodes) {
    if (done.has(node.id)) continue;
    const reads = inputsOf(node).map(resolve), writes = [node.id];
    switch (node.op) {
      case "input":
      case "flatten":
        break;
      case "conv":
      case "dense": {
        const nodes = graph.nodes.filter((other): other is LinearNode =>
          isLinear(other) && !done.has(other.id) && resolve(other.input) === reads[0]
        );
        nodes.forEach(({ id }) => done.add(id));
        list.push({
          kind: "linear",
          reads,
          writes: nodes.map(({ id }) => id),
          specs: nodes.map((node) => convolutionOf(node, shapes.get(node.input)!)),
        });
        break;
      }
      case "batchNorm":
        throw new RangeError(`${graph.name}: batch norm ${node.id} must be folded into the layer before it`);
      case "activation":
      case "add":
        list.push({ kind: node.op, reads, writes });
        break;
      case "maxPool":
      case "averagePool": {
        const { op, kernel, stride, padding } = node, [height, width, channels] = shapes.get(node.input)!;
        if (op === "averagePool" && padding !== 0) {
          throw new RangeError(
            `${graph.name}: the average pooling ${node.id} has a border, which no protocol sums over`,
          );
        }
        // Digests show those of max pooling: the order of names stays.
        const windows = { height, width, channels, kernel, stride, padding };
        list.push({ kind: op, reads, writes, windows });
      }
    }
  }
  return {
    list,
    input: graph.nodes[0].id,
    output: resolve(graph.nodes.at(-1)!.id),
    lengths: new Map([...shapes].map(([id, shape]) => [id, sizeOf(shape)])),
  };
}

function convolutionOf(node: LinearNode, [height, width, inputs]: Shape): ConvolutionSpec {
  const { kernel, stride, padding } = windowOf(node);
  return { height, width, inputs, kernel, stride, padding, outputs: node.outputs };
}
