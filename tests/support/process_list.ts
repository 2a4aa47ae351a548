/** The processes of this machine, read from /proc. */

export interface Process {
  readonly pid: number;
  readonly args: readonly string[];
}

/** The children of a process, zombies not counted. */
export async function childrenOf(pid: number): Promise<Process[]> {
  const children: Process[] = [];
  for await (const { name } of Deno.readDir("/proc")) {
    if (/^\d+$/.test(name) && (await statusOf(name))?.parent === pid) {
      const line = await Deno.readTextFile(`/proc/${name}/cmdline`).catch(() => "");
      children.push({ pid: Number(name), args: line.split("\0").slice(0, -1) });
    }
  }
  return children;
}

/** Whether a process still runs. */
export const isAlive = async (pid: number): Promise<boolean> => await statusOf(String(pid)) !== undefined;

/** Resident memory of a process. */
export async function residentMB(pid: number): Promise<number> {
  const status = await Deno.readTextFile(`/proc/${pid}/status`);
  return Number(/^VmRSS:\s+(\d+) kB/m.exec(status)![1]) / 1024;
}

async function statusOf(pid: string): Promise<{ parent: number } | undefined> {
  const text = await Deno.readTextFile(`/proc/${pid}/stat`).catch(() => "");
  // pid (name) state parent ...; the name may hold anything.
  const [state, parent] = text.slice(text.lastIndexOf(")") + 2).split(" ");
  return text === "" || state === "Z" ? undefined : { parent: Number(parent) };
}
