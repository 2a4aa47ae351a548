/** Which nodes of a graph become one step of training: batch norm, residual sum and activation that follow each other. */
import { type BatchNormNode, type Graph, inputsOf, type Node } from "../../models/graph.ts";

/** Consecutive nodes that become one pointwise step; `id` is the last of them. */
export interface PointwiseGroup {
  readonly id: string;
  readonly source: string;
  readonly norm: BatchNormNode | undefined;
  readonly shortcut: string | undefined;
  readonly activation: boolean;
}

/** Groups by their last node; nodes inside a group have no value of their own. */
export function findGroups(graph: Graph): { groups: Map<string, PointwiseGroup>; inner: Set<string> } {
  const nodes = new Map(graph.nodes.map((node) => [node.id, node]));
  const reads = countReaders(graph), groups = new Map<string, PointwiseGroup>(), inner = new Set<string>();
  for (const last of graph.nodes.toReversed()) {
    if (inner.has(last.id) || !["activation", "add", "batchNorm"].includes(last.op)) continue;
    let node: Node = last;
    const activation = node.op === "activation";
    let shortcut: string | undefined, norm: BatchNormNode | undefined;
    const enter = (id: string, ops: readonly string[]) => {
      const next = nodes.get(id)!;
      if (!ops.includes(next.op) || reads.get(id) !== 1) return false;
      inner.add(id);
      node = next;
      return true;
    };
    let source = inputsOf(node)[0];
    if (activation && enter(source, ["add", "batchNorm"])) source = inputsOf(node)[0];
    if (node.op === "add") {
      shortcut = node.shortcut;
      if (enter(source, ["batchNorm"])) source = inputsOf(node)[0];
    }
    if (node.op === "batchNorm") norm = node;
    groups.set(last.id, { id: last.id, source, norm, shortcut, activation });
  }
  return { groups, inner };
}

/** How many nodes read each value. */
export function countReaders(graph: Graph): Map<string, number> {
  const reads = new Map<string, number>();
  for (const id of graph.nodes.flatMap(inputsOf)) reads.set(id, (reads.get(id) ?? 0) + 1);
  return reads;
}
