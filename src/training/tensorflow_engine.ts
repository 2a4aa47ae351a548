/**
 * Training by TensorFlow.js through its public interface alone: the reference, to be read first and to hold
 * the fast engine against. The forward pass is written in its operations and TensorFlow.js derives the
 * gradients, but for three of which it is told: those of convolutions (where a backend lacks the kernel), of
 * the polynomial and of the penalty (whose intermediate values would fill the memory). Kept out of `mod.ts`,
 * as it loads TensorFlow.js.
 */
import * as tf from "@tensorflow/tfjs";
import {
  type Activation,
  type ActivationNode,
  type BatchNormNode,
  type FloatTensor,
  type Graph,
  type Node,
  sizeOf,
  type Weights,
} from "../models/graph.ts";
import { openTensorflow, TENSORFLOW_BACKENDS, type TensorflowBackend } from "../models/tensorflow_backend.ts";
import { AMPLITUDE_DIVISOR, type Trigonometric } from "../models/trigonometric.ts";
import { checkWeights } from "../models/weights.ts";
import { realCoefficients } from "../polynomial/polynomial.ts";
import type { Batch, CreateEngine, EngineState, StepReport, StepSettings } from "./engine.ts";
import { isTrainable } from "./initial.ts";
import { countCorrect, evaluationReport } from "./_measure.ts";
import { cappedScales, decayOf } from "./update_rules.ts";
import { isMuonFilter, LEAST_NORM, NEWTON_SCHULZ, NEWTON_SCHULZ_STEPS } from "./muon.ts";
import { checkPenalty, PENALTY_LINEAR_BEYOND, type PenaltyShape, penaltySlope } from "./penalty.ts";

const BATCH_NORM_EPSILON = 1e-5;
/** Share of a new value in the running statistics. */
const STATISTICS_MOMENTUM = 0.1;
/** Inputs of activations beyond this are counted where no clip says otherwise. */
const DEFAULT_RANGE = 5;

/**
 * Uploads a network for training. Backends are those of {@linkcode openTensorflow}, `wasm` if none is named. An engine
 * makes its backend the current one before it works, so engines may take turns; but work of two engines on
 * different backends must not overlap in time. `workers` has no meaning here: one thread, or one card.
 *
 * @throws {RangeError} for a state that does not fit, a batch that `shards` does not divide, an unknown backend
 */
export const createTensorflowEngine: CreateEngine = async (
  graph,
  activation,
  { batchSize, shards = 2, backend = "wasm", initial },
) => {
  if (!isBackend(backend)) {
    throw new RangeError(
      `unknown backend "${backend}" of engine tfjs; known: ${TENSORFLOW_BACKENDS.join(", ")}`,
    );
  }
  if (!Number.isInteger(batchSize / shards)) {
    throw new RangeError(`a batch of ${batchSize} images cannot be cut into ${shards} equal shards`);
  }
  checkState(graph, initial);
  const activate = activationOf(activation), capped = cappedScales(graph);
  await openTensorflow(backend);
  const weights = variables(initial.weights), momentum = variables(initial.momentum);

  // One step after another: the next one disposes of the tensors that the last one still downloads.
  let line: Promise<unknown> = Promise.resolve();
  const take = async (batch: Batch, settings: StepSettings): Promise<StepReport> => {
    await openTensorflow(backend);
    const measured = tf.tidy(() => {
      const parts = shardsOf(graph, batch, shards).map((shard) =>
        tf.tidy(() => differentiate(graph, weights, activate, shard, batchSize, settings))
      );
      updateStatistics(weights, parts);
      descend(weights, momentum, batchGradients(parts, settings.gradientNorm), settings);
      boundAmplitudes(weights, activation);
      const { scaleCap } = settings;
      if (scaleCap !== null) {
        for (const name of capped) {
          const scale = weights.get(name)!;
          scale.assign(tf.clipByValue(scale, -scaleCap, scaleCap));
        }
      }
      return [tf.concat(parts.map(({ logits }) => logits)), ...parts.map(({ numbers }) => numbers)];
    });
    const [logits, ...numbers] = await download(measured);
    await prefetch(weights, momentum);
    return stepReport(batch, logits, numbers);
  };

  return {
    name: `tfjs-${backend}`,

    async step(batch, settings) {
      checkBatch(graph, batch, batchSize);
      if (settings.penalty) checkPenalty(settings.penalty);
      const step = line.then(() => take(batch, settings));
      line = step.catch(() => {});
      return await step;
    },

    async evaluate(batch, range, clip = null) {
      checkBatch(graph, batch, batch.size);
      await openTensorflow(backend);
      const tensors = tf.tidy(() => {
        const inputs: tf.Tensor[] = [];
        const logits = forward(graph, weights, imagesOf(graph, batch), {
          normalise: ({ id }, x) =>
            batchNorm(id, x, weights, tensorOf(weights, id, "mean"), tensorOf(weights, id, "variance")),
          activate({ id }, x) {
            inputs.push(x.clone());
            return activate(clipped(x, clip), weights.get(`${id}.fourier`));
          },
        });
        return [logits, ...inputs];
      });
      const [logits, ...inputs] = await download(tensors);
      return evaluationReport(batch, logits, inputs, range);
    },

    save: () => ({ weights: copies(weights), momentum: copies(momentum) }),

    load(state) {
      checkState(graph, state);
      assign(weights, state.weights);
      assign(momentum, state.momentum);
    },

    close: () => tf.dispose([...weights.values(), ...momentum.values()]),
  };
};

const isBackend = (name: string): name is TensorflowBackend =>
  (TENSORFLOW_BACKENDS as readonly string[]).includes(name);

// --- The network ---

/** Tensors by name, `<node>.<part>`. */
type Tensors = ReadonlyMap<string, tf.Tensor>;
type Operation = (x: tf.Tensor) => tf.Tensor;

/** What a training pass and an inference pass do differently. */
interface Mode {
  normalise(node: BatchNormNode, x: tf.Tensor): tf.Tensor;
  activate(node: ActivationNode, x: tf.Tensor): tf.Tensor;
}

/** Logits [batch, classes] of images [batch, height, width, channels]. */
function forward(graph: Graph, weights: Tensors, images: tf.Tensor, mode: Mode): tf.Tensor {
  const values = new Map<string, tf.Tensor>();
  for (const node of graph.nodes) {
    values.set(node.id, node.op === "input" ? images : layer(node, values, weights, mode));
  }
  return values.get(graph.nodes.at(-1)!.id)!;
}

function layer(
  node: Exclude<Node, { op: "input" }>,
  values: Tensors,
  weights: Tensors,
  mode: Mode,
): tf.Tensor {
  const x = values.get(node.input)!;
  const biased = (y: tf.Tensor) =>
    weights.has(`${node.id}.bias`) ? tf.add(y, tensorOf(weights, node.id, "bias")) : y;
  switch (node.op) {
    case "conv":
      return biased(convolve(x as tf.Tensor4D, tensorOf(weights, node.id, "weight") as tf.Tensor4D, node));
    case "dense":
      return biased(tf.matMul(x, tensorOf(weights, node.id, "weight")));
    case "batchNorm":
      return mode.normalise(node, x);
    case "activation":
      return mode.activate(node, x);
    case "averagePool":
      return tf.avgPool(x as tf.Tensor4D, node.kernel, node.stride, "valid");
    case "maxPool":
      return tf.maxPool(x as tf.Tensor4D, node.kernel, node.stride, node.padding);
    case "add":
      return tf.add(x, values.get(node.shortcut)!);
    case "flatten":
      return tf.reshape(x, [x.shape[0], -1]);
  }
}

const tensorOf = (tensors: Tensors, id: string, part: string): tf.Tensor => tensors.get(`${id}.${part}`)!;

/**
 * Composed by hand: the gradient of `tf.batchNorm` copies the statistics to the size of x, half the time of a
 * step.
 */
function batchNorm(
  id: string,
  x: tf.Tensor,
  weights: Tensors,
  mean: tf.Tensor,
  variance: tf.Tensor,
): tf.Tensor {
  const factor = tf.mul(tensorOf(weights, id, "scale"), tf.rsqrt(tf.add(variance, BATCH_NORM_EPSILON)));
  return tf.add(tf.mul(tf.sub(x, mean), factor), tensorOf(weights, id, "offset"));
}

const clipped = (x: tf.Tensor, clip: number | null): tf.Tensor =>
  clip === null ? x : tf.clipByValue(x, -clip, clip);

/**
 * A function that TensorFlow.js has, or a polynomial and its derivative by Horner's rule, the order in which the fast engine rounds too.
 */
function activationOf(activation: Activation): ActivationOperation {
  if (activation.kind === "trigonometric") return waveOf(activation);
  if (activation.kind !== "polynomial") return tf[activation.kind];
  const coefficients = realCoefficients(activation);
  if (coefficients.length < 2) throw new RangeError("the activation is constant");
  const polynomial = elementwise(horner(coefficients), horner(coefficients.map((c, k) => k * c).slice(1)));
  return (x) => polynomial(x); // it takes tensors alone
}

/** An activation of x, and of the numbers of the layer where they are learned. */
type ActivationOperation = (x: tf.Tensor, fourier?: tf.Tensor) => tf.Tensor;

function waveOf({ period, offset, amplitudes }: Trigonometric): ActivationOperation {
  const frequencies = amplitudes.map((_, k) => 2 * Math.PI * (2 * k + 1) / period);
  const wave = tf.customGrad((...args) => {
    const [x, fourier, save] = args as [tf.Tensor, tf.Tensor1D, tf.GradSaveFunc];
    save([x, fourier]);
    const cosine = (x: tf.Tensor, w: number) => tf.cos(tf.mul(x, w));
    const number = (fourier: tf.Tensor, k: number) => tf.reshape(tf.slice(fourier, [k], [1]), []);
    const value = frequencies.reduce<tf.Tensor>(
      (sum, w, k) => tf.add(sum, tf.mul(cosine(x, w), number(fourier, k + 1))),
      tf.add(tf.mul(x, 1 / 2), number(fourier, 0)),
    );
    const slope = (x: tf.Tensor, fourier: tf.Tensor) =>
      frequencies.reduce<tf.Tensor>(
        (sum, w, k) => tf.sub(sum, tf.mul(tf.sin(tf.mul(x, w)), tf.mul(number(fourier, k + 1), w))),
        tf.fill(x.shape, 1 / 2),
      );
    return {
      value,
      gradFunc: (dy, saved) => {
        const [x, fourier] = saved as [tf.Tensor, tf.Tensor];
        const sums = [tf.sum(dy), ...frequencies.map((w) => tf.sum(tf.mul(dy, cosine(x, w))))];
        return [tf.mul(dy, slope(x, fourier)), tf.stack(sums)];
      },
    };
  });
  return (x, fourier = tf.tensor1d([offset, ...amplitudes])) => wave(x, fourier);
}

function horner(coefficients: readonly number[]): Operation {
  const [highest, ...lower] = coefficients.toReversed();
  return (x) =>
    lower.reduce((y: tf.Tensor, c) => {
      const product = tf.mul(y, x);
      return c === 0 ? product : tf.add(product, c);
    }, tf.fill(lower.length === 0 ? x.shape : [], highest));
}

/**
 * The penalty of every element; `penaltyValue` and `penaltyDerivative` in operations that do not overflow.
 */
function penaltyOf({ exponent, range }: PenaltyShape): Operation {
  const bounded = (x: tf.Tensor) =>
    tf.clipByValue(tf.mul(x, 1 / range), -PENALTY_LINEAR_BEYOND, PENALTY_LINEAR_BEYOND);
  const timesSquares = (y: tf.Tensor, square: tf.Tensor, count: number) => {
    for (let k = 0; k < count; k++) y = tf.mul(y, square);
    return y;
  };
  return elementwise(
    (x) => {
      const square = tf.square(bounded(x)),
        beyond = tf.relu(tf.sub(tf.abs(tf.mul(x, 1 / range)), PENALTY_LINEAR_BEYOND));
      return tf.add(timesSquares(square, square, exponent / 2 - 1), tf.mul(beyond, penaltySlope(exponent)));
    },
    (x) => {
      const u = bounded(x);
      return timesSquares(tf.mul(u, exponent / range), tf.square(u), exponent / 2 - 1);
    },
  );
}

/** Euclidean norm of x - clamp(x, +-range); its gradient is 0 where the norm is. */
const hingeNorm = (x: tf.Tensor, range: number): tf.Tensor => {
  const excess = (x: tf.Tensor) => tf.sub(x, tf.clipByValue(x, -range, range));
  const normOf = (x: tf.Tensor) => tf.sqrt(tf.sum(tf.square(excess(x))));
  return tf.customGrad((...args) => {
    const [x, save] = args as [tf.Tensor, tf.GradSaveFunc];
    save([x]);
    return {
      value: normOf(x),
      gradFunc: (dy, [x]) => tf.mul(dy, tf.div(excess(x), tf.maximum(normOf(x), 1e-30))),
    };
  })(x);
};

/**
 * A function of each element with its derivative: derived step by step, Horner's rule would fill the memory.
 */
const elementwise = (f: Operation, derivative: Operation): Operation =>
  tf.customGrad((...args) => {
    const [x, save] = args as [tf.Tensor, tf.GradSaveFunc];
    save([x]);
    return { value: f(x), gradFunc: (dy, [x]) => tf.mul(dy, derivative(x)) };
  });

// --- Convolution ---

interface Geometry {
  readonly kernel: number;
  readonly stride: number;
  readonly padding: number;
}

/**
 * Convolution that can be differentiated on every backend: not all have a kernel for the gradient of the
 * filter.
 */
function convolve(x: tf.Tensor4D, filter: tf.Tensor4D, node: Geometry): tf.Tensor4D {
  const y = (x: tf.Tensor4D, filter: tf.Tensor4D) => tf.conv2d(x, filter, node.stride, node.padding);
  if (tf.getKernel("Conv2DBackpropFilter", tf.getBackend())) return y(x, filter);
  return tf.customGrad((...args) => {
    const [x, filter, save] = args as [tf.Tensor4D, tf.Tensor4D, tf.GradSaveFunc];
    save([x, filter]);
    return {
      value: y(x, filter),
      gradFunc: (dy, [x, filter]) => [
        inputGradient(dy as tf.Tensor4D, filter as tf.Tensor4D, x.shape as tf.Tensor4D["shape"], node),
        filterGradient(x as tf.Tensor4D, dy as tf.Tensor4D, node),
      ],
    };
  })(x, filter) as tf.Tensor4D;
}

/**
 * Stride 1: a convolution of dy with the filter turned by 180 degrees, ten times as fast as the transposed
 * one.
 */
function inputGradient(
  dy: tf.Tensor4D,
  filter: tf.Tensor4D,
  shape: tf.Tensor4D["shape"],
  { kernel, stride, padding }: Geometry,
): tf.Tensor4D {
  if (stride !== 1 || padding >= kernel) return tf.conv2dTranspose(dy, filter, shape, stride, padding);
  const turned = tf.transpose(tf.reverse(filter, [0, 1]), [0, 1, 3, 2]);
  return tf.conv2d(dy, turned, 1, kernel - 1 - padding);
}

/**
 * dW[i, j, c, f] = sum over image n and position (p, q) of x[n, i + stride p, j + stride q, c] dy[n, p, q,
 * f]: a convolution in which channels play the batch, images the channels and dy, dilated by the stride, the
 * filter.
 */
function filterGradient(x: tf.Tensor4D, dy: tf.Tensor4D, { kernel, stride, padding }: Geometry): tf.Tensor4D {
  const border: [number, number] = [padding, padding];
  const images = tf.transpose(tf.pad(x, [[0, 0], border, border, [0, 0]]), [3, 1, 2, 0]);
  const all = tf.conv2d(images, tf.transpose(dy, [1, 2, 0, 3]), 1, "valid", "NHWC", stride);
  // Where the stride leaves rows of x unread, positions beyond the kernel appear as well.
  return tf.transpose(tf.slice(all, [0, 0, 0, 0], [-1, kernel, kernel, -1]), [1, 2, 0, 3]);
}

// --- One step ---

interface Shard {
  readonly images: tf.Tensor;
  readonly targets: tf.Tensor2D;
}

function shardsOf(graph: Graph, batch: Batch, shards: number): Shard[] {
  const images = tf.split(imagesOf(graph, batch), shards);
  const targets = tf.split(tf.tensor2d(batch.targets, [batch.size, graph.classes]), shards);
  return images.map((images, k) => ({ images, targets: targets[k] as tf.Tensor2D }));
}

const imagesOf = (graph: Graph, batch: Batch): tf.Tensor =>
  tf.tensor4d(batch.images, [batch.size, ...graph.inputShape]);

/** What one shard contributes to a step. */
type Part = {
  readonly gradients: tf.NamedTensorMap;
  /** Mean and unbiased variance of every batch norm, under the names of the running ones. */
  readonly statistics: tf.NamedTensorMap;
  readonly logits: tf.Tensor;
  /**
   * Cross entropy, penalty, then the largest |input| and the number of inputs out of range, by activation
   * layer.
   */
  readonly numbers: tf.Tensor;
};

/**
 * Loss and gradients of one shard, with batch-norm statistics of its own. Cross entropy and penalty are its
 * share of those of the whole batch: shards are added, not averaged.
 */
function differentiate(
  graph: Graph,
  weights: Variables,
  activate: ActivationOperation,
  { images, targets }: Shard,
  batchSize: number,
  { clip, penalty, crossEntropyWeight, labelSmoothing }: StepSettings,
): Part {
  // Values of the forward pass that are still wanted when TensorFlow.js has dropped it.
  const inputs: tf.Tensor[] = [], statistics: tf.NamedTensorMap = {};
  let logits!: tf.Tensor, crossEntropy!: tf.Tensor, penaltyLoss!: tf.Tensor;

  const loss = () => {
    const penalties: tf.Tensor[] = [];
    logits = tf.keep(forward(graph, weights, images, {
      normalise({ id }, x) {
        const { mean, variance } = tf.moments(x, x.shape.slice(1).map((_, axis) => axis));
        const count = x.size / mean.size, unbiased = tf.mul(variance, count / Math.max(1, count - 1));
        statistics[`${id}.mean`] = tf.keep(mean);
        statistics[`${id}.variance`] = tf.keep(unbiased);
        return batchNorm(id, x, weights, mean, variance);
      },
      activate({ id }, x) {
        inputs.push(tf.keep(x.clone()));
        if (penalty?.reduction === "hinge") {
          penalties.push(tf.div(hingeNorm(x, penalty.range), batchSize / images.shape[0]));
        } else if (penalty) {
          const sum = tf.sum(penaltyOf(penalty)(x)), elements = x.size / images.shape[0] * batchSize;
          penalties.push(penalty.reduction === "sum" ? sum : tf.div(sum, elements));
        }
        return activate(clipped(x, clip), weights.get(`${id}.fourier`));
      },
    }));
    const sum = tf.losses.softmaxCrossEntropy(targets, logits, undefined, labelSmoothing, tf.Reduction.SUM);
    crossEntropy = tf.keep(tf.div(sum, batchSize));
    penaltyLoss = tf.keep(
      penalties.length > 0 ? tf.mul(total(penalties), penalty!.coefficient / penalties.length) : tf.scalar(0),
    );
    return tf.add(tf.mul(crossEntropy, crossEntropyWeight), penaltyLoss) as tf.Scalar;
  };

  const trainable = [...weights].filter(([name]) => isTrainable(name));
  const { grads } = tf.variableGrads(loss, trainable.map(([, variable]) => variable));
  const range = clip ?? DEFAULT_RANGE, sizes = inputs.map(adopt).map((x) => tf.abs(x));
  return {
    gradients: Object.fromEntries(trainable.map(([name, variable]) => [name, grads[variable.name]])),
    statistics: Object.fromEntries(Object.entries(statistics).map(([name, tensor]) => [name, adopt(tensor)])),
    logits: adopt(logits),
    numbers: tf.stack([
      adopt(crossEntropy),
      adopt(penaltyLoss),
      ...sizes.map(largest),
      ...sizes.map(outOf(range)),
    ]),
  };
}

/** Largest of the sizes of inputs; NaN counts as infinity. */
const largest = (sizes: tf.Tensor): tf.Tensor => tf.where(tf.any(tf.isNaN(sizes)), Infinity, tf.max(sizes));

/** Number of sizes not in range, NaN included; as a float exact below 2^24. */
const outOf = (range: number): Operation => (sizes) =>
  tf.cast(tf.sum(tf.logicalNot(tf.lessEqual(sizes, range))), "float32");

/**
 * Sum of tensors, from left to right. Not `tf.addN`: on webgpu it is silently wrong for more tensors than a
 * shader takes.
 */
const total = (tensors: readonly tf.Tensor[]): tf.Tensor =>
  tensors.reduce((sum, tensor) => tf.add(sum, tensor));

/** Hands a kept tensor to the current `tf.tidy`. */
function adopt(kept: tf.Tensor): tf.Tensor {
  const tensor = kept.clone();
  kept.dispose();
  return tensor;
}

function updateStatistics(weights: Variables, parts: readonly Part[]): void {
  for (const name in parts[0].statistics) {
    const running = weights.get(name)!;
    const mean = tf.div(total(parts.map(({ statistics }) => statistics[name])), parts.length);
    running.assign(tf.add(tf.mul(running, 1 - STATISTICS_MOMENTUM), tf.mul(mean, STATISTICS_MOMENTUM)));
  }
}

/** Gradients of the batch, scaled down to a Euclidean norm of `limit` where they are larger. */
function batchGradients(parts: readonly Part[], limit: number | null): [name: string, gradient: tf.Tensor][] {
  const sums = Object.keys(parts[0].gradients).map((name): [string, tf.Tensor] => [
    name,
    total(parts.map(({ gradients }) => gradients[name])),
  ]);
  if (limit === null) return sums;
  const norm = tf.sqrt(total(sums.map(([, g]) => tf.sum(tf.square(g)))));
  const factor = tf.minimum(1, tf.div(limit, norm));
  return sums.map(([name, g]) => [name, tf.mul(g, factor)]);
}

/** Stochastic gradient descent with momentum and weight decay, as PyTorch defines it. */
function descend(
  weights: Variables,
  momentum: Variables,
  gradients: readonly [name: string, gradient: tf.Tensor][],
  settings: StepSettings,
): void {
  for (const [name, gradient] of gradients) {
    const w = weights.get(name)!, v = momentum.get(name)!;
    if (settings.muon !== null && isMuonFilter(w.shape)) {
      muonStep(w, v, gradient, settings.muon, settings);
      continue;
    }
    const d = tf.add(gradient, tf.mul(w, decayOf(name, settings)));
    v.assign(tf.add(tf.mul(v, settings.momentum), d));
    const direction = settings.nesterov ? tf.add(tf.mul(v, settings.momentum), d) : v;
    w.assign(tf.sub(w, tf.mul(direction, settings.learningRate)));
  }
}

/** Muon's step of a filter: see `muon.ts`. */
function muonStep(
  w: tf.Variable,
  v: tf.Variable,
  gradient: tf.Tensor,
  rate: number,
  { momentum, nesterov }: StepSettings,
): void {
  const outputs = w.shape.at(-1)!, [a, b, c] = NEWTON_SCHULZ;
  v.assign(tf.add(tf.mul(v, momentum), gradient));
  const direction = nesterov ? tf.add(tf.mul(v, momentum), gradient) : v;
  let x = tf.reshape(tf.div(direction, tf.add(tf.norm(direction), LEAST_NORM)), [-1, outputs]) as tf.Tensor2D;
  for (let i = 0; i < NEWTON_SCHULZ_STEPS; i++) {
    const gram = tf.matMul(x, x, true), square = tf.matMul(gram, gram);
    x = tf.add(tf.mul(x, a), tf.matMul(x, tf.add(tf.mul(gram, b), tf.mul(square, c))));
  }
  const kept = tf.mul(w, tf.div(Math.sqrt(outputs), tf.norm(w)));
  w.assign(tf.sub(kept, tf.reshape(tf.mul(x, rate), w.shape)));
}

function boundAmplitudes(weights: Variables, activation: Activation): void {
  if (activation.kind !== "trigonometric") return;
  const bound = activation.period / AMPLITUDE_DIVISOR;
  for (const [name, w] of weights) {
    if (!name.endsWith(".fourier")) continue;
    const offset = tf.slice(w, [0], [1]), amplitudes = tf.slice(w, [1], [-1]);
    w.assign(tf.concat([offset, tf.clipByValue(amplitudes, -bound, bound)]));
  }
}

function stepReport(batch: Batch, logits: Float32Array, shards: readonly Float32Array[]): StepReport {
  const layers = (shards[0].length - 2) / 2, sum = (k: number) => shards.reduce((sum, n) => sum + n[k], 0);
  const indices = Array.from({ length: layers }, (_, layer) => 2 + layer);
  return {
    crossEntropy: sum(0),
    penalty: sum(1),
    correct: countCorrect(batch, logits),
    largestInput: indices.map((k) => Math.max(...shards.map((n) => n[k]))),
    outOfRange: indices.reduce((total, k) => total + sum(k + layers), 0),
  };
}

// --- Between JavaScript and the backend ---

type Variables = ReadonlyMap<string, tf.Variable>;

/** Brings tensors to JavaScript and frees them. Not synchronous, because a graphics card cannot be. */
async function download(tensors: readonly tf.Tensor[]): Promise<Float32Array[]> {
  const values = await Promise.all(tensors.map((tensor) => tensor.data<"float32">()));
  tf.dispose([...tensors]);
  return values;
}

/** Variables that start as copies of tensors. */
const variables = (tensors: Weights): Variables =>
  new Map([...tensors].map(([name, tensor]) => [name, tf.tidy(() => tf.variable(upload(tensor)))]));

const assign = (variables: Variables, tensors: Weights): void =>
  tensors.forEach((tensor, name) => tf.tidy(() => variables.get(name)!.assign(upload(tensor))));

/** The backend may keep what it is given, hence the copy; the same on the way back. */
const upload = ({ data, shape }: FloatTensor): tf.Tensor => tf.tensor(data.slice(), [...shape]);

const copies = (variables: Variables): Weights =>
  new Map(
    [...variables].map(([name, v]) => [name, { shape: v.shape, data: v.dataSync<"float32">().slice() }]),
  );

/** Lets `copies` read variables: a graphics card answers later, and TensorFlow.js remembers its answer. */
async function prefetch(...all: readonly Variables[]): Promise<void> {
  if (tf.getBackend() !== "webgpu") return;
  await Promise.all(all.flatMap((variables) => [...variables.values()].map((v) => v.data())));
}

function checkState(graph: Graph, { weights, momentum }: EngineState): void {
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

function checkBatch(
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
