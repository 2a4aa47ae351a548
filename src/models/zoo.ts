/**
 * The networks of the evaluation, layer by layer. Names of nodes are stable: they are the names of the
 * weights in files. Counts are held to `results/reference/architectures.csv` by a test.
 */
import type { Graph, Node, Shape } from "./graph.ts";

/** Identifiers of the networks that {@linkcode buildModel} knows. */
export const MODEL_NAMES = [
  "convnet",
  "minionn",
  "minionn-bn",
  "vgg16-bn-avg",
  "vgg16",
  "resnet18",
  "resnet20",
  "resnet32",
  "resnet110",
  "resnet50",
  "resnet50-avg",
  "roundnet",
] as const;

/** Identifier of a network. */
export type ModelName = typeof MODEL_NAMES[number];

interface Family {
  readonly inputShape: Shape;
  readonly classes: number;
  body(b: Builder): void;
}

const CIFAR = { inputShape: [32, 32, 3], classes: 10 } as const;
const IMAGENET = { inputShape: [224, 224, 3], classes: 1000 } as const;

const FAMILIES: Readonly<Record<ModelName, Family>> = {
  "convnet": { ...CIFAR, body: convNet },
  "minionn": { ...CIFAR, body: (b) => minionn(b, false) },
  "minionn-bn": { ...CIFAR, body: (b) => minionn(b, true) },
  "vgg16-bn-avg": { ...CIFAR, body: (b) => vgg16(b, true) },
  "vgg16": { ...CIFAR, body: (b) => vgg16(b, false) },
  "resnet18": { ...CIFAR, body: (b) => residual(b, basicBlock, [64, 128, 256, 512], [2, 2, 2, 2]) },
  "resnet20": { ...CIFAR, body: (b) => residual(b, basicBlock, [16, 32, 64], [3, 3, 3]) },
  "resnet32": { ...CIFAR, body: (b) => residual(b, basicBlock, [16, 32, 64], [5, 5, 5]) },
  "resnet110": { ...CIFAR, body: (b) => residual(b, basicBlock, [16, 32, 64], [18, 18, 18]) },
  "resnet50": { ...IMAGENET, body: (b) => resnet50(b, "maxPool") },
  "resnet50-avg": { ...IMAGENET, body: (b) => resnet50(b, "averagePool") },
  "roundnet": { ...CIFAR, body: roundnet },
};

/**
 * Builds a network by name.
 *
 * @param name one of {@linkcode MODEL_NAMES}
 * @param classes number of logits; 10, or 1000 for the ImageNet networks, if left out
 * @throws {RangeError} for an unknown name or a number of classes below 2
 *
 * @example
 * ```ts
 * import { buildModel } from "./zoo.ts";
 *
 * const graph = buildModel("resnet32", 100);
 * console.log(graph.nodes.filter((node) => node.op === "activation").length); // 31
 * ```
 */
export function buildModel(name: string, classes?: number): Graph {
  if (!isModelName(name)) {
    throw new RangeError(`unknown model "${name}"; known models: ${MODEL_NAMES.join(", ")}`);
  }
  const family = FAMILIES[name];
  const outputs = classes ?? family.classes;
  if (!Number.isInteger(outputs) || outputs < 2) {
    throw new RangeError(`model ${name}: classes must be an integer of at least 2, got ${outputs}`);
  }
  const builder = new Builder();
  family.body(builder);
  if (!builder.nodes.some((node) => node.op === "flatten")) builder.flatten();
  builder.dense("classifier", outputs);
  return { name, classes: outputs, inputShape: family.inputShape, nodes: builder.nodes };
}

const isModelName = (name: string): name is ModelName => (MODEL_NAMES as readonly string[]).includes(name);

/** Appends nodes; each reads the one before it unless `last` is set to another. */
class Builder {
  readonly nodes: Node[] = [{ id: "input", op: "input" }];
  last = "input";

  conv(id: string, outputs: number, kernel: number, stride = 1, options: ConvOptions = {}): void {
    const { padding = (kernel - 1) >> 1, bias = false, shortcut = false } = options;
    const node = { id, op: "conv", input: this.last, kernel, stride, padding, outputs, bias } as const;
    this.#push(shortcut ? { ...node, shortcut } : node);
  }

  dense(id: string, outputs: number): void {
    this.#push({ id, op: "dense", input: this.last, outputs, bias: true });
  }

  batchNorm(id: string): void {
    this.#push({ id, op: "batchNorm", input: this.last });
  }

  activation(id: string): void {
    this.#push({ id, op: "activation", input: this.last });
  }

  pool(op: "averagePool" | "maxPool", id: string, kernel: number, stride = kernel, padding = 0): void {
    this.#push({ id, op, input: this.last, kernel, stride, padding });
  }

  add(id: string, shortcut: string): void {
    this.#push({ id, op: "add", input: this.last, shortcut });
  }

  flatten(): void {
    this.#push({ id: "flatten", op: "flatten", input: this.last });
  }

  #push(node: Node): void {
    this.nodes.push(node);
    this.last = node.id;
  }
}

interface ConvOptions {
  readonly padding?: number;
  readonly bias?: boolean;
  readonly shortcut?: boolean;
}

function convNet(b: Builder): void {
  for (const [i, outputs] of [6, 16].entries()) {
    b.conv(`conv${i + 1}`, outputs, 5, 1, { padding: 0, bias: true });
    b.batchNorm(`bn${i + 1}`);
    b.activation(`act${i + 1}`);
    b.pool("averagePool", `pool${i + 1}`, 2);
  }
  b.flatten();
  b.dense("dense1", 120);
  b.activation("act3");
}

function minionn(b: Builder, norm: boolean): void {
  const layers = [[64, 3], [64, 3], [64, 3], [64, 3], [64, 3], [64, 1], [16, 1]] as const;
  for (const [i, [outputs, kernel]] of layers.entries()) {
    b.conv(`conv${i + 1}`, outputs, kernel, 1, { bias: true });
    if (norm) b.batchNorm(`bn${i + 1}`);
    b.activation(`act${i + 1}`);
    if (i === 1 || i === 3) b.pool("averagePool", `pool${(i + 1) / 2}`, 2);
  }
}

function vgg16(b: Builder, norm: boolean): void {
  for (const [block, [width, depth]] of [[64, 2], [128, 2], [256, 3], [512, 3], [512, 3]].entries()) {
    for (let layer = 1; layer <= depth; layer++) {
      const at = `block${block + 1}`;
      b.conv(`${at}.conv${layer}`, width, 3, 1, { bias: true });
      if (norm) b.batchNorm(`${at}.bn${layer}`);
      // Pooling comes before the last activation of a block: four times fewer activations there.
      if (layer === depth) b.pool("averagePool", `${at}.pool`, 2);
      b.activation(`${at}.act${layer}`);
    }
  }
  b.flatten();
  for (const i of [1, 2]) {
    b.dense(`dense${i}`, 512);
    b.activation(`denseAct${i}`);
  }
}

/**
 * Ours, for links where every opening costs a delay: seven activation layers, and most of the work late, where maps
 * are small: 86 million multiplications, 16 one-way delays. The average comes right behind a convolution, so it is linear with it and costs no activations; batch
 * norm then sees what the activation sees.
 */
function roundnet(b: Builder): void {
  const layers = [[32, 1], [64, 2], [64, 1], [128, 2], [128, 1], [256, 2], [256, 1]] as const;
  for (const [i, [outputs, pool]] of layers.entries()) {
    b.conv(`conv${i + 1}`, outputs, 3);
    if (pool > 1) b.pool("averagePool", `pool${i + 1}`, pool);
    b.batchNorm(`bn${i + 1}`);
    b.activation(`act${i + 1}`);
  }
  b.pool("averagePool", "pool", 4);
}

type Block = (b: Builder, at: string, width: number, stride: number, project: boolean) => void;

/** Residual network for 32 x 32 images: 3x3 stem, then stages that halve the map from the second on. */
function residual(b: Builder, block: Block, widths: readonly number[], depths: readonly number[]): void {
  b.conv("conv1", widths[0], 3);
  b.batchNorm("bn1");
  b.activation("act1");
  // The stem already has the width of the first stage, so its first block needs no projection.
  stages(b, block, widths, depths, false);
  b.pool("averagePool", "pool", 32 >> (widths.length - 1));
}

function resnet50(b: Builder, pool: "averagePool" | "maxPool"): void {
  b.conv("conv1", 64, 7, 2);
  b.batchNorm("bn1");
  b.activation("act1");
  if (pool === "maxPool") b.pool(pool, "stemPool", 3, 2, 1);
  else b.pool(pool, "stemPool", 2);
  stages(b, bottleneck, [64, 128, 256, 512], [3, 4, 6, 3], true);
  b.pool("averagePool", "pool", 7);
}

function stages(
  b: Builder,
  block: Block,
  widths: readonly number[],
  depths: readonly number[],
  projectFirst: boolean,
): void {
  for (const [stage, width] of widths.entries()) {
    for (let i = 0; i < depths[stage]; i++) {
      const first = i === 0;
      block(
        b,
        `stage${stage + 1}.block${i + 1}`,
        width,
        first && stage > 0 ? 2 : 1,
        first && (stage > 0 || projectFirst),
      );
    }
  }
}

const basicBlock: Block = (b, at, width, stride, project) => {
  const start = b.last;
  b.conv(`${at}.conv1`, width, 3, stride);
  b.batchNorm(`${at}.bn1`);
  b.activation(`${at}.act1`);
  b.conv(`${at}.conv2`, width, 3);
  b.batchNorm(`${at}.bn2`);
  join(b, at, start, project ? { width, stride } : undefined);
  b.activation(`${at}.act2`);
};

const bottleneck: Block = (b, at, width, stride, project) => {
  const start = b.last;
  b.conv(`${at}.conv1`, width, 1);
  b.batchNorm(`${at}.bn1`);
  b.activation(`${at}.act1`);
  b.conv(`${at}.conv2`, width, 3, stride);
  b.batchNorm(`${at}.bn2`);
  b.activation(`${at}.act2`);
  b.conv(`${at}.conv3`, 4 * width, 1);
  b.batchNorm(`${at}.bn3`);
  join(b, at, start, project ? { width: 4 * width, stride } : undefined);
  b.activation(`${at}.act3`);
};

/** Adds the branch that ends at `b.last` to the block's start, projected if the shape changes. */
function join(b: Builder, at: string, start: string, projection?: { width: number; stride: number }): void {
  const branch = b.last;
  let shortcut = start;
  if (projection) {
    b.last = start;
    b.conv(`${at}.shortcut`, projection.width, 1, projection.stride, { shortcut: true });
    b.batchNorm(`${at}.shortcutBn`);
    shortcut = b.last;
    b.last = branch;
  }
  b.add(`${at}.add`, shortcut);
}

/** A "network" of one activation layer and no weights, to measure a protocol alone. */
export function activationLayer(elements: number): Graph {
  return {
    name: `activation-${elements}`,
    classes: elements,
    inputShape: [1, 1, elements],
    nodes: [{ id: "input", op: "input" }, { id: "activation", op: "activation", input: "input" }],
  };
}
