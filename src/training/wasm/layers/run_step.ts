/** Runs a step of any kind. */
import type { Pass } from "../activation_inputs.ts";
import type { BackwardStep, ForwardStep } from "../graph_steps.ts";
import type { ShardActivation } from "../shard_activation.ts";
import type { ShardMemory } from "../shard_memory.ts";
import type { Images } from "../tensor.ts";
import { batchNorm } from "./batch_norm.ts";
import { convolutionLayer } from "./convolution_layer.ts";
import { copy, sum } from "./plain_steps.ts";
import { pointwiseLayer } from "./pointwise_layer.ts";
import { poolingLayer } from "./pooling_layer.ts";

export function forwardStep(
  memory: ShardMemory,
  activation: ShardActivation,
  step: ForwardStep,
  images: Images,
): void {
  switch (step.kind) {
    case "convolution":
      return convolutionLayer.forward(memory, step, images);
    case "pointwise":
      return pointwiseLayer.forward(memory, activation, step, images);
    case "moments":
      return batchNorm.moments(memory, step, images);
    case "pool":
      return poolingLayer.forward(memory, step, images);
    case "copy":
      return copy(memory, step, images);
  }
}

export function backwardStep(
  memory: ShardMemory,
  activation: ShardActivation,
  step: BackwardStep,
  images: Images,
  pass: Pass,
): void {
  switch (step.kind) {
    case "convolution":
      return convolutionLayer.backward(memory, step, images);
    case "pointwise":
      return pointwiseLayer.backward(memory, activation, step, images, pass);
    case "norm":
      return batchNorm.backward(memory, step, images);
    case "pool":
      return poolingLayer.backward(memory, step, images);
    case "sum":
      return sum(memory, step, images);
    case "copy":
      return copy(memory, step, images);
  }
}
