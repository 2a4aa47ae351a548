/**
 * A core of its own for each party, as it would have on a machine of its own. On loopback the scheduler likes to wake the
 * receiver of a message on the core of its sender, and then both compute in turns: queries of ResNet-32 took 6 or 9 ms by
 * chance. Binding the main threads, not the engine's helpers, made exact ReLU and ResNet-32 14 to 23 % faster, ResNet-18 3 to
 * 10 %, and MiniONN-BN by `lifted` neither faster nor slower (measured, two runs of each).
 */

/**
 * Binds the main thread of each process to a core, if the machine has enough of them and `taskset` (util-linux).
 * Returns the cores; null: everything is left to the scheduler.
 */
export async function bindToCores(pids: readonly number[]): Promise<number[] | null> {
  const cores = coresIn(await taskset(`${Deno.pid}`));
  if (cores.length < pids.length) return null;
  // As far apart as they can be: neighbours in the list may be two threads of one core.
  const chosen = pids.map((_, i) => cores[Math.round(i * (cores.length - 1) / Math.max(1, pids.length - 1))]);
  const bound = await Promise.all(pids.map((pid, i) => taskset(`${chosen[i]}`, `${pid}`)));
  return bound.every((output) => output !== null) ? chosen : null;
}

/** What `taskset -cp` prints; null if it is missing or fails. */
async function taskset(...args: string[]): Promise<string | null> {
  try {
    const { success, stdout } = await new Deno.Command("taskset", { args: ["-cp", ...args] }).output();
    return success ? new TextDecoder().decode(stdout) : null;
  } catch {
    return null;
  }
}

/** The cores in "pid 7's current affinity list: 0-2,8". */
export function coresIn(output: string | null): number[] {
  const list = /: ([\d,-]+)\s*$/.exec(output ?? "")?.[1];
  if (list === undefined) return [];
  return list.split(",").flatMap((part) => {
    const [first, last = first] = part.split("-").map(Number) as [number, number?];
    return Array.from({ length: last - first + 1 }, (_, i) => first + i);
  });
}
