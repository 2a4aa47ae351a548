/**
 * Server and dealer of a small network in this process, under attack: a case may end in an error of one sentence, for whoever made it;
 * everybody else's session must end well, nothing may hang, throw unheard, keep memory or say a secret.
 */
import { foldBatchNorm } from "../models/fold.ts";
import type { Graph } from "../models/graph.ts";
import { SeededRandom } from "../models/seeded_random.ts";
import { randomWeights, seededImage } from "../models/weights.ts";
import { planInference } from "../inference/plan.ts";
import { ServerWeights } from "../inference/server_weights.ts";
import { certifyRoles } from "../network/authority.ts";
import { connect, listen } from "../network/tcp.ts";
import { QUARTIC } from "../polynomial/polynomial.ts";
import { ConvolutionPool } from "../ring/pool.ts";
import { Ring } from "../ring/ring.ts";
import { answerAll } from "../roles/answering.ts";
import { ask } from "../roles/asking.ts";
import { dealAll } from "../roles/dealing.ts";
import { type RoleName, ROLES } from "../roles/endpoint.ts";
import { describeTags } from "../roles/meeting.ts";
import { pairTokens } from "../roles/tokens.ts";
import { type CaseName, CASES, type Deployment, type Keys, type Target } from "./cases.ts";

/** Of one kind of case: how many, and how many of them ended without an error. */
export interface Tally {
  readonly kind: CaseName;
  readonly cases: number;
  readonly endedWell: number;
}

export interface FuzzResult {
  readonly tallies: readonly Tally[];
  /** What should not have been, in sentences. */
  readonly findings: readonly string[];
}

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

/** Of the roles; an attacker that falls silent is waited for as long. */
const TIMEOUT_MS = 1000;
/** No case of a role that works takes as long. */
const HANG_MS = 20_000;
/** Between two looks at whether everything is as it should be. */
const CHECK_EVERY = 25;

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

/** Runs `cases`, kinds in turn. The folders hold a model and ONNX files, `copies` may be written to. */
export async function fuzz(
  cases: number,
  seed: number,
  folders: Pick<Target, "folder" | "copies" | "onnx">,
  onCase: (done: number) => void = () => {},
): Promise<FuzzResult> {
  using secrets = new Secrets();
  using unheard = new Unheard();
  const findings: string[] = [], said: string[] = [];
  const find = (what: string) => void findings.push(what);
  const random = new SeededRandom(seed, "fuzz"), ring = await Ring.open();
  using pool = new ConvolutionPool(ring, 1);
  const { graph, weights: floats } = foldBatchNorm(SMALL, randomWeights(SMALL, 1, QUARTIC));
  const plan = planInference(graph, { activation: "lifted", linear: "masked", function: QUARTIC });
  const images = [1, 2].map((seed) => seededImage(graph, seed));
  const log = { info: (line: string) => void said.push(line), warn: (line: string) => void said.push(line) };
  const draining = new AbortController(), timeoutMs = TIMEOUT_MS;

  const connecting = ({ ports, keys }: Deployment, role: RoleName, expectedPeer: "server" | "dealer") => () =>
    connect({ host: "127.0.0.1", port: ports[expectedPeer], role, expectedPeer, ...keys[role], timeoutMs });
  const deploy = async (keys: Keys, foreignKeys: Keys) => {
    const listenAs = (role: RoleName) =>
      listen({
        ...{ host: "127.0.0.1", port: 0, role, ...keys[role], timeoutMs },
        describeTag: describeTags(plan),
        onDropped: (address, reason) => log.warn(`dropped ${address}: ${reason}`),
      });
    const dealer = await listenAs("dealer"), server = await listenAs("server");
    const deployment = { ports: { server: server.port, dealer: dealer.port }, keys, foreignKeys };
    const services = [
      answerAll(server, {
        ...{ pool, plan, weights: new ServerWeights(pool, plan, floats), prepare: 2 },
        connectToDealer: connecting(deployment, "server", "dealer"),
      }, { clients: 16, draining, log }),
      dealAll(dealer, { pool, plan, queries: 1000 }, { sessions: 16, draining, log }),
    ];
    return { deployment, services, listeners: [server, dealer] };
  };
  const deployed = [
    await deploy(withTokens(), withTokens()),
    await deploy(await withCertificates(), await withCertificates()),
  ];
  const deployments = deployed.map(({ deployment }) => deployment);

  const healthy = (deployment: Deployment) =>
    ask({
      ...{ pool, plan, prepare: 2 },
      connectToServer: connecting(deployment, "client", "server"),
      connectToDealer: connecting(deployment, "client", "dealer"),
    }, (query) =>
      images[query], images.length);
  // Of each: what it holds for good is there afterwards.
  const [first] = await Promise.all(deployments.map(healthy));
  const expected = first.queries.map(({ logits }) => logits);
  const whenQuiet = async () => {
    // Sessions of attackers that are gone end within their time-outs.
    const used = () => ring.bytesInUse;
    for (let waited = 0; used() > idle && waited < HANG_MS; waited += 50) await pause(50);
    if (used() > idle) find(`${used() - idle} bytes of ring memory were kept`);
  };
  await pause(100);
  const idle = ring.bytesInUse;
  const check = async (after: string) => {
    for (const deployment of deployments) {
      try {
        const { queries } = await within(HANG_MS, healthy(deployment));
        const isRight = queries.every(({ logits }, i) =>
          logits.every((l, j) => Math.abs(l - expected[i][j]) < 0.1)
        );
        if (!isRight) find(`another client's logits were wrong after ${after}`);
      } catch (error) {
        find(`another client's session failed after ${after}: ${(error as Error).message}`);
      }
    }
    await whenQuiet();
  };

  const target: Target = { deployments, plan, pool, images, timeoutMs, ...folders };
  const names = Object.keys(CASES) as CaseName[],
    tallies = new Map(names.map((kind) => [kind, { cases: 0, endedWell: 0 }]));
  for (let i = 0; i < cases; i++) {
    const kind = names[i % names.length], tally = tallies.get(kind)!;
    tally.cases++;
    try {
      await within(HANG_MS, CASES[kind](target, random));
      tally.endedWell++;
      if (kind === "impostor") find(`case ${i} (${kind}) was let in with keys of others`);
    } catch (error) {
      const { message } = error as Error;
      said.push(message);
      if (error instanceof Late) find(`case ${i} (${kind}) did not end`);
    }
    for (const what of unheard.take()) find(`case ${i} (${kind}) threw where nobody heard: ${what}`);
    onCase(i + 1);
    if (i % CHECK_EVERY === CHECK_EVERY - 1 || i === cases - 1) await check(`case ${i} (${kind})`);
  }
  deployed.forEach(({ listeners }) => listeners.forEach((listener) => listener.close()));
  draining.abort();
  await within(HANG_MS, Promise.all(deployed.flatMap(({ services }) => services))).catch(() =>
    find("server or dealer did not end")
  );

  for (const line of said) {
    if (/\p{C}|^\s+at |\[object|undefined|NaN/u.test(line)) {
      find(`no sentence for a person: ${JSON.stringify(line)}`);
    }
    if (secrets.isIn(line)) find(`a secret was said: ${line}`);
  }
  return { tallies: [...tallies].map(([kind, tally]) => ({ kind, ...tally })), findings };
}

const pause = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));

class Late extends Error {}

async function within<T>(ms: number, work: Promise<T>): Promise<T> {
  const late = Promise.withResolvers<never>(), timer = setTimeout(() => late.reject(new Late("late")), ms);
  try {
    return await Promise.race([work, late.promise]);
  } finally {
    clearTimeout(timer);
  }
}

/** Every seed and token that is drawn meanwhile, as it could be written. */
class Secrets implements Disposable {
  readonly #draw = crypto.getRandomValues;
  readonly #drawn = new Set<string>();

  constructor() {
    const draw = this.#draw.bind(crypto);
    crypto.getRandomValues = (view) => {
      draw(view);
      const bytes = new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
      // Shorter ones are numbers of sessions, of which a log may show the start.
      if (bytes.length >= 32) {
        for (const text of [bytes.toHex(), bytes.toBase64(), bytes.join()]) this.#drawn.add(text);
      }
      return view;
    };
  }

  isIn(line: string): boolean {
    return [...line.matchAll(/[0-9a-zA-Z+/=,]{32,}/g)].some(([word]) => this.#drawn.has(word));
  }

  [Symbol.dispose](): void {
    crypto.getRandomValues = this.#draw;
  }
}

/** Rejections and errors that nobody awaits: each of them would end a role. */
class Unheard implements Disposable {
  #all: string[] = [];
  readonly #hear = (event: PromiseRejectionEvent | ErrorEvent) => {
    event.preventDefault();
    this.#all.push(String("reason" in event ? event.reason : event.message));
  };

  constructor() {
    globalThis.addEventListener("unhandledrejection", this.#hear);
    globalThis.addEventListener("error", this.#hear);
  }

  take(): string[] {
    return this.#all.splice(0);
  }

  [Symbol.dispose](): void {
    globalThis.removeEventListener("unhandledrejection", this.#hear);
    globalThis.removeEventListener("error", this.#hear);
  }
}
