/** Result folders: which CSVs lie there, and where the figures and the report made from them go. */
import { resolve } from "node:path";
import type { Data } from "./claims.ts";
import { type CsvTable, parseCsv, readCsv, type Row } from "./csv.ts";

/** Folder of the committed results: the largest run that was kept. */
export const committedResults = "results";
/** Folder of the reference values. */
const referenceFolder = "results/reference";

/** Whether a folder is that of the committed results, by whichever path. */
export const isCommitted = (folder: string): boolean => resolve(folder) === resolve(committedResults);

/** Where figures drawn from a folder of CSVs go: `paper_figures` for the committed results. */
export function figuresFolder(results: string): string {
  const path = results.replace(/\/+$/, "");
  if (isCommitted(path)) return "paper_figures";
  return path.endsWith("/results") ? path.replace(/results$/, "figures") : `${path}/figures`;
}

/** Reads all reference files. */
export async function readReference(folder = referenceFolder): Promise<(name: string) => readonly Row[]> {
  const tables = new Map<string, readonly Row[]>();
  for await (const { name } of Deno.readDir(folder)) {
    if (!name.endsWith(".csv")) continue;
    tables.set(name.slice(0, -4), parseCsv(await Deno.readTextFile(`${folder}/${name}`), name).rows);
  }
  return (name) => {
    const rows = tables.get(name);
    if (!rows) {
      throw new RangeError(`there is no reference file ${name}.csv; there are ${[...tables.keys()].sort()}`);
    }
    return rows;
  };
}

/** Reads the CSVs of some experiments; those that are not there are left out. */
export async function readResults(folder: string, keys: readonly string[]): Promise<Map<string, CsvTable>> {
  const tables = new Map<string, CsvTable>();
  for (const key of keys) {
    const table = await readCsv(`${folder}/${key}.csv`);
    if (table && table.rows.length > 0) tables.set(key, table);
  }
  return tables;
}

/** The rows and reference values as claims read them. */
export function dataOf(
  tables: ReadonlyMap<string, CsvTable>,
  reference: (name: string) => readonly Row[],
): Data {
  return { rows: (key) => tables.get(key)?.rows ?? [], reference };
}
