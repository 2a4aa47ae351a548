/**
 * A static plan of one shard's training step: every value of a graph gets its buffer once, every layer becomes a step
 * over addresses. Batch norm, residual sum and activation that follow each other are one step. Gradient buffers are
 * shared by layers whose gradients do not live at the same time. Nothing is allocated after planning.
 *
 * Only the statistics of batch norm and the weight gradients need the whole shard. The steps between them form a
 * segment, which is run for a few images at a time: what one step writes, the next finds in the second-level cache.
 */
import type { Graph, Node } from "../../models/graph.ts";
import type { ConvolutionKernels } from "../convolution.ts";
import { RECORD, SETTINGS } from "../kernels/_settings.ts";
import { isMuonFilter } from "../muon.ts";
import { Arena } from "./arena.ts";
import { ForwardPlan } from "./forward_plan.ts";
import { GradientPlan } from "./gradient_plan.ts";
import type { BackwardSegment, BackwardStep, ForwardStep, GraphPlan, Segment } from "./graph_steps.ts";
import { convolutionLayer } from "./layers/convolution_layer.ts";
import { flattenLayer } from "./layers/flatten_layer.ts";
import { pointwiseLayer } from "./layers/pointwise_layer.ts";
import { poolingLayer } from "./layers/pooling_layer.ts";
import { muonScratchBytes } from "./muon_step.ts";
import { type ParameterLayout, stateFloats } from "./parameter_layout.ts";
import type { Tensor } from "./tensor.ts";

/** Size of a tensor's part in a segment: a few of them fit in the second-level cache. */
const SEGMENT_BYTES = 1 << 19;

/**
 * Plans training of `batch` images at a time. Addresses are those of the memory of `kernels`, which must then have
 * `bytes` bytes, zero from {@linkcode RESERVED_BYTES} on.
 *
 * @throws {RangeError} for a graph that does not end in a dense or convolution layer
 */
export function planGraph(
  graph: Graph,
  batch: number,
  layout: ParameterLayout,
  kernels: ConvolutionKernels,
): GraphPlan {
  const last = graph.nodes.at(-1)!;
  if (last.op !== "dense" && last.op !== "conv") {
    throw new RangeError(`${graph.name}: training needs logits from a dense layer, found ${last.op}`);
  }
  const memory = new Arena();
  const parameters = memory.allocate(stateFloats(layout) * 4);
  const gradients = memory.allocate(layout.total * 4), received = memory.allocate(layout.total * 4);
  const settings = memory.allocate(SETTINGS.end), records = memory.allocate(graph.nodes.length * RECORD.end);

  const plan = new ForwardPlan(graph, batch, memory, layout, parameters, kernels);
  for (const node of plan.nodes) planLayer(plan, node);
  const gradientPlan = new GradientPlan(plan, gradients);
  for (const node of plan.nodes.toReversed()) planLayerGradient(gradientPlan, node);

  const forward = cut(plan.steps, batch, (step) => step.kind === "pointwise" && step.norm !== undefined);
  const backward = cut(gradientPlan.steps, batch, ({ kind }) => kind === "norm").map(
    ({ images, steps }): BackwardSegment => ({
      images,
      steps: steps.filter((step) => step.kind !== "weights"),
      weights: steps.filter((step) => step.kind === "weights"),
    }),
  );
  // Preparing weights and the weight gradients take the whole shard.
  const all = [...forward, ...backward, { images: batch, steps: plan.steps }];
  const scratch = memory.allocate(Math.max(muonBytes(layout), ...all.map(convolutionBytes)));
  return {
    batch,
    classes: graph.classes,
    images: plan.value(plan.nodes[0].id),
    logits: plan.value(last.id),
    logitsGradient: gradientPlan.logits,
    forward,
    backward,
    activations: plan.activations,
    parameters,
    momentum: parameters + layout.total * 4,
    gradients,
    received,
    records,
    settings,
    scratch,
    bytes: memory.top,
  };
}

function planLayer(plan: ForwardPlan, node: Node): void {
  const group = plan.groups.get(node.id);
  if (node.op === "flatten") return flattenLayer.plan(plan, node);
  if (group) pointwiseLayer.plan(plan, group);
  else if (node.op === "conv" || node.op === "dense") convolutionLayer.plan(plan, node);
  else if (node.op === "averagePool" || node.op === "maxPool") poolingLayer.plan(plan, node);
  else plan.result(node.id, 0); // the images, which are loaded without border
  plan.copyTo(node.id);
}

function planLayerGradient(plan: GradientPlan, node: Node): void {
  if (!plan.has(node.id)) return;
  const group = plan.forward.groups.get(node.id);
  if (node.op === "flatten") flattenLayer.planGradient(plan, node);
  else if (group) pointwiseLayer.planGradient(plan, group);
  else if (node.op === "conv" || node.op === "dense") convolutionLayer.planGradient(plan, node);
  else if (node.op === "averagePool" || node.op === "maxPool") poolingLayer.planGradient(plan, node);
}

/** Cuts steps into segments, each from one that starts a segment to the next. */
function cut<Step extends { readonly kind: string }>(
  steps: readonly Step[],
  batch: number,
  starts: (step: Step) => boolean,
): Segment<Step>[] {
  const groups: Step[][] = [[]];
  for (const step of steps) {
    if (starts(step)) groups.push([]);
    groups.at(-1)!.push(step);
  }
  return groups.filter(({ length }) => length > 0).map((steps) => {
    const largest = Math.max(...steps.flatMap(tensorsOf).map(({ image }) => image));
    let images = Math.max(1, Math.min(batch, Math.floor(SEGMENT_BYTES / largest)));
    while (batch % images !== 0) images--;
    return { images, steps };
  });
}

const tensorsOf = (step: object): Tensor[] =>
  Object.values(step).filter((value) => typeof value === "object" && "base" in value);

/** Workspace of the convolutions of a segment. */
const convolutionBytes = ({ images, steps }: Segment<ForwardStep | BackwardStep>): number =>
  Math.max(
    0,
    ...steps.map((step) => {
      if (step.kind !== "convolution") return 0;
      const { convolution } = "of" in step ? step.of : step;
      return convolution(images).scratchBytes;
    }),
  );

/** Workspace of the optimiser, which does not run at the same time. */
const muonBytes = ({ slots }: ParameterLayout): number =>
  Math.max(
    0,
    ...[...slots.values()].map(({ shape }) => isMuonFilter(shape) ? muonScratchBytes(shape) : 0),
  );
