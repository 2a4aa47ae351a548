/** Options that `infer`, `explain` and the three roles share, and what is made of them. */
import { type Model, readGraph } from "../data/model_folder.ts";
import { DATASET_NAMES } from "../data/open_dataset.ts";
import { precisionNote } from "../inference/guard.ts";
import type { Plan } from "../inference/plan.ts";
import { planInference } from "../inference/planner.ts";
import { DEFAULT_FRACTION_BITS, DEFAULT_RING_BITS } from "../inference/scales.ts";
import { foldGraph } from "../models/fold.ts";
import type { Activation, Graph, Node } from "../models/graph.ts";
import { auditedLayers, type Ranges } from "../models/ranges.ts";
import { activationLayer, buildModel, MODEL_NAMES } from "../models/zoo.ts";
import { NETWORK_PROFILES, networkProfile } from "../network/profiles.ts";
import { DEFAULT_ANGLE_BITS } from "../protocols/activation/trigonometric.ts";
import type { ProtocolOption } from "../protocols/protocol.ts";
import {
  ACTIVATION_PROTOCOLS,
  activationProtocol,
  DEFAULT_ACTIVATION,
  DEFAULT_LINEAR,
  LINEAR_PROTOCOLS,
  protocolFor,
} from "../protocols/registry.ts";
import { FUNCTION_OPTIONS, functionsFrom, graphOf } from "./function_options.ts";
import { UsageError } from "../terminal/command.ts";

/** Of random weights and images where none is given. */
export const DEFAULT_SEED = 1;

const names = (protocols: readonly { readonly name: string }[]) => protocols.map(({ name }) => name);

/** Names of the activation protocols that take an option. */
const takers = (option: ProtocolOption): string =>
  names(ACTIVATION_PROTOCOLS.filter(({ takes }) => takes.includes(option))).join(", ");

/** What all roles must agree on. */
export const PLAN_OPTIONS = {
  model: { type: "string", choices: MODEL_NAMES, default: "minionn-bn", help: "network" },
  elements: {
    type: "integer",
    min: 1,
    max: 1 << 24,
    excludes: ["model", "graph", "classes", "weights", "modelSeed"],
    help: "instead of a network, one activation layer of N elements whose result is opened to the client",
  },
  classes: {
    type: "integer",
    min: 2,
    max: 100_000,
    help: "classes of the network (default: 10; ResNet-50: 1000)",
  },
  activation: {
    type: "string",
    choices: names(ACTIVATION_PROTOCOLS),
    default: DEFAULT_ACTIVATION.name,
    help: "activation protocol",
  },
  linear: {
    type: "string",
    choices: names(LINEAR_PROTOCOLS),
    default: DEFAULT_LINEAR.name,
    help: "protocol of convolutions and dense layers",
  },
  ringBits: {
    type: "integer",
    min: 16,
    max: 30,
    help: `bits of the ring of the linear layers, for ${takers("ringBits")} (default: ${DEFAULT_RING_BITS})`,
  },
  angleBits: {
    type: "integer",
    min: 4,
    max: 14,
    help: `bits of an angle that are opened, for ${takers("angleBits")} (default: ${DEFAULT_ANGLE_BITS})`,
  },
  fractionBits: {
    type: "integer",
    min: 8,
    max: 20,
    help:
      `fraction bits of the fixed point, for ${
        takers("fractionBits")
      } (default: ${DEFAULT_FRACTION_BITS}); ` +
      "the others choose their own, layer by layer",
  },
  batch: {
    type: "integer",
    min: 1,
    max: 1 << 16,
    help: "images of one query, which travel together: the delays of one, the bytes of all (default: 1)",
  },
  ...FUNCTION_OPTIONS,
  ranges: {
    type: "string",
    value: "R1,R2,...",
    pattern: /^\d+(\.\d+)?(e[+-]?\d+)?(,\d+(\.\d+)?(e[+-]?\d+)?)*$/,
    accepts: "numbers, one for each activation in order and one for the logits",
    help:
      "largest |input| of every activation and largest |logit| as `audit` prints them, public; scales of " +
      `${takers("ringBits")} and the bound of the logits follow (default: those of --weights)`,
  },
  force: { type: "boolean", help: "plan although a range leaves less than one bit of head-room" },
} as const;

/** Of the three roles: a network that is none of ours. */
export const GRAPH_OPTION = {
  type: "path",
  value: "FILE",
  excludes: ["model", "classes"],
  help:
    "in place of --model: the graph.json of a network that `import` has written, with model.json beside it",
} as const;

/** How the parties reach each other. */
export const LINK_OPTIONS = {
  profile: {
    type: "string",
    value: "NAME",
    default: "none",
    help: `network between server and client: ${
      NETWORK_PROFILES.map(({ name }) => name).join(", ")
    }, or rtt:MS`,
  },
  timeout: {
    type: "integer",
    min: 1,
    max: 86_400,
    default: 120,
    help: "seconds without progress after which a peer is given up",
  },
} as const;

export const THREADS_OPTION = {
  type: "integer",
  min: 1,
  max: 64,
  default: 1,
  help: "threads of each party",
} as const;

export const IMAGE_OPTION = {
  type: "path",
  value: "FILE",
  excludes: ["seed", "drawn", "images", "dataset"],
  help: "image file (PNG, JPEG or WebP); of another size than the network's input it is scaled and cropped",
} as const;

/** A random image, for who has no other. */
export const SEED_OPTION = {
  type: "integer",
  min: 0,
  help: `seed of a random image (default: ${DEFAULT_SEED})`,
} as const;

/** A picture that needs no file. */
export const DRAWN_OPTION = {
  type: "integer",
  min: 0,
  max: 3999,
  excludes: ["seed", "images", "dataset"],
  help: "picture N of the test images of shapes, ten silhouettes drawn from a seed",
} as const;

/** Many images for one session, of the roles that hold images. */
export const MANY_IMAGES_OPTIONS = {
  images: {
    type: "path",
    value: "FILE|DIR",
    excludes: ["seed", "dataset"],
    help:
      "many images, each classified once: the image files of a folder in the order of their names, or a file of " +
      "float32 little-endian images [count][height][width][channels], already normalised",
  },
  dataset: {
    type: "string",
    choices: DATASET_NAMES,
    excludes: ["seed"],
    help: "the test images of a dataset, each classified once",
  },
  data: { type: "path", value: "DIR", needs: ["dataset"], help: "folder of the dataset" },
  limit: {
    type: "integer",
    min: 1,
    needs: ["images", "dataset"],
    help: "of many images, at most so many",
  },
} as const;

/** Of who holds images. */
export const MIRROR_OPTION = {
  type: "boolean",
  excludes: ["elements"],
  help:
    "ask about each image together with its mirror image and take the mean of their logits; --batch is then even (default: 2)",
} as const;

/** Of `infer` and the two parties; the dealer holds nothing and deals when both ask. */
export const PREPARE_OPTION = {
  type: "integer",
  min: 1,
  max: 1000,
  default: 1,
  help: "queries whose correlations are dealt ahead and held in memory, each used at most once",
} as const;

/** Of the commands that start all three roles on this machine. */
export const INFER_OPTIONS = {
  weights: {
    type: "path",
    value: "DIR",
    excludes: ["modelSeed"],
    help: "model folder (default: seeded random weights)",
  },
  modelSeed: { type: "integer", min: 0, help: `seed of random weights (default: ${DEFAULT_SEED})` },
  image: IMAGE_OPTION,
  drawn: DRAWN_OPTION,
  seed: SEED_OPTION,
  repetitions: {
    type: "integer",
    min: 1,
    max: 100_000,
    excludes: ["images", "dataset"],
    help:
      "queries measured, each with fresh correlations (default: 5; many images are asked about once each)",
  },
  warmUp: {
    type: "integer",
    min: 0,
    max: 1000,
    excludes: ["images", "dataset"],
    help: "queries before the measured ones, while the engine optimises (default: 2; none of many images)",
  },
  threads: THREADS_OPTION,
  noRevectorize: {
    type: "boolean",
    help: "without V8's experimental pass for vectors of 256 bits, as on all processors but x86-64",
  },
  json: { type: "boolean", help: "print one JSON object on one line" },
} as const;

/** The activation protocol of `infer` and `explain`. */
export const ACTIVATION_OPTION = {
  type: "string",
  choices: names(ACTIVATION_PROTOCOLS),
  help:
    `activation protocol (default: ${DEFAULT_ACTIVATION.name}, or what computes the activation of --weights)`,
} as const;

/** The network of `infer` and `explain`. */
export const NETWORK_OPTION = {
  type: "string",
  choices: MODEL_NAMES,
  help:
    "network (default: that of --weights; without either, a shipped one that suits --activation and a drawn picture that it knows, or else a random one)",
} as const;

/** What the plan options say. */
export interface PlanValues {
  readonly model: string;
  readonly graph: string | undefined;
  readonly elements: number | undefined;
  readonly classes: number | undefined;
  readonly activation: string;
  readonly linear: string;
  readonly fractionBits: number | undefined;
  readonly ringBits: number | undefined;
  readonly angleBits?: number | undefined;
  readonly batch?: number | undefined;
  readonly polynomial: string | undefined;
  readonly wave: string | undefined;
  readonly ranges: string | undefined;
  readonly force: boolean;
}

/** "2.71,3.04,0.93". */
export const formatRangesOption = (graph: Graph, ranges: Ranges): string =>
  auditedLayers(graph).map(({ id }) => ranges[id]).join();

function parseRangesOption(graph: Graph, text: string): Ranges {
  const layers = auditedLayers(graph), numbers = text.split(",").map(Number);
  if (numbers.length !== layers.length) {
    throw new UsageError(
      `--ranges has ${numbers.length} numbers, but ${graph.name} has ${
        layers.length - 1
      } activations and its logits`,
    );
  }
  // The pattern admits no sign. 0 is what an audit finds of a layer whose weights are all 0.
  const wrong = numbers.findIndex((number) => !Number.isFinite(number));
  if (wrong >= 0) throw new UsageError(`--ranges: number ${wrong + 1} is beyond every number`);
  return Object.fromEntries(layers.map(({ id }, i) => [id, numbers[i]]));
}

/** The activation function that a plan computes. */
export const activationFunction = ({ options: { activation, function: f } }: Plan): Activation =>
  activationProtocol(activation).computes ?? f;

/** The network that is asked for, batch norms and all. */
export function graphFrom(
  { model, graph, elements, classes }: Pick<PlanValues, "model" | "graph" | "elements" | "classes">,
): Graph {
  if (elements !== undefined) return activationLayer(elements);
  if (graph === undefined) return buildModel(model, classes);
  const own = readGraph(graph);
  if (classes === undefined || classes === own.classes) return own;
  throw new UsageError(`--classes was given ${classes}, but ${own.name} has ${own.classes}; leave it out`);
}

export function planFrom(values: PlanValues): Plan {
  checkTaken(values);
  const graph = foldGraph(graphFrom(values));
  const functions = functionsFrom(graph, values.activation, values);
  return planInference(graphOf(graph, functions), {
    activation: values.activation,
    linear: values.linear,
    ...functions,
    ...(values.fractionBits === undefined ? {} : { fractionBits: values.fractionBits }),
    ...(values.ringBits === undefined ? {} : { ringBits: values.ringBits }),
    ...(values.angleBits === undefined ? {} : { angleBits: values.angleBits }),
    ...(values.batch === undefined ? {} : { batch: values.batch }),
    ...(values.ranges === undefined ? {} : { ranges: parseRangesOption(graph, values.ranges) }),
    force: values.force,
  });
}

/** Says on the error stream where a plan leaves too little precision. */
export function sayPrecision(plan: Plan): void {
  const note = precisionNote(plan);
  if (note !== null) console.error(`note: ${note}`);
}

/** Refuses what the protocol would not use. */
function checkTaken(values: PlanValues): void {
  const { takes, name } = activationProtocol(values.activation);
  const flags = {
    fractionBits: "--fraction-bits",
    ringBits: "--ring-bits",
    angleBits: "--angle-bits",
  } as const;
  for (const [option, flag] of Object.entries(flags) as [ProtocolOption, string][]) {
    if (values[option] === undefined || takes.includes(option)) continue;
    throw new UsageError(
      `${flag} belongs to ${takers(option)}, not to ${name}: leave it out, or choose another --activation`,
    );
  }
}

const NAMES: Record<Activation["kind"], string> = {
  relu: "ReLU",
  sigmoid: "the sigmoid",
  polynomial: "a polynomial",
  trigonometric: "a trigonometric activation",
};

/** Checks that weights on disk belong to the plan. */
export function checkModel(folder: string, found: Model, plan: Plan): void {
  const { graph: { name, classes, nodes }, options: { activation } } = plan;
  if (found.model !== name || found.classes !== classes) {
    throw new Error(
      `${folder} holds ${found.model} with ${found.classes} classes, not ${name} with ${classes}; leave out --model and --classes, or give them to match`,
    );
  }
  const wanted = activationFunction(plan);
  if (found.activation.kind === "sigmoid") {
    throw new Error(
      `${folder} was trained with the sigmoid, which no protocol computes; train with its polynomial, sigmoid:4:10`,
    );
  }
  if (found.activation.kind !== wanted.kind) {
    throw new Error(
      `${folder} was trained with ${NAMES[found.activation.kind]}, but the protocol ${activation} computes ${
        NAMES[wanted.kind]
      }; choose --activation ${protocolFor(found.activation).name}`,
    );
  }
  if (architectureOf(foldGraph(found.graph).nodes) !== architectureOf(nodes)) {
    throw new Error(
      `${folder} holds another network than the ${name} of --graph; give the graph.json that lies in it`,
    );
  }
}

/** Nodes without what their layers learned, which the weights hold. */
const architectureOf = (nodes: readonly Node[]): string =>
  JSON.stringify(nodes, (field, value) => field === "fourier" ? undefined : value);

/** A network profile by name, checked before any process starts. */
export const profileFrom = networkProfile;
