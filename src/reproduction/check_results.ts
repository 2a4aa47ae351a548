/** Verdicts on a folder of CSVs, without drawing anything. */
import type { Catalogue, Experiment, Reference } from "./experiment.ts";
import { checkClaims, type CheckedClaim } from "../report/claims.ts";
import { dataOf, readReference, readResults } from "../report/results.ts";
import { deriveTables } from "./derived.ts";

/** The experiments that were asked for by key, those included that a derived table is drawn from; by default all. */
export function experimentsOf(
  { experiments, derivedTables }: Catalogue,
  only: readonly string[] | undefined,
): readonly Experiment[] {
  if (only === undefined) return experiments;
  const sources = derivedTables.filter(({ key }) => only.includes(key)).flatMap(({ from }) => from);
  return experiments.filter(({ key }) => only.includes(key) || sources.includes(key));
}

/** Keys of experiments, and of the tables that are derived from nothing but these. */
export function keysOf({ derivedTables }: Catalogue, chosen: readonly Experiment[]): string[] {
  const keys = chosen.map(({ key }) => key);
  return [
    ...keys,
    ...derivedTables.filter(({ from }) => from.every((key) => keys.includes(key))).map(({ key }) => key),
  ];
}

/** All tables in a folder, those included that are derived from others. */
export async function readTables(
  { experiments, derivedTables }: Catalogue,
  folder: string,
  reference: Reference,
) {
  const measured = await readResults(folder, experiments.map(({ key }) => key));
  const derived = deriveTables(derivedTables, measured, reference);
  return { tables: new Map([...measured, ...derived.tables]), derived };
}

/** Checks all claims against the CSVs in a folder, or those about some experiments; claims read rows of others too. */
export async function checkResults(
  catalogue: Catalogue,
  folder: string,
  only?: readonly string[],
): Promise<CheckedClaim[]> {
  const reference = await readReference();
  const { tables } = await readTables(catalogue, folder, reference);
  return checkClaims(dataOf(tables, reference), only);
}
