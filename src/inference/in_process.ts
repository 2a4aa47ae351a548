/** Server, client and dealer in one process over in-memory links: for tests, and for runs of many images without sockets. */
import type { Role } from "../correlations/correlation.ts";
import { fromDealer } from "../correlations/source.ts";
import type { Weights } from "../models/graph.ts";
import type { Channel } from "../network/channel.ts";
import { memoryPair } from "../network/memory_pair.ts";
import { ConvolutionPool } from "../ring/pool.ts";
import type { Ring } from "../ring/ring.ts";
import { runDealer } from "./dealer.ts";
import type { Plan } from "./plan.ts";
import { openSession, type Session, type SessionOptions } from "./session.ts";

export interface InProcessInference {
  /** Classifies one image (NHWC floats) by a private inference of its own. */
  infer(image: ArrayLike<number>): Promise<Float64Array>;
  readonly server: Session;
  readonly client: Session;
  end(): Promise<void>;
}

/** Sets up a session for `queries` images; `weights` are those of the plan's folded graph. */
export async function openInProcess(
  ring: Ring,
  plan: Plan,
  weights: Weights,
  queries: number,
  observe?: Pick<SessionOptions, "observe">,
): Promise<InProcessInference> {
  const pool = new ConvolutionPool(ring, 1);
  const [serverPeer, clientPeer] = memoryPair();
  const [dealerOfServer, serverDealer] = memoryPair({ roles: ["dealer", "server"] });
  const [dealerOfClient, clientDealer] = memoryPair({ roles: ["dealer", "client"] });
  const dealing = runDealer({ pool, plan, server: dealerOfServer, client: dealerOfClient, queries });
  // A dealer that fails ends the parties' waiting with its reason.
  dealing.catch((error) =>
    Promise.all([dealerOfServer.abort(error.message), dealerOfClient.abort(error.message)])
  );
  const open = (role: Role, peer: Channel, dealer: Channel, weights: Weights | null) =>
    openSession({ role, pool, peer, source: fromDealer(ring, role, dealer), plan, weights, ...observe });
  const [server, client] = await Promise.all([
    open("server", serverPeer, serverDealer, weights),
    open("client", clientPeer, clientDealer, null),
  ]);
  return {
    server,
    client,
    async infer(image) {
      const [serverQuery, clientQuery] = await Promise.all([server.prepare(), client.prepare()]);
      const [, result] = await Promise.all([serverQuery.run(null), clientQuery.run(image)]);
      return result.logits!;
    },
    async end() {
      await Promise.all([server.end(), client.end(), dealing]);
      for (const channel of [serverPeer, clientPeer, serverDealer, clientDealer]) channel.close();
    },
  };
}
