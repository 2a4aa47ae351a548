/**
 * How large the inputs of activations and the logits of a network get, measured on images in the clear. Scales of private inference
 * follow from these numbers, so they are public metadata of a network: server, client and dealer all know them.
 */
import { FITTED_RANGE } from "../polynomial/polynomial.ts";
import { evaluate } from "./float_engine.ts";
import type { Activation, Graph, Weights } from "./graph.ts";

/** Largest |input| of every activation by the activation's name, and largest |logit| by that of the last node. */
export type Ranges = Readonly<Record<string, number>>;

/** A layer whose range is audited: an activation or the logits. */
export interface AuditedLayer {
  readonly id: string;
  /** The node whose values are looked at. */
  readonly value: string;
}

/** What was seen at one layer. */
export interface LayerRange extends AuditedLayer {
  readonly kind: "activation" | "logits";
  /** Numbers looked at. */
  readonly values: number;
  readonly largest: number;
  /** Share of them outside the polynomial's interval, and outside what the ring holds. */
  readonly beyondInterval: number;
  readonly beyondRing: number;
}

/** Runs a network on an image and shows the value of every node. */
export type Forward = (
  image: ArrayLike<number>,
  observe: (id: string, read: () => ArrayLike<number>) => void,
) => void;

/** The name under which the logits are audited; null where a network ends with an activation, whose inputs alone are. */
function auditedLogits({ nodes }: Graph): string | null {
  const { op, id } = nodes.at(-1)!;
  return op === "activation" ? null : id;
}

/** The audited range of the logits, where there is one. */
export function logitRange(graph: Graph, ranges: Ranges | undefined): number | undefined {
  const id = auditedLogits(graph);
  return id === null ? undefined : ranges?.[id];
}

/** Activations in evaluation order, then the logits. */
export function auditedLayers(graph: Graph): AuditedLayer[] {
  const logits = auditedLogits(graph);
  return [
    ...graph.nodes.flatMap((node) => node.op === "activation" ? [{ id: node.id, value: node.input }] : []),
    ...logits === null ? [] : [{ id: logits, value: logits }],
  ];
}

/**
 * Measures every layer on `images`.
 *
 * @param ringLimit the size up to which the ring holds the values of a layer; Infinity where there is no limit
 */
export function measureRanges(
  graph: Graph,
  forward: Forward,
  images: Iterable<ArrayLike<number>>,
  ringLimit: (id: string) => number = () => Infinity,
): LayerRange[] {
  const counters = auditedLayers(graph).map((layer) => ({
    ...layer,
    limit: ringLimit(layer.id),
    seen: 0,
    largest: 0,
    outside: 0,
    wrapped: 0,
  }));
  for (const image of images) {
    forward(image, (id, read) => {
      for (const counter of counters) {
        if (counter.value !== id) continue;
        const values = read();
        for (let i = 0; i < values.length; i++) {
          const size = Math.abs(values[i]);
          // Written so that a value that is no number counts as too large.
          if (!(size <= counter.largest)) counter.largest = Number.isNaN(size) ? Infinity : size;
          if (!(size <= FITTED_RANGE)) counter.outside++;
          if (!(size < counter.limit)) counter.wrapped++;
        }
        counter.seen += values.length;
      }
    });
  }
  const unseen = counters.find(({ seen }) => seen === 0);
  if (unseen) throw new RangeError(`${graph.name}: nothing was seen of ${unseen.value}; give images`);
  return counters.map(({ id, value, seen, largest, outside, wrapped }) => ({
    id,
    value,
    kind: id === value ? "logits" : "activation",
    values: seen,
    largest,
    beyondInterval: outside / seen,
    beyondRing: wrapped / seen,
  }));
}

/** The ranges alone, rounded up to three digits. */
export const rangesOf = (layers: readonly LayerRange[]): Ranges =>
  Object.fromEntries(layers.map(({ id, largest }) => [id, roundUp(largest)]));

function roundUp(value: number): number {
  if (value === 0 || !Number.isFinite(value)) return value;
  const unit = 10 ** (Math.floor(Math.log10(value)) - 2);
  // Through text, so that no digits of the division remain.
  return Number((Math.ceil(value / unit) * unit).toPrecision(3));
}

/** Throws a RangeError unless there is a range for every audited layer and no other. */
export function checkRanges(graph: Graph, ranges: Ranges): void {
  const wanted = auditedLayers(graph).map(({ id }) => id);
  const wrong = wanted.find((id) => !(Number.isFinite(ranges[id]) && ranges[id] >= 0)) ??
    Object.keys(ranges).find((id) => !wanted.includes(id));
  if (wrong === undefined) return;
  throw new RangeError(
    `ranges of ${graph.name}: ${
      wrong in ranges
        ? `${wrong} has the range ${ranges[wrong]}${wanted.includes(wrong) ? "" : ", but is no activation"}`
        : `${wrong} is missing`
    }; audit the network again`,
  );
}

/** {@linkcode Forward} of the float engine. */
export const floatForward =
  (graph: Graph, weights: Weights, activation: Activation): Forward => (image, observe) => {
    for (const [id, values] of evaluate(graph, weights, activation, image)) observe(id, () => values);
  };
