/** What the written parts of documents are made from: the CSVs, the claims checked against them, the list of tasks. */
import { checkClaims, type CheckedClaim } from "../report/claims.ts";
import type { CsvTable, Row } from "../report/csv.ts";
import { committedResults, dataOf, readReference } from "../report/results.ts";
import { readTables } from "../reproduction/check_results.ts";
import type { Catalogue, Reference } from "../reproduction/experiment.ts";

export interface Sources {
  readonly catalogue: Catalogue;
  readonly reference: Reference;
  readonly tables: ReadonlyMap<string, CsvTable>;
  readonly claims: readonly CheckedClaim[];
  readonly tasks: Readonly<Record<string, { readonly description: string }>>;
}

/** Reads them. */
export async function readSources(catalogue: Catalogue): Promise<Sources> {
  const reference = await readReference();
  const { tables } = await readTables(catalogue, committedResults, reference);
  const { tasks } = JSON.parse(await Deno.readTextFile("deno.json"));
  return { catalogue, reference, tables, claims: checkClaims(dataOf(tables, reference)), tasks };
}

/** The rows of a result, none if it has not been measured. */
export const rowsOf = ({ tables }: Sources, key: string): readonly Row[] => tables.get(key)?.rows ?? [];
