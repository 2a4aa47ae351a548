/** The tables that follow from others: computed from the CSVs wherever these are read, so that they are never stale. */
import { csvColumns, type DerivedTable } from "../../experiments/experiment.ts";
import { derivedTables } from "../../experiments/mod.ts";
import { type CsvTable, csvText, type Row, writeCsv } from "../report/csv.ts";

/** Computes the derived tables whose sources are there. */
export function deriveTables(
  tables: ReadonlyMap<string, CsvTable>,
  reference: (name: string) => readonly Row[],
  list: readonly DerivedTable[] = derivedTables,
): Map<string, CsvTable> {
  const derived = new Map<string, CsvTable>();
  for (const table of list) {
    if (!table.from.every((key) => tables.has(key))) continue;
    const columns = csvColumns(table), known = new Set(columns);
    const rows = table.rows((key) => tables.get(key)?.rows ?? [], reference).map((row) => {
      const stray = Object.keys(row).find((column) => !known.has(column));
      if (stray !== undefined) {
        throw new Error(`${table.key} gave a value for "${stray}", which is not a column`);
      }
      return Object.fromEntries(columns.map((column) => [column, csvText(row[column])]));
    });
    if (rows.length > 0) derived.set(table.key, { comments: commentsOf(table), columns, rows });
  }
  return derived;
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
