import { assertEquals, assertStringIncludes } from "@std/assert";
import { it } from "@std/testing/bdd";
import type { DerivedTable } from "./experiment.ts";
import { parseCsv } from "../report/csv.ts";
import { deriveTables } from "./derived.ts";

const table: DerivedTable = {
  key: "doubled",
  title: "Doubled",
  explanation: "An example.",
  columns: { n: "twice the number" },
  from: ["timing"],
  rows: (measured) =>
    measured("timing").map((row) => ({ cell: row["cell"], n: 2 * Number(row["n"]), size: "quick" })),
  figures: () => [],
};
const timing = new Map([["timing", parseCsv("cell,n\na,1\nb,2.5\n")]]);
const noReference = () => [];

it("deriveTables() computes rows as a CSV has them, and says in the file that nothing was measured", () => {
  const { tables, failures } = deriveTables([table], timing, noReference);
  assertEquals(failures, []);
  assertEquals(tables.get("doubled")!.rows.map((row) => [row["cell"], row["n"], row["commit"]]), [
    ["a", "2", ""],
    ["b", "5", ""],
  ]);
  assertStringIncludes(tables.get("doubled")!.comments[0], "nothing is measured for it: from timing.csv");
});

it("deriveTables() leaves out what has no source, and tells what it cannot compute", () => {
  const broken = { ...table, key: "broken", rows: () => [{ m: 1 }] };
  const { tables, failures } = deriveTables([{ ...table, from: ["other"] }, broken], timing, noReference);
  assertEquals([...tables.keys()], []);
  assertEquals(failures, [{ key: "broken", text: 'broken: it gave a value for "m", which is not a column' }]);
});
