/**
 * The reference of training: a whole engine in doubles, on the plain loops of `reference_layers.ts`. It is there to be read, and
 * for the tests to hold the other engines against; far too slow for anything but graphs of a few thousand numbers.
 */
import {
  type Activation,
  type FloatTensor,
  type Graph,
  inferShapes,
  inputsOf,
  type Node,
  type Weights,
} from "../models/graph.ts";
import { AMPLITUDE_DIVISOR } from "../models/trigonometric.ts";
import { countCorrect, evaluationReport } from "./_measure.ts";
import type { Batch, CreateEngine, EngineState, StepReport, StepSettings } from "./engine.ts";
import { checkBatch, checkShards, checkState } from "./engine_checks.ts";
import { isTrainable } from "./initial.ts";
import { isMuonFilter, LEAST_NORM, NEWTON_SCHULZ, NEWTON_SCHULZ_STEPS } from "./muon.ts";
import { rangeOf } from "./recipe.ts";
import {
  activation as activationLayer,
  add,
  averagePool,
  batchNorm,
  convolution,
  crossEntropy,
  flatten,
  type Layer,
  maxPool,
  type Moments,
  momentsOf,
  type Pass,
  penaltyOf,
  type Values,
} from "./reference_layers.ts";
import { cappedScales, decayOf } from "./update_rules.ts";

/** Tensors in doubles, by name. */
export type Parameters = ReadonlyMap<string, Values>;

export const parametersOf = (weights: Weights): Parameters =>
  new Map([...weights].map(([name, { data }]) => [name, Float64Array.from(data)]));

const LAYERS = {
  conv: convolution,
  dense: convolution,
  batchNorm,
  activation: activationLayer,
  averagePool,
  maxPool,
  add,
  flatten,
};

export const createReferenceEngine: CreateEngine = (graph, activation, { batchSize, shards = 2, initial }) =>
  Promise.try(() => {
    checkShards(batchSize, shards);
    checkState(graph, initial);
    let state = initial;
    return {
      name: "reference",
      graph,

      step: (batch, settings) =>
        Promise.try(() => {
          checkBatch(graph, batch, batchSize);
          const parameters = parametersOf(state.weights);
          const found = differentiate(graph, activation, parameters, batch, settings, shards);
          state = update(graph, activation, state, found, settings);
          return found.report;
        }),

      evaluate: (batch, range, clip = null) =>
        Promise.try(() => {
          checkBatch(graph, batch, batch.size);
          const pass = new NetworkPass(graph, activation, parametersOf(state.weights), batch.size, clip);
          const logits = Float32Array.from(pass.forward(batch.images));
          const inputs = pass.activationInputs.map((x) => Float32Array.from(x));
          return evaluationReport(batch, logits, inputs, range);
        }),

      infer: (batch) =>
        Promise.try(() => {
          checkBatch(graph, batch, batch.size);
          const pass = new NetworkPass(graph, activation, parametersOf(state.weights), batch.size, null);
          return Float32Array.from(pass.forward(batch.images));
        }),

      save: () => state,

      load(other) {
        checkState(graph, other);
        state = other;
      },

      close() {},
    };
  });

/** Some images on their way through the network, and the gradient on its way back. */
class NetworkPass implements Pass {
  readonly shapes;
  /** Of the parameters. */
  readonly gradients = new Map<string, Values>();
  /** Of the inputs of batch norms, by node. */
  readonly measured = new Map<string, Moments>();
  readonly #values = new Map<string, Values>();

  /** @param penalty in training; absent in evaluation, which takes the running statistics as well */
  constructor(
    readonly graph: Graph,
    readonly activation: Activation,
    readonly parameters: Parameters,
    readonly images: number,
    readonly clip: number | null,
    readonly isTraining = false,
    readonly penalty: Pass["penalty"] = null,
    readonly reluPart = 0,
  ) {
    this.shapes = inferShapes(graph);
  }

  parameter({ id }: Node, part: string): Values | undefined {
    return this.parameters.get(`${id}.${part}`);
  }

  gradient({ id }: Node, part: string): Values {
    const name = `${id}.${part}`;
    return entry(this.gradients, name, () => new Float64Array(this.parameters.get(name)!.length));
  }

  moments(node: Extract<Node, { op: "batchNorm" }>, x: Values): Moments {
    if (!this.isTraining) {
      return { mean: this.parameter(node, "mean")!, variance: this.parameter(node, "variance")! };
    }
    return entry(this.measured, node.id, () => momentsOf(x, this.shapes.get(node.id)![2]));
  }

  get activationInputs(): Values[] {
    return this.graph.nodes.filter(({ op }) => op === "activation").map((node) => this.#inputs(node)[0]);
  }

  #inputs(node: Node): readonly [Values, ...Values[]] {
    return inputsOf(node).map((id) => this.#values.get(id)!) as [Values, ...Values[]];
  }

  /** The logits of images. */
  forward(images: Float32Array): Values {
    for (const node of this.graph.nodes) {
      const y = node.op === "input"
        ? Float64Array.from(images)
        : layerOf(node).forward(node, this.#inputs(node), this);
      this.#values.set(node.id, y);
    }
    return this.#values.get(this.graph.nodes.at(-1)!.id)!;
  }

  /** Adds up the gradients of the parameters, from that of the logits. */
  backward(logits: Values): void {
    const gradients = new Map([[this.graph.nodes.at(-1)!.id, logits]]);
    for (const node of this.graph.nodes.toReversed()) {
      const dy = gradients.get(node.id);
      if (!dy || node.op === "input") continue;
      const dInputs = inputsOf(node).map((id) =>
        entry(gradients, id, () => new Float64Array(this.#values.get(id)!.length))
      );
      layerOf(node).backward(node, this.#inputs(node), dy, dInputs as [Values, ...Values[]], this);
    }
  }
}

const layerOf = (node: Exclude<Node, { op: "input" }>) => LAYERS[node.op] as Layer<Node>;

function entry<T>(map: Map<string, T>, key: string, make: () => T): T {
  let value = map.get(key);
  if (value === undefined) map.set(key, value = make());
  return value;
}

// --- One step ---

/** What a step finds before the update. */
export interface Derivatives {
  readonly report: StepReport;
  /** Of the loss, without weight decay or norm limit. */
  readonly gradients: Parameters;
  /** Mean and unbiased variance of each batch norm's input by tensor name, averaged over shards. */
  readonly statistics: Parameters;
}

/** The loss of a batch cut into `shards`, and its gradients. */
export function differentiate(
  graph: Graph,
  activation: Activation,
  parameters: Parameters,
  batch: Batch,
  settings: StepSettings,
  shards: number,
): Derivatives {
  const parts = forwardShards(graph, activation, parameters, batch, settings, shards);
  for (const { pass, gradient } of parts) pass.backward(gradient);
  const gradients = total(parts.map(({ pass }) => pass.gradients));
  const sums = total(parts.map(({ pass }) => statisticsOf(pass)));
  const statistics = new Map([...sums].map(([name, sum]) => [name, sum.map((v) => v / shards)]));
  return { report: reportOf(batch, settings, parts), gradients, statistics };
}

type Arguments = [
  graph: Graph,
  activation: Activation,
  parameters: Parameters,
  batch: Batch,
  settings: StepSettings,
  shards: number,
];

/** The loss alone. */
export function lossOf(...of: Arguments): number {
  const [, , , batch, settings] = of,
    { crossEntropy, penalty } = reportOf(batch, settings, forwardShards(...of));
  return settings.crossEntropyWeight * crossEntropy + penalty;
}

interface ShardPass {
  readonly pass: NetworkPass;
  readonly logits: Values;
  /** Cross entropy, summed over the images, and its part of the gradient at the logits. */
  readonly loss: number;
  readonly gradient: Values;
}

function forwardShards(
  graph: Graph,
  activation: Activation,
  parameters: Parameters,
  { size, images, targets }: Batch,
  settings: StepSettings,
  shards: number,
): ShardPass[] {
  const { clip, crossEntropyWeight, labelSmoothing, reluPart } = settings;
  return Array.from({ length: shards }, (_, shard) => {
    const cut = (values: Float32Array) =>
      values.subarray(shard * values.length / shards, (shard + 1) * values.length / shards);
    const penalty = penaltyOfShard(graph, settings, size / shards, size);
    const pass = new NetworkPass(graph, activation, parameters, size / shards, clip, true, penalty, reluPart);
    const logits = pass.forward(cut(images)), factor = crossEntropyWeight / size;
    return { pass, logits, ...crossEntropy(logits, cut(targets), graph.classes, labelSmoothing, factor) };
  });
}

/** The penalty of a layer counts as its part of the whole batch, and as one of all layers. */
function penaltyOfShard(
  { nodes }: Graph,
  { penalty }: StepSettings,
  images: number,
  batchSize: number,
): Pass["penalty"] {
  if (!penalty) return null;
  const layers = nodes.filter(({ op }) => op === "activation").length;
  const part = (elements: number) =>
    ({ sum: 1, mean: elements / images * batchSize, hinge: batchSize / images })[penalty.reduction];
  return {
    ...penalty,
    isHinge: penalty.reduction === "hinge",
    factor: (elements) => penalty.coefficient / layers / part(elements),
  };
}

function reportOf(batch: Batch, { clip }: StepSettings, parts: readonly ShardPass[]): StepReport {
  const inputs = parts.map(({ pass }) => pass.activationInputs), all = inputs.flat();
  const sum = (values: readonly number[]) => values.reduce((total, v) => total + v, 0);
  const largest = (x: Values) =>
    x.reduce((most, v) => Math.max(most, Number.isNaN(v) ? Infinity : Math.abs(v)), 0);
  return {
    crossEntropy: sum(parts.map(({ loss }) => loss)) / batch.size,
    penalty: sum(parts.flatMap(({ pass }) => pass.activationInputs.map((x) => penaltyOf(x, pass)))),
    correct: countCorrect(batch, parts.flatMap(({ logits }) => [...logits])),
    largestInput: inputs[0].map((_, layer) => Math.max(...inputs.map((shard) => largest(shard[layer])))),
    outOfRange: sum(all.map((x) => x.filter((v) => !(Math.abs(v) <= rangeOf({ clip }))).length)),
  };
}

function statisticsOf({ measured, shapes, images }: NetworkPass): Map<string, Values> {
  const statistics = new Map<string, Values>();
  for (const [id, { mean, variance }] of measured) {
    const [height, width] = shapes.get(id)!, count = images * height * width;
    statistics.set(`${id}.mean`, mean);
    statistics.set(`${id}.variance`, variance.map((v) => v * count / Math.max(1, count - 1)));
  }
  return statistics;
}

function total(maps: readonly ReadonlyMap<string, Values>[]): Map<string, Values> {
  const [first, ...others] = maps as [ReadonlyMap<string, Values>, ...ReadonlyMap<string, Values>[]];
  return new Map(
    [...first].map(([name, values]) => [
      name,
      values.map((v, i) => others.reduce((sum, map) => sum + map.get(name)![i], v)),
    ]),
  );
}

// --- The update: stochastic gradient descent with momentum and weight decay, as PyTorch defines it ---

function update(
  graph: Graph,
  activation: Activation,
  { weights, momentum }: EngineState,
  { gradients, statistics }: Derivatives,
  settings: StepSettings,
): EngineState {
  const newWeights = new Map(weights),
    newMomentum = new Map(momentum),
    factor = limitFactor(gradients, settings);
  const capped = settings.scaleCap === null ? [] : cappedScales(graph);
  for (const [name, { shape, data }] of weights) {
    if (!isTrainable(name)) {
      const measured = statistics.get(name)!;
      newWeights.set(name, { shape, data: data.map((v, i) => 0.9 * v + 0.1 * measured[i]) });
      continue;
    }
    const isMuon = settings.muon !== null && isMuonFilter(shape),
      decay = isMuon ? 0 : decayOf(name, settings);
    const g = Float64Array.from(data, (w, i) => factor * gradients.get(name)![i] + decay * w);
    const v = Float64Array.from(momentum.get(name)!.data, (old, i) => settings.momentum * old + g[i]);
    const direction = settings.nesterov ? v.map((v, i) => settings.momentum * v + g[i]) : v;
    const moved = isMuon
      ? muonStep(data, direction, shape.at(-1)!, settings.muon)
      : Float64Array.from(data, (w, i) => w - settings.learningRate * direction[i]);
    const bound = boundOf(name, activation, capped.includes(name) ? settings.scaleCap! : Infinity);
    newWeights.set(name, rounded(shape, moved.map((w, i) => Math.max(-bound(i), Math.min(bound(i), w)))));
    newMomentum.set(name, rounded(shape, v));
  }
  return { weights: newWeights, momentum: newMomentum };
}

const rounded = (shape: readonly number[], values: Values): FloatTensor => (
  { shape, data: Float32Array.from(values) }
);

function limitFactor(gradients: Parameters, { gradientNorm }: StepSettings): number {
  const squares = [...gradients.values()].map((g) => g.reduce((sum, v) => sum + v * v, 0));
  return Math.min(1, (gradientNorm ?? Infinity) / Math.sqrt(squares.reduce((sum, v) => sum + v, 0)));
}

/** Largest size of a number of a tensor after the step: of a learned amplitude, which follow an offset, or of a capped scale. */
const boundOf = (name: string, activation: Activation, cap: number) => (i: number): number =>
  name.endsWith(".fourier") && i > 0 && activation.kind === "trigonometric"
    ? activation.period / AMPLITUDE_DIVISOR
    : cap;

/** Muon's step of a filter: see `muon.ts`. */
function muonStep(w: Float32Array, direction: Values, outputs: number, rate: number): Values {
  const orthogonal = orthogonalised(direction, outputs), scale = Math.sqrt(outputs) / Math.hypot(...w);
  return Float64Array.from(w, (w, i) => scale * w - rate * orthogonal[i]);
}

/** Muon's direction: X (a + b X^T X + c (X^T X)^2), three times. */
export function orthogonalised(direction: Values, outputs: number): number[] {
  const [a, b, c] = NEWTON_SCHULZ, norm = Math.hypot(...direction) + LEAST_NORM;
  let x = Array.from(
    { length: direction.length / outputs },
    (_, row) => Array.from(direction.subarray(row * outputs, (row + 1) * outputs), (v) => v / norm),
  );
  for (let step = 0; step < NEWTON_SCHULZ_STEPS; step++) {
    const gram = product(transposed(x), x), square = product(gram, gram);
    x = product(x, gram.map((row, i) => row.map((v, j) => b * v + c * square[i][j] + (i === j ? a : 0))));
  }
  return x.flat();
}

type Matrix = number[][];

const transposed = (a: Matrix): Matrix => a[0].map((_, j) => a.map((row) => row[j]));
const product = (a: Matrix, b: Matrix): Matrix =>
  a.map((row) => transposed(b).map((column) => row.reduce((sum, v, k) => sum + v * column[k], 0)));
