/**
 * What training starts from: parameters drawn as the public code of the paper draws them (PyTorch's defaults,
 * or Kaiming's rule where its models ask for it), from a seed.
 */
import type { ConvNode, DenseNode, FloatTensor, Graph, Weights } from "../models/graph.ts";
import { SeededRandom } from "../models/seeded_random.ts";
import { weightShapes } from "../models/weights.ts";
import type { EngineState } from "./engine.ts";

/** How the weights of a layer are drawn; `fanIn` and `fanOut` are the products of one output or input. */
type Rule = (random: SeededRandom, fanIn: number, fanOut: number) => number;

/** PyTorch's default for weights and biases: uniform within 1 / sqrt(fan in). */
const uniform: Rule = (random, fanIn) => random.uniform(-1, 1) / Math.sqrt(fanIn);
const kaimingFanIn: Rule = (random, fanIn) => random.normal() * Math.sqrt(2 / fanIn);
const kaimingFanOut: Rule = (random, _, fanOut) => random.normal() * Math.sqrt(2 / fanOut);

const PYTORCH = { conv: uniform, dense: uniform };
const KAIMING_FAN_IN = { conv: kaimingFanIn, dense: kaimingFanIn };
const KAIMING_FAN_OUT = { conv: kaimingFanOut, dense: uniform };

/** Models that do not use PyTorch's defaults. The ResNet-50 of torchvision, like MiniONN, draws by fan out. */
const RULES: Readonly<Record<string, { conv: Rule; dense: Rule }>> = {
  "minionn": KAIMING_FAN_OUT,
  "minionn-bn": KAIMING_FAN_OUT,
  "resnet20": KAIMING_FAN_IN,
  "resnet32": KAIMING_FAN_IN,
  "resnet110": KAIMING_FAN_IN,
  "resnet50": KAIMING_FAN_OUT,
  "resnet50-avg": KAIMING_FAN_OUT,
};

/** Batch norm starts as the identity on normalised values, unless its node says otherwise. */
const BATCH_NORM = { scale: 1, offset: 0, mean: 0, variance: 1 };

/** Whether an optimiser changes a tensor; the running statistics of batch norm are measured instead. */
export const isTrainable = (name: string): boolean => !/\.(mean|variance)$/.test(name);

/**
 * The state before the first step: weights from the seed, no momentum. A tensor depends on the seed and its
 * own name alone.
 */
export function initialState(graph: Graph, seed: number): EngineState {
  const shapes = weightShapes(graph), rule = RULES[graph.name] ?? PYTORCH;
  const weights = new Map<string, FloatTensor>();
  const add = (name: string, value: (random: SeededRandom) => number) => {
    const shape = shapes.get(name)!, random = new SeededRandom(seed, name);
    const size = shape.reduce((product, n) => product * n, 1);
    weights.set(name, { shape, data: Float32Array.from({ length: size }, () => value(random)) });
  };
  for (const node of graph.nodes) {
    if (node.op === "conv" || node.op === "dense") {
      const [fanIn, fanOut] = fans(node, shapes.get(`${node.id}.weight`)!);
      add(`${node.id}.weight`, (random) => rule[node.op](random, fanIn, fanOut));
      if (node.bias) add(`${node.id}.bias`, (random) => uniform(random, fanIn, fanOut));
    } else if (node.op === "batchNorm") {
      const start = { ...BATCH_NORM, scale: node.initialScale ?? BATCH_NORM.scale };
      for (const [part, value] of Object.entries(start)) add(`${node.id}.${part}`, () => value);
    } else if (node.op === "activation" && node.fourier) {
      const data = Float32Array.from(node.fourier);
      weights.set(`${node.id}.fourier`, { shape: [data.length], data });
    }
  }
  return stateOf(weights);
}

/** Weights without momentum: the state of a network that is only evaluated. */
export function stateOf(weights: Weights): EngineState {
  const momentum = [...weights].filter(([name]) => isTrainable(name)).map((
    [name, { shape, data }],
  ): [string, FloatTensor] => [name, { shape, data: new Float32Array(data.length) }]);
  return { weights, momentum: new Map(momentum) };
}

/** Weights that one output reads, and that one input feeds. */
function fans(node: ConvNode | DenseNode, shape: readonly number[]): [fanIn: number, fanOut: number] {
  const [inputs, outputs] = shape.slice(-2), window = node.op === "conv" ? node.kernel ** 2 : 1;
  return [window * inputs, window * outputs];
}
