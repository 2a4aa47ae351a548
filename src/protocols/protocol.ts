/** What a protocol is to the rest of the system: a cost, what the dealer deals, what each party does. */
import type { Dealing, Material } from "../dealer/material.ts";
import { type Channel, ProtocolError } from "../network/channel.ts";
import type { Polynomial } from "../polynomial/polynomial.ts";
import type { ConvolutionSpec } from "../ring/convolution.ts";
import type { ConvolutionPool } from "../ring/pool.ts";
import type { Ring } from "../ring/ring.ts";
import type { RingTensor } from "../ring/tensor.ts";

export type Role = "server" | "client";

/** A party in the middle of a step: who it is, its memory and threads, its link to the other party, the tag of its messages. */
export interface Party {
  readonly role: Role;
  readonly ring: Ring;
  readonly pool: ConvolutionPool;
  readonly peer: Channel;
  readonly tag: number;
}

/** Online cost of a step and the words dealt for it. Equal to what the transport counts. */
export interface Cost {
  /** One-way delays on the critical path; an exchange and a message count one each. */
  readonly exchanges: number;
  /** Payload bytes that the server and the client send. */
  readonly bytesServer: number;
  readonly bytesClient: number;
  /** Bytes that the dealer sends to the server (the client expands a seed). */
  readonly dealtBytes: number;
}

/** `length` inputs and outputs with `fractionBits` fraction bits. */
export interface ActivationSpec {
  readonly length: number;
  readonly fractionBits: number;
  readonly polynomial: Polynomial;
}

/**
 * The online phase of one step of one query at one party: from this party's shares of the inputs to its shares of the
 * outputs. It holds the dealt material in its closure and runs once.
 */
export type Evaluate = (x: RingTensor) => Promise<RingTensor>;

/** A protocol for an element-wise activation. One file implements it and nothing else. */
export interface ActivationProtocol {
  readonly name: string;
  cost(spec: ActivationSpec): Cost;
  /** The dealer's work for one query. */
  deal(spec: ActivationSpec, dealing: Dealing): Promise<void>;
  /** A party's offline work for one query; returns its online phase. */
  prepare(spec: ActivationSpec, party: Party, material: Material): Promise<Evaluate>;
  /**
   * What the protocol computes, on plain integers with `fractionBits` bits: the deterministic part of its rounding. The
   * opened result differs from it by the carries of the local shifts alone, at most {@linkcode carryBound} at |x| <= size.
   */
  fixedPoint(spec: ActivationSpec, x: Float64Array): Float64Array;
  /** Largest difference, as a real number, between the opened result and {@linkcode fixedPoint}, gross failures apart. */
  carryBound(spec: ActivationSpec, size: number): number;
}

/** A step of linear layers that read the same input: it is opened once for all of them. */
export interface LinearGroup {
  /** Words of the common input. */
  readonly inputs: number;
  readonly layers: readonly ConvolutionSpec[];
}

/** As {@linkcode Evaluate}, with one output for every layer of the group, each with its `extraBits` (see {@linkcode ConvolutionSpec}). */
export type EvaluateLinear = (x: RingTensor) => Promise<RingTensor[]>;

/** A group of linear layers during a session, at a party: weights are masked and packed, queries come. */
export interface LinearSession extends Disposable {
  /** A party's offline work for one query; returns its online phase. */
  prepare(party: Party, material: Material, mask: Material): Promise<EvaluateLinear>;
}

/** The same at the dealer. */
export interface LinearDealing extends Disposable {
  /** The dealer's work for one query. */
  deal(dealing: Dealing, mask: Dealing): Promise<void>;
}

/** A protocol for convolutions and dense layers. Weights are fixed for a session, inputs change with every query. */
export interface LinearProtocol {
  readonly name: string;
  cost(group: LinearGroup): Cost;
  /** Bytes that the server and the client send once per session. */
  setUpCost(group: LinearGroup): { readonly bytesServer: number; readonly bytesClient: number };
  /** The dealer's work for a session. */
  dealSession(group: LinearGroup, dealing: Dealing): LinearDealing;
  /**
   * Session set-up of a party; the server brings the encoded weights, one tensor [kernel, kernel, inputs, outputs] a layer,
   * which may be freed afterwards.
   */
  setUp(
    group: LinearGroup,
    party: Party,
    material: Material,
    weights: readonly RingTensor[] | null,
  ): Promise<LinearSession>;
}

/** Guards an online phase: dealt material used twice would reveal the difference of two inputs. */
export function once<T>(
  name: string,
  evaluate: (x: RingTensor) => Promise<T>,
): (x: RingTensor) => Promise<T> {
  let used = false;
  return (x) => {
    if (used) {
      throw new ProtocolError(
        `the material of this ${name} step was used before; each correlation is used once`,
      );
    }
    used = true;
    return evaluate(x);
  };
}

export const WORD_BYTES = 8;

/** A step that opens nothing. */
export const NO_COST: Cost = { exchanges: 0, bytesServer: 0, bytesClient: 0, dealtBytes: 0 };

/** The cost of two steps in a row. */
export const plus = (a: Cost, b: Cost): Cost => ({
  exchanges: a.exchanges + b.exchanges,
  bytesServer: a.bytesServer + b.bytesServer,
  bytesClient: a.bytesClient + b.bytesClient,
  dealtBytes: a.dealtBytes + b.dealtBytes,
});
