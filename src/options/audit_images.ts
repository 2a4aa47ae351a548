/** Images on which a network is audited, and the fastest way to run it on them in the clear. */
import { sliceSplit } from "../data/dataset.ts";
import { openDataset } from "../data/open_dataset.ts";
import type { PixelFormat } from "../data/pixel_format.ts";
import type { Activation, Graph, Weights } from "../models/graph.ts";
import type { Forward } from "../models/ranges.ts";
import { openTensorflow } from "../models/tensorflow_backend.ts";
import { createTensorflowNetwork } from "../models/tensorflow_engine.ts";
import { seededImage } from "../models/weights.ts";
import { evaluationBatches } from "../training/batches.ts";
import { reportNotes } from "../terminal/report_notes.ts";

/** A network in TensorFlow.js that shows the value of every node. */
export async function fastForward(
  graph: Graph,
  weights: Weights,
  activation: Activation,
): Promise<{ readonly forward: Forward } & Disposable> {
  await openTensorflow();
  const { forward, dispose } = createTensorflowNetwork(graph, weights, activation, { fuse: false });
  return { forward, [Symbol.dispose]: dispose };
}

/** Seeded random images, other ones than a caller's by their seeds. */
export function* seededImages(graph: Graph, count: number): Generator<Float32Array> {
  for (let i = 0; i < count; i++) yield seededImage(graph, -1_000_000 - i);
}

/** The first training images of a dataset, normalised. */
export async function trainingImages(
  { inputShape }: Graph,
  count: number,
  from: {
    readonly name: string;
    readonly folder: string | undefined;
    readonly pixels: PixelFormat | undefined;
  },
): Promise<Iterable<Float32Array>> {
  const dataset = await openDataset(from.name, {
    folder: from.folder,
    shape: inputShape,
    pixels: from.pixels,
    limit: { train: count, test: 1 },
  });
  reportNotes(dataset);
  const images = sliceSplit(dataset.train, 0, Math.min(count, dataset.train.count));
  return evaluationBatches(images, dataset, 1).map((batch) => batch.images);
}
