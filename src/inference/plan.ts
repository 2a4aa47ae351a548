/**
 * From a network to the list of steps that server, client and dealer go through in the same order. Everything here is
 * public: shapes, protocols, the polynomial, fraction bits. Weights and images are not.
 */
import {
  type AddNode,
  type ConvNode,
  type DenseNode,
  type Graph,
  inferShapes,
  inputsOf,
  type Node,
  type PoolNode,
  type Shape,
  sizeOf,
} from "../models/graph.ts";
import { auditedLayers, checkRanges, type Ranges } from "../models/ranges.ts";
import type { Polynomial } from "../polynomial/polynomial.ts";
import {
  costOfImage,
  costOfLiftedStep,
  earlyBytes,
  type LiftedScales,
  liftedScales,
  setUpBytes,
} from "./lifted_plan.ts";
import { maxPool, type MaxPoolSpec } from "../protocols/max_pool.ts";
import {
  type ActivationSpec,
  type Cost,
  type LinearGroup,
  NO_COST,
  plus,
  WORD_BYTES,
} from "../protocols/protocol.ts";
import { activationProtocol, linearProtocol } from "../protocols/registry.ts";
import { extraBits } from "../ring/convolution.ts";

export interface PlanOptions {
  /** Name of the activation protocol. */
  readonly activation: string;
  /** Name of the linear protocol. */
  readonly linear: string;
  /** Fraction bits of activations and weights. */
  readonly fractionBits: number;
  /** The activation function of every protocol but `relu`. */
  readonly polynomial: Polynomial;
  /** Bits of the ring of the linear layers, for `lifted`. */
  readonly ringBits?: number;
  /** Audited ranges: the scales of `lifted` follow from them, and a bound of the logits. */
  readonly ranges?: Ranges;
  /** Plan although a range leaves less than one bit of head-room. */
  readonly force?: boolean;
}

/** Convolutions and dense layers that read the same value; opened once. */
export interface LinearStep {
  readonly kind: "linear";
  readonly input: string;
  readonly nodes: readonly (ConvNode | DenseNode)[];
  readonly group: LinearGroup;
  /** Scale of the input, and of the output of each node. */
  readonly inputFractionBits: number;
  readonly outputFractionBits: readonly number[];
  /** Number by which the weights of each node are multiplied before encoding: the rest of an average over a window whose size is no power of two. */
  readonly weightFactors: readonly number[];
}

export interface ActivationStep {
  readonly kind: "activation";
  readonly node: string;
  readonly input: string;
  readonly spec: ActivationSpec;
}

export interface MaxPoolStep {
  readonly kind: "maxPool";
  readonly node: string;
  readonly input: string;
  readonly spec: MaxPoolSpec;
}

/** A sum over windows, on shares; the division is in the scale: `fractionBits` more of them. */
export interface AveragePoolStep {
  readonly kind: "averagePool";
  readonly node: PoolNode;
  readonly input: string;
  readonly shape: Shape;
  readonly fractionBits: number;
}

export interface AddStep {
  readonly kind: "add";
  readonly node: AddNode;
  readonly inputs: readonly [string, string];
}

type StepBody = LinearStep | ActivationStep | MaxPoolStep | AveragePoolStep | AddStep;

export type Step = StepBody & {
  /** Position in the plan. */
  readonly index: number;
  /** The tag of its messages and the label of its random streams: the place of its first node in the graph. */
  readonly label: number;
  /** Values that no later step reads. */
  readonly lastUses: readonly string[];
};

/** What a message belongs to, for error messages. */
export function describeStep(step: Step): string {
  const what = step.kind === "linear"
    ? step.nodes.map((node) => node.id).join(" + ")
    : typeof step.node === "string"
    ? step.node
    : step.node.id;
  return `step ${step.index} (${step.kind} ${what})`;
}

export interface Plan {
  readonly graph: Graph;
  readonly options: PlanOptions;
  readonly steps: readonly Step[];
  /** Where the image and the logits are. */
  readonly input: string;
  readonly output: string;
  readonly inputLength: number;
  readonly classes: number;
  /** Scales of a plan whose activations are `lifted`; null for shares modulo 2^64. */
  readonly lifted: LiftedScales | null;
}

/** Name of the protocol that replaces shares modulo 2^64 altogether. */
export const LIFTED = "lifted";
export const DEFAULT_RING_BITS = 30;

function checkLiftedOptions({ linear, ringBits = DEFAULT_RING_BITS }: PlanOptions): void {
  if (linear !== "masked") {
    throw new RangeError(
      `lifted needs the weights in clear at the server: linear protocol masked, not ${linear}; or choose another activation protocol`,
    );
  }
  if (!Number.isInteger(ringBits) || ringBits < 16 || ringBits > 30) {
    throw new RangeError(`ring bits must be an integer from 16 to 30, not ${ringBits}`);
  }
}

/** Nodes that a label of a step can tell apart. */
export const MAX_STEPS = 4096;

/** Bits that average pooling may have added to the input of a linear layer: windows of up to 16 x 16. */
const POOLING_BITS = 8;

/** Plans a private inference of `graph`, whose batch norms are folded. Throws a RangeError where the network does not fit the protocols. */
export function planInference(graph: Graph, options: PlanOptions): Plan {
  if (options.activation === LIFTED) checkLiftedOptions(options);
  else activationProtocol(options.activation);
  linearProtocol(options.linear);
  const { fractionBits, ranges } = options;
  if (ranges) checkRanges(graph, ranges);
  if (!Number.isInteger(fractionBits) || fractionBits < 8 || fractionBits > 20) {
    throw new RangeError(`fraction bits must be an integer from 8 to 20, not ${fractionBits}`);
  }
  const shapes = inferShapes(graph);
  const alias = new Map<string, string>();
  const resolve = (id: string): string => alias.has(id) ? resolve(alias.get(id)!) : id;
  const factors = new Map<string, number>();
  const done = new Set<string>();
  const scales = new Map<string, number>();
  const steps: StepBody[] = [];

  const linearStep = (input: string): LinearStep => {
    const nodes = graph.nodes.filter((node): node is ConvNode | DenseNode =>
      isLinear(node) && resolve(node.input) === input
    );
    const layers = nodes.map((node) => convolutionOf(node, shapes.get(node.input)!)),
      inputFractionBits = scales.get(input)!;
    if (inputFractionBits > fractionBits + POOLING_BITS) {
      throw new RangeError(
        `${graph.name}: ${
          nodes[0]!.id
        } reads a value with ${inputFractionBits} fraction bits; linear layers must be separated by activations`,
      );
    }
    const outputFractionBits = layers.map((layer) => inputFractionBits + fractionBits + extraBits(layer));
    nodes.forEach((node, i) => {
      done.add(node.id);
      scales.set(node.id, outputFractionBits[i]!);
    });
    return {
      kind: "linear",
      input,
      nodes,
      inputFractionBits,
      outputFractionBits,
      group: { inputs: sizeOf(shapes.get(input)!), layers },
      weightFactors: nodes.map(() => factors.get(input) ?? 1),
    };
  };

  for (const node of graph.nodes) {
    if (done.has(node.id)) continue;
    const inputs = inputsOf(node).map((id) => {
      // A flattened value keeps its words; its readers look through the alias.
      if (!shapes.has(id)) {
        throw new RangeError(`${graph.name}: node ${node.id} reads ${id}, which does not exist`);
      }
      return resolve(id);
    });
    const pending = inputs.find((id) => factors.has(id));
    if (pending && !isLinear(node) && node.op !== "flatten") {
      throw new RangeError(
        `${graph.name}: the average pooling ${pending} over a window whose size is no power of two must feed a linear layer, not ${node.id}`,
      );
    }
    const shape = shapes.get(inputs[0]!)!;
    switch (node.op) {
      case "input":
        scales.set(node.id, fractionBits);
        break;
      case "flatten":
        alias.set(node.id, node.input);
        break;
      case "conv":
      case "dense":
        steps.push(linearStep(inputs[0]!));
        break;
      case "batchNorm":
        throw new RangeError(`${graph.name}: batch norm ${node.id} must be folded into the layer before it`);
      case "activation":
        scales.set(node.id, fractionBits);
        steps.push({
          kind: "activation",
          node: node.id,
          input: inputs[0]!,
          spec: { length: sizeOf(shape), fractionBits, polynomial: options.polynomial },
        });
        break;
      case "maxPool":
        scales.set(node.id, fractionBits);
        steps.push({
          kind: "maxPool",
          node: node.id,
          input: inputs[0]!,
          spec: {
            height: shape[0],
            width: shape[1],
            channels: shape[2],
            kernel: node.kernel,
            stride: node.stride,
            padding: node.padding,
          },
        });
        break;
      case "averagePool": {
        const size = node.kernel ** 2, bits = Math.ceil(Math.log2(size));
        scales.set(node.id, scales.get(inputs[0]!)! + bits);
        if (2 ** bits !== size) factors.set(node.id, 2 ** bits / size);
        steps.push({ kind: "averagePool", node, input: inputs[0]!, shape, fractionBits: bits });
        break;
      }
      case "add":
        scales.set(node.id, Math.max(...inputs.map((id) => scales.get(id)!)));
        steps.push({ kind: "add", node, inputs: [inputs[0]!, inputs[1]!] });
    }
  }

  if (graph.nodes.length >= MAX_STEPS) {
    throw new RangeError(
      `${graph.name}: ${graph.nodes.length} nodes, but the tags of messages have room for fewer than ${MAX_STEPS}; use a smaller network`,
    );
  }
  const last = graph.nodes.at(-1)!, output = resolve(last.id);
  const plan: Plan = {
    graph,
    options,
    steps: withLastUses(graph, steps, output),
    input: graph.nodes[0]!.id,
    output,
    inputLength: sizeOf(graph.inputShape),
    classes: graph.classes,
    lifted: null,
  };
  return options.activation === LIFTED
    ? { ...plan, lifted: liftedScales(plan, options.ringBits ?? DEFAULT_RING_BITS) }
    : plan;
}

const isLinear = (node: Node): node is ConvNode | DenseNode => node.op === "conv" || node.op === "dense";

function convolutionOf(node: ConvNode | DenseNode, [height, width, inputs]: Shape) {
  return node.op === "conv"
    ? {
      height,
      width,
      inputs,
      kernel: node.kernel,
      stride: node.stride,
      padding: node.padding,
      outputs: node.outputs,
    }
    : { height: 1, width: 1, inputs, kernel: 1, stride: 1, padding: 0, outputs: node.outputs };
}

/** The values that a step reads. */
export function readsOf(step: StepBody): readonly string[] {
  return step.kind === "add" ? step.inputs : [step.input];
}

/** Label of the random stream of a value's mask. */
export const maskLabel = ({ graph }: Pick<Plan, "graph">, id: string): number =>
  MAX_STEPS + placeOf(graph, id);

const placeOf = (graph: Graph, id: string): number => graph.nodes.findIndex((node) => node.id === id);

const firstNodeOf = (step: StepBody): string =>
  step.kind === "linear" ? step.nodes[0]!.id : typeof step.node === "string" ? step.node : step.node.id;

function withLastUses(graph: Graph, steps: StepBody[], output: string): Step[] {
  const last = new Map<string, number>();
  steps.forEach((step, index) => readsOf(step).forEach((id) => last.set(id, index)));
  last.delete(output);
  return steps.map((step, index) => ({
    ...step,
    index,
    label: placeOf(graph, firstNodeOf(step)),
    lastUses: [...last].filter(([, at]) => at === index).map(([id]) => id),
  }));
}

/** Online cost of a plan by kind of step, by the closed formulas of its protocols. */
export interface PlanCost {
  readonly linear: Cost;
  readonly activation: Cost;
  /** Opening the logits to the client: one message. */
  readonly opening: Cost;
  readonly total: Cost;
  /** Between the parties for one query, before its image is known. */
  readonly offline: { readonly bytesServer: number; readonly bytesClient: number };
  readonly setUp: { readonly bytesServer: number; readonly bytesClient: number };
  /** One-way delays on the critical path at the client, from the first message to the logits. */
  readonly oneWayDelays: number;
  /** Exchanges if every linear layer opened its own input, as the paper counts them; max pooling included, opening not. */
  readonly paperExchanges: number;
}

export function costOf(plan: Plan): PlanCost {
  if (plan.lifted !== null) return costOfLifted(plan, plan.lifted);
  const linearProtocolOf = linearProtocol(plan.options.linear),
    activation = activationProtocol(plan.options.activation);
  const path = new CriticalPath(), setUp = { bytesServer: 0, bytesClient: 0 };
  let linear = NO_COST, nonLinear = NO_COST, paperExchanges = 0;
  for (const step of plan.steps) {
    if (step.kind === "linear") {
      const cost = linearProtocolOf.cost(step.group);
      linear = plus(linear, cost);
      path.add(cost);
      paperExchanges += step.nodes.length;
      const once = linearProtocolOf.setUpCost(step.group);
      setUp.bytesServer += once.bytesServer;
      setUp.bytesClient += once.bytesClient;
    } else if (step.kind === "activation" || step.kind === "maxPool") {
      const cost = step.kind === "maxPool" ? maxPool.cost(step.spec) : activation.cost(step.spec);
      nonLinear = plus(nonLinear, cost);
      path.add(cost);
      paperExchanges += cost.exchanges;
    }
  }
  const opening: Cost = {
    exchanges: 1,
    bytesServer: plan.classes * WORD_BYTES,
    bytesClient: 0,
    dealtBytes: 0,
  };
  path.add(opening);
  const total = plus(plus(linear, nonLinear), opening);
  return {
    linear,
    activation: nonLinear,
    opening,
    total,
    // The masks of these protocols are dealt; nothing else crosses before the image.
    offline: { bytesServer: 0, bytesClient: 0 },
    oneWayDelays: path.client,
    setUp,
    paperExchanges,
  };
}

/**
 * Logical time of both parties in one-way delays. The server is prepared one delay before the client hears of it, and what it
 * sends first may be under way by then; a party that only sends goes on at once. So two messages in a row cost less than
 * two delays where they overlap.
 */
class CriticalPath {
  client = 0;
  #server = -1;

  add({ exchanges, bytesServer, bytesClient }: Cost): void {
    const { client } = this, server = this.#server;
    if (exchanges === 1 && bytesServer === 0) this.#server = Math.max(server, client + 1);
    else if (exchanges === 1 && bytesClient === 0) this.client = Math.max(client, server + 1);
    else {
      for (let i = 0; i < exchanges; i++) {
        [this.client, this.#server] = [
          Math.max(this.client, this.#server + 1),
          Math.max(this.#server, this.client + 1),
        ];
      }
    }
  }
}

/** `lifted`: two messages an activation layer, one with the image, one with the logits. */
function costOfLifted(plan: Plan, scales: LiftedScales): PlanCost {
  const opening: Cost = { exchanges: 1, bytesServer: plan.classes * 4, bytesClient: 0, dealtBytes: 0 };
  let linear = costOfImage(plan, scales), activation = NO_COST, paperExchanges = 0;
  for (const step of plan.steps) {
    const cost = costOfLiftedStep(scales, step);
    if (step.kind === "activation") activation = plus(activation, cost);
    else linear = plus(linear, cost);
    paperExchanges += step.kind === "linear" ? step.nodes.length : step.kind === "activation" ? 1 : 0;
  }
  const setUp = { bytesServer: setUpBytes(plan), bytesClient: 0 };
  const total = plus(plus(linear, activation), opening);
  return {
    linear,
    activation,
    opening,
    total,
    offline: { bytesServer: 0, bytesClient: earlyBytes(plan) },
    // Every message waits for the one before.
    oneWayDelays: total.exchanges,
    setUp,
    paperExchanges,
  };
}

/**
 * Raised with every change of what a plan means to the roles: the order of draws, the words of a message, how a scale is chosen.
 * Machines are updated one by one, and two versions that agreed on a plan would take one another's masks for corrections.
 */
export const PROTOCOL_VERSION = 2;

/** SHA-256 of everything that all three roles must agree on, derived values included: each role derives them by its own code. */
export async function digestOf(plan: Plan): Promise<Uint8Array<ArrayBuffer>> {
  const { graph, options: { ranges, force = false, ...options }, lifted, steps } = plan;
  const text = JSON.stringify([
    PROTOCOL_VERSION,
    graph.nodes,
    graph.inputShape,
    graph.classes,
    // Left out or given, the default width is the same plan; on 64-bit words ranges are the client's business alone.
    {
      ...options,
      ringBits: lifted?.ringBits ?? null,
      ranges: lifted && ranges ? auditedLayers(graph).map(({ id }) => ranges[id]) : null,
      force: lifted !== null && force,
    },
    steps.map((step) => [step, step.kind === "linear" ? step.group.layers.map(extraBits) : []]),
    lifted &&
    Object.entries(lifted).map(([name, value]) => [name, value instanceof Map ? [...value] : value]),
    costOf(plan),
  ]);
  return new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text)));
}
