/**
 * The contract of a training engine: one graph, one optimisation step at a time. Three engines
 * implement it (plain loops, TensorFlow.js, and our own WebAssembly kernels) and one test suite holds them together.
 */
import type { Activation, Graph, Weights } from "../models/graph.ts";

/** Settings of one step; they may change from step to step (schedules live outside the engine). */
export interface StepSettings {
  readonly learningRate: number;
  readonly momentum: number;
  /** Whether the step looks ahead along the momentum, as PyTorch defines it: w -= rate (d + momentum v). */
  readonly nesterov: boolean;
  readonly weightDecay: number;
  /** Whether weight decay also acts on batch-norm scale and offset (it does in the CIFAR runs), and on biases. */
  readonly decayNorms: boolean;
  readonly decayBiases: boolean;
  /** Learning rate of 3x3 filters by Muon, which then takes the place of the rule above for them; null: that rule for all. */
  readonly muon: number | null;
  /** Largest |scale| of a batch norm right before an activation, after the step; null: unbounded. */
  readonly scaleCap: number | null;
  /** Inputs of activations are clipped to [-clip, clip] before the polynomial, in training only; null: no clip. */
  readonly clip: number | null;
  /** Part r of ReLU in the activation, which trains as r relu + (1 - r) f while a polynomial f takes its place; 0: f alone. */
  readonly reluPart: number;
  /**
   * Penalty beta * (1/L) * sum over layers of sum over batch and elements of (x / range)^exponent; or, as a hinge, of the
   * Euclidean norm of x - clamp(x, +-range) over a shard, averaged over the shards.
   */
  readonly penalty: {
    readonly coefficient: number;
    readonly exponent: number;
    readonly range: number;
    /** "sum": as the paper's code; "mean": averaged over the elements of a layer, to show what that does; "hinge". */
    readonly reduction: "sum" | "mean" | "hinge";
  } | null;
  /** Factor of the cross entropy (0 in the first epoch of the paper's warm-up). */
  readonly crossEntropyWeight: number;
  readonly labelSmoothing: number;
  /** Largest Euclidean norm of the whole gradient; null: unbounded. */
  readonly gradientNorm: number | null;
}

/** A batch: images float32 NHWC already normalised; targets are rows of class probabilities. */
export interface Batch {
  readonly size: number;
  readonly images: Float32Array;
  readonly targets: Float32Array;
}

/** What one step reports, measured before the update. */
export interface StepReport {
  readonly crossEntropy: number;
  readonly penalty: number;
  readonly correct: number;
  /** Largest |input| over the activations, before the clip, by activation layer. */
  readonly largestInput: readonly number[];
  /** Activation inputs outside [-clip range, clip range] (range 5 where no clip is set), NaN included. */
  readonly outOfRange: number;
}

/** Everything needed to continue bit for bit: parameters, running statistics, momentum buffers. */
export interface EngineState {
  readonly weights: Weights;
  readonly momentum: Weights;
}

/** What an evaluation reports. */
export interface EvaluationReport {
  readonly images: number;
  readonly correct: number;
  readonly crossEntropy: number;
  readonly activations: number;
  readonly outOfRange: number;
  readonly imagesOutOfRange: number;
  readonly largestInput: number;
  /** Mean and deviation of |input| over the out-of-range inputs. */
  readonly outOfRangeMean: number;
  readonly outOfRangeDeviation: number;
  readonly nonFinite: number;
}

export interface TrainingEngine {
  readonly name: string;
  /** What it trains. */
  readonly graph: Graph;
  /**
   * Takes a step. The next one may be asked for while it runs, and follows it; further ones, saving, loading,
   * evaluation and inference only when it is done. A batch must not change before its promise has settled.
   */
  step(batch: Batch, settings: StepSettings): Promise<StepReport>;
  /** Runs the inference graph (running statistics; no clip unless one is given) and measures range and accuracy. */
  evaluate(batch: Batch, range: number, clip?: number | null): Promise<EvaluationReport>;
  /** Logits [images, classes] of the inference graph, without the clip. */
  infer(batch: Batch): Promise<Float32Array>;
  save(): EngineState;
  load(state: EngineState): void;
  close(): void;
}

/** How an engine is made. */
export interface EngineOptions {
  /** Images a step; must divide into the shards. */
  readonly batchSize: number;
  /**
   * Parts of a batch, each with its own batch-norm statistics (default 2). Their number decides the result, the number
   * of workers does not.
   */
  readonly shards?: number;
  readonly workers?: number;
  readonly backend?: string;
  readonly initial: EngineState;
}

export type CreateEngine = (
  graph: Graph,
  activation: Activation,
  options: EngineOptions,
) => Promise<TrainingEngine>;
