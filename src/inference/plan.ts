/**
 * The list of steps that server, client and dealer go through in the same order, and its digest. Everything here is
 * public: shapes, protocols, functions, fraction bits. Weights and images are not.
 */
import { describeCorrelation, type StepCorrelations } from "../correlations/correlation.ts";
import type { Refuses } from "../correlations/source.ts";
import type { Activation, Graph } from "../models/graph.ts";
import type { Ranges } from "../models/ranges.ts";
import type { ActivationStep, ProtocolStep } from "../protocols/protocol.ts";
import type { Wire } from "../wires/wire.ts";
import type { Layer } from "./layers.ts";

export interface PlanOptions {
  /** Name of the activation protocol. */
  readonly activation: string;
  /** Name of the linear protocol. */
  readonly linear: string;
  /** The function of every activation layer, but of those in `functions`. A protocol that computes one function alone takes that. */
  readonly function: Activation;
  readonly functions?: Readonly<Record<string, Activation>>;
  /** Fraction bits of activations and weights, where the protocol takes them. */
  readonly fractionBits?: number;
  /** Bits of the ring of the linear layers, where the protocol takes them. */
  readonly ringBits?: number;
  /** Bits of an opened angle, where the protocol takes them. */
  readonly angleBits?: number;
  /** Images of one query, 1 if left out: every value holds the words of all of them, one after another. */
  readonly batch?: number;
  /** Audited ranges: scales in small rings follow from them, and a bound of the logits. */
  readonly ranges?: Ranges;
  /** Plan although a range leaves less than one bit of head-room. */
  readonly force?: boolean;
  /** What the source of correlations cannot make; left out for a dealer, which makes everything. */
  readonly refuses?: Refuses;
}

export interface Step extends StepCorrelations, ProtocolStep {
  readonly kind: Layer["kind"] | "re-masking" | "opening";
  /** Position in the plan. */
  readonly index: number;
  /** Values that it reads and makes; those of the network have the names of their nodes. */
  readonly reads: readonly string[];
  readonly writes: readonly string[];
  /** Values that no later step reads. */
  readonly lastUses: readonly string[];
}

/** What a message belongs to, for error messages. */
export const describeStep = ({ index, kind, writes }: Step): string =>
  `step ${index} (${kind} ${writes.join(" + ")})`;

export interface Plan {
  readonly graph: Graph;
  readonly options: PlanOptions;
  readonly steps: readonly Step[];
  readonly wires: ReadonlyMap<string, Wire>;
  /** By node: what the protocol made of the activation. */
  readonly activations: ReadonlyMap<string, ActivationStep>;
  /** By node: the function of an activation, in the unit of its values. */
  readonly functions: ReadonlyMap<string, Activation>;
  /** By node: the unit in which its value is counted. */
  readonly units: ReadonlyMap<string, number>;
  /** By node: fraction bits of the weights. */
  readonly weightBits: ReadonlyMap<string, number>;
  /** Where the image, the shared and the opened logits are. */
  readonly input: string;
  readonly output: string;
  readonly opened: string;
  /** Images of one query. */
  readonly batch: number;
  /** What all three roles must agree on. */
  readonly basis: unknown;
}

/** Nodes that labels can tell apart; those of re-maskings follow, and that of the opening. */
export const MAX_NODES = 4096;

/** All that a step is, but its functions. */
export function describeAll(step: Step): unknown {
  return [
    step.kind,
    step.label,
    step.reads,
    step.writes,
    step.outputs.map((wire) => ({ ...wire, mask: wire.mask?.name ?? null })),
    step.spec,
    step.messages,
    step.session.map(describeCorrelation),
    step.query.map(describeCorrelation),
  ];
}

/**
 * Raised with every change of what a plan means to the roles that its description does not show: how a message's words are computed.
 * Machines are updated one by one, and two versions that agreed on a plan would take one another's masks for corrections.
 */
export const PROTOCOL_VERSION = 3;

/** SHA-256 of everything that all three roles must agree on, as each of them derives it by its own code. */
export async function digestOf(plan: Plan): Promise<Uint8Array<ArrayBuffer>> {
  const text = JSON.stringify([PROTOCOL_VERSION, plan.basis]);
  return new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text)));
}
