/** What engines refuse, in the words of one. */
import { type Graph, sizeOf } from "../models/graph.ts";
import { checkWeights } from "../models/weights.ts";
import type { Batch, EngineState } from "./engine.ts";
import { isTrainable } from "./initial.ts";

/** @throws {RangeError} for a batch that `shards` does not divide */
export function checkShards(batchSize: number, shards: number): void {
  if (!Number.isInteger(batchSize / shards)) {
    throw new RangeError(`a batch of ${batchSize} images cannot be cut into ${shards} equal shards`);
  }
}

export function checkState(graph: Graph, { weights, momentum }: EngineState): void {
  checkWeights(graph, weights);
  const trainable = [...weights].filter(([name]) => isTrainable(name));
  for (const [name, { shape }] of trainable) {
    const found = momentum.get(name)?.shape.join();
    if (found !== shape.join()) {
      throw new RangeError(
        `momentum of ${graph.name}: tensor ${name} must have shape [${shape}], found ${
          found ? `[${found}]` : "none"
        }`,
      );
    }
  }
}

export function checkBatch(
  { name, inputShape, classes }: Graph,
  { size, images, targets }: Batch,
  expected: number,
): void {
  if (size !== expected) throw new RangeError(`the engine takes batches of ${expected} images, got ${size}`);
  const values = size * sizeOf(inputShape), probabilities = size * classes;
  if (images.length !== values || targets.length !== probabilities) {
    throw new RangeError(
      `a batch of ${size} images for ${name} holds ${values} values and ${probabilities} targets, ` +
        `got ${images.length} and ${targets.length}`,
    );
  }
}
