/** What a network costs, counted from its graph: the columns of the paper's tables. */
import { type Graph, inferShapes, sizeOf, windowOf } from "./graph.ts";

/** Counts of one network at batch size 1. */
export interface Counts {
  /** Trainable parameters: weights, biases, batch-norm scale and offset. */
  readonly params: number;
  /** Weights of convolutions and dense layers, without biases. */
  readonly linearWeights: number;
  /** Convolutions, those on shortcuts not counted. */
  readonly conv: number;
  readonly shortcutConv: number;
  readonly dense: number;
  readonly batchNorm: number;
  readonly activationLayers: number;
  /** Elements passed through an activation. */
  readonly activations: number;
  /** Multiply-accumulates of convolutions (shortcuts included) and dense layers, nothing else. */
  readonly macs: number;
  /** Input elements of all convolutions and dense layers. */
  readonly linearInputs: number;
}

/** Counts parameters, layers, activations and multiply-accumulates of a network. */
export function countModel(graph: Graph): Counts {
  const shapes = inferShapes(graph);
  const n = {
    params: 0,
    linearWeights: 0,
    conv: 0,
    shortcutConv: 0,
    dense: 0,
    batchNorm: 0,
    activationLayers: 0,
    activations: 0,
    macs: 0,
    linearInputs: 0,
  };
  for (const node of graph.nodes) {
    const output = shapes.get(node.id)!;
    switch (node.op) {
      case "conv":
      case "dense": {
        const input = shapes.get(node.input)!;
        const weights = windowOf(node).kernel ** 2 * input[2] * node.outputs;
        n.linearWeights += weights;
        n.params += weights + (node.bias ? node.outputs : 0);
        n.macs += weights * output[0] * output[1];
        n.linearInputs += sizeOf(input);
        if (node.op === "dense") n.dense++;
        else if (node.shortcut) n.shortcutConv++;
        else n.conv++;
        break;
      }
      case "batchNorm":
        n.batchNorm++;
        n.params += 2 * output[2];
        break;
      case "activation":
        n.activationLayers++;
        n.activations += sizeOf(output);
        break;
    }
  }
  return n;
}
