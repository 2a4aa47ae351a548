/** One role as a process of its own, with narrow permissions. */
import { relative } from "node:path";
import { fileURLToPath } from "node:url";
import { v8Arguments } from "../terminal/v8_flags.ts";
import type { Tokens } from "./endpoint.ts";

/** The checkout. Roles start in it, and name what they may read from there. */
const ROOT = fileURLToPath(new URL("../../", import.meta.url));

/** A path as Deno's lists of permissions take it: there is no way to write a comma in them. */
function readable(path: string): string {
  const inside = relative(ROOT, path), written = inside.startsWith("..") ? path : inside || ".";
  if (written.includes(",")) {
    throw new Error(`${path} has a comma in its path, which the roles cannot be allowed to read; rename it`);
  }
  return written;
}

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
    /** Of V8. */
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
        ...v8Arguments(flags),
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
