/**
 * Server and dealer of a small network in this process, under attack: a case may end in an error of one sentence, for whoever made it;
 * everybody else's session must end well, nothing may hang, throw unheard, keep memory or say a secret.
 */
import { setTimeout as pause } from "node:timers/promises";
import { SeededRandom } from "../models/seeded_random.ts";
import { ConvolutionPool } from "../ring/pool.ts";
import { Ring } from "../ring/ring.ts";
import { type CaseName, CASES, type Target } from "./cases.ts";
import { Deployments } from "./deployments.ts";

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

/** Of the roles; an attacker that falls silent is waited for as long. */
const TIMEOUT_MS = 1000;
/** No case of a role that works takes as long. */
const HANG_MS = 20_000;
/** Between two looks at whether everything is as it should be. */
const CHECK_EVERY = 25;

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
  const find = (what: string) => void findings.push(what), say = (line: string) => void said.push(line);
  const random = new SeededRandom(seed, "fuzz");
  using pool = new ConvolutionPool(await Ring.open(), 1);
  const deployments = new Deployments(pool, TIMEOUT_MS, { info: say, warn: say });
  await deployments.open();
  const others = new Others(deployments, find);
  await others.begin();

  const { plan, images, timeoutMs } = deployments;
  const target: Target = { deployments: deployments.all, plan, pool, images, timeoutMs, ...folders };
  const names = Object.keys(CASES) as CaseName[],
    tallies = new Map(names.map((kind) => [kind, { cases: 0, endedWell: 0 }]));
  for (let i = 0; i < cases; i++) {
    const kind = names[i % names.length], tally = tallies.get(kind)!, name = `case ${i} (${kind})`;
    tally.cases++;
    try {
      await within(HANG_MS, CASES[kind](target, random));
      tally.endedWell++;
      if (kind === "impostor") find(`${name} was let in with keys of others`);
    } catch (error) {
      say((error as Error).message);
      if (error instanceof Late) find(`${name} did not end`);
    }
    for (const what of unheard.take()) find(`${name} threw where nobody heard: ${what}`);
    onCase(i + 1);
    if (i % CHECK_EVERY === CHECK_EVERY - 1 || i === cases - 1) await others.check(name);
  }
  await within(HANG_MS, deployments.close()).catch(() => find("server or dealer did not end"));
  said.forEach((line) => checkSaid(line, secrets, find));
  return { tallies: [...tallies].map(([kind, tally]) => ({ kind, ...tally })), findings };
}

/** Clients that mean well beside the attackers: their answers stay right, and nothing is kept of those who are gone. */
class Others {
  #expected: readonly (readonly number[])[] = [];
  #idle = 0;

  constructor(
    private readonly deployments: Deployments,
    private readonly find: (what: string) => void,
  ) {}

  /** Of each deployment: what it holds for good is there afterwards. */
  async begin(): Promise<void> {
    const { all, pool } = this.deployments;
    [this.#expected] = await Promise.all(all.map((one) => this.deployments.ask(one)));
    await pause(100);
    this.#idle = pool.ring.bytesInUse;
  }

  async check(after: string): Promise<void> {
    for (const deployment of this.deployments.all) {
      try {
        const logits = await within(HANG_MS, this.deployments.ask(deployment));
        const isRight = logits.every((all, i) =>
          all.every((logit, j) => Math.abs(logit - this.#expected[i][j]) < 0.1)
        );
        if (!isRight) this.find(`another client's logits were wrong after ${after}`);
      } catch (error) {
        this.find(`another client's session failed after ${after}: ${(error as Error).message}`);
      }
    }
    await this.#checkMemory();
  }

  /** Sessions of attackers that are gone end within their time-outs. */
  async #checkMemory(): Promise<void> {
    const kept = () => this.deployments.pool.ring.bytesInUse - this.#idle;
    for (let waited = 0; kept() > 0 && waited < HANG_MS; waited += 50) await pause(50);
    if (kept() > 0) this.find(`${kept()} bytes of ring memory were kept`);
  }
}

/** What is said must be a sentence for a person, and no secret. */
function checkSaid(line: string, secrets: Secrets, find: (what: string) => void): void {
  if (/\p{C}|^\s+at |\[object|undefined|NaN/u.test(line)) {
    find(`no sentence for a person: ${JSON.stringify(line)}`);
  }
  if (secrets.isIn(line)) find(`a secret was said: ${line}`);
}

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
