/**
 * What other processes take of the machine: the processor time that the system says all have used, less that of this process and of its
 * children that have ended. Those of low priority count too: Linux lets sessions share evenly, and one at nice 19 made queries of
 * another 40 % slower. Interrupts are nobody's. Linux alone says it.
 */

/** Seconds of processor time until now. */
export interface ProcessorTime {
  readonly all: number;
  readonly own: number;
  /** `performance.now()` when they were read. */
  readonly atMs: number;
}

/** Of Linux for every processor that Deno runs on, whatever its kernel's own rate. */
const TICKS_PER_SECOND = 100;

/** Undefined where the system does not say. By `cat`, since Deno reads /proc with every right alone. */
export async function processorTime(): Promise<ProcessorTime | undefined> {
  if (Deno.build.os !== "linux") return undefined;
  const files = ["/proc/stat", `/proc/${Deno.pid}/stat`];
  const { stdout } = await new Deno.Command("cat", { args: files, stderr: "null" }).output();
  return parseProcessorTime(new TextDecoder().decode(stdout), performance.now());
}

/** From the text of /proc/stat and of /proc/PID/stat behind it (man 5 proc). */
export function parseProcessorTime(text: string, atMs: number): ProcessorTime | undefined {
  const all = /^cpu +(.*)$/m.exec(text)?.[1].split(" ").map(Number);
  // The name of a process stands in brackets and may hold anything.
  const own = /^\d+ \(.*\) (.*)$/m.exec(text)?.[1].split(" ").map(Number);
  if (all === undefined || own === undefined) return undefined;
  const [user, nice, system, , , , , steal = 0] = all;
  const [userOwn, systemOwn, userOfChildren, systemOfChildren] = own.slice(11);
  return {
    all: (user + nice + system + steal) / TICKS_PER_SECOND,
    own: (userOwn + systemOwn + userOfChildren + systemOfChildren) / TICKS_PER_SECOND,
    atMs,
  };
}

/** Cores that other processes kept busy between two readings. */
export function coresOfOthers(
  before: ProcessorTime | undefined,
  after: ProcessorTime | undefined,
): number | null {
  if (before === undefined || after === undefined) return null;
  const others = after.all - before.all - (after.own - before.own);
  return Math.max(0, others) / ((after.atMs - before.atMs) / 1000);
}
