/** The logits of many images in the clear, in batches by TensorFlow.js; loaded only where there are many. */
import type { Activation, Graph, Weights } from "../models/graph.ts";
import { sizeOf } from "../models/graph.ts";
import { openTensorflow } from "../models/tensorflow_backend.ts";
import { createTensorflowNetwork } from "../models/tensorflow_engine.ts";

/** Numbers of the images of a batch together: 64 of CIFAR, one of ImageNet. */
const BATCH_NUMBERS = 200_000;

/**
 * Evaluates a network without batch norm in single precision.
 *
 * @param onImages says how many images are done
 */
export async function plaintextLogits(
  graph: Graph,
  weights: Weights,
  activation: Activation,
  images: readonly ArrayLike<number>[],
  onImages: (done: number) => void = () => {},
): Promise<Float32Array[]> {
  await openTensorflow();
  const engine = createTensorflowNetwork(graph, weights, activation), logits: Float32Array[] = [];
  const batch = Math.max(1, Math.floor(BATCH_NUMBERS / sizeOf(graph.inputShape)));
  while (logits.length < images.length) {
    logits.push(...engine.runBatch(images.slice(logits.length, logits.length + batch)));
    onImages(logits.length);
  }
  engine.dispose();
  return logits;
}
