/**
 * Runs the cells of experiments, one after the other, and writes a CSV after every cell. A run collects its
 * rows in a folder of its own; only when an experiment is complete, and at least as large as what is there,
 * does its CSV take the place of the committed one ({@linkcode publish}). So an interruption, an error or a
 * small run never costs a committed result.
 */
import {
  type Cell,
  csvColumns,
  type Experiment,
  type NewRow,
  provenance,
  type Row,
  type Size,
  sizes,
} from "./experiment.ts";
import { type CsvTable, readCsv, writeCsv } from "../report/csv.ts";
import { originText } from "../report/environment.ts";

/** Part of a run: every `count`-th cell, beginning with the `index`-th; both count from 1. */
export interface Shard {
  readonly index: number;
  readonly count: number;
}

/** Reads `I/N`. */
export function parseShard(text: string): Shard {
  const [index = 0, count = 0] = text.split("/").map(Number);
  if (!(index >= 1 && index <= count)) {
    throw new RangeError(`--shard was given "${text}" but accepts I/N with I from 1 to N`);
  }
  return { index, count };
}

/** What identifies a run in every row. */
export interface RunIdentity {
  readonly size: Size;
  readonly seed: number;
  readonly commit: string;
  readonly machine: string;
}

/** Where rows come from, each origin once. */
export const originsOf = (rows: readonly Row[]): string[] => [...new Set(rows.map(originText))];

/** A cell that is to be run or has been run before. */
export interface PlannedCell {
  readonly experiment: Experiment;
  readonly cell: Cell;
  /** Rows that stand for the cell unless it is measured: of an earlier run, or committed ones; empty: it lacks something, and there are none. */
  readonly kept?: readonly Row[];
  /** Whether they are the committed ones, which say nothing of this run. */
  readonly isBorrowed?: boolean;
  /** Measured once more all the same; the kept rows stay if that fails. */
  readonly again?: boolean;
}

/** Whether a run measures the cell. */
export const isToRun = ({ kept, again }: PlannedCell): boolean => kept === undefined || again === true;

/** Where the CSVs of a run are collected. */
export function runFolder(size: Size, shard?: Shard): string {
  return shard ? `runs/${size}/shard-${shard.index}-of-${shard.count}` : `runs/${size}/results`;
}

const isOf = ({ dataset }: Cell, row: Row): boolean => dataset === undefined || row["dataset"] === dataset;

/** Rows of a cell among those by its name; undefined if there are none. */
function rowsFor(cell: Cell, known: ReadonlyMap<string, readonly Row[]>): readonly Row[] | undefined {
  const rows = known.get(cell.id)?.filter((row) => isOf(cell, row));
  return rows?.length ? rows : undefined;
}

/** Whether a run is complete without the rows of the cell. */
const isOptional = ({ long, lacks }: Cell): boolean => long === true || lacks !== undefined;

function checkExperiment(experiment: Experiment, cells: readonly Cell[]): void {
  const { key, columns } = experiment;
  if (!/^[a-z0-9_]+$/.test(key)) throw new RangeError(`"${key}" cannot name an experiment: use a-z, 0-9, _`);
  const reserved = Object.keys(columns).find((column) =>
    ["cell", ...provenance as readonly string[]].includes(column)
  );
  if (reserved !== undefined) {
    throw new RangeError(`experiment ${key} may not have a column "${reserved}" of its own`);
  }
  const ids = cells.map(({ id }) => id), twice = ids.find((id, i) => ids.indexOf(id) !== i);
  if (twice !== undefined) throw new RangeError(`experiment ${key} has two cells "${twice}"`);
}

/**
 * The cells of a run, in order; cells that an earlier run has completed carry its rows if `resume` is set. Long cells, unless
 * `long` asks for them, and cells that lack something carry the rows that are committed in `results`; without such rows long cells are
 * left out. Long cells that are asked for fall back on the committed rows where they fail.
 */
export async function planRun(
  experiments: readonly Experiment[],
  identity: Pick<RunIdentity, "size" | "seed">,
  folder: string,
  options: { resume?: boolean; shard?: Shard; long?: boolean; results?: string } = {},
): Promise<PlannedCell[]> {
  const { size, seed } = identity, { shard } = options, plan: PlannedCell[] = [];
  const own = shard && cellsOfShard(experiments, size, shard);
  for (const experiment of experiments) {
    const cells = experiment.cells(size), earlier = new Map<string, Row[]>();
    checkExperiment(experiment, cells);
    if (options.resume) {
      const table = await readCsv(`${folder}/${experiment.key}.csv`), borrowed = borrowedCells(table);
      for (const row of table?.rows ?? []) {
        if (row["size"] !== size || row["seed"] !== String(seed) || borrowed.has(row["cell"])) continue;
        earlier.set(row["cell"], [...earlier.get(row["cell"]) ?? [], row]);
      }
    }
    const staysAsCommitted = ({ long, lacks }: Cell) => long === true && !options.long || lacks !== undefined;
    const committed = options.results && cells.some(isOptional)
      ? Map.groupBy(
        (await readCsv(`${options.results}/${experiment.key}.csv`))?.rows ?? [],
        (row) => row["cell"],
      )
      : new Map<string, Row[]>();
    for (const cell of cells) {
      if (own && !own.get(experiment.key)!.has(cell.id)) continue;
      const before = rowsFor(cell, earlier),
        borrowed = before === undefined && isOptional(cell) ? rowsFor(cell, committed) : undefined,
        kept = before ?? borrowed ?? (cell.lacks === undefined ? undefined : []);
      if (staysAsCommitted(cell) && !kept) continue;
      plan.push({
        experiment,
        cell,
        ...kept && { kept },
        ...borrowed && { isBorrowed: true, ...!staysAsCommitted(cell) && { again: true } },
      });
    }
  }
  return plan;
}

/** The plan of measuring some cells of a finished run once more; `results` as in {@linkcode planRun}. */
export async function planAgain(
  experiments: readonly Experiment[],
  identity: Pick<RunIdentity, "size" | "seed">,
  folder: string,
  cells: ReadonlyMap<string, ReadonlySet<string>>,
  results?: string,
): Promise<PlannedCell[]> {
  const chosen = experiments.filter(({ key }) => cells.has(key));
  const plan = await planRun(chosen, identity, folder, { resume: true, ...results && { results } });
  return plan.filter(({ kept }) => kept !== undefined)
    .map((planned) => ({ ...planned, again: cells.get(planned.experiment.key)!.has(planned.cell.id) }));
}

/** What the caller is told while cells run. */
export interface RunEvents {
  started?(planned: PlannedCell, number: number): void;
  note?(text: string): void;
  finished?(planned: PlannedCell, number: number): void;
  failed?(planned: PlannedCell, error: Error): void;
}

/**
 * Moves the CSVs in `folder` aside that hold rows which the plan does not carry on: those of another seed, size, shard or commit. A new
 * run must not silently cost the rows of an old one: they stay beside it until the next time.
 */
export async function setAside(
  experiments: readonly Experiment[],
  folder: string,
  plan: readonly PlannedCell[] = [],
): Promise<void> {
  for (const experiment of experiments) {
    const path = `${folder}/${experiment.key}.csv`;
    const carried = new Set(
      plan.filter((planned) => planned.experiment === experiment)
        .flatMap(({ kept }) => kept ?? []).map((row) => JSON.stringify(row)),
    );
    const rows = (await readCsv(path))?.rows ?? [];
    if (rows.some((row) => !carried.has(JSON.stringify(row)))) await Deno.rename(path, `${path}.previous`);
  }
}

/** Ids of the cells of a shard by key of their experiment: every `count`-th of all. */
function cellsOfShard(
  experiments: readonly Experiment[],
  size: Size,
  { index, count }: Shard,
): ReadonlyMap<string, ReadonlySet<string>> {
  let number = 0;
  return new Map(experiments.map(({ key, cells }) => [
    key,
    new Set(cells(size).filter(() => number++ % count === index - 1).map(({ id }) => id)),
  ]));
}

/** Throws an Error where a folder holds rows of another shard of the same run: to set them aside would lose them. */
export async function checkShard(
  experiments: readonly Experiment[],
  { size, seed }: Pick<RunIdentity, "size" | "seed">,
  shard: Shard,
  folder: string,
): Promise<void> {
  const own = cellsOfShard(experiments, size, shard);
  for (const { key, cells } of experiments) {
    const others = new Set(cells(size).map(({ id }) => id).filter((id) => !own.get(key)!.has(id)));
    const row = (await readCsv(`${folder}/${key}.csv`))?.rows.find((row) =>
      row["size"] === size && row["seed"] === String(seed) && others.has(row["cell"])
    );
    if (row) {
      throw new Error(
        `${folder}/${key}.csv holds "${row["cell"]}" of another shard; give each shard a folder of its own`,
      );
    }
  }
}

const BORROWED = "committed rows of another run stand for: ";

const comments = ({ key, title, columns }: Experiment, borrowed: readonly string[] = []) => [
  `${title}. Measured by: deno task reproduce --only ${key}`,
  ...Object.entries(columns).map(([column, meaning]) => `${column}: ${meaning}`),
  ...borrowed.length > 0 ? [BORROWED + JSON.stringify(borrowed)] : [],
];

/** Cells of a run's CSV that committed rows stand for: a resumed run has not measured them. */
function borrowedCells(table: CsvTable | undefined): ReadonlySet<string> {
  const line = table?.comments.find((comment) => comment.startsWith(BORROWED));
  return new Set(line === undefined ? [] : JSON.parse(line.slice(BORROWED.length)) as string[]);
}

/**
 * Runs the planned cells and writes `<folder>/<key>.csv` after each. A cell that fails is reported and left
 * out; the others still run.
 *
 * @param commitNow what the code is while a cell runs: cells load it anew, and somebody may have changed it since the start
 * @returns the failed cells
 * @throws {Error} one sentence, where rows cannot be written: what follows would be measured for nothing
 */
export async function runCells(
  plan: readonly PlannedCell[],
  identity: RunIdentity,
  folder: string,
  events: RunEvents = {},
  commitNow = () => Promise.resolve(identity.commit),
): Promise<PlannedCell[]> {
  const { size, seed, machine } = identity, failures: PlannedCell[] = [];
  const rowsOf = new Map<PlannedCell, readonly NewRow[]>();
  await Deno.mkdir(folder, { recursive: true });
  for (const planned of plan) if (planned.kept) rowsOf.set(planned, planned.kept);
  const borrowed = new Set(plan.filter(({ isBorrowed }) => isBorrowed));
  const of = (experiment: Experiment) => plan.filter((planned) => planned.experiment === experiment);
  const keep = (experiment: Experiment) => {
    const own = of(experiment), rows = own.flatMap((planned) => rowsOf.get(planned) ?? []);
    const ids = own.filter((planned) => borrowed.has(planned)).map(({ cell }) => cell.id);
    // Rows that were kept may come from code with other columns: their values without a column are dropped.
    const columns = csvColumns(experiment);
    const fitting = rows.map((row) => Object.fromEntries(columns.map((column) => [column, row[column]])));
    try {
      writeCsv(`${folder}/${experiment.key}.csv`, columns, fitting, comments(experiment, ids));
    } catch (error) {
      throw cannotKeep(folder, (error as Error).message);
    }
  };
  await using closing = new AsyncDisposableStack();
  for (const experiment of new Set(plan.map((planned) => planned.experiment))) {
    closing.defer(() => experiment.close?.());
    // What an earlier run measured is on disk whatever happens next. Borrowed rows alone are written only where nothing of their
    // experiment is measured, as in some shards: where all that is measured fails, they say nothing of this run.
    const own = of(experiment), stand = own.filter(({ kept }) => kept && kept.length > 0);
    if (stand.some(({ isBorrowed }) => !isBorrowed) || stand.length > 0 && !own.some(isToRun)) {
      keep(experiment);
    }
  }
  let number = 0;
  for (const planned of plan) {
    const { experiment, cell } = planned;
    number++;
    if (!isToRun(planned)) continue;
    events.started?.(planned, number);
    try {
      const rows = await experiment.run(cell, { size, seed, note: (text) => events.note?.(text) });
      if (rows.length === 0) throw new Error("it gave no rows");
      for (const row of rows) {
        const stray = Object.keys(row).find((column) => !(column in experiment.columns));
        if (stray !== undefined) throw new Error(`it gave a value for "${stray}", which is not a column`);
      }
      const now = await commitNow(), commit = now === identity.commit ? now : `${identity.commit} to ${now}`;
      rowsOf.set(planned, rows.map((row) => ({ cell: cell.id, ...row, size, seed, commit, machine })));
      borrowed.delete(planned);
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      if (DISK_FULL.test(reason)) throw cannotKeep(folder, reason);
      failures.push(planned);
      events.failed?.(
        planned,
        new Error(`${experiment.key}, cell "${cell.id}": ${reason}`, { cause: error }),
      );
      continue;
    }
    keep(experiment);
    events.finished?.(planned, number);
  }
  return failures;
}

const DISK_FULL = /No space left on device|os error 28\b|quota exceeded/i;

function cannotKeep(folder: string, reason: string): Error {
  return new Error(
    `rows can no longer be written to ${folder} (${reason}), so the remaining cells are left out; ` +
      "make room, then --resume goes on from the cells that are kept",
  );
}

/** What {@linkcode publish} did with the CSV of an experiment. */
export interface Published {
  readonly key: string;
  readonly published: boolean;
  /** Why not, in words. */
  readonly reason?: string;
}

const rank = (size: string | undefined) => sizes.indexOf(size as Size);

/**
 * Copies the CSVs of complete experiments to the committed results, unless larger ones are there: the least
 * size of the rows decides, `smoke` < `quick` < `full`.
 */
export async function publish(
  experiments: readonly Experiment[],
  size: Size,
  from: string,
  to: string,
): Promise<Published[]> {
  const outcome: Published[] = [];
  await Deno.mkdir(to, { recursive: true });
  for (const experiment of experiments) {
    const { key } = experiment, cells = experiment.cells(size), table = await readCsv(`${from}/${key}.csv`);
    if (cells.length === 0) continue;
    const have = new Set(table?.rows.map((row) => row["cell"]));
    const missing = cells.filter((cell) => !isOptional(cell) && !have.has(cell.id)).length;
    if (!table || missing > 0) {
      outcome.push({
        key,
        published: false,
        reason: `${missing} ${missing === 1 ? "cell is" : "cells are"} missing`,
      });
      continue;
    }
    const present = (await readCsv(`${to}/${key}.csv`))?.rows ?? [];
    // Where a dataset is missing, sweeps take another one in its place.
    const datasetsOf = (rows: readonly Row[]) => new Set(rows.map((row) => row["dataset"]));
    const lost = [...datasetsOf(present).difference(datasetsOf(table.rows))].filter(Boolean).join(", ");
    if (lost !== "") {
      outcome.push({
        key,
        published: false,
        reason: `${to}/${key}.csv has rows on ${lost}, this run has none`,
      });
      continue;
    }
    const there = present.length === 0 ? -1 : Math.min(...present.map((row) => rank(row["size"])));
    if (rank(size) < there) {
      outcome.push({
        key,
        published: false,
        reason: `${to}/${key}.csv is of size ${sizes[there]}, this run is ${size}`,
      });
      continue;
    }
    writeCsv(`${to}/${key}.csv`, table.columns, table.rows, comments(experiment));
    outcome.push({ key, published: true });
  }
  return outcome;
}

/** What {@linkcode mergeShards} has joined. */
export interface Merged {
  readonly keys: readonly string[];
  /** Experiments of which no shard has a row: nobody asked for them, or all their cells failed. */
  readonly absent: readonly string[];
  readonly origins: readonly string[];
  /** Cells by the machine that measured them, as `experiment: cell`. */
  readonly machines: ReadonlyMap<string, ReadonlySet<string>>;
}

/** Which rows are from which machine, a line each; none if all are from one. */
export function describeMachines(machines: Merged["machines"]): string[] {
  if (machines.size < 2) return [];
  const groups = [...machines].map(([machine, cells]) => ({ machine, cells: [...cells] }))
    .sort((a, b) => b.cells.length - a.cells.length);
  return groups.map(({ machine, cells }, i) => {
    const shown = i === 0 ? "" : `: ${cells.join("; ")}`;
    return `${cells.length} ${cells.length === 1 ? "cell" : "cells"} on ${machine}${shown}`;
  });
}

/**
 * Joins the CSVs of the shards of a run.
 *
 * @throws {Error} if two shards hold the same cell, a cell is missing, or rows belong to another run
 */
export async function mergeShards(
  experiments: readonly Experiment[],
  size: Size,
  folders: readonly string[],
  to: string,
): Promise<Merged> {
  const keys: string[] = [], absent: string[] = [], seeds = new Set<string>();
  const machines = new Map<string, Set<string>>();
  const merged: { experiment: Experiment; rows: Row[]; borrowed: string[] }[] = [];
  for (const experiment of experiments) {
    const { key } = experiment, all = experiment.cells(size), cells = all.map(({ id }) => id);
    const rowsOf = new Map<string, Row[]>(), foundIn = new Map<string, string>(), borrowed: string[] = [];
    const optional = new Set(all.filter(isOptional).map(({ id }) => id));
    for (const folder of folders) {
      const table = await readCsv(`${folder}/${key}.csv`);
      borrowed.push(...borrowedCells(table));
      for (const row of table?.rows ?? []) {
        const cell = row["cell"] ?? "", other = foundIn.get(cell);
        const where = `${folder}/${key}.csv: cell "${cell}"`;
        const found = all.find(({ id }) => id === cell);
        if (!found || !isOf(found, row)) {
          throw new Error(
            `${where} is not part of a ${size} run here; cells follow from the code and from what lies in data/: merge where both are as they were for the shards`,
          );
        }
        // Committed rows that a shard keeps may be of another run.
        if (row["size"] !== size && !optional.has(cell)) {
          throw new Error(`${where} is of size ${row["size"]}, not ${size}`);
        }
        if (other !== undefined && other !== folder) throw new Error(`${where} is also in ${other}`);
        foundIn.set(cell, folder);
        rowsOf.set(cell, [...rowsOf.get(cell) ?? [], row]);
        if (!optional.has(cell)) seeds.add(row["seed"] ?? "");
        const machine = row["machine"] ?? "", own = machines.get(machine) ?? new Set();
        machines.set(machine, own.add(`${key}: ${cell}`));
      }
    }
    if (rowsOf.size === 0) {
      if (!all.every(isOptional)) absent.push(key);
      continue;
    }
    const missing = all.filter((cell) => !isOptional(cell) && !rowsOf.has(cell.id)).map(({ id }) => id);
    if (missing.length > 0) {
      const shown = missing.slice(0, 3).map((id) => `"${id}"`).join(", ");
      throw new Error(
        `${key} lacks ${missing.length} of ${cells.length} cells: ${shown}${
          missing.length > 3 ? ", ..." : ""
        }`,
      );
    }
    keys.push(key);
    merged.push({ experiment, rows: cells.flatMap((id) => rowsOf.get(id) ?? []), borrowed });
  }
  if (keys.length === 0) {
    throw new Error(`no results of the ${size} run in ${folders.join(", ") || "any shard"}`);
  }
  if (seeds.size > 1) throw new Error(`shards have different seeds: ${[...seeds].join(", ")}`);
  // Nothing is written before everything has been checked.
  await Deno.mkdir(to, { recursive: true });
  await setAside(merged.map(({ experiment }) => experiment), to);
  for (const { experiment, rows, borrowed } of merged) {
    const columns = csvColumns(experiment);
    const fitting = rows.map((row) => Object.fromEntries(columns.map((column) => [column, row[column]])));
    writeCsv(`${to}/${experiment.key}.csv`, columns, fitting, comments(experiment, borrowed));
  }
  return { keys, absent, origins: originsOf(merged.flatMap(({ rows }) => rows)), machines };
}
