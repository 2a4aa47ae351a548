/**
 * One shard of a batch: runs the steps of a {@linkcode GraphPlan} on the kernels, in a memory of its own. A shard knows
 * nothing of the others; their gradients arrive as rows of floats.
 */
import type { Activation, Graph } from "../../models/graph.ts";
import { instantiateConvolutionKernels } from "../convolution.ts";
import type { StepSettings } from "../engine.ts";
import { rangeOf } from "../recipe.ts";
import { cappedScales } from "../update_rules.ts";
import { clearRecords, countOutside, largestInput, type Pass, penaltyLoss } from "./activation_inputs.ts";
import { crossEntropy, type LossReport } from "./cross_entropy.ts";
import { planGraph } from "./graph_plan.ts";
import type { ConvolutionStep, PointwiseStep } from "./graph_steps.ts";
import { instantiateLayerKernels } from "./layer_kernels.ts";
import { batchNorm } from "./layers/batch_norm.ts";
import { convolutionLayer } from "./layers/convolution_layer.ts";
import { backwardStep, forwardStep } from "./layers/run_step.ts";
import { update } from "./optimiser.ts";
import { layoutParameters, type ParameterSlot } from "./parameter_layout.ts";
import { ShardActivation } from "./shard_activation.ts";
import { evaluateShard, type ShardEvaluation } from "./shard_evaluation.ts";
import { ShardMemory } from "./shard_memory.ts";
import type { ShardModules } from "./shard_protocol.ts";

const PAGE = 65536;

/** What a shard says of a step, to be summed (`largestInput`: maximum) over shards. */
export interface ShardReport {
  readonly crossEntropy: number;
  readonly penalty: number;
  readonly correct: number;
  readonly outOfRange: number;
  readonly largestInput: readonly number[];
}

export class Shard {
  readonly #memory: ShardMemory;
  readonly #activation: ShardActivation;
  /** Scales of batch norm that a cap bounds. */
  readonly #capped: readonly ParameterSlot[];
  readonly #convolutions: readonly ConvolutionStep[];
  readonly #pointwise: readonly PointwiseStep[];
  /** Room for the gradients of another shard. */
  readonly received: Float32Array;

  /** @param batch images of a shard */
  constructor(graph: Graph, activation: Activation, batch: number, modules: ShardModules) {
    const memory = new WebAssembly.Memory({ initial: 16, maximum: PAGE });
    const layout = layoutParameters(graph);
    const convolutions = instantiateConvolutionKernels(memory, modules.convolutions);
    const plan = planGraph(graph, batch, layout, convolutions);
    memory.grow(Math.max(0, Math.ceil(plan.bytes / PAGE) - 16));
    const kernels = instantiateLayerKernels(memory, modules.layers);
    this.#memory = new ShardMemory(plan, layout, kernels, memory.buffer);
    this.#activation = new ShardActivation(this.#memory, graph, activation);
    this.#capped = cappedScales(graph).map((name) => layout.slots.get(name)!);
    const steps = plan.forward.flatMap(({ steps }) => steps);
    this.#convolutions = steps.filter((step) => step.kind === "convolution");
    this.#pointwise = steps.filter((step) => step.kind === "pointwise");
    this.received = this.#memory.floatsAt(plan.received, layout.total);
    // Without a batch norm the factor is 1, the term 0.
    for (const { norm, tables, period } of this.#pointwise) {
      if (!norm) this.#memory.floatsAt(tables, period).fill(1);
    }
  }

  /** All parameters, running statistics and momentum: see {@linkcode layoutParameters}. */
  get state(): Float32Array {
    return this.#memory.state;
  }

  /** Gradients and statistics of the last batch; before {@linkcode Shard.update} those of the first shard. */
  get gradients(): Float32Array {
    return this.#memory.gradients;
  }

  /** Of the last images. */
  get logits(): Float32Array {
    const { batch, classes, logits } = this.#memory.plan;
    return this.#memory.floatsAt(logits.at, batch * classes);
  }

  /** To be called when parameters have changed. */
  prepare(): void {
    for (const step of this.#convolutions) convolutionLayer.prepare(this.#memory, step);
  }

  /** Forward and backward; `batchSize` counts the images of all shards. */
  train(images: Float32Array, targets: Float32Array, batchSize: number, settings: StepSettings): ShardReport {
    const { clip, penalty, reluPart } = settings, pass = { settings, batchSize };
    this.#activation.start(clip, rangeOf({ clip }), penalty, reluPart);
    clearRecords(this.#memory);
    this.#load(images);
    this.#forward();
    const loss = this.#loss(targets, pass);
    this.#backward(pass);
    return { ...loss, ...this.#measureInputs(pass) };
  }

  #load(images: Float32Array): void {
    this.#memory.floats.set(images, this.#memory.plan.images.at / 4);
  }

  #clearSums(): void {
    for (const step of this.#pointwise) batchNorm.clearSums(this.#memory, step);
  }

  #forward(): void {
    const { plan: { batch, forward } } = this.#memory;
    this.#clearSums();
    for (const { images: count, steps } of forward) {
      const [start] = steps;
      if (start?.kind === "pointwise" && start.norm) batchNorm.useMoments(this.#memory, start);
      for (let first = 0; first < batch; first += count) {
        for (const step of steps) forwardStep(this.#memory, this.#activation, step, { first, count });
      }
    }
  }

  #loss(targets: Float32Array, { settings, batchSize }: Pass): LossReport {
    const { floats, plan: { classes, logitsGradient } } = this.#memory;
    return crossEntropy(
      this.logits,
      targets,
      classes,
      settings.labelSmoothing,
      settings.crossEntropyWeight / batchSize,
      floats.subarray(logitsGradient.at / 4),
      logitsGradient.image / 4,
    );
  }

  #backward(pass: Pass): void {
    const { plan: { batch, backward } } = this.#memory;
    this.#clearSums();
    for (const { images: count, steps, weights } of backward) {
      const [start] = steps;
      if (start?.kind === "norm") batchNorm.useGradientSums(this.#memory, start);
      for (let first = 0; first < batch; first += count) {
        for (const step of steps) backwardStep(this.#memory, this.#activation, step, { first, count }, pass);
      }
      for (const step of weights) convolutionLayer.weightGradient(this.#memory, step);
    }
    this.#activation.writeGradients();
  }

  #measureInputs(pass: Pass): Pick<ShardReport, "penalty" | "outOfRange" | "largestInput"> {
    const memory = this.#memory, layers = memory.plan.activations.map((_, layer) => layer);
    const activated = this.#pointwise.filter(({ activation }) => activation !== undefined);
    return {
      penalty: activated.reduce((sum, step) => sum + penaltyLoss(memory, step, pass), 0),
      outOfRange: layers.reduce((sum, layer) => sum + countOutside(memory, layer), 0),
      largestInput: layers.map((layer) => largestInput(memory, layer)),
    };
  }

  evaluate(
    images: Float32Array,
    targets: Float32Array,
    range: number,
    clip: number | null,
  ): ShardEvaluation {
    this.#load(images);
    return evaluateShard(this.#memory, this.#activation, targets, range, clip);
  }

  /** gradients += received. */
  addReceived(): void {
    const { kernels, plan, layout } = this.#memory;
    kernels.addTo(plan.gradients, plan.received, layout.total);
  }

  /** Descends along `gradients`, the sum over `shards`. */
  update(shards: number, settings: StepSettings): void {
    update(this.#memory, this.#activation, this.#capped, shards, settings);
  }
}
