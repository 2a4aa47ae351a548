/**
 * Where a party's correlations come from. Steps see {@linkcode "./drawn.ts".Drawn} alone, never who made it: a source without a third
 * party can stand in the dealer's place, if it can make what the plan's steps list.
 */
import type { Channel } from "../network/channel.ts";
import { Seed } from "../random/stream.ts";
import type { Ring } from "../ring/ring.ts";
import type { Correlation, Role, StepCorrelations } from "./correlation.ts";
import { StepDraw } from "./drawn.ts";
import { ask } from "./request.ts";

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

/** A party's source at the dealer at the other end of a channel, for a plan with a digest. */
export const fromDealer = (ring: Ring, role: Role, dealer: Channel) => (digest: Uint8Array): Source =>
  new DealerSource(ring, role, dealer, digest);

class DealerSource implements Source {
  constructor(
    private readonly ring: Ring,
    private readonly role: Role,
    private readonly dealer: Channel,
    /** Of the plan, sent with every request. */
    private readonly digest: Uint8Array,
  ) {}

  async session(): Promise<Draw> {
    const draw = this.#drawing((await ask(this.dealer, { kind: "session" }, this.digest))!);
    return (step) => draw(step, step.session);
  }

  async query(number: number): Promise<Draw> {
    const draw = this.#drawing((await ask(this.dealer, { kind: "query", number }, this.digest))!);
    return (step) => draw(step, step.query);
  }

  async end(): Promise<void> {
    await ask(this.dealer, { kind: "end" }, this.digest);
  }

  #drawing(bytes: Uint8Array) {
    const { ring, role, dealer } = this, seed = new Seed(bytes);
    return ({ label }: StepCorrelations, list: readonly Correlation[]) =>
      new StepDraw(
        ring,
        role,
        list,
        seed.stream(label),
        role === "server" ? (bytes) => dealer.receive(label, bytes) : null,
      );
  }
}
