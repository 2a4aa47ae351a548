/** Server and dealer of a small network in this process, under tokens and under certificates, and clients of theirs that mean well. */
import { planInference } from "../inference/planner.ts";
import { ServerWeights } from "../inference/server_weights.ts";
import { describeTag } from "../inference/tags.ts";
import { foldBatchNorm } from "../models/fold.ts";
import type { Graph } from "../models/graph.ts";
import { randomWeights, seededImage } from "../models/weights.ts";
import { certifyRoles } from "../network/authority.ts";
import { connect, listen } from "../network/tcp.ts";
import { QUARTIC } from "../polynomial/polynomial.ts";
import type { ConvolutionPool } from "../ring/pool.ts";
import { answerAll } from "../roles/answering.ts";
import { ask } from "../roles/asking.ts";
import { dealAll } from "../roles/dealing.ts";
import { type RoleName, ROLES } from "../roles/endpoint.ts";
import type { Log } from "../roles/role_report.ts";
import { pairTokens } from "../roles/tokens.ts";
import type { Deployment, Keys } from "./cases.ts";

/** A convolution, an activation and a dense layer in a few hundred words. */
const SMALL: Graph = {
  name: "small",
  classes: 3,
  inputShape: [6, 6, 1],
  nodes: [
    { id: "image", op: "input" },
    { id: "conv", op: "conv", input: "image", kernel: 3, stride: 1, padding: 0, outputs: 2, bias: true },
    { id: "act", op: "activation", input: "conv" },
    { id: "flat", op: "flatten", input: "act" },
    { id: "logits", op: "dense", input: "flat", outputs: 3, bias: true },
  ],
};

const withTokens = (): Keys => {
  const tokens = pairTokens();
  return {
    server: { tokens: tokens.server },
    client: { tokens: tokens.client },
    dealer: { tokens: tokens.dealer },
  };
};

const withCertificates = async (): Promise<Keys> => {
  const { server, client, dealer } = await certifyRoles(ROLES, 1);
  return { server: { tls: server }, client: { tls: client }, dealer: { tls: dealer } };
};

export class Deployments {
  readonly plan;
  readonly images = [1, 2].map((seed) => seededImage(SMALL, seed));
  readonly all: Deployment[] = [];
  readonly #weights;
  readonly #draining = new AbortController();
  readonly #listeners: { close(): void }[] = [];
  readonly #services: Promise<void>[] = [];

  constructor(readonly pool: ConvolutionPool, readonly timeoutMs: number, private readonly log: Log) {
    const { graph, weights } = foldBatchNorm(SMALL, randomWeights(SMALL, 1, QUARTIC));
    this.plan = planInference(graph, { activation: "lifted", linear: "masked", function: QUARTIC });
    this.#weights = weights;
  }

  /** One of each kind of keys. */
  async open(): Promise<void> {
    await this.#deploy(withTokens(), withTokens());
    await this.#deploy(await withCertificates(), await withCertificates());
  }

  /** The logits of a client that asks about both images. */
  async ask(deployment: Deployment): Promise<readonly (readonly number[])[]> {
    const { queries } = await ask(
      {
        ...{ pool: this.pool, plan: this.plan, prepare: 2 },
        connectToServer: this.#connecting(deployment, "client", "server"),
        connectToDealer: this.#connecting(deployment, "client", "dealer"),
      },
      (query) => this.images[query],
      this.images.length,
    );
    return queries.map(({ logits }) => logits);
  }

  /** Resolves when every role has ended. */
  async close(): Promise<void> {
    for (const listener of this.#listeners) listener.close();
    this.#draining.abort();
    await Promise.all(this.#services);
  }

  async #deploy(keys: Keys, foreignKeys: Keys): Promise<void> {
    const { pool, plan, log } = this, serving = { draining: this.#draining, log };
    const dealer = await this.#listen("dealer", keys), server = await this.#listen("server", keys);
    const deployment = { ports: { server: server.port, dealer: dealer.port }, keys, foreignKeys };
    const answering = {
      ...{ pool, plan, weights: new ServerWeights(pool, plan, this.#weights), prepare: 2 },
      connectToDealer: this.#connecting(deployment, "server", "dealer"),
    };
    this.all.push(deployment);
    this.#services.push(
      answerAll(server, answering, { clients: 16, ...serving }),
      dealAll(dealer, { pool, plan, queries: 1000 }, { sessions: 16, ...serving }),
    );
  }

  async #listen(role: RoleName, keys: Keys) {
    const listener = await listen({
      ...{ host: "127.0.0.1", port: 0, role, ...keys[role], timeoutMs: this.timeoutMs },
      describeTag: describeTag(this.plan),
      onDropped: (address, reason) => this.log.warn(`dropped ${address}: ${reason}`),
    });
    this.#listeners.push(listener);
    return listener;
  }

  #connecting({ ports, keys }: Deployment, role: RoleName, expectedPeer: "server" | "dealer") {
    const port = ports[expectedPeer], common = { role, expectedPeer, ...keys[role] };
    return () => connect({ host: "127.0.0.1", port, ...common, timeoutMs: this.timeoutMs });
  }
}
