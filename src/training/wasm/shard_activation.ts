/** The activation of a network as the kernels know it: which of them, the numbers of f and f', and those that layers learn. */
import type { Activation, Graph } from "../../models/graph.ts";
import { AMPLITUDE_DIVISOR } from "../../models/trigonometric.ts";
import type { StepSettings } from "../engine.ts";
import { HINGE, MAX_DEGREE, NO_PENALTY, SETTINGS } from "../kernels/_settings.ts";
import type { ParameterLayout } from "./parameter_layout.ts";
import type { ShardMemory } from "./shard_memory.ts";
import { fourierGradients, waveSettings } from "./wave.ts";

/** The numbers of f and of f', in the order of the settings. */
interface FunctionNumbers {
  readonly value: readonly number[];
  readonly slope: readonly number[];
}

/** Where the numbers of learned activations lie. */
interface LearnedWaves {
  readonly period: number;
  readonly harmonics: number;
  /** Offsets in floats into the parameter row, by activation layer. */
  readonly offsets: readonly number[];
}

/** Sums that the gradients of a learned wave are made of. */
export const FOURIER_SUMS = 4;

const FUNCTION_KERNELS = { relu: "Relu", sigmoid: "Sigmoid" };

export class ShardActivation {
  readonly #name: string;
  #reluPart = 0;
  readonly #numbers: FunctionNumbers;
  readonly #learned: LearnedWaves | undefined;
  /** By layer: sums of the gradients that reach a learned activation, of a shard so far. */
  readonly #sums: readonly Float64Array[];

  constructor(readonly memory: ShardMemory, graph: Graph, activation: Activation) {
    const { name, ...numbers } = kernelOf(activation);
    this.#name = name;
    this.#numbers = numbers;
    this.#learned = learnedWaves(graph, activation, memory.layout);
    this.#sums = (this.#learned?.offsets ?? []).map(() => new Float64Array(FOURIER_SUMS));
  }

  /** The part of the kernels' names that names what {@linkcode start} asked for. */
  get name(): string {
    return this.#reluPart > 0 ? "Mixture" : this.#name;
  }

  get isLearned(): boolean {
    return this.#learned !== undefined;
  }

  /** Writes what the kernels of a pass read. */
  start(clip: number | null, bound: number, penalty: StepSettings["penalty"], reluPart = 0): void {
    const { floats, words, plan } = this.memory;
    const exponent = !penalty ? NO_PENALTY : penalty.reduction === "hinge" ? HINGE : penalty.exponent;
    floats[(plan.settings + SETTINGS.clip) / 4] = clip ?? Infinity;
    floats[(plan.settings + SETTINGS.bound) / 4] = bound;
    floats[(plan.settings + SETTINGS.inverseRange) / 4] = penalty ? 1 / penalty.range : 0;
    words[(plan.settings + SETTINGS.exponent) / 4] = exponent;
    floats[(plan.settings + SETTINGS.range) / 4] = penalty?.range ?? 0;
    floats[(plan.settings + SETTINGS.reluPart) / 4] = this.#reluPart = reluPart;
    this.#write(reluPart > 0 ? mixed(this.#numbers, reluPart) : this.#numbers);
    for (const sums of this.#sums) sums.fill(0);
  }

  #write({ value, slope }: FunctionNumbers): void {
    const { floats, plan } = this.memory;
    floats.set(value, (plan.settings + SETTINGS.value) / 4);
    floats.set(slope, (plan.settings + SETTINGS.slope) / 4);
  }

  /** Writes the numbers of a layer that has learned its own. */
  select(layer: number): void {
    if (!this.#learned) return;
    const { period, harmonics, offsets } = this.#learned, at = offsets[layer], { state } = this.memory;
    const amplitudes = [...state.subarray(at + 1, at + 1 + harmonics)];
    this.#write(waveSettings({ kind: "trigonometric", period, offset: state[at], amplitudes }));
  }

  addSums(layer: number, sums: Float64Array): void {
    sums.forEach((sum, k) => this.#sums[layer][k] += sum);
  }

  /** Writes the gradients of the learned numbers. */
  writeGradients(): void {
    this.#learned?.offsets.forEach((offset, layer) =>
      this.memory.gradients.set(
        fourierGradients([...this.#sums[layer]], this.#learned!.harmonics),
        offset,
      )
    );
  }

  /** Ranges of the state that hold learned amplitudes, and their bound. */
  get amplitudes(): readonly { readonly offset: number; readonly size: number; readonly most: number }[] {
    if (!this.#learned) return [];
    const { period, harmonics, offsets } = this.#learned;
    return offsets.map((offset) => ({
      offset: offset + 1,
      size: harmonics,
      most: period / AMPLITUDE_DIVISOR,
    }));
  }
}

function kernelOf(activation: Activation): FunctionNumbers & { readonly name: string } {
  if (activation.kind === "trigonometric") {
    return { name: `Wave${activation.amplitudes.length}`, ...waveSettings(activation) };
  }
  if (activation.kind !== "polynomial") {
    return { name: FUNCTION_KERNELS[activation.kind], value: [], slope: [] };
  }
  const coefficients = activation.coefficients.map((c) => c / 2 ** activation.precision);
  if (coefficients.length > MAX_DEGREE + 1) {
    throw new RangeError(
      `the wasm engine trains polynomials up to degree ${MAX_DEGREE}, got ${coefficients.length - 1}`,
    );
  }
  while (coefficients.length < 2) coefficients.push(0);
  const slope = coefficients.slice(1).map((c, k) => (k + 1) * c);
  return { name: `Polynomial${coefficients.length - 1}`, value: coefficients, slope };
}

/** The numbers of all degrees that the kernels of the mixture read. */
function mixed({ value, slope }: FunctionNumbers, reluPart: number): FunctionNumbers {
  const padded = (numbers: readonly number[], length: number) =>
    Array.from({ length }, (_, k) => (1 - reluPart) * (numbers[k] ?? 0));
  return { value: padded(value, MAX_DEGREE + 1), slope: padded(slope, MAX_DEGREE) };
}

function learnedWaves(
  graph: Graph,
  activation: Activation,
  { slots }: ParameterLayout,
): LearnedWaves | undefined {
  if (activation.kind !== "trigonometric" || !activation.learned) return undefined;
  const layers = graph.nodes.filter(({ op }) => op === "activation");
  return {
    period: activation.period,
    harmonics: activation.amplitudes.length,
    offsets: layers.map(({ id }) => slots.get(`${id}.fourier`)!.offset),
  };
}
