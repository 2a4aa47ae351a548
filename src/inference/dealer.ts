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
import { describeStep, digestOf, type Plan, type Step } from "./plan.ts";

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
  const perStep = new Map<number, LinearDealing>();

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
    const serverSeed = await Seed.of(await handOutSeed(server)),
      clientSeed = await Seed.of(await handOutSeed(client));
    for (const step of plan.steps) {
      const dealing = new Dealing(
        pool,
        serverSeed.stream(step.index),
        clientSeed.stream(step.index),
        server,
        step.index,
      );
      if (request.kind === "session") await dealSession(plan, step, dealing, perStep);
      else await dealQuery(plan, step, dealing, perStep);
    }
    onDealt?.(request, performance.now() - start);
  }
  for (const session of perStep.values()) session[Symbol.dispose]();
}

const nameOf = (request: Request) =>
  request.kind === "query" ? `query ${request.number}` : `the ${request.kind}`;

async function dealSession(
  plan: Plan,
  step: Step,
  dealing: Dealing,
  perStep: Map<number, LinearDealing>,
): Promise<void> {
  if (step.kind !== "linear") return;
  perStep.set(step.index, await linearProtocol(plan.options.linear).dealSession(step.group, dealing));
}

async function dealQuery(
  plan: Plan,
  step: Step,
  dealing: Dealing,
  perStep: Map<number, LinearDealing>,
): Promise<void> {
  if (step.kind === "linear") {
    const session = perStep.get(step.index);
    if (!session) {
      throw new RangeError(
        `${describeStep(step)}: the correlations of the session must be dealt before those of a query`,
      );
    }
    await session.deal(dealing);
  } else if (step.kind === "activation") {
    await activationProtocol(plan.options.activation).deal(step.spec, dealing);
  } else if (step.kind === "maxPool") {
    await maxPool.deal(step.spec, dealing);
  }
}
