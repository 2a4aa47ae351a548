/** Programs that a test starts: what they say is kept, lines can be awaited, and an end must come in time. */
import { fileURLToPath } from "node:url";
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { usualTokens } from "./keys.ts";

/** The time within which a program must be gone after a fault: the rule of the project. */
export const END_MS = 5000;
/** For things that only a stuck program does not do; generous, since other tests may use the machine. */
const PATIENCE_MS = 30_000;

export interface Ended {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** One process. `await using` ends it when the test is over, however that went. */
export class Program implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;
  /** Signals go to all it has started as well. */
  readonly #leadsGroup: boolean;
  readonly #stdout: Output;
  readonly #stderr: Output;

  private constructor(readonly name: string, command: Deno.Command, leadsGroup = false) {
    this.#child = command.spawn();
    this.#leadsGroup = leadsGroup;
    this.#stdout = new Output(this.#child.stdout);
    this.#stderr = new Output(this.#child.stderr);
  }

  /** Starts `src/cli/<name>.ts`, a role with the tokens of this test process unless it is given others, as the leader of a process group of its own if `detached`. */
  static start(
    name: string,
    args: readonly string[],
    { proves = true, ...options }: {
      readonly env?: Record<string, string>;
      readonly detached?: boolean;
      readonly proves?: boolean;
    } = {},
  ): Program {
    const path = fileURLToPath(new URL(`../../src/cli/${name}.ts`, import.meta.url));
    return new Program(
      name,
      new Deno.Command(Deno.execPath(), {
        args: [
          "run",
          "--quiet",
          "--no-prompt",
          "--no-check",
          "--allow-all",
          path,
          ...args,
          ...proves ? usualTokens(name, args) : [],
        ],
        stdin: "null",
        stdout: "piped",
        stderr: "piped",
        ...options,
      }),
    );
  }

  /** Starts `deno task <name>` as a person who stands in the folder `cwd`, with the rights of its line in `deno.json`. */
  static task(name: string, args: readonly string[], cwd: string, env: Record<string, string> = {}): Program {
    const command = new Deno.Command(Deno.execPath(), {
      args: ["task", "--quiet", name, ...args],
      cwd,
      env: { INIT_CWD: cwd, ...env },
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
      detached: true,
    });
    return new Program(`task ${name}`, command, true);
  }

  get pid(): number {
    return this.#child.pid;
  }

  /** Everything it said so far. */
  get said(): string {
    return this.#stdout.text + this.#stderr.text;
  }

  /** The first line on its standard output that matches, said already or still to come; with `warning` on its error stream. */
  async line(pattern: RegExp, warning = false): Promise<string> {
    const line = await within(
      PATIENCE_MS,
      (warning ? this.#stderr : this.#stdout).line(pattern),
      `a line ${pattern} of the ${this.name}`,
    );
    assert(line !== undefined, `the ${this.name} ended before a line ${pattern}; it said: ${this.said}`);
    return line;
  }

  /** The port that a role reports. */
  async port(): Promise<number> {
    return Number(/\d+/.exec(await this.line(/on port|"listening"/))![0]);
  }

  kill(signal: Deno.Signal = "SIGKILL"): void {
    if (this.#leadsGroup) Deno.kill(-this.pid, signal);
    else this.#child.kill(signal);
  }

  /** What it said and how it ended, which must be within `limitMs`. */
  async ended(limitMs = PATIENCE_MS): Promise<Ended> {
    const [{ code }] = await within(
      limitMs,
      Promise.all([this.#child.status, this.#stdout.ended, this.#stderr.ended]),
      `the end of the ${this.name}`,
      () => `; it said: ${this.said}`,
    );
    return { code, stdout: this.#stdout.text, stderr: this.#stderr.text };
  }

  /** It must end well. */
  async succeeds(limitMs?: number): Promise<Ended> {
    const ended = await this.ended(limitMs);
    assertEquals([ended.code, ended.stderr], [0, ""], `the ${this.name} failed`);
    return ended;
  }

  /** It must end with one sentence on the error stream that holds each of `parts`, and exit code 1. */
  async failsWith(parts: readonly (string | RegExp)[], limitMs = END_MS): Promise<string> {
    const { code, stderr } = await this.ended(limitMs);
    assertEquals(code, 1, `exit code of the ${this.name}, which said: ${stderr}`);
    return assertOneSentence(stderr, parts);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      this.kill();
    } catch {
      // It has ended.
    }
    await this.#child.status;
    await Promise.all([this.#stdout.ended, this.#stderr.ended]);
  }
}

/** `error: <one sentence>`, or `interrupted; <...>`; a mistake on the command line points to `--help` in a second line. */
export function assertOneSentence(stderr: string, parts: readonly (string | RegExp)[] = []): string {
  assertMatch(stderr, /^(error: |interrupted; )[^\n]+\n(See deno task [a-z]+ --help\n)?$/);
  assert(
    !/\n\s+at |Uncaught|file:\/\/|\[object|undefined/.test(stderr),
    `no sentence for a person: ${stderr}`,
  );
  for (const part of parts) {
    if (typeof part === "string") assertStringIncludes(stderr, part);
    else assertMatch(stderr, part);
  }
  return stderr;
}

/** A stream of text that is kept. */
class Output {
  text = "";
  readonly ended: Promise<void>;
  #closed = false;
  #changed = Promise.withResolvers<void>();

  constructor(stream: ReadableStream<Uint8Array>) {
    this.ended = this.#keep(stream);
  }

  async line(pattern: RegExp): Promise<string | undefined> {
    for (;;) {
      const line = this.text.split("\n").slice(0, -1).find((line) => pattern.test(line));
      if (line !== undefined || this.#closed) return line;
      await this.#changed.promise;
    }
  }

  async #keep(stream: ReadableStream<Uint8Array>): Promise<void> {
    for await (const text of stream.pipeThrough(new TextDecoderStream())) {
      this.text += text;
      this.#wake();
    }
    this.#closed = true;
    this.#wake();
  }

  #wake(): void {
    this.#changed.resolve();
    this.#changed = Promise.withResolvers();
  }
}

/** Fails when `promise` takes longer than `limitMs`. */
export async function within<T>(
  limitMs: number,
  promise: Promise<T>,
  what: string,
  detail: () => string = () => "",
): Promise<T> {
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(
    () => late.reject(new Error(`${what} did not come within ${limitMs} ms${detail()}`)),
    limitMs,
  );
  try {
    return await Promise.race([promise, late.promise]);
  } finally {
    clearTimeout(timer);
  }
}

/** Looks again and again until there is something, for what no event tells. */
export async function poll<T>(look: () => Promise<T | undefined>): Promise<T> {
  for (;;) {
    const found = await look();
    if (found !== undefined) return found;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
