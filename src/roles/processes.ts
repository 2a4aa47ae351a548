/** Starts dealer, server and client as processes of their own with narrow permissions, and ends them together. */
import { relative } from "node:path";
import { fileURLToPath } from "node:url";
import type { QueryFigures, SessionFigures } from "../inference/roles.ts";
import { SHOWN_ELSEWHERE } from "../network/channel.ts";
import { onExit } from "../terminal/command.ts";
import { bindToCores } from "./cores.ts";
import type { RoleName, Tokens } from "./endpoint.ts";
import { pairTokens } from "./tokens.ts";

/** The checkout. Roles start in it, and name what they may read from there. */
const ROOT = fileURLToPath(new URL("../../", import.meta.url));

/** Flags of V8 that make some kernels faster at a risk; see `--fast-kernels`. */
export const FAST_KERNELS = "--v8-flags=--no-wasm-bounds-checks,--experimental-wasm-revectorize";

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
  readonly fastKernels: boolean;
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
  const roles: RoleProcess[] = [];
  let over = false;
  const tokens = pairTokens(), queries: QueryFigures[] = [];
  let setup = { ms: 0, bytes: 0 };
  const end = () => {
    over = true;
    roles.forEach((role) => role.kill());
  };
  const forget = onExit(end);
  const common = ["--json", "--with-parent", "--once", "--timeout", String(run.timeout), ...run.plan];
  const start = (
    name: RoleName,
    args: readonly string[],
    reads: readonly string[] = [],
  ) => {
    if (over) throw new Error("the session was ended");
    const role = new RoleProcess(
      name,
      run.fastKernels ? [FAST_KERNELS] : [],
      [...common, ...args],
      [...run.reads.all, ...reads],
      tokens[name],
    );
    roles.push(role);
    return role;
  };
  try {
    const dealer = start("dealer", ["--listen", "127.0.0.1:0", "--queries", String(run.queries)]);
    const dealerAddress = ["--dealer", `127.0.0.1:${await dealer.listening()}`];
    const server = start(
      "server",
      ["--listen", "127.0.0.1:0", ...dealerAddress, ...run.parties, ...run.server],
      run.reads.server,
    );
    const serverPort = await server.listening();
    const client = start(
      "client",
      [
        "--connect",
        `127.0.0.1:${serverPort}`,
        ...dealerAddress,
        ...run.parties,
        ...run.client,
        "--repetitions",
        String(run.queries),
      ],
      run.reads.client,
    );
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
    const cause = (await Promise.all(roles.map((role) =>
      role.killedBy()
    ))).find((killed) => killed !== null) ?? first;
    if (queries.length === 0) throw cause;
    // A role reports it when it ends well.
    const peakRssMB = { server: NaN, client: NaN, dealer: NaN };
    throw new BrokenSession(cause as Error, { setup, queries, peakRssMB, cores: null });
  } finally {
    end();
    forget();
  }
}

/** The error of the role that shows it, where the first to end has only heard of it. */
async function causeOf(first: Error, ends: readonly Promise<unknown>[]): Promise<Error> {
  if (!first.message.includes(SHOWN_ELSEWHERE)) return first;
  const soon = new Promise<never[]>((resolve) => setTimeout(() => resolve([]), 2000));
  const errors = (await Promise.race([Promise.allSettled(ends), soon]))
    .flatMap((end) => end.status === "rejected" ? [end.reason as Error] : []);
  return errors.find(({ message }) => !message.includes(SHOWN_ELSEWHERE)) ?? first;
}

/** A path as Deno's lists of permissions take it: there is no way to write a comma in them. */
function readable(path: string): string {
  const inside = relative(ROOT, path), written = inside.startsWith("..") ? path : inside;
  if (written.includes(",")) {
    throw new Error(`${path} has a comma in its path, which the roles cannot be allowed to read; rename it`);
  }
  return written;
}

const rss = (report: Record<string, unknown>) => report["peakRssMB"] as number;

/** One role's process: reads its JSON lines, keeps what it says on the error stream. */
export class RoleProcess {
  onLine: ((line: Record<string, unknown>) => void) | undefined;
  readonly #child: Deno.ChildProcess;
  readonly #lines: AsyncIterator<Record<string, unknown>>;
  readonly #errors: Promise<string>;
  /** Kept: a writer that is collected would close the pipe, and with it the role. */
  readonly #input: WritableStreamDefaultWriter<Uint8Array>;

  constructor(
    readonly name: string,
    flags: readonly string[],
    args: readonly string[],
    reads: readonly string[],
    tokens: Tokens,
  ) {
    const command = new Deno.Command(Deno.execPath(), {
      args: [
        "run",
        "--quiet",
        "--no-prompt",
        "--allow-net=127.0.0.1",
        // The kernels, and the module of worker threads.
        `--allow-read=${["build", "src/ring", ...reads.map(readable)].join(",")}`,
        ...flags,
        fileURLToPath(new URL(`../cli/${name}.ts`, import.meta.url)),
        ...args,
      ],
      cwd: ROOT,
      // Held open as long as this process lives: a role whose parent is killed reads its end and stops.
      stdin: "piped",
      stdout: "piped",
      stderr: "piped",
    });
    this.#child = command.spawn();
    this.#input = this.#child.stdin.getWriter();
    // A role that fails before it reads says why itself.
    this.#input.write(new TextEncoder().encode(JSON.stringify(tokens) + "\n")).catch(() => {});
    this.#lines = jsonLines(this.#child.stdout);
    this.#errors = new Response(this.#child.stderr).text();
  }

  get pid(): number {
    return this.#child.pid;
  }

  /** The port on which this role says that it listens. */
  async listening(): Promise<number> {
    const { value, done } = await this.#lines.next();
    if (done) await this.#fail();
    return (value as { listening: number }).listening;
  }

  /** The last line, when the process has ended well. */
  async end(): Promise<Record<string, unknown>> {
    let last: Record<string, unknown> | undefined;
    for (let next = await this.#lines.next(); !next.done; next = await this.#lines.next()) {
      last = next.value;
      this.onLine?.(next.value);
    }
    const { success } = await this.#child.status;
    if (!success || last === undefined) await this.#fail();
    return last!;
  }

  /** What a signal that has killed this role is as an error. */
  async killedBy(): Promise<Error | null> {
    const soon = new Promise<undefined>((resolve) => setTimeout(() => resolve(undefined), 50));
    const signal = (await Promise.race([this.#child.status, soon]))?.signal;
    return signal ? new Error(`the ${this.name} ended with ${signal}`) : null;
  }

  kill(signal: Deno.Signal = "SIGKILL"): void {
    try {
      this.#child.kill(signal);
    } catch {
      // It has ended by itself.
    }
  }

  async #fail(): Promise<never> {
    const { code } = await this.#child.status;
    const lines = (await this.#errors).split("\nSee deno task")[0].trim().split("\n");
    // Lines of the log may come before.
    const said = (lines.find((line) => line.startsWith("error: ")) ?? lines.join(" ")).replace(
      /^error: /,
      "",
    );
    throw new Error(
      said === "" ? `the ${this.name} ended with exit code ${code}` : `${this.name}: ${said}`,
    );
  }
}

async function* jsonLines(stream: ReadableStream<Uint8Array>): AsyncGenerator<Record<string, unknown>> {
  let rest = "";
  for await (const text of stream.pipeThrough(new TextDecoderStream())) {
    const lines = (rest + text).split("\n");
    rest = lines.pop()!;
    for (const line of lines) if (line.startsWith("{")) yield JSON.parse(line);
  }
}
