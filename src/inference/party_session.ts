/** What the sessions of all protocols share: options, tags, material, and the two phases of a query. */
import { ClientMaterial, type Material, ServerMaterial } from "../dealer/material.ts";
import type { Weights } from "../models/graph.ts";
import { type Channel, ProtocolError } from "../network/channel.ts";
import type { Role } from "../protocols/protocol.ts";
import type { Seed } from "../random/stream.ts";
import type { ConvolutionPool } from "../ring/pool.ts";
import type { RingTensor, Width } from "../ring/tensor.ts";
import { maskLabel, MAX_STEPS, type Plan, type Step } from "./plan.ts";

/** A party of a private inference after set-up. */
export interface PartySession {
  /** The offline phase of the next query. */
  prepare(): Promise<PreparedQuery>;
  /** Tells the dealer that no more queries come and frees the weights. */
  end(): Promise<void>;
}

/** One query whose offline phase is over. */
export interface PreparedQuery {
  /** Its place among the queries of the session, from 0 on. */
  readonly number: number;
  /** The online phase, once. The client brings the image, NHWC floats, and receives the logits; the server gets null. */
  run(image: ArrayLike<number> | null): Promise<{ logits: Float64Array | null; time: OnlineTime }>;
}

/** Time of the online phase of one query at this party. */
export interface OnlineTime {
  readonly milliseconds: number;
  /** Without the time spent sending, receiving and waiting. */
  readonly computeMilliseconds: number;
}

/** The tag of a step's messages in one query: a message of another query is refused, not mistaken. */
export const queryTag = (label: number, query: number): number =>
  label + 2 * MAX_STEPS * (1 + query % 2 ** 18);
/** The step that a tag of set-up or query belongs to. */
export const stepOfTag = (plan: Plan, tag: number): Step | undefined =>
  tag < FIRST_OTHER_TAG ? plan.steps.find(({ label }) => label === tag % (2 * MAX_STEPS)) : undefined;
/** Tags from here on, those of requests to the dealer among them, belong to no step. */
const FIRST_OTHER_TAG = 0xd0000000;

/** Label of the image's mask and, with {@linkcode queryTag}, tag of its message. */
export const imageLabel = (plan: Plan): number => maskLabel(plan, plan.input);

/** Tags beyond the steps. */
export const PLAN_TAG = 0xd0000002, LOGITS_TAG = 0xd0000003;

export interface SessionOptions {
  readonly role: Role;
  readonly pool: ConvolutionPool;
  readonly peer: Channel;
  readonly dealer: Channel;
  readonly plan: Plan;
  /** Weights of the folded graph: the server's, null at the client. */
  readonly weights: Weights | null;
  /**
   * Called with what a party adds to a value after each step, in debugging runs that open intermediate values. On 64-bit words that
   * is its share; for `lifted` the server calls twice, with its constants in the offline phase and its own part in the online phase.
   */
  readonly observe?: (id: string, part: RingTensor<Width>) => Promise<void>;
}

/** Shows a party's parts of what a step has made; a value to which it adds nothing is left out. */
export async function observeOutputs(
  step: Step,
  parts: ReadonlyMap<string, RingTensor<Width>>,
  observe: NonNullable<SessionOptions["observe"]>,
): Promise<void> {
  const ids = step.kind === "linear"
    ? step.nodes.map((node) => node.id)
    : [typeof step.node === "string" ? step.node : step.node.id];
  for (const id of ids) {
    const part = parts.get(id);
    if (part) await observe(id, part);
  }
}

/** Ends a session whose parties do not mean the same, before anything is sent. */
export async function comparePlans(peer: Channel, mine: Uint8Array): Promise<void> {
  const theirs = new Uint8Array(mine.length);
  await peer.exchange(PLAN_TAG, mine, theirs);
  if (mine.some((byte, i) => byte !== theirs[i])) {
    throw new ProtocolError(
      "server and client were started with different plans; use the same model, classes, activation, linear protocol, " +
        "polynomial, fraction bits, ring bits and ranges on both sides",
    );
  }
}

/** This party's half of what is dealt under a label: a step, or the image. */
export function materialOf(
  { role, pool: { ring }, dealer }: SessionOptions,
  seed: Seed,
  label: number,
): Material {
  const stream = seed.stream(label);
  return role === "client"
    ? new ClientMaterial(ring, stream)
    : new ServerMaterial(ring, stream, dealer, label);
}
