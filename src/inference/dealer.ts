/**
 * The dealer: makes correlated randomness for a plan and hands it out, each piece once. It knows shapes and seeds; it never
 * sees a message between the parties, a weight or an image.
 */
import { awaitRequest, handOutSeed, type Request } from "../dealer/request.ts";
import { Dealing } from "../dealer/material.ts";
import type { Channel } from "../network/channel.ts";
import { maxPool } from "../protocols/max_pool.ts";
import type { LinearDealing } from "../protocols/protocol.ts";
import { activationProtocol, linearProtocol } from "../protocols/registry.ts";
import { Seed } from "../random/stream.ts";
import type { ConvolutionPool } from "../ring/pool.ts";
import { type DealerSession, type DealingOf, LiftedDealing } from "./lifted_dealer.ts";
import { digestOf, maskLabel, type Plan } from "./plan.ts";

export interface DealerOptions {
  readonly pool: ConvolutionPool;
  readonly plan: Plan;
  readonly server: Channel;
  readonly client: Channel;
  /** Queries that may be dealt in this session. */
  readonly queries: number;
  /** Told how long each request took, in milliseconds. */
  readonly onDealt?: (request: Request, milliseconds: number) => void;
}

/** Serves the two parties of one session until both say that they are done. */
export async function runDealer(
  { pool, plan, server, client, queries, onDealt }: DealerOptions,
): Promise<void> {
  const handedOut = new Set<string>(), digest = await digestOf(plan);
  let session: DealerSession | null = null;

  for (;;) {
    const [request, other] = await Promise.all([awaitRequest(server, digest), awaitRequest(client, digest)]);
    const name = nameOf(request);
    if (nameOf(other) !== name) {
      throw new RangeError(`the server asked the dealer for ${name}, the client for ${nameOf(other)}`);
    }
    if (request.kind === "end") break;
    if (handedOut.has(name)) {
      throw new RangeError(`the correlations of ${name} were handed out before; each is used once`);
    }
    if (request.kind === "query" && request.number >= queries) {
      throw new RangeError(
        `the dealer ran out of correlations: ${name} was asked for, but only ${queries} queries were agreed ` +
          `(activation ${plan.options.activation}, linear ${plan.options.linear})`,
      );
    }
    handedOut.add(name);

    const start = performance.now();
    const serverSeed = new Seed(await handOutSeed(server)),
      clientSeed = new Seed(await handOutSeed(client));
    const dealingOf = (label: number) =>
      new Dealing(pool, serverSeed.stream(label), clientSeed.stream(label), server, label);
    if (request.kind === "session") session = openDealing(plan, dealingOf);
    else if (session !== null) await session.deal(dealingOf);
    else throw new RangeError("the correlations of the session must be dealt before those of a query");
    onDealt?.(request, performance.now() - start);
  }
  session?.[Symbol.dispose]();
}

const nameOf = (request: Request) =>
  request.kind === "query" ? `query ${request.number}` : `the ${request.kind}`;

const openDealing = (plan: Plan, dealingOf: DealingOf): DealerSession =>
  plan.lifted === null ? Dealing64.open(plan, dealingOf) : LiftedDealing.open(plan, plan.lifted, dealingOf);

/** The dealer of a plan on shares modulo 2^64. */
class Dealing64 implements DealerSession {
  private constructor(
    private readonly plan: Plan,
    private readonly linear: ReadonlyMap<number, LinearDealing>,
  ) {}

  static open(plan: Plan, dealingOf: DealingOf): Dealing64 {
    const linear = new Map<number, LinearDealing>(), protocol = linearProtocol(plan.options.linear);
    for (const step of plan.steps) {
      if (step.kind === "linear") {
        linear.set(step.index, protocol.dealSession(step.group, dealingOf(step.label)));
      }
    }
    return new Dealing64(plan, linear);
  }

  async deal(dealingOf: DealingOf): Promise<void> {
    const activation = activationProtocol(this.plan.options.activation);
    for (const step of this.plan.steps) {
      const dealing = dealingOf(step.label);
      if (step.kind === "linear") {
        await this.linear.get(step.index)!.deal(dealing, dealingOf(maskLabel(this.plan, step.input)));
      } else if (step.kind === "activation") await activation.deal(step.spec, dealing);
      else if (step.kind === "maxPool") await maxPool.deal(step.spec, dealing);
    }
  }

  [Symbol.dispose](): void {
    for (const session of this.linear.values()) session[Symbol.dispose]();
  }
}
