/** The public functions of a network's activations as options: what all roles are told, and what trained weights say. */
import type { PlanOptions } from "../inference/plan.ts";
import type { Activation, Graph, Weights } from "../models/graph.ts";
import {
  layerActivation,
  MOST_HARMONICS,
  type Trigonometric,
  withLearnedActivations,
} from "../models/trigonometric.ts";
import type { Polynomial } from "../polynomial/polynomial.ts";
import { ACTIVATION_PROTOCOLS, activationProtocol } from "../protocols/registry.ts";
import { UsageError } from "../terminal/command.ts";

const NUMBER = String.raw`-?\d+(?:\.\d+)?(?:e[+-]?\d+)?`;
const LAYER = `${NUMBER}(?:,${NUMBER}){1,${MOST_HARMONICS}}`;

export const FUNCTION_OPTIONS = {
  polynomial: {
    type: "string",
    value: "C0,C1,.../P",
    pattern: /^-?\d{1,15}(,-?\d{1,15}){1,10}\/\d{1,2}$/,
    accepts: "integers C0,C1,... of degree 1 to 10 and their precision, as in 322,512,160,0,-3/10",
    help: "public polynomial sum of Ck / 2^P x^k (default: the paper's quartic, or that of --weights)",
  },
  wave: {
    type: "string",
    value: "P:A,B1,...",
    pattern: new RegExp(`^\\d+(?:\\.\\d+)?:${LAYER}(?:/${LAYER})*$`),
    accepts:
      `a period and after it A and 1 to ${MOST_HARMONICS} amplitudes, as in 10:1.25,-1.52, for all activations or, with / between, for each`,
    help:
      "public function x/2 + A + B1 cos(2 pi x / P) + B2 cos(6 pi x / P) + ... (default: the fit to ReLU of period 8, or that of --weights)",
  },
} as const;

export interface FunctionValues {
  readonly polynomial?: string | undefined;
  readonly wave?: string | undefined;
}

/** The options of a plan that say its functions. */
type Functions = Pick<PlanOptions, "function" | "functions">;

const FLAGS = { polynomial: "polynomial", wave: "trigonometric" } as const;

/** What the options say for a protocol; its usual function where they say nothing. */
export function functionsFrom(graph: Graph, activation: string, values: FunctionValues): Functions {
  const { usual, computes } = activationProtocol(activation);
  for (const [flag, kind] of Object.entries(FLAGS)) {
    if (values[flag as keyof FunctionValues] === undefined || (!computes && usual.kind === kind)) continue;
    const takers = ACTIVATION_PROTOCOLS.filter(({ usual, computes }) => !computes && usual.kind === kind);
    throw new UsageError(
      `--${flag} belongs to ${
        takers.map(({ name }) => name).join(", ")
      }, not to ${activation}: leave it out, or choose another --activation`,
    );
  }
  if (values.polynomial !== undefined) return { function: parsePolynomial(values.polynomial) };
  if (values.wave !== undefined) return parseWave(graph, values.wave);
  return { function: usual };
}

/** The network whose weights hold the functions of its layers, where each has its own. */
export const graphOf = (graph: Graph, { function: f, functions }: Functions): Graph =>
  functions && f.kind === "trigonometric" ? withLearnedActivations(graph, { ...f, learned: true }) : graph;

/** What trained weights say, for {@linkcode functionsFrom}; nothing where the protocol computes another kind of function. */
export function trainedFunctions(
  graph: Graph,
  activation: string,
  trained: Activation,
  weights: Weights,
): FunctionValues {
  const { usual, computes } = activationProtocol(activation);
  if (computes || usual.kind !== trained.kind) return {};
  const functions = trained.kind === "trigonometric" && trained.learned
    ? Object.fromEntries(activationsOf(graph).map((id) => [id, layerActivation(trained, id, weights)]))
    : undefined;
  return formatFunctions(graph, { function: trained, ...(functions && { functions }) });
}

/** The options that {@linkcode functionsFrom} reads the same functions from. */
export function formatFunctions(graph: Graph, { function: f, functions }: Functions): FunctionValues {
  if (f.kind === "polynomial") return { polynomial: `${f.coefficients.join(",")}/${f.precision}` };
  if (f.kind !== "trigonometric") return {};
  const layers = functions ? activationsOf(graph).map((id) => functions[id] as Trigonometric) : [f];
  return {
    wave: `${f.period}:${layers.map(({ offset, amplitudes }) => [offset, ...amplitudes].join()).join("/")}`,
  };
}

/** As arguments of a role; with "=", since a list of numbers may begin with a minus. */
export const functionArguments = (values: FunctionValues): string[] =>
  Object.entries(values).flatMap(([flag, text]) => text === undefined ? [] : [`--${flag}=${text}`]);

const activationsOf = ({ nodes }: Graph): string[] =>
  nodes.flatMap(({ op, id }) => op === "activation" ? [id] : []);

function parsePolynomial(text: string): Polynomial {
  const [list, precision] = text.split("/"), coefficients = list.split(",").map(Number);
  if (coefficients.slice(1).every((c) => c === 0)) {
    throw new UsageError(
      `--polynomial was given "${text}", which is constant, but an activation depends on x`,
    );
  }
  return { kind: "polynomial", coefficients, precision: Number(precision) };
}

function parseWave(graph: Graph, text: string): Functions {
  const [first, list] = text.split(":") as [string, string],
    period = Number(first),
    ids = activationsOf(graph);
  if (!(period > 0)) throw new UsageError(`--wave was given "${text}", whose period is not positive`);
  const layers = list.split("/").map((numbers): Trigonometric => {
    const [offset, ...amplitudes] = numbers.split(",").map(Number) as [number, ...number[]];
    return { kind: "trigonometric", period, offset, amplitudes };
  });
  if (layers.length > 1 && layers.length !== ids.length) {
    throw new UsageError(
      `--wave has numbers for ${layers.length} layers, but ${graph.name} has ${ids.length} activations`,
    );
  }
  if (layers.length === 1) return { function: layers[0] };
  return { function: layers[0], functions: Object.fromEntries(ids.map((id, i) => [id, layers[i]])) };
}
