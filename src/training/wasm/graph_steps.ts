/** What a plan of training consists of: the steps over tensors, forward and backward. `layers/` makes and runs them. */
import type { PoolNode } from "../../models/graph.ts";
import type { Convolution } from "../convolution.ts";
import type { Tensor } from "./tensor.ts";

/** Parameters and working memory of a batch norm. */
export interface Norm {
  /** Offsets in floats into the parameter row. */
  readonly scale: number;
  readonly offset: number;
  readonly mean: number;
  readonly variance: number;
  /** f32 [period]: what is subtracted before squares are summed. */
  readonly pivot: number;
  /** f32 [4][period]: a, b, mean, d of the input gradient. */
  readonly gradientTables: number;
  /** Values of a channel in a shard. */
  readonly count: number;
}

/** y = activation(norm(z) + shortcut), each part present or not. */
export interface PointwiseStep {
  readonly kind: "pointwise";
  readonly z: Tensor;
  readonly shortcut: Tensor | undefined;
  readonly y: Tensor;
  readonly norm: Norm | undefined;
  /** Index among the activations, or undefined: no activation. */
  readonly activation: number | undefined;
  /** Table entries of a channel are repeated up to this length. */
  readonly period: number;
  /** f32 [4][period]: factor and term of the norm (1 and 0 without one), mean, 1 / deviation. */
  readonly tables: number;
  /** f64 [2][period]. */
  readonly sums: number;
}

/** Measures the input of a batch norm. */
export interface MomentsStep {
  readonly kind: "moments";
  readonly of: PointwiseStep;
  readonly z: Tensor;
}

export interface ConvolutionStep {
  readonly kind: "convolution";
  /** The convolution of a number of images. */
  readonly convolution: (images: number) => Convolution;
  readonly x: Tensor;
  readonly z: Tensor;
  readonly weight: number;
  /** 0 if there is none. */
  readonly bias: number;
  readonly packed: number;
}

export interface PoolStep {
  readonly kind: "pool";
  readonly node: PoolNode;
  readonly x: Tensor;
  readonly y: Tensor;
}

export interface CopyStep {
  readonly kind: "copy";
  readonly x: Tensor;
  readonly y: Tensor;
}

export type ForwardStep = ConvolutionStep | PointwiseStep | MomentsStep | PoolStep | CopyStep;

/** From the gradient after an activation to that before it, with the sums that {@linkcode NormGradientStep} needs. */
export interface PointwiseGradientStep {
  readonly kind: "pointwise";
  readonly of: PointwiseStep;
  readonly dy: Tensor;
  /** A second gradient to be added to dy: the value has two readers. */
  readonly ey: Tensor | undefined;
  /** Gradient before the activation; may be dy. */
  readonly g: Tensor;
}

/** From the gradient after a batch norm to that before it; its first run for a batch needs all sums. */
export interface NormGradientStep {
  readonly kind: "norm";
  readonly of: PointwiseStep;
  readonly g: Tensor;
  /** Absent if nobody needs it: then there are only the gradients of scale and offset. */
  readonly dz: Tensor | undefined;
}

export interface ConvolutionGradientStep {
  readonly kind: "convolution";
  readonly of: ConvolutionStep;
  readonly dz: Tensor;
  readonly dx: Tensor;
}

/** Of the whole shard at once. */
export interface WeightGradientStep {
  readonly kind: "weights";
  readonly of: ConvolutionStep;
  readonly dz: Tensor;
  readonly dWeight: number;
  readonly dBias: BiasGradient | undefined;
}

/** Working memory and target of a sum over pixels. */
export interface BiasGradient {
  readonly target: number;
  readonly period: number;
  readonly pivot: number;
  readonly sums: number;
}

export interface PoolGradientStep {
  readonly kind: "pool";
  readonly of: PoolStep;
  readonly dy: Tensor;
  readonly dx: Tensor;
}

export interface SumStep {
  readonly kind: "sum";
  readonly x: Tensor;
  readonly w: Tensor;
  readonly y: Tensor;
}

export type BackwardStep =
  | PointwiseGradientStep
  | NormGradientStep
  | ConvolutionGradientStep
  | PoolGradientStep
  | SumStep
  | CopyStep;

/** Steps to be run one after another for `images` images, then for the next ones. */
export interface Segment<Step> {
  readonly images: number;
  readonly steps: readonly Step[];
}

export interface BackwardSegment extends Segment<BackwardStep> {
  /** To be run at the end. */
  readonly weights: readonly WeightGradientStep[];
}

export interface GraphPlan {
  /** Images of a shard. */
  readonly batch: number;
  readonly classes: number;
  /** Where the images go, without border. */
  readonly images: Tensor;
  readonly logits: Tensor;
  readonly logitsGradient: Tensor;
  /** A segment starts with a pointwise step with batch norm. */
  readonly forward: readonly Segment<ForwardStep>[];
  /** A segment starts with a batch norm. */
  readonly backward: readonly BackwardSegment[];
  /** Elements of each activation layer, of one image. */
  readonly activations: readonly number[];
  /** Addresses of rows of floats as in {@linkcode ParameterLayout}; momentum follows the parameters. */
  readonly parameters: number;
  readonly momentum: number;
  readonly gradients: number;
  /** Gradients of another shard, on their way into the sum. */
  readonly received: number;
  /** Records of the activation layers, and the settings of their kernels: see `kernels/_settings.ts`. */
  readonly records: number;
  readonly settings: number;
  readonly scratch: number;
  /** Size of the memory. */
  readonly bytes: number;
}
