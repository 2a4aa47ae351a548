/** The tables that follow from others: computed from the CSVs wherever these are read, so that they are never stale. */
import { csvColumns, type DerivedTable } from "./experiment.ts";
import { type CsvTable, csvText, type Row, writeCsv } from "../report/csv.ts";

/** Derived tables by key, and which could not be computed and why. */
export interface Derived {
  readonly tables: ReadonlyMap<string, CsvTable>;
  readonly failures: readonly { readonly key: string; readonly text: string }[];
}

/** Computes the derived tables whose sources are there. */
export function deriveTables(
  list: readonly DerivedTable[],
  measured: ReadonlyMap<string, CsvTable>,
  reference: (name: string) => readonly Row[],
): Derived {
  const tables = new Map<string, CsvTable>(), failures: Derived["failures"][number][] = [];
  for (const table of list) {
    if (!table.from.every((key) => measured.has(key))) continue;
    try {
      const rows = rowsOf(table, (key) => measured.get(key)?.rows ?? [], reference);
      if (rows.length === 0) continue;
      tables.set(table.key, { comments: commentsOf(table), columns: csvColumns(table), rows });
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      failures.push({ key: table.key, text: `${table.key}: ${reason}` });
    }
  }
  return { tables, failures };
}

/** Its rows as a CSV has them. */
function rowsOf(
  table: DerivedTable,
  measured: (key: string) => readonly Row[],
  reference: (name: string) => readonly Row[],
): Row[] {
  const columns = csvColumns(table);
  return table.rows(measured, reference).map((row) => {
    const stray = Object.keys(row).find((column) => !columns.includes(column));
    if (stray !== undefined) throw new Error(`it gave a value for "${stray}", which is not a column`);
    return Object.fromEntries(columns.map((column) => [column, csvText(row[column])]));
  });
}

const commentsOf = ({ key, title, from, columns }: DerivedTable) => [
  `${title}. Derived, nothing is measured for it: from ${
    from.map((source) => `${source}.csv`).join(", ")
  } and results/reference/, by: deno task figures --only ${key}`,
  ...Object.entries(columns).map(([column, meaning]) => `${column}: ${meaning}`),
];

/** Writes derived tables beside their sources. */
export function writeDerived(folder: string, derived: ReadonlyMap<string, CsvTable>): void {
  for (const [key, { columns, rows, comments }] of derived) {
    writeCsv(`${folder}/${key}.csv`, columns, rows, comments);
  }
}
