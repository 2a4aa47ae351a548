/**
 * A server, a dealer and several clients as processes on this machine, all at work at once: what a service of them answers. With
 * disturbances there are others beside them, who die at random moments, say nothing, or hang up.
 */
import { setTimeout as pause } from "node:timers/promises";
import type { QueryFigures } from "../inference/parties.ts";
import { onExit } from "../terminal/command.ts";
import { REVECTORIZE, SERVICE } from "../terminal/v8_flags.ts";
import { RoleProcess } from "./role_process.ts";
import { pairTokens } from "./tokens.ts";

export interface LoadOptions {
  /** Options that all roles share, as on the command line. */
  readonly plan: readonly string[];
  readonly clients: number;
  /** For how long all clients are at work together. */
  readonly seconds: number;
  readonly disturbed: boolean;
}

/** A query of a client that went on to the end. */
export interface Answered {
  /** `performance.now()` when its figures came. */
  readonly atMs: number;
  readonly figures: QueryFigures;
}

export interface LoadFigures {
  /** By client, in the time in which all were at work. */
  readonly answered: readonly (readonly Answered[])[];
  readonly seconds: number;
  /** Clients that did not end well, though nobody had killed them. */
  readonly lost: readonly string[];
  /** Clients that were killed, and connections that were no client's. */
  readonly disturbances: { readonly killed: number; readonly strangers: number };
  /** Queries that the server has answered, and those that the dealer has dealt: each is dealt once, and some are never used. */
  readonly queries: { readonly answered: number; readonly dealt: number };
  readonly peakRssMB: { readonly server: number; readonly dealer: number };
  /** Resident memory of the server at first, every ten seconds, and at last; empty where the system does not say. */
  readonly serverRssMB: readonly number[];
}

/** As many as a client may ask at all: one that comes to its end before it is told to stop is lost to the measurement. */
const ENDLESS = 100_000;
const SAMPLE_MS = 10_000;

export async function measureLoad({ plan, clients, seconds, disturbed }: LoadOptions): Promise<LoadFigures> {
  const tokens = pairTokens(), roles: RoleProcess[] = [];
  const end = () => roles.forEach((role) => role.kill());
  const forget = onExit(end);
  // Those who die need places of their own.
  const places = clients + (disturbed ? 2 : 0);
  const start = (name: "server" | "client" | "dealer", ...args: string[]) => {
    const role = new RoleProcess(
      name,
      name === "client" ? REVECTORIZE : [...REVECTORIZE, ...SERVICE],
      ["--json", "--with-parent", ...plan, ...args],
      [],
      tokens[name],
    );
    roles.push(role);
    return role;
  };
  try {
    const listen = ["--listen", "127.0.0.1:0"];
    const dealer = start("dealer", ...listen, "--sessions", String(places + 1), "--queries", String(ENDLESS));
    const dealerPort = await dealer.listening(), at = ["--dealer", `127.0.0.1:${dealerPort}`];
    const server = start("server", ...listen, ...at, "--clients", String(places));
    const serverPort = await server.listening(), to = ["--connect", `127.0.0.1:${serverPort}`, ...at];
    const client = (...more: string[]) => start("client", ...to, "--repetitions", String(ENDLESS), ...more);

    // With one session alone: another would hide that the first was lost.
    const counted = Array.from({ length: clients }, () => new CountedClient(client("--once")));
    await Promise.all(counted.map(({ first }) => first));

    const startMs = performance.now(), serverRssMB: number[] = [];
    const sample = async () => serverRssMB.push(...await residentMB(server.pid));
    await sample();
    const sampling = setInterval(sample, SAMPLE_MS);
    const disturbing = new Disturbances(client, [serverPort, dealerPort]);
    if (disturbed) disturbing.begin();
    await pause(1000 * seconds);
    clearInterval(sampling);
    await disturbing.end();
    await sample();
    const endMs = performance.now(),
      lost = counted.flatMap(({ lost }, i) => lost === undefined ? [] : [`client ${i}: ${lost}`]);
    for (const one of counted) one.role.kill();
    server.kill("SIGTERM");
    const served = await server.end();
    dealer.kill("SIGTERM");
    const dealt = await dealer.end();
    return {
      answered: counted.map(({ answered }) =>
        answered.filter(({ atMs }) => atMs >= startMs && atMs <= endMs)
      ),
      seconds: (endMs - startMs) / 1000,
      lost,
      disturbances: disturbing.counts,
      queries: { answered: served["queries"] as number, dealt: dealt["queries"] as number },
      peakRssMB: { server: served["peakRssMB"] as number, dealer: dealt["peakRssMB"] as number },
      serverRssMB,
    };
  } finally {
    end();
    forget();
  }
}

/** A client that asks without end, and what it was answered. */
class CountedClient {
  readonly answered: Answered[] = [];
  /** Why it ended by itself. */
  lost: string | undefined;
  /** Resolves with its first answer, or its end. */
  readonly first: Promise<void>;

  constructor(readonly role: RoleProcess) {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.first = promise;
    role.onLine = (line) => {
      if (!("query" in line)) return;
      this.answered.push({ atMs: performance.now(), figures: line["query"] as QueryFigures });
      resolve();
    };
    const asked = () =>
      new Error(`it has asked ${this.answered.length} queries, all that it may; give fewer --seconds`);
    role.end().then(() => Promise.reject(asked())).catch((error: Error) => {
      this.lost = error.message;
      resolve();
    });
  }
}

/** Resident memory of a process, in MB (2^20 bytes); none where there is no /proc. Deno itself reads that with all permissions alone. */
async function residentMB(pid: number): Promise<number[]> {
  const read = new Deno.Command("cat", { args: [`/proc/${pid}/status`], stderr: "null" }).output();
  const status = await read.then(({ stdout }) => new TextDecoder().decode(stdout), () => "");
  const [, kB] = /^VmRSS:\s+(\d+) kB/m.exec(status) ?? [];
  return kB === undefined ? [] : [Math.round(Number(kB) / 1024)];
}

/** Clients that are killed after up to four seconds, and connections that say nothing, drip, or hang up. */
class Disturbances {
  readonly counts = { killed: 0, strangers: 0 };
  #isOn = false;
  readonly #work: Promise<void>[] = [];

  constructor(private readonly client: () => RoleProcess, private readonly ports: readonly number[]) {}

  begin(): void {
    this.#isOn = true;
    this.#work.push(this.#repeat(() => this.#dyingClient()), this.#repeat(() => this.#stranger()));
  }

  async end(): Promise<void> {
    this.#isOn = false;
    await Promise.all(this.#work);
  }

  async #repeat(disturb: () => Promise<void>): Promise<void> {
    while (this.#isOn) await disturb();
  }

  async #dyingClient(): Promise<void> {
    const role = this.client(), ended = role.end().catch(() => {});
    await pause(4000 * Math.random());
    role.kill();
    await ended;
    this.counts.killed++;
  }

  async #stranger(): Promise<void> {
    const port = this.ports[this.counts.strangers++ % 2], isSilent = Math.random() < 0.3;
    const bytes = new Uint8Array(1);
    try {
      using connection = await Deno.connect({ hostname: "127.0.0.1", port });
      for (let i = 0; i < 10 && this.#isOn; i++) {
        if (!isSilent) await connection.write(bytes);
        await pause(50 * Math.random());
      }
    } catch {
      // It was thrown out, or nobody is there any more, which the roles themselves tell.
      await pause(50);
    }
  }
}
