/**
 * All tensors of a network in one row of floats: first weights and biases, then what else the optimiser changes (scales and
 * offsets of batch norm, numbers of learned activations), then running statistics. Gradients lie in the same order, with the
 * statistics of the batch in the place of the running ones.
 */
import type { FloatTensor, Graph, Weights } from "../../models/graph.ts";
import { weightShapes } from "../../models/weights.ts";
import type { EngineState } from "../engine.ts";
import { isTrainable } from "../initial.ts";

export interface ParameterSlot {
  readonly shape: readonly number[];
  /** First float; a multiple of 4. */
  readonly offset: number;
  readonly size: number;
}

export interface ParameterLayout {
  readonly slots: ReadonlyMap<string, ParameterSlot>;
  /** Floats of all that is trained, and of everything. */
  readonly trained: number;
  readonly total: number;
}

/** 0: weights and biases; 1: the rest of what is trained; 2: running statistics. */
const rank = (name: string) => /\.(weight|bias)$/.test(name) ? 0 : isTrainable(name) ? 1 : 2;

export function layoutParameters(graph: Graph): ParameterLayout {
  const slots = new Map<string, ParameterSlot>(), ends: number[] = [];
  let top = 0;
  for (const current of [0, 1, 2]) {
    for (const [name, shape] of weightShapes(graph)) {
      if (rank(name) !== current) continue;
      const size = shape.reduce((product, n) => product * n, 1);
      slots.set(name, { shape, offset: top, size });
      top += Math.ceil(size / 4) * 4;
    }
    ends.push(top);
  }
  const [, trained, total] = ends as [number, number, number];
  return { slots, trained, total };
}

/** Floats that {@linkcode writeState} fills: all tensors, then the momentum of those that are trained. */
export const stateFloats = ({ total, trained }: ParameterLayout): number => total + trained;

/**
 * Copies a state into a row of floats.
 *
 * @throws {RangeError} if a tensor is missing or has another shape
 */
export function writeState(
  { slots, total, trained }: ParameterLayout,
  { weights, momentum }: EngineState,
  to: Float32Array,
): void {
  for (const [name, { shape, offset }] of slots) {
    to.set(tensorOf(weights, "weight", name, shape), offset);
    if (offset < trained) to.set(tensorOf(momentum, "momentum", name, shape), total + offset);
  }
}

function tensorOf(tensors: Weights, kind: string, name: string, shape: readonly number[]): Float32Array {
  const tensor = tensors.get(name);
  if (!tensor || tensor.shape.join() !== shape.join()) {
    const found = tensor ? `[${tensor.shape}]` : "none";
    throw new RangeError(`training state: ${kind} tensor ${name} must have shape [${shape}], found ${found}`);
  }
  return tensor.data;
}

/** The state that a row of floats holds, copied. */
export function readState({ slots, total, trained }: ParameterLayout, from: Float32Array): EngineState {
  const weights = new Map<string, FloatTensor>(), momentum = new Map<string, FloatTensor>();
  for (const [name, { shape, offset, size }] of slots) {
    // A plain array, also where `from` lies in shared memory.
    const copy = (start: number) => new Float32Array(from.subarray(start, start + size));
    weights.set(name, { shape, data: copy(offset) });
    if (offset < trained) momentum.set(name, { shape, data: copy(total + offset) });
  }
  return { weights, momentum };
}
