/**
 * The trigonometric activation: half a line and a wave of odd harmonics,
 *
 *     f(x) = x / 2 + a0 + sum over k of b_k cos(2 pi (2k + 1) x / P).
 *
 * It grows like a line, whatever x is, so it needs neither clip nor penalty in training, and the same formula holds
 * everywhere: nothing is out of range. With a0 = P / 8 and b_k = -P / (pi (2k + 1))^2 it is the Fourier sum of ReLU on
 * [-P/2, P/2], continued as a staircase.
 */
import type { Activation, Graph, Trigonometric, Weights } from "./graph.ts";

export type { Trigonometric } from "./graph.ts";

/** Harmonics that an engine computes. */
export const MOST_HARMONICS = 3;

/** A learned |b_k| is kept below the period over this, so that the slope stays within 1/2 +- pi / 2 per harmonic number. */
export const AMPLITUDE_DIVISOR = 4;

/**
 * The function with `harmonics` harmonics and `strength` times the amplitudes of the fit to ReLU.
 *
 * @example
 * ```ts
 * import { fittedWave } from "./trigonometric.ts";
 *
 * console.log(fittedWave(8, 1, 1).offset); // 1
 * ```
 */
export function fittedWave(
  period: number,
  harmonics: number,
  strength: number,
  learned = false,
): Trigonometric {
  const amplitudes = Array.from(
    { length: harmonics },
    (_, k) => -strength * period / (Math.PI * (2 * k + 1)) ** 2,
  );
  return { kind: "trigonometric", period, offset: period / 8, amplitudes, ...(learned && { learned }) };
}

/** f(x). */
export function trigonometricAt({ period, offset, amplitudes }: Trigonometric, x: number): number {
  const angle = 2 * Math.PI * x / period;
  return amplitudes.reduce((sum, b, k) => sum + b * Math.cos((2 * k + 1) * angle), x / 2 + offset);
}

/** The network whose activations carry the learned numbers of `activation`, or none where it learns none. */
export function withLearnedActivations(graph: Graph, activation: Activation): Graph {
  const isLearned = activation.kind === "trigonometric" && activation.learned;
  if (!isLearned && !graph.nodes.some((node) => node.op === "activation" && node.fourier)) return graph;
  const own = isLearned ? { fourier: [activation.offset, ...activation.amplitudes] } : {};
  const nodes = graph.nodes.map((node) => {
    if (node.op !== "activation") return node;
    const { fourier: _, ...rest } = node;
    return { ...rest, ...own };
  });
  return { ...graph, nodes };
}

/** The function of one activation layer, with its learned numbers where it has any. */
export function layerActivation(activation: Activation, layer: string, weights: Weights): Activation {
  if (activation.kind !== "trigonometric" || !activation.learned) return activation;
  const [offset, ...amplitudes] = weights.get(`${layer}.fourier`)!.data as unknown as [number, ...number[]];
  return { kind: "trigonometric", period: activation.period, offset, amplitudes };
}
