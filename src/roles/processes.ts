/** Starts dealer, server and client as processes of their own with narrow permissions, and ends them together. */
import type { QueryFigures, SessionFigures } from "../inference/parties.ts";
import { SHOWN_ELSEWHERE } from "../network/channel.ts";
import { onExit } from "../terminal/command.ts";
import { bindToCores } from "./cores.ts";
import type { RoleName } from "./endpoint.ts";
import { RoleProcess } from "./role_process.ts";
import { pairTokens } from "./tokens.ts";

export interface InferenceRun {
  /** Options that all roles share, as on the command line. */
  readonly plan: readonly string[];
  readonly server: readonly string[];
  readonly client: readonly string[];
  /** Options of server and client: their link, and what they prepare ahead. */
  readonly parties: readonly string[];
  /** Seconds without progress after which a role gives another up. */
  readonly timeout: number;
  /** Files and folders that the roles may read besides the program. */
  readonly reads: {
    readonly server: readonly string[];
    readonly client: readonly string[];
    readonly all: readonly string[];
  };
  /** Of V8. */
  readonly flags: readonly string[];
  /** Whether each party gets a core; not for parties of several threads. */
  readonly bindsCores: boolean;
  readonly queries: number;
  readonly onQuery?: () => void;
}

export interface InferenceRunFigures extends SessionFigures {
  readonly peakRssMB: { readonly server: number; readonly client: number; readonly dealer: number };
  /** Cores of server and client; null: as the scheduler likes. */
  readonly cores: readonly number[] | null;
}

/** A session that broke off, with what had been measured until then. */
export class BrokenSession extends Error {
  constructor(cause: Error, readonly figures: InferenceRunFigures) {
    super(cause.message, { cause });
  }
}

/**
 * One session of three processes on this machine. If one of them fails, all end and its sentence is the error, with the figures of the
 * queries before if there are any.
 */
export async function runInference(run: InferenceRun): Promise<InferenceRunFigures> {
  using roles = new SessionRoles(run);
  const queries: QueryFigures[] = [];
  let setup = { ms: 0, bytes: 0 };
  try {
    const { dealer, server, client } = await roles.start();
    let cores: Promise<readonly number[] | null> | undefined;
    client.onLine = (line) => {
      if ("setup" in line) setup = line["setup"] as typeof setup;
      if (!("query" in line)) return;
      queries.push(line["query"] as QueryFigures);
      // Not before the first query is over: threads that a bound thread starts are bound as well.
      cores ??= run.bindsCores ? bindToCores([server.pid, client.pid]) : Promise.resolve(null);
      run.onQuery?.();
    };
    const ends = [dealer.end(), server.end(), client.end()] as const;
    const [dealt, served, asked] = await Promise.all(ends).catch(async (first) => {
      throw await causeOf(first, ends);
    });
    return {
      setup,
      queries,
      peakRssMB: { server: rss(served), client: rss(asked), dealer: rss(dealt) },
      cores: await cores ?? null,
    };
  } catch (first) {
    // The first to fail says why, and what the others then say follows from it; but one that was killed said nothing.
    const cause = await roles.killed() ?? first;
    if (queries.length === 0) throw cause;
    // A role reports it when it ends well.
    const peakRssMB = { server: NaN, client: NaN, dealer: NaN };
    throw new BrokenSession(cause as Error, { setup, queries, peakRssMB, cores: null });
  }
}

/** The processes of a session, which end together. */
class SessionRoles implements Disposable {
  readonly #started: RoleProcess[] = [];
  readonly #tokens = pairTokens();
  readonly #forget = onExit(() => this.#end());
  #over = false;

  constructor(private readonly run: InferenceRun) {}

  /** Each role is told where those listen that were started before. */
  async start(): Promise<Record<RoleName, RoleProcess>> {
    const { queries, parties, server: ofServer, client: ofClient, reads } = this.run;
    const listen = ["--listen", "127.0.0.1:0"], at = (port: number) => `127.0.0.1:${port}`;
    const dealer = this.#start("dealer", [...listen, "--queries", String(queries)], []);
    const common = ["--dealer", at(await dealer.listening()), ...parties];
    const server = this.#start("server", [...listen, ...common, ...ofServer], reads.server);
    const to = ["--connect", at(await server.listening()), ...common];
    const client = this.#start(
      "client",
      [...to, ...ofClient, "--repetitions", String(queries)],
      reads.client,
    );
    return { dealer, server, client };
  }

  /** Why one of them was killed; null: none was. */
  async killed(): Promise<Error | null> {
    const all = await Promise.all(this.#started.map((role) => role.killedBy()));
    return all.find((killed) => killed !== null) ?? null;
  }

  [Symbol.dispose](): void {
    this.#end();
    this.#forget();
  }

  #start(name: RoleName, args: readonly string[], reads: readonly string[]): RoleProcess {
    if (this.#over) throw new Error("the session was ended");
    const { flags, timeout, plan, reads: { all } } = this.run;
    const common = ["--json", "--with-parent", "--once", "--timeout", String(timeout), ...plan];
    const role = new RoleProcess(name, flags, [...common, ...args], [...all, ...reads], this.#tokens[name]);
    this.#started.push(role);
    return role;
  }

  #end(): void {
    this.#over = true;
    this.#started.forEach((role) => role.kill());
  }
}

const rss = (report: Record<string, unknown>) => report["peakRssMB"] as number;

/** The error of the role that shows it, where the first to end has only heard of it. */
async function causeOf(first: Error, ends: readonly Promise<unknown>[]): Promise<Error> {
  if (!first.message.includes(SHOWN_ELSEWHERE)) return first;
  const soon = new Promise<never[]>((resolve) => setTimeout(() => resolve([]), 2000));
  const errors = (await Promise.race([Promise.allSettled(ends), soon]))
    .flatMap((end) => end.status === "rejected" ? [end.reason as Error] : []);
  return errors.find(({ message }) => !message.includes(SHOWN_ELSEWHERE)) ?? first;
}
