/**
 * Where a result was measured: the machine in words, without host names or paths, and the commit of the
 * code. Every row of every CSV carries both.
 */
import os from "node:os";

/** What is worth knowing about a machine. */
export interface Machine {
  readonly cpu: string;
  readonly cores: number;
  readonly memoryGiB: number;
  readonly system: string;
  readonly deno: string;
  readonly v8: string;
}

/** Describes this machine; parts that permissions hide are "unknown". */
export function describeMachine(): Machine {
  const visible = <T>(read: () => T, otherwise: T): T => {
    try {
      return read();
    } catch {
      return otherwise;
    }
  };
  const model = visible(() => os.cpus()[0]?.model ?? "", "").replace(
    /\((R|TM)\)|\bCPU\b|@.*|Processor/gi,
    " ",
  );
  const memory = visible(() => os.totalmem() / 2 ** 30, 0);
  return {
    cpu: model.replace(/\s+/g, " ").trim() || `unknown ${Deno.build.arch} processor`,
    cores: navigator.hardwareConcurrency,
    memoryGiB: memory < 4 ? Math.round(memory * 10) / 10 : Math.round(memory),
    system: { linux: "Linux", darwin: "macOS", windows: "Windows" }[Deno.build.os as string] ?? Deno.build.os,
    deno: Deno.version.deno,
    v8: Deno.version.v8,
  };
}

/** The `machine` column: one line such as `AMD EPYC 9R45, 2 cores, 24 GiB, Linux, Deno 2.9.6`. */
export function machineText(machine: Machine = describeMachine()): string {
  const { cpu, cores, memoryGiB, system, deno } = machine;
  const memory = memoryGiB > 0 ? [`${memoryGiB} GiB`] : [];
  return [cpu, `${cores} ${cores === 1 ? "core" : "cores"}`, ...memory, system, `Deno ${deno}`].join(", ");
}

/** Where a row was measured, in words. */
export const originText = (
  { commit, machine }: { readonly commit?: string | undefined; readonly machine?: string | undefined },
): string => `commit ${commit || "unknown"} on ${machine || "an unknown machine"}`;

async function git(...args: string[]): Promise<string | undefined> {
  try {
    const { code, stdout } = await new Deno.Command("git", { args, stderr: "null" }).output();
    return code === 0 ? new TextDecoder().decode(stdout).trim() : undefined;
  } catch {
    return undefined;
  }
}

/** What decides a measured value: code, its libraries, and the weights that ship. */
const MEASURED = ["*.ts", "*.js", "deno.json", "deno.lock", "results/models"];

/**
 * The `commit` column: the first twelve digits of the commit, with `+changes` if code or weights differ from it;
 * `unknown` outside a Git checkout.
 */
export async function currentCommit(): Promise<string> {
  const commit = await git("rev-parse", "--short=12", "HEAD");
  if (commit === undefined) return "unknown";
  const changed = await git("status", "--porcelain", "--", ...MEASURED);
  return changed === "" ? commit : `${commit}+changes`;
}
