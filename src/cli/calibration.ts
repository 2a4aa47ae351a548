/** Images on which a network is audited, and the fastest way to run it on them in the clear. */
import type { Dataset } from "../data/dataset.ts";
import { type Activation, type Graph, type Shape, sizeOf, type Weights } from "../models/graph.ts";
import type { Forward } from "../models/ranges.ts";
import { openTensorflow } from "../models/tensorflow_backend.ts";
import { createTensorflowEngine } from "../models/tensorflow_engine.ts";
import { seededImage } from "../models/weights.ts";

/** A network in TensorFlow.js that shows the value of every node. */
export async function fastForward(
  graph: Graph,
  weights: Weights,
  activation: Activation,
): Promise<{ readonly forward: Forward } & Disposable> {
  await openTensorflow();
  const { forward, dispose } = createTensorflowEngine(graph, weights, activation, { fuse: false });
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
  from: { readonly name: string; readonly folder: string | undefined },
): Promise<Iterable<Float32Array>> {
  const dataset = await openDataset(from.name, {
    folder: from.folder,
    shape: inputShape,
    limit: { train: count, test: 1 },
  });
  return normalised(dataset, Math.min(count, dataset.train.count));
}

export function* normalised(
  { shape, mean, deviation, train }: Dataset,
  count: number,
): Generator<Float32Array> {
  const size = sizeOf(shape), channels = shape[2];
  for (let i = 0; i < count; i++) {
    const pixels = train.images.subarray(i * size, (i + 1) * size);
    yield Float32Array.from(pixels, (v, j) => (v / 255 - mean[j % channels]!) / deviation[j % channels]!);
  }
}

interface OpenOptions {
  readonly folder: string | undefined;
  readonly shape: Shape;
  readonly limit: { readonly train: number; readonly test: number };
}

async function openDataset(name: string, options: OpenOptions): Promise<Dataset> {
  const module = new URL("../data/open_dataset.ts", import.meta.url).href;
  const { openDataset } = await import(module);
  return await openDataset(name, options);
}
