/**
 * What a protocol is to the rest of the system: from the public wires that a step reads to a step with what is dealt for it, what travels,
 * and what each party does. Costs, the dealer's work, digests and sessions are made from that alone.
 */
import type { Correlation, Own, Role } from "../correlations/correlation.ts";
import type { Drawn } from "../correlations/drawn.ts";
import type { Activation } from "../models/graph.ts";
import { type Channel, ProtocolError } from "../network/channel.ts";
import type { Polynomial } from "../polynomial/polynomial.ts";
import type { ConvolutionSpec } from "../ring/convolution.ts";
import type { ConvolutionPool, RunnableConvolution } from "../ring/pool.ts";
import type { Ring } from "../ring/ring.ts";
import type { RingTensor, Width } from "../ring/tensor.ts";
import type { Half, Wire } from "../wires/wire.ts";

export type { Role } from "../correlations/correlation.ts";

/** A party in the middle of a step: who it is, its memory and threads, its link to the other party, the tag of its messages. */
export interface Party {
  readonly role: Role;
  readonly ring: Ring;
  readonly pool: ConvolutionPool;
  readonly peer: Channel;
  readonly tag: number;
}

/** A message, or an exchange: both parties send as many bytes at once. The list of them is in the order in which they travel. */
export interface Message {
  /** Once a session; before the image of a query is known; or after that. */
  readonly phase: "session" | "offline" | "online";
  readonly from: Role | "both";
  readonly bytes: number;
  /** Whether it gives a value a fresh mask, what a linear layer reads, rather than opening something for this step. */
  readonly remasks?: boolean;
}

/** A step of a plan. Everything but the functions is public and the same at all roles. */
export interface ProtocolStep {
  /** What was chosen when it was planned, for digests. */
  readonly spec: Readonly<Record<string, unknown>>;
  readonly outputs: readonly Wire[];
  /** Masks of the weights; drawn once a session. */
  readonly session: readonly Own[];
  /** Drawn once a query, in this order. */
  readonly query: readonly Correlation[];
  readonly messages: readonly Message[];
  /**
   * Set-up of a party, once a session. The server brings the encoded layers of a linear step, whose weights may be freed afterwards,
   * and hands over the biases; null at the client.
   */
  setUp(party: Party, drawn: Drawn, layers: readonly EncodedLayer[] | null): Promise<SessionStep>;
}

/** A step during a session, at a party. */
export interface SessionStep extends Disposable {
  /** A party's offline work for one query, from the early halves of the inputs, which stay the caller's. */
  prepare(party: Party, drawn: Drawn, early: readonly Half[]): Promise<Prepared>;
}

/** One query at one party after its offline phase. */
export interface Prepared {
  /** Early halves of the outputs. */
  readonly early: readonly Half[];
  /** The online phase, once, from late halves to late halves; left out where nothing is left to do. */
  readonly online?: (late: readonly Half[]) => Promise<readonly Half[]>;
}

/** A step that holds nothing over a session. */
export const stateless = (prepare: SessionStep["prepare"]): ProtocolStep["setUp"] => () =>
  Promise.resolve({ prepare, [Symbol.dispose]() {} });

/** A step without a message or anything dealt: each half by itself. */
export const local = (output: Wire, apply: (halves: readonly Half[]) => Half): ProtocolStep => ({
  spec: {},
  outputs: [output],
  session: [],
  query: [],
  messages: [],
  setUp: stateless((_party, _drawn, early) =>
    Promise.resolve({ early: [apply(early)], online: (late) => Promise.resolve([apply(late)]) })
  ),
});

/** How the scales of a network are chosen; see `src/inference/scales.ts`. */
export type Scaling =
  /** The same fraction bits everywhere, in words of 64 bits. */
  | { readonly kind: "uniform" }
  /**
   * Whatever a ring of few bits leaves, layer by layer, in words of 32 bits. Inputs of activations may take at most `mostIntegerBits`:
   * beyond, the protocol could tell too little about them. Fewer than `fewestIntegerBits` of the function are not enough.
   */
  | {
    readonly kind: "ring";
    readonly mostIntegerBits: number;
    fewestIntegerBits?(f: Activation): number;
  };

/** Options of a plan that only some protocols take. */
export type ProtocolOption = "fractionBits" | "ringBits" | "angleBits";

/** One activation layer of a network. */
export interface ActivationLayer {
  /** Network and node, for errors. */
  readonly name: string;
  readonly input: Wire;
  readonly function: Activation;
  /** Fraction bits that the outputs are to have. */
  readonly outputBits: number;
  /** Bits of an opened angle, for the protocol that takes them. */
  readonly angleBits?: number | undefined;
  /** Whether a re-masked output saves a message, since a linear layer reads it as it is. */
  readonly remask: boolean;
}

/** A planned activation, and what it computes in the clear. */
export interface ActivationStep extends ProtocolStep {
  /** Fraction bits of the integers that {@linkcode plain} takes, and those of them that the protocol keeps. */
  readonly inputBits: number;
  readonly keptBits: number;
  /**
   * The deterministic part of the rounding, on plain integers. The opened result differs from it by carries and random roundings
   * alone, at most {@linkcode carryBound} at |x| <= size, gross failures apart.
   */
  plain(x: Float64Array): Float64Array;
  carryBound(size: number): number;
  /** Largest difference of an opened y from the real function of x, where the protocol note states one. */
  readonly errorBound?: (x: number) => number;
  /** Size up to which inputs are right. */
  readonly limit: number;
}

/** A protocol for an element-wise activation. One file implements it and nothing else. */
export interface ActivationProtocol {
  readonly name: string;
  /** Sentence of the list of protocols. */
  readonly summary: string;
  readonly scaling: Scaling;
  readonly takes: readonly ProtocolOption[];
  /** Whether the client's part of the input must be known before the image is. */
  readonly readsEarly?: boolean;
  /** The function of a network that names none. */
  readonly usual: Activation;
  /** The function that it computes whatever a network was trained with; left out where the plan says. */
  readonly computes?: Activation;
  /** The unit in which it counts the values of a network with such activations; 1 if left out. See `src/models/unit.ts`. */
  unitOf?(f: Activation): number;
  /** Throws a RangeError where the protocol does not do the layer. */
  plan(layer: ActivationLayer): ActivationStep;
}

/** Convolutions and dense layers that read the same value. */
export interface LinearGroup {
  /** Network and nodes, for errors. */
  readonly name: string;
  readonly input: Wire;
  readonly layers: readonly LinearLayer[];
}

export interface LinearLayer {
  readonly name: string;
  readonly spec: ConvolutionSpec;
  /** Fraction bits of the weights. */
  readonly weightBits: number;
}

/** Encoded weights [kernel, kernel, inputs, outputs] and bias of a layer. */
export interface EncodedLayer {
  readonly weights: RingTensor<Width>;
  readonly bias: RingTensor<Width> | null;
  /** The weights in clear, packed once for many sessions by their owner, who keeps them; left out, a session packs its own. */
  readonly packed?: (spec: ConvolutionSpec) => RunnableConvolution;
}

/** A protocol for convolutions and dense layers. Weights are fixed for a session, inputs change with every query. */
export interface LinearProtocol {
  readonly name: string;
  readonly summary: string;
  /** Whether it reads re-masked values alone; the planner then inserts the step that makes them. */
  readonly readsMasked: boolean;
  plan(group: LinearGroup): ProtocolStep;
}

/** The polynomial of a layer; other functions are refused. */
export function polynomialOf(protocol: string, { name, function: f }: ActivationLayer): Polynomial {
  if (f.kind === "polynomial") return f;
  throw new RangeError(
    `${name}: ${protocol} computes polynomials, not ${f.kind}; use another activation protocol`,
  );
}

/** Guards an online phase: dealt material used twice would reveal the difference of two inputs. */
export function once(name: string, online: NonNullable<Prepared["online"]>): NonNullable<Prepared["online"]> {
  let used = false;
  return (late) => {
    if (used) {
      return Promise.reject(
        new ProtocolError(`the material of this ${name} step was used before; each correlation is used once`),
      );
    }
    used = true;
    return online(late);
  };
}

export const WORD_BYTES = 8;
