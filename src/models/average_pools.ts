/**
 * Averages in the place of max pooling: the maximum needs comparisons, and protocols with words of 32 bits have none. Over windows as
 * wide as their steps they have the same shape, mostly, and no border, which an average could not have.
 */
import { outputAlong } from "../ring/convolution_plan.ts";
import { type Graph, inferShapes, type PoolNode } from "./graph.ts";

/**
 * The network with averages where it takes maxima.
 *
 * @throws {RangeError} one sentence, where an average has another shape, or is one of single pixels
 */
export function withAveragePools(graph: Graph): Graph {
  const shapes = inferShapes(graph);
  const average = ({ id, input, stride }: PoolNode): PoolNode => {
    const [height, width] = shapes.get(input)!.map((size) => outputAlong(size, stride, stride, 0));
    const [wantedHeight, wantedWidth] = shapes.get(id)!;
    if (stride === 1 || height !== wantedHeight || width !== wantedWidth) {
      throw new RangeError(
        `${graph.name}: averages over ${stride} x ${stride} pixels cannot take the place of ${id}: ` +
          `they give ${height} x ${width}, it gives ${wantedHeight} x ${wantedWidth} by larger windows`,
      );
    }
    return { id, op: "averagePool", input, kernel: stride, stride, padding: 0 };
  };
  return { ...graph, nodes: graph.nodes.map((node) => node.op === "maxPool" ? average(node) : node) };
}
