/**
 * The dealer: makes correlated randomness for a plan and hands it out, each piece once. It knows shapes and seeds; it never
 * sees a message between the parties, a weight or an image.
 */
import { Dealing } from "../correlations/dealing.ts";
import { awaitRequest, handOutSeed, type Request } from "../correlations/request.ts";
import { type Channel, ProtocolError } from "../network/channel.ts";
import { Seed } from "../random/stream.ts";
import type { ConvolutionPool } from "../ring/pool.ts";
import { unlessDraining } from "./draining.ts";
import { digestOf, type Plan } from "./plan.ts";

export interface DealerOptions {
  readonly pool: ConvolutionPool;
  readonly plan: Plan;
  readonly server: Channel;
  readonly client: Channel;
  /** Queries that may be dealt in this session. */
  readonly queries: number;
  /** Once aborted, nothing further is dealt; what is asked for by then is. */
  readonly draining?: AbortSignal;
  /** Told how long each request took, in milliseconds. */
  readonly onDealt?: (request: Request, milliseconds: number) => void;
}

/** Serves the two parties of one session until both say that they are done. */
export async function runDealer(
  { pool, plan, server, client, queries, draining, onDealt }: DealerOptions,
): Promise<void> {
  const handedOut = new Set<string>(), digest = await digestOf(plan);
  let session: Dealing | null = null;

  for (;;) {
    const requests = Promise.all([awaitRequest(server, digest), awaitRequest(client, digest)]);
    const [request, other] = await unlessDraining(requests, "dealer", draining);
    const name = nameOf(request);
    if (nameOf(other) !== name) {
      throw new ProtocolError(`the server asked the dealer for ${name}, the client for ${nameOf(other)}`);
    }
    if (request.kind === "end") break;
    if (handedOut.has(name)) {
      throw new ProtocolError(`the correlations of ${name} were handed out before; each is used once`);
    }
    if (request.kind === "query" && request.number >= queries) {
      throw new ProtocolError(
        `the dealer ran out of correlations: ${name} was asked for, but only ${queries} queries were agreed ` +
          `(activation ${plan.options.activation}, linear ${plan.options.linear})`,
      );
    }
    handedOut.add(name);

    const start = performance.now();
    const seeds = {
      server: new Seed(await handOutSeed(server)),
      client: new Seed(await handOutSeed(client)),
    };
    if (request.kind === "session") session = new Dealing(pool, plan.steps, seeds);
    else if (session !== null) await session.query(seeds, (label, bytes) => server.send(label, bytes));
    else throw new ProtocolError("the correlations of the session must be dealt before those of a query");
    onDealt?.(request, performance.now() - start);
  }
  session?.[Symbol.dispose]();
}

const nameOf = (request: Request) =>
  request.kind === "query" ? `query ${request.number}` : `the ${request.kind}`;
