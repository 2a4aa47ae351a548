/**
 * What an experiment is: a list of independent cells, the rows each cell measures, and the figures drawn from
 * the rows. One file of `experiments/` is one result: `<key>.ts` gives `results/<key>.csv` and `paper_figures/<key>*`.
 * Running, resuming, sharding and merging are the business of the other files here; a file there only measures.
 */
import type { ChartDescription } from "../report/chart.ts";
import type { Size } from "../report/claim.ts";
import type { CsvValue, NewRow, Row } from "../report/csv.ts";

export type { BarChart, ChartDescription, LineChart, Measured, Point } from "../report/chart.ts";
export { type CsvValue, type NewRow, numberOf, optionalNumber, type Row } from "../report/csv.ts";
export type { Size } from "../report/claim.ts";

/** Sizes in ascending order. */
export const sizes = ["smoke", "quick", "full"] as const satisfies readonly Size[];

/** One independent piece of an experiment; what it measures is described by further fields. */
export interface Cell {
  /** Names the cell in the CSV, for example `resnet18 espn wan`. */
  readonly id: string;
  /** Rough duration, for the time left; default 1. */
  readonly seconds?: number;
  /** Memory that its processes take together; default {@linkcode MEMORY_MB}. */
  readonly memoryMB?: number;
  /** Disk that it takes beside its CSV, where that is more than a few MB. */
  readonly diskMB?: number;
  /** For a full run too long, about 20 minutes for most: run with `reproduce --long` alone; otherwise its committed rows stay. */
  readonly long?: boolean;
  /** Data that its rows are of, where what lies in data/ decides: rows of other data are not its own. */
  readonly dataset?: string;
  /** What it wants and this checkout has not, a part of a sentence: it is not run, and its committed rows stay. */
  readonly lacks?: string;
}

/** Memory of a cell that says nothing else: the three processes of a small network took 0.9 GB. */
export const MEMORY_MB = 1000;

/** What a running cell may use. */
export interface CellContext {
  readonly size: Size;
  /** For everything that is random and should be repeatable; never for masks or shares. */
  readonly seed: number;
  /** Shows what the cell does at the moment beside the progress. */
  note(text: string): void;
}

/** Rows of a file in `results/reference/`, by its name without `.csv`. */
export type Reference = (name: string) => readonly Row[];

/** A table of the report with its figures, measured or derived. */
export interface Result {
  /** Name of its files: small letters, digits, underscores. */
  readonly key: string;
  readonly title: string;
  /** A few sentences for the report: what is measured and how to read it. */
  readonly explanation: string;
  /** What it reproduces, for example `Figure 11`; left out if it is ours alone. */
  readonly source?: string;
  /** Columns of the CSV in order, with what they hold and the unit. */
  readonly columns: Readonly<Record<string, string>>;
  /** Charts drawn from the CSV alone; names begin with the key. */
  figures(rows: readonly Row[], reference: Reference): ChartDescription[];
  /** Summary for the report; all rows are shown below it anyway. */
  table?(rows: readonly Row[], reference: Reference): Readonly<Record<string, CsvValue>>[];
}

/** An experiment. */
export interface Experiment<C extends Cell = Cell> extends Result {
  /** The cells of a run of this size. A larger size contains the cells of the smaller ones where it can. */
  cells(size: Size): C[];
  /** Measures one cell: at least one row. */
  run(cell: C, context: CellContext): readonly NewRow[] | Promise<readonly NewRow[]>;
  /** Ends what its cells keep between them, such as a process; called after the last of a run. */
  close?(): Promise<void>;
}

/** A table that follows from the rows of experiments and from the reference values: nothing is measured for it. */
export interface DerivedTable extends Result {
  /** Keys of the experiments that it is drawn from; without rows of all of them it does not exist. */
  readonly from: readonly string[];
  /** Its rows, each with the columns of {@linkcode csvColumns}. */
  rows(measured: (key: string) => readonly Row[], reference: Reference): readonly NewRow[];
}

/** All results of a project, in the order of its report. */
export interface Catalogue {
  readonly experiments: readonly Experiment[];
  readonly derivedTables: readonly DerivedTable[];
  /** Those that open the report. */
  readonly leading: readonly Result[];
  readonly allResults: readonly Result[];
}

/** Checks an experiment by its type and forgets the type of its cells. */
export function defineExperiment<C extends Cell>(experiment: Experiment<C>): Experiment {
  return experiment;
}

/** Columns that every CSV has: the cell before its values, where they come from after them. */
export const provenance = ["size", "seed", "commit", "machine"] as const;

/** All columns of the CSV of a result. */
export function csvColumns(result: Result): string[] {
  return ["cell", ...Object.keys(result.columns), ...provenance];
}

const children = new Set<Deno.ChildProcess>();

/** Ends the processes that {@linkcode runJson} has started and that still run. */
export function stopChildren(): void {
  for (const child of children) {
    try {
      child.kill("SIGTERM");
    } catch {
      // It has just ended by itself.
    }
  }
}

/** Limits of {@linkcode runJson}. */
export interface RunJsonOptions {
  /** Ends the child after this time; default: ten minutes. */
  readonly timeoutSeconds?: number;
}

/**
 * Runs a module with the Deno that runs us, `deno run <args>`, and reads every line of its standard output
 * as JSON.
 *
 * @param args permissions, module and its options, for example
 * `["--allow-net=127.0.0.1", "src/cli/infer.ts", "--json"]`
 * @throws {Error} in one sentence: which module, its exit code and its own last error line
 */
export async function runJsonLines(
  args: readonly string[],
  options: RunJsonOptions = {},
): Promise<unknown[]> {
  const timeoutSeconds = options.timeoutSeconds ?? 600;
  const module = args.find((arg) => /\.(ts|js)$/.test(arg)) ?? args.join(" ");
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "--no-prompt", "--quiet", ...args],
    // Paths are ours, not those of the user's folder.
    env: { INIT_CWD: Deno.cwd() },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  children.add(child);
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    child.kill("SIGTERM");
  }, timeoutSeconds * 1000);
  const { code, stdout, stderr } = await child.output().finally(() => {
    clearTimeout(timer);
    children.delete(child);
  });
  const lines = (bytes: Uint8Array) =>
    new TextDecoder().decode(bytes).split("\n").filter((line) => line.trim() !== "");
  if (late) throw new Error(`${module} did not end within ${timeoutSeconds} s`);
  if (code !== 0) {
    // deno-lint-ignore no-control-regex
    const said = lines(stderr).map((line) => line.replace(/\x1b\[[0-9;]*m/g, "").trim());
    const message = (said.findLast((line) => line.includes("error: ")) ?? said.at(-1) ?? "it said nothing")
      .replace(/^error: /, "").replace("error: Uncaught (in promise) ", "");
    throw new Error(`${module} ended with exit code ${code}: ${message}`);
  }
  return lines(stdout).map((line) => {
    try {
      return JSON.parse(line);
    } catch {
      throw new Error(`${module} printed a line that is not JSON: ${line.slice(0, 80)}`);
    }
  });
}

/** Like {@linkcode runJsonLines} for a module that prints one line, its result. */
export async function runJson(args: readonly string[], options: RunJsonOptions = {}): Promise<unknown> {
  const values = await runJsonLines(args, options);
  if (values.length !== 1) {
    throw new Error(`${args.join(" ")} printed ${values.length} lines where one was expected`);
  }
  return values[0];
}
