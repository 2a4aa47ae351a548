/**
 * Where a party's correlations come from. Steps see {@linkcode "./drawn.ts".Drawn} alone, never who made it: a source without a third
 * party can stand in the dealer's place, if it can make what the plan's steps list.
 */
import type { Channel } from "../network/channel.ts";
import { Seed } from "../random/stream.ts";
import type { Ring } from "../ring/ring.ts";
import type { Correlation, Role, StepCorrelations } from "./correlation.ts";
import { StepDraw } from "./drawn.ts";
import { type Request, requestSeed } from "./request.ts";

/** This party's half of what a step draws in the set-up of a session, or in a query. */
export type Draw = (step: StepCorrelations) => StepDraw;

export interface Source {
  /** The correlations of the weights, once. */
  session(): Promise<Draw>;
  /** Those of one query, at most once. */
  query(number: number): Promise<Draw>;
  /** No more queries come. */
  end(): Promise<void>;
}

/** Why a source cannot make a correlation, in a few words; null if it can. */
export type Refuses = (correlation: Correlation) => string | null;

/** A party's source at the dealer at the other end of a channel; every request carries the digest of the party's plan. */
export const fromDealer = (ring: Ring, role: Role, dealer: Channel) => (digest: Uint8Array): Source => {
  const drawing = async (request: Request, list: "session" | "query"): Promise<Draw> => {
    const seed = new Seed((await requestSeed(dealer, request, digest))!);
    return (step) => {
      const { label } = step, receive = (bytes: Uint8Array) => dealer.receive(label, bytes);
      return new StepDraw(ring, role, step[list], seed.stream(label), role === "server" ? receive : null);
    };
  };
  return {
    session: () => drawing({ kind: "session" }, "session"),
    query: (number) => drawing({ kind: "query", number }, "query"),
    end: async () => void await requestSeed(dealer, { kind: "end" }, digest),
  };
};
