/**
 * One shard of a batch: runs the steps of a {@linkcode GraphPlan} on the kernels, in a memory of its own. A shard knows
 * nothing of the others; their gradients arrive as rows of floats.
 */
import type { Activation, Graph, PoolNode } from "../models/graph.ts";
import { AMPLITUDE_DIVISOR, type Trigonometric } from "../models/trigonometric.ts";
import { instantiateConvolutionKernels } from "./convolution.ts";
import { crossEntropy } from "./cross_entropy.ts";
import type { StepSettings } from "./engine.ts";
import { planGraph } from "./graph_plan.ts";
import {
  type BackwardStep,
  type ConvolutionStep,
  type CopyStep,
  extent,
  type GraphPlan,
  type MomentsStep,
  type NormGradientStep,
  place,
  type PointwiseGradientStep,
  type PointwiseStep,
  type PoolGradientStep,
  type PoolStep,
  RECORD_BYTES,
  type Tensor,
  type WeightGradientStep,
} from "./graph_steps.ts";
import { instantiateLayerKernels, type LayerKernels } from "./layer_kernels.ts";
import { isMuonFilter, muonStep } from "./muon.ts";
import { PENALTY_LINEAR_BEYOND, penaltySlope } from "./penalty.ts";
import { layoutParameters, type ParameterLayout, stateFloats } from "./parameter_layout.ts";
import { fourierGradients, waveSettings } from "./wave.ts";
import { cappedScales, decayOf } from "./update_rules.ts";

type FourNumbers = [number, number, number, number];

const PAGE = 65536;
const EPSILON = 1e-5;
/** Share of the old value in the new running statistics. */
const KEPT = 0.9;
/** Bound of the range record where no clip is set. */
const DEFAULT_BOUND = 5;
/** Offsets of the numbers of f and f' in the settings of the kernels, in floats. */
const COEFFICIENTS = 4, PENALTY_RANGE = 15, DERIVATIVE = 16, MAX_DEGREE = 10;
/** What stands for the exponent of a hinge in the settings of the kernels. */
const HINGE = 1;
/** Sums that the gradients of a learned wave are made of. */
const FOURIER_SUMS = 4;

/** What a shard says of a step, to be summed (`largestInput`: maximum) over shards. */
export interface ShardReport {
  readonly crossEntropy: number;
  readonly penalty: number;
  readonly correct: number;
  readonly outOfRange: number;
  readonly largestInput: readonly number[];
}

/** What a shard says of an evaluation, in the order in which it is handed over; summed, but for the largest input. */
export const EVALUATION_FIELDS = [
  "correct",
  "crossEntropy",
  "outOfRange",
  "imagesOutOfRange",
  "largestInput",
  "finite",
  "sum",
  "squares",
  "nonFinite",
] as const;

export type ShardEvaluation = Record<typeof EVALUATION_FIELDS[number], number>;

export interface Shard {
  readonly layout: ParameterLayout;
  readonly activationElements: readonly number[];
  /** All parameters, running statistics and momentum: see {@linkcode layoutParameters}. */
  readonly state: Float32Array;
  /** Gradients and statistics of the last batch; before {@linkcode Shard.update} those of the first shard. */
  readonly gradients: Float32Array;
  /** Room for those of another shard. */
  readonly received: Float32Array;
  readonly memoryBytes: number;
  /** To be called when parameters have changed. */
  prepare(): void;
  /** Forward and backward; `batchSize` counts the images of all shards. */
  train(images: Float32Array, targets: Float32Array, batchSize: number, settings: StepSettings): ShardReport;
  evaluate(images: Float32Array, targets: Float32Array, range: number, clip: number | null): ShardEvaluation;
  /** gradients += received. */
  addReceived(): void;
  /** Descends along `gradients`, the sum over `shards`. */
  update(shards: number, settings: StepSettings): void;
}

/**
 * @param batch images of a shard
 * @param modules compiled kernels: of convolutions and of layers
 */
export function openShard(
  graph: Graph,
  activation: Activation,
  batch: number,
  modules: {
    readonly convolutions: readonly WebAssembly.Module[];
    readonly layers: readonly WebAssembly.Module[];
  },
): Shard {
  const memory = new WebAssembly.Memory({ initial: 16, maximum: PAGE });
  const convolutionKernels = instantiateConvolutionKernels(memory, modules.convolutions);
  const kernels = instantiateLayerKernels(memory, modules.layers);
  const layout = layoutParameters(graph);
  const plan = planGraph(graph, batch, layout, convolutionKernels);
  memory.grow(Math.max(0, Math.ceil(plan.bytes / PAGE) - 16));
  return runnable(
    plan,
    layout,
    activationKernel(activation),
    learnedWaves(graph, activation, layout),
    cappedScales(graph).map((name) => layout.slots.get(name)!),
    kernels,
    memory,
  );
}

/** An activation as the kernels know it: the part of their names that names it, and the numbers of f and of f'. */
interface ActivationKernel {
  readonly name: string;
  readonly value: readonly number[];
  readonly slope: readonly number[];
}

/** Where the numbers of learned activations lie. */
interface LearnedWaves {
  readonly period: number;
  readonly harmonics: number;
  /** Offsets in floats into the parameter row, by activation layer. */
  readonly offsets: readonly number[];
}

function learnedWaves(
  graph: Graph,
  activation: Activation,
  { slots }: ParameterLayout,
): LearnedWaves | undefined {
  if (activation.kind !== "trigonometric" || !activation.learned) return undefined;
  const layers = graph.nodes.filter(({ op }) => op === "activation");
  return {
    period: activation.period,
    harmonics: activation.amplitudes.length,
    offsets: layers.map(({ id }) => slots.get(`${id}.fourier`)!.offset),
  };
}

const FUNCTION_KERNELS = { relu: "Relu", sigmoid: "Sigmoid" };

function activationKernel(activation: Activation): ActivationKernel {
  if (activation.kind === "trigonometric") return waveKernel(activation);
  if (activation.kind !== "polynomial") {
    return { name: FUNCTION_KERNELS[activation.kind], value: [], slope: [] };
  }
  const coefficients = activation.coefficients.map((c) => c / 2 ** activation.precision);
  if (coefficients.length > MAX_DEGREE + 1) {
    throw new RangeError(
      `the wasm engine trains polynomials up to degree ${MAX_DEGREE}, got ${coefficients.length - 1}`,
    );
  }
  while (coefficients.length < 2) coefficients.push(0);
  const slope = coefficients.slice(1).map((c, k) => (k + 1) * c);
  return { name: `Polynomial${coefficients.length - 1}`, value: coefficients, slope };
}

const waveKernel = (activation: Trigonometric): ActivationKernel => ({
  name: `Wave${activation.amplitudes.length}`,
  ...waveSettings(activation),
});

function runnable(
  plan: GraphPlan,
  layout: ParameterLayout,
  activation: ActivationKernel,
  learned: LearnedWaves | undefined,
  /** Scales of batch norm that a cap bounds. */
  capped: readonly { readonly offset: number; readonly size: number }[],
  kernels: LayerKernels,
  memory: WebAssembly.Memory,
): Shard {
  const { batch, classes } = plan, { buffer } = memory;
  const floats = new Float32Array(buffer), words = new Int32Array(buffer), doubles = new Float64Array(buffer);
  const floatsAt = (address: number, length: number) => floats.subarray(address / 4, address / 4 + length);
  const state = floatsAt(plan.parameters, stateFloats(layout));
  const gradients = floatsAt(plan.gradients, layout.total);
  const forwardSteps = plan.forward.flatMap(({ steps }) => steps);
  const pointwise = forwardSteps.filter((step) => step.kind === "pointwise");
  const activated = pointwise.filter(({ activation }) => activation !== undefined);
  const normed = pointwise.filter(({ norm }) => norm);

  function writeSettings(clip: number | null, bound: number, penalty: StepSettings["penalty"]): void {
    const settings = floatsAt(plan.settings, 32);
    settings[0] = clip ?? Infinity;
    settings[1] = bound;
    settings[2] = penalty ? 1 / penalty.range : 0;
    words[plan.settings / 4 + 3] = !penalty ? 0 : penalty.reduction === "hinge" ? HINGE : penalty.exponent;
    settings[PENALTY_RANGE] = penalty?.range ?? 0;
    writeFunction(activation);
  }

  function writeFunction({ value, slope }: Pick<ActivationKernel, "value" | "slope">): void {
    const settings = floatsAt(plan.settings, 32);
    settings.set(value, COEFFICIENTS);
    settings.set(slope, DERIVATIVE);
  }

  /** Writes the numbers of a layer that has learned its own. */
  function writeLearned(layer: number): void {
    if (!learned) return;
    const { period, harmonics, offsets } = learned, at = offsets[layer]!;
    const amplitudes = [...state.subarray(at + 1, at + 1 + harmonics)];
    writeFunction(waveSettings({ kind: "trigonometric", period, offset: state[at]!, amplitudes }));
  }

  /** By layer: sums of the gradients that reach a learned activation, of a shard so far. */
  const fourierSums = (learned?.offsets ?? []).map(() => new Float64Array(FOURIER_SUMS));

  function finishFourier(): void {
    learned?.offsets.forEach((offset, layer) =>
      gradients.set(fourierGradients([...fourierSums[layer]!], learned.harmonics), offset)
    );
  }

  /** Writes the values of a channel into every repetition of it, one value to each of the tables in a row. */
  function fillTables(
    address: number,
    period: number,
    channels: number,
    values: (c: number) => readonly number[],
  ) {
    for (let c = 0; c < channels; c++) {
      values(c).forEach((value, table) => {
        for (let i = c; i < period; i += channels) floats[address / 4 + table * period + i] = value;
      });
    }
  }

  /** Sum of a channel over the repetitions in f64 [2][period]; `part` is 0 or 1. */
  function channelSum(sums: number, period: number, channels: number, channel: number, part: 0 | 1): number {
    let sum = 0;
    for (let i = channel; i < period; i += channels) sum += doubles[sums / 8 + part * period + i]!;
    return sum;
  }

  /** Tables of a batch norm with the given mean and variance. */
  function normTables(
    { norm, period, tables, z }: PointwiseStep,
    mean: (channel: number) => number,
    variance: (channel: number) => number,
  ): void {
    fillTables(tables, period, z.shape[2], (c) => {
      const inverse = 1 / Math.sqrt(variance(c) + EPSILON), factor = inverse * state[norm!.scale + c]!;
      return [factor, state[norm!.offset + c]! - mean(c) * factor, mean(c), inverse];
    });
  }

  /** Clears the sums of all batch norms; forward they are taken around the running mean, where they lose least. */
  function clearSums(): void {
    for (const { norm, period, sums, z } of pointwise) {
      doubles.fill(0, sums / 8, sums / 8 + 2 * period);
      if (norm) fillTables(norm.pivot, period, z.shape[2], (c) => [state[norm.mean + c]!]);
    }
  }

  /** Mean and variance of the shard from the sums. */
  function finishMoments(step: PointwiseStep): void {
    const { norm, period, sums, z } = step, channels = z.shape[2], { count, mean, variance } = norm!;
    const means = new Float64Array(channels), variances = new Float64Array(channels);
    for (let c = 0; c < channels; c++) {
      const distance = channelSum(sums, period, channels, c, 0) / count;
      means[c] = state[mean + c]! + distance;
      // Not below 0, which rounding could do to a constant channel.
      variances[c] = Math.max(0, channelSum(sums, period, channels, c, 1) / count - distance * distance);
      gradients[mean + c] = means[c]!;
      gradients[variance + c] = variances[c]! * count / Math.max(1, count - 1);
    }
    normTables(step, (c) => means[c]!, (c) => variances[c]!);
  }

  const recordOf = (activation: number) => plan.records + activation * RECORD_BYTES;
  const clearRecords = () => words.fill(0, plan.records / 4, recordOf(plan.activations.length) / 4);
  /** Norm of what the inputs of a layer have beyond the range. */
  const hingeNorm = (activation: number) => Math.sqrt(doubles[recordOf(activation) / 8]!);

  /** Penalty of a layer; its inputs beyond 16 ranges, where the penalty is a tangent, are gone through once more. */
  function penaltySum(
    step: PointwiseStep,
    { exponent, range, reduction }: NonNullable<StepSettings["penalty"]>,
  ): number {
    if (reduction === "hinge") return hingeNorm(step.activation!);
    const record = recordOf(step.activation!),
      bound = PENALTY_LINEAR_BEYOND * range,
      power = doubles[record / 8]!;
    if (largestInput(record) <= bound) return power;
    const { number, sum } = outliers(step, bound, 0, batch);
    return power + penaltySlope(exponent) * (sum / range - number * PENALTY_LINEAR_BEYOND);
  }
  /** |NaN| counts as infinity; as integers its bits are the largest. */
  const largestInput = (record: number) => {
    const value = floats[record / 4 + 2]!;
    return Number.isNaN(value) ? Infinity : value;
  };
  const outside = (record: number) => words[record / 4 + 3]!;

  /** Applies a pointwise step to images first ... first + count - 1. */
  function apply(
    { z, shortcut, y, period, tables, activation: index }: PointwiseStep,
    first: number,
    count: number,
  ) {
    const tensors = shortcut ? [z, shortcut, y] : [z, y];
    const places = tensors.flatMap((t) => place(t, first));
    const suffix = shortcut ? "Shortcut" : "", range = extent(count, ...tensors);
    if (index === undefined) kernels[`forwardIdentity${suffix}`]!(...places, ...range, tables, period);
    else {
      writeLearned(index);
      const forward = kernels[`forward${activation.name}${suffix}`]!;
      forward(...places, ...range, tables, period, plan.settings, recordOf(index));
    }
  }

  function moments({ of: { norm, period, sums }, z }: MomentsStep, first: number, count: number): void {
    kernels.moments(...place(z, first), ...extent(count, z), norm!.pivot, period, sums);
  }

  /** Steps that are the same in training and in evaluation. */
  function run(step: ConvolutionStep | PoolStep | CopyStep, first: number, count: number): void {
    if (step.kind === "convolution") {
      const { x, z, packed, bias } = step,
        [from, to] = [x, z].map((t) => t.base + first * t.image) as [number, number];
      step.convolution(count).forward(from, packed, bias, to, plan.scratch);
    } else if (step.kind === "copy") copy(step, first, count);
    else {
      const { node, x, y } = step, places = [...place(x, first), ...place(y, first)];
      if (node.op === "averagePool") kernels.averagePool(...places, ...windows(y, node, count));
      else kernels.maxPool(...places, ...windows(y, node, count), node.padding, x.shape[0], x.shape[1]);
    }
  }

  const copy = ({ x, y }: CopyStep, first: number, count: number) =>
    kernels.copy(...place(x, first), ...place(y, first), ...extent(count, x, y), 0, 4);
  const windows = (y: Tensor, { kernel, stride }: PoolNode, count: number) =>
    [count, ...y.shape, kernel, stride] as const;

  /** Factor of an activation layer's penalty sum. */
  function penaltyFactor({ penalty }: StepSettings, activation: number, batchSize: number): number {
    if (!penalty) return 0;
    const { length } = plan.activations, elements = batchSize * plan.activations[activation]!;
    const parts = { sum: 1, mean: elements, hinge: batchSize / batch };
    return penalty.coefficient / length / parts[penalty.reduction];
  }

  /** What the kernels multiply with the slope of the penalty of an input. */
  function penaltySlopeFactor(settings: StepSettings, activation: number, batchSize: number): number {
    const { penalty } = settings, factor = penaltyFactor(settings, activation, batchSize);
    if (!penalty) return 0;
    if (penalty.reduction !== "hinge") return factor * penalty.exponent / penalty.range;
    const norm = hingeNorm(activation);
    return norm > 0 ? factor / norm : 0;
  }

  function goBack(
    step: BackwardStep,
    first: number,
    count: number,
    batchSize: number,
    settings: StepSettings,
  ): void {
    switch (step.kind) {
      case "copy":
        return copy(step, first, count);
      case "sum": {
        const { x, w, y } = step, places = [x, w, y].flatMap((t) => place(t, first));
        return kernels.sum(...places, ...extent(count, x, w, y), 0, 4);
      }
      case "convolution": {
        const { of, dz, dx } = step,
          [from, to] = [dz, dx].map((t) => t.base + first * t.image) as [number, number];
        return of.convolution(count).inputGradient(from, of.packed, to, plan.scratch);
      }
      case "pool":
        return poolBack(step, first, count);
      case "pointwise":
        return pointwiseBack(step, first, count, batchSize, settings);
      case "norm": {
        const { of: { z, norm, period }, g, dz } = step;
        if (!dz) return;
        const places = [g, z, dz].flatMap((t) => place(t, first));
        return kernels.normGradient(...places, ...extent(count, g, z, dz), norm!.gradientTables, period);
      }
    }
  }

  function poolBack({ of: { node, x }, dy, dx }: PoolGradientStep, first: number, count: number): void {
    const { kernel, stride } = node, [height, width, channels] = dy.shape;
    const from = place(dy, first), to = place(dx, first);
    const isPartition = node.op === "averagePool" && stride === kernel;
    const isCovered = height * kernel === x.shape[0] && width * kernel === x.shape[1];
    if (!isPartition || !isCovered) kernels.clear(...to, count, dx.shape[0], dx.shape[1] * channels);
    if (isPartition) kernels.averagePoolGradient(...from, ...to, count, height, width, channels, kernel);
    else if (node.op === "averagePool") {
      kernels.averagePoolScatter(...from, ...to, ...windows(dy, node, count));
    } else {
      const sides = [node.padding, x.shape[0], x.shape[1]];
      kernels.maxPoolGradient(...place(x, first), ...from, ...to, ...windows(dy, node, count), ...sides);
    }
  }

  function pointwiseBack(
    { of, dy, ey, g }: PointwiseGradientStep,
    first: number,
    count: number,
    batchSize: number,
    settings: StepSettings,
  ): void {
    const { z, shortcut, period, tables, sums, activation: index } = of, incoming = ey ? [dy, ey] : [dy];
    // Where there is no activation, neither z nor the shortcut matters but for the sums of batch norm.
    const isActivated = index !== undefined, read = isActivated && shortcut ? [z, shortcut] : [z];
    const tensors = [...incoming, ...read, g], places = tensors.flatMap((t) => place(t, first));
    const name = `${isActivated ? activation.name : "Identity"}${read.length > 1 ? "Shortcut" : ""}` as const;
    const backward = kernels[`backward${name}${ey ? "Second" : ""}`]!;
    const common = [...places, ...extent(count, ...tensors), tables, period, sums];
    if (!isActivated) return backward(...common);
    writeLearned(index);
    if (learned) sumFourier(index, [...incoming, ...read], ey !== undefined, first, count, tables, period);
    backward(...common, plan.settings, penaltySlopeFactor(settings, index, batchSize));
  }

  function sumFourier(
    layer: number,
    tensors: readonly Tensor[],
    hasSecond: boolean,
    first: number,
    count: number,
    tables: number,
    period: number,
  ): void {
    const operands = `${tensors.length > (hasSecond ? 3 : 2) ? "Shortcut" : ""}${hasSecond ? "Second" : ""}`;
    const result = doubles.subarray(plan.scratch / 8, plan.scratch / 8 + FOURIER_SUMS).fill(0);
    const places = tensors.flatMap((t) => place(t, first));
    const kernel = kernels[`backwardFourier${operands}`]!;
    kernel(...places, ...extent(count, ...tensors), tables, period, plan.settings, plan.scratch);
    result.forEach((sum, k) => fourierSums[layer]![k]! += sum);
  }

  /** Gradients of scale and offset, and the coefficients of the input gradient, from the sums. */
  function finishNorm({ of: { z, norm, period, tables, sums } }: NormGradientStep): void {
    const channels = z.shape[2], { count, offset, scale, gradientTables } = norm!;
    fillTables(gradientTables, period, channels, (c) => {
      const [factor, , mean, inverse] = [0, 1, 2, 3].map((t) =>
        floats[tables / 4 + t * period + c]!
      ) as FourNumbers;
      const sumG = channelSum(sums, period, channels, c, 0), sumGZ = channelSum(sums, period, channels, c, 1);
      gradients[offset + c] = sumG;
      gradients[scale + c] = sumGZ * inverse;
      return [factor, -factor * inverse * inverse * sumGZ / count, mean, -factor * sumG / count];
    });
  }

  function weightsBack({ of, dz, dWeight, dBias }: WeightGradientStep): void {
    of.convolution(batch).weightGradient(of.x.base, dz.base, dWeight, plan.scratch);
    if (!dBias) return;
    const { period, pivot, sums, target } = dBias, outputs = dz.shape[2];
    doubles.fill(0, sums / 8, sums / 8 + 2 * period);
    kernels.moments(...place(dz), ...extent(batch, dz), pivot, period, sums);
    for (let c = 0; c < outputs; c++) floats[target / 4 + c] = channelSum(sums, period, outputs, c, 0);
  }

  function loadImages(images: Float32Array): void {
    floats.set(images, plan.images.at / 4);
  }

  // Without a batch norm the factor is 1, the term 0.
  for (const { norm, period, tables } of pointwise) if (!norm) floatsAt(tables, period).fill(1);

  return {
    layout,
    activationElements: plan.activations,
    state,
    gradients,
    received: floatsAt(plan.received, layout.total),
    memoryBytes: buffer.byteLength,

    prepare() {
      for (const step of forwardSteps) {
        if (step.kind === "convolution") step.convolution(batch).prepare(step.weight, step.packed);
      }
    },

    train(images, targets, batchSize, settings) {
      const { clip, penalty, labelSmoothing, crossEntropyWeight } = settings;
      writeSettings(clip, clip ?? DEFAULT_BOUND, penalty);
      clearRecords();
      loadImages(images);
      clearSums();
      for (const sums of fourierSums) sums.fill(0);
      for (const { images: count, steps: [start, ...others] } of plan.forward) {
        if (start!.kind === "pointwise" && start!.norm) finishMoments(start!);
        for (let first = 0; first < batch; first += count) {
          for (const step of [start!, ...others]) {
            if (step.kind === "pointwise") apply(step, first, count);
            else if (step.kind === "moments") moments(step, first, count);
            else run(step, first, count);
          }
        }
      }
      const { logits, logitsGradient } = plan;
      const loss = crossEntropy(
        floatsAt(logits.at, batch * classes),
        targets,
        classes,
        labelSmoothing,
        crossEntropyWeight / batchSize,
        floats.subarray(logitsGradient.at / 4),
        logitsGradient.image / 4,
      );
      clearSums();
      for (const { images: count, steps, weights } of plan.backward) {
        if (steps[0]?.kind === "norm") finishNorm(steps[0]);
        for (let first = 0; first < batch; first += count) {
          for (const step of steps) goBack(step, first, count, batchSize, settings);
        }
        weights.forEach(weightsBack);
      }
      finishFourier();
      const records = plan.activations.map((_, i) => recordOf(i));
      return {
        ...loss,
        penalty: !penalty ? 0 : activated.reduce(
          (sum, step) =>
            sum + penaltyFactor(settings, step.activation!, batchSize) * penaltySum(step, penalty),
          0,
        ),
        outOfRange: records.reduce((sum, r) => sum + outside(r), 0),
        largestInput: records.map(largestInput),
      };
    },

    evaluate(images, targets, range, clip) {
      const size = targets.length / classes;
      const total = Object.fromEntries(EVALUATION_FIELDS.map((field) => [field, 0])) as ShardEvaluation;
      if (size === 0) return total;
      writeSettings(clip, range, null);
      loadImages(images);
      for (const step of normed) {
        const { mean, variance } = step.norm!;
        normTables(step, (c) => state[mean + c]!, (c) => state[variance + c]!);
      }
      const isOutside = new Uint8Array(size);
      for (const { images: count, steps } of plan.forward) {
        for (let first = 0; first < size; first += count) {
          for (const step of steps) {
            if (step.kind === "moments") continue;
            if (step.kind !== "pointwise") run(step, first, count);
            else if (step.activation === undefined) apply(step, first, count);
            else {for (let i = first; i < Math.min(size, first + count); i++) {
                observe(step, i, range, total, isOutside);
              }}
          }
        }
      }
      total.imagesOutOfRange = isOutside.reduce((sum, flag) => sum + flag, 0);
      const logits = floatsAt(plan.logits.at, size * classes), gradient = new Float32Array(classes);
      for (let image = 0; image < size; image++) {
        const row = logits.subarray(image * classes, (image + 1) * classes);
        if (!row.every(Number.isFinite)) {
          total.nonFinite++;
          continue;
        }
        const target = targets.subarray(image * classes, (image + 1) * classes);
        const loss = crossEntropy(row, target, classes, 0, 1, gradient, classes);
        total.crossEntropy += loss.crossEntropy;
        total.correct += loss.correct;
      }
      return total;
    },

    addReceived() {
      kernels.addTo(plan.gradients, plan.received, layout.total);
    },

    update(shards, settings) {
      const { slots, trained } = layout,
        { learningRate, momentum, nesterov, gradientNorm, scaleCap } = settings;
      let factor = 1;
      if (gradientNorm !== null) {
        const norm = Math.sqrt(kernels.squaredSum(plan.gradients, trained));
        if (norm > gradientNorm) factor = gradientNorm / norm;
      }
      for (const [name, { offset, size, shape }] of slots) {
        if (offset >= trained) continue;
        const at = 4 * offset, padded = Math.ceil(size / 4) * 4; // the rest are zeros, and stay so
        if (settings.muon !== null && isMuonFilter(shape)) {
          const filter = {
            weights: plan.parameters + at,
            momentum: plan.momentum + at,
            gradients: plan.gradients + at,
            size,
            outputs: shape.at(-1)!,
          };
          muonStep(floats, kernels, filter, plan.scratch, {
            factor,
            keep: momentum,
            nesterov,
            rate: settings.muon,
          });
          continue;
        }
        const descend = nesterov ? kernels.descendAhead : kernels.descend;
        descend(
          plan.parameters + at,
          plan.momentum + at,
          plan.gradients + at,
          padded,
          factor,
          decayOf(name, settings),
          momentum,
          learningRate,
        );
      }
      if (learned) boundAmplitudes(learned);
      if (scaleCap !== null) {
        for (const { offset, size } of capped) bound(offset, size, scaleCap);
      }
      for (let i = trained; i < layout.total; i++) {
        state[i] = KEPT * state[i]! + (1 - KEPT) * (gradients[i]! / shards);
      }
    },
  };

  function boundAmplitudes({ period, harmonics, offsets }: LearnedWaves): void {
    for (const offset of offsets) bound(offset + 1, harmonics, period / AMPLITUDE_DIVISOR);
  }

  function bound(offset: number, size: number, most: number): void {
    for (let i = offset; i < offset + size; i++) state[i] = Math.max(-most, Math.min(most, state[i]!));
  }

  /** Applies an activation to one image in evaluation, and counts its inputs out of range. */
  function observe(
    step: PointwiseStep,
    image: number,
    range: number,
    total: ShardEvaluation,
    isOutside: Uint8Array,
  ): void {
    clearRecords();
    apply(step, image, 1);
    const record = recordOf(step.activation!), out = outside(record);
    total.largestInput = Math.max(total.largestInput, largestInput(record));
    if (out === 0) return;
    total.outOfRange += out;
    isOutside[image] = 1;
    const { number, sum, squares } = outliers(step, range, image, 1);
    total.finite += number;
    total.sum += sum;
    total.squares += squares;
  }

  /** Number, sum and sum of squares of the finite |inputs| above `bound`, of images first ... first + count - 1. */
  function outliers(
    { z, shortcut, tables, period }: PointwiseStep,
    bound: number,
    first: number,
    count: number,
  ) {
    const tensors = shortcut ? [z, shortcut] : [z], places = tensors.flatMap((t) => place(t, first));
    const kernel = kernels[`outliers${shortcut ? "Shortcut" : ""}`]!;
    const result = doubles.subarray(plan.scratch / 8, plan.scratch / 8 + 3).fill(0);
    kernel(...places, ...extent(count, ...tensors), tables, period, bound, plan.scratch);
    const [number, sum, squares] = result as unknown as [number, number, number];
    return { number, sum, squares };
  }
}
