/**
 * What a run needs and this machine lacks, said before it starts: a cell that the memory cannot hold ends in the system's killing
 * one of its processes, ten minutes later and without a word.
 */
import { statfsSync } from "node:fs";
import { MEMORY_MB } from "./experiment.ts";
import { isToRun, type PlannedCell } from "./runner.ts";

/** What a machine has to give; absent: not known, taken as enough. */
export interface Resources {
  readonly memoryMB?: number | undefined;
  readonly diskMB?: number | undefined;
  readonly cores: number;
}

/** What {@linkcode preflight} decided. */
export interface Preflight {
  readonly run: readonly PlannedCell[];
  readonly left: readonly PlannedCell[];
  /** What is lacking and what becomes of it, a sentence each. */
  readonly notes: readonly string[];
}

/** Server and client compute at the same time, each on a core of its own. */
const CORES = 2;

/** Leaves out the cells that need more memory or disk than there is, and that lack what a checkout lacks; rows that they have stay. */
export function preflight(plan: readonly PlannedCell[], { memoryMB, diskMB, cores }: Resources): Preflight {
  const lacking = (need: number, have: number | undefined) => have !== undefined && need > have;
  const left: PlannedCell[] = [], notes: string[] = [];
  const leaveOut = (what: string, have: number | undefined, need: (planned: PlannedCell) => number) => {
    const short = plan.filter((planned) =>
      isToRun(planned) && !left.includes(planned) && lacking(need(planned), have)
    );
    if (short.length === 0) return;
    left.push(...short);
    const most = Math.max(...short.map(need));
    notes.push(
      `this machine has ${gigabytes(have!)} of ${what}, up to ${gigabytes(most)} are needed; left out: ${
        list(short)
      }`,
    );
  };
  leaveOut("free memory", memoryMB, ({ cell }) => cell.memoryMB ?? MEMORY_MB);
  leaveOut("free disk", diskMB, ({ cell }) => cell.diskMB ?? 0);
  const hasRows = ({ kept }: PlannedCell) => kept === undefined || kept.length > 0;
  for (const [reason, lacks] of Map.groupBy(plan, ({ cell }) => cell.lacks)) {
    if (reason === undefined) continue;
    const { stay = [], absent = [] } = Object.groupBy(lacks, (one) => hasRows(one) ? "stay" : "absent");
    if (stay.length > 0) notes.push(`${reason}; committed rows stay: ${list(stay)}`);
    if (absent.length > 0) notes.push(`${reason}; no committed rows, left out: ${list(absent)}`);
  }
  if (cores < CORES) {
    notes.push(
      `this machine has ${cores} core, server and client want one each; times are measured, but those that are compared with ` +
        "recorded ones are not judged here",
    );
  }
  const run = plan.flatMap(({ again: _, ...planned }, i) => {
    if (!hasRows(planned)) return [];
    if (!left.includes(plan[i])) return [plan[i]];
    return planned.kept ? [planned] : [];
  });
  return { run, left, notes };
}

const gigabytes = (megabytes: number) => `${(megabytes / 1000).toFixed(1)} GB`;

/** Cells by experiment; the first four of each by name. */
function list(cells: readonly PlannedCell[]): string {
  const groups = Map.groupBy(cells, ({ experiment }) => experiment.key);
  return [...groups].map(([key, own]) => {
    const rest = own.length - 4;
    const names = own.slice(0, 4).map(({ cell }) => cell.id).join(", ");
    return `${key} (${names}${rest > 0 ? `, and ${rest} more` : ""})`;
  }).join("; ");
}

/** What this machine has to give where a run writes its rows. */
export function resourcesHere(folder = "."): Resources {
  return {
    memoryMB: smallest([
      visible(() => Deno.systemMemoryInfo().available),
      // A container may have less than the machine.
      visible(() => containerMemory("memory.max", "memory.current")),
      visible(() => containerMemory("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes")),
    ]),
    diskMB: smallest([visible(() => {
      const { bavail, bsize } = statfsSync(folder);
      return bavail * bsize;
    })]),
    cores: navigator.hardwareConcurrency,
  };
}

/** Without a permission, or on a system that does not tell, a number is unknown. */
function visible(read: () => number): number | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}

function containerMemory(limit: string, used: string): number {
  const [most, now] = [limit, used].map((name) => Deno.readTextFileSync(`/sys/fs/cgroup/${name}`).trim());
  return most === "max" ? Infinity : Number(most) - Number(now);
}

function smallest(bytes: readonly (number | undefined)[]): number | undefined {
  const known = bytes.filter((value) => value !== undefined && Number.isFinite(value)) as number[];
  return known.length === 0 ? undefined : Math.min(...known) / 1e6;
}
