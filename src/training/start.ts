/**
 * The state before the first step of a run: drawn from its seed, and what the recipe changes in it.
 *
 * Whitening ("94% on CIFAR-10 in 3.29 Seconds on a Single GPU", section 3.1) replaces directions alone: a filter of the first
 * convolution points along a principal direction of the image patches it reads, and keeps the norm that was drawn. The
 * batch norm behind it makes all of them equally strong, which is what whitens.
 */
import type { Dataset } from "../data/dataset.ts";
import { type ConvNode, type FloatTensor, type Graph, inferShapes, type Weights } from "../models/graph.ts";
import { evaluationBatches } from "./batches.ts";
import type { EngineState } from "./engine.ts";
import { initialState, stateOf } from "./initial.ts";
import { principalDirections } from "./principal_directions.ts";
import { rescaledTwin } from "./twin.ts";
import type { Run } from "./recipe.ts";

/** Images whose patches are looked at, and pixels from one patch to the next. */
const IMAGES = 500, PATCH_STEP = 4;

/** Trained weights of the same network: as they are, or those of its twin with ReLU. */
export interface GivenWeights {
  readonly weights: Weights;
  readonly isTwin: boolean;
}

/** The state before the first step; see the recipe's `whitening`, `zeroResidual`, `from` and `twin`. */
export function startOf(
  graph: Graph,
  { seed, whitening, zeroResidual }: Pick<Run, "seed" | "whitening" | "zeroResidual">,
  dataset: Dataset,
  given?: GivenWeights,
): EngineState {
  const { weights, momentum } = initialState(graph, seed), changed = new Map(weights);
  if (given) {
    const own = given.isTwin ? rescaledTwin(graph, given.weights, dataset) : given.weights;
    // What they lack is a learned activation's, which starts where it always does.
    return stateOf(new Map([...weights].map(([name, drawn]) => [name, own.get(name) ?? drawn])));
  }
  if (whitening) whiten(graph, changed, dataset);
  if (zeroResidual) {
    for (const name of lastResidualScales(graph)) {
      const { shape, data } = changed.get(name)!;
      changed.set(name, { shape, data: data.map(() => 0) });
    }
  }
  return { weights: changed, momentum };
}

/** Scales of the batch norms whose values are added to a shortcut. */
function lastResidualScales(graph: Graph): string[] {
  const norms = new Set(graph.nodes.filter(({ op }) => op === "batchNorm").map(({ id }) => id));
  return graph.nodes.flatMap((node) =>
    node.op === "add" && norms.has(node.input) ? [`${node.input}.scale`] : []
  );
}

function whiten(graph: Graph, weights: Map<string, FloatTensor>, dataset: Dataset): void {
  const first = graph.nodes.find((node): node is ConvNode => node.op === "conv")!;
  const { shape, data } = weights.get(`${first.id}.weight`)!, size = data.length / first.outputs;
  const directions = principalDirections(patchMoments(graph, first, dataset), size), filters = data.slice();
  // Then their opposites, since an activation treats those differently; what is left stays as it was drawn. In pairs, six
  // filters would see three directions, which cost ConvNet 4 points.
  for (let output = 0; output < Math.min(first.outputs, 2 * size); output++) {
    const sign = output < size ? 1 : -1, direction = directions[output % size];
    const drawn = Array.from({ length: size }, (_, i) => data[i * first.outputs + output]);
    const norm = Math.sqrt(drawn.reduce((sum, w) => sum + w * w, 0));
    for (let i = 0; i < size; i++) filters[i * first.outputs + output] = sign * norm * direction[i];
  }
  weights.set(`${first.id}.weight`, { shape, data: filters });
}

/** Sums of products of the pixels of patches [kernel, kernel, channels], normalised as in training: [size, size] row-major. */
function patchMoments(graph: Graph, { id, input, kernel }: ConvNode, dataset: Dataset): Float64Array {
  const [height, width, channels] = inferShapes(graph).get(input)!, size = kernel * kernel * channels;
  if (height < kernel || width < kernel) {
    throw new RangeError(`${graph.name}: ${id} reads images smaller than its filter`);
  }
  const sums = new Float64Array(size * size), patch = new Float64Array(size);
  const [batch] = evaluationBatches(dataset.train, dataset, Math.min(IMAGES, dataset.train.count));
  for (let image = 0; image < batch.size; image++) {
    for (let top = 0; top + kernel <= height; top += PATCH_STEP) {
      for (let left = 0; left + kernel <= width; left += PATCH_STEP) {
        for (let row = 0; row < kernel; row++) {
          const at = ((image * height + top + row) * width + left) * channels;
          patch.set(batch.images.subarray(at, at + kernel * channels), row * kernel * channels);
        }
        for (let i = 0; i < size; i++) {
          for (let j = 0; j <= i; j++) sums[i * size + j] += patch[i] * patch[j];
        }
      }
    }
  }
  for (let i = 0; i < size; i++) for (let j = i + 1; j < size; j++) sums[i * size + j] = sums[j * size + i];
  return sums;
}
