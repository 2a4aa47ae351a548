/** What holds for every figure that the committed CSVs give. */
import { assert, assertEquals } from "@std/assert";
import { it } from "@std/testing/bdd";
import { deriveTables } from "../src/reproduction/derived.ts";
import { readReference, readResults } from "../src/report/results.ts";
import { allResults, derivedTables, experiments } from "./mod.ts";

const reference = await readReference();
const measured = await readResults("results", experiments.map(({ key }) => key));
const tables = new Map([...measured, ...deriveTables(derivedTables, measured, reference).tables]);
const charts = allResults.flatMap((result) => {
  const table = tables.get(result.key);
  return table === undefined ? [] : result.figures(table.rows, reference);
});

it("every figure says what to see in it, in a sentence that goes on from these words", () => {
  for (const { name, see } of charts) {
    assert(/^(?!.*(undefined|NaN|-0(?![.\d])))[a-z].*[^.]\.$/.test(see), `${name}: ${see}`);
  }
});

it("figures have names of their own, and the committed files are those that the CSVs give", () => {
  const names = charts.map(({ name }) => name);
  assertEquals(new Set(names).size, names.length);
  const files = [...Deno.readDirSync("paper_figures")].map(({ name }) => name).filter((name) =>
    name.endsWith(".svg")
  );
  assertEquals(files.sort(), names.map((name) => `${name}.svg`).sort());
});

it("every result is in the report once, the derived tables and the accuracy table first", () => {
  const keys = allResults.map(({ key }) => key);
  assertEquals(keys.slice(0, 2), ["speedup_table", "accuracy_table"]);
  assertEquals(keys.toSorted(), [...experiments, ...derivedTables].map(({ key }) => key).toSorted());
});
