import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { it } from "@std/testing/bdd";
import { defineExperiment } from "./experiment.ts";
import { preflight, resourcesHere } from "./preflight.ts";
import type { PlannedCell } from "./runner.ts";

const experiment = defineExperiment({
  key: "timing",
  title: "Example",
  explanation: "An example.",
  columns: { n: "a number" },
  cells: () => [],
  run: () => [{ n: 1 }],
  figures: () => [],
});
const planned = (id: string, needs: { memoryMB?: number; diskMB?: number } = {}): PlannedCell => ({
  experiment,
  cell: { id, ...needs },
});
const plan = [planned("small"), planned("resnet50", { memoryMB: 4500 }), planned("vgg", { diskMB: 61 })];
const ids = (cells: readonly PlannedCell[]) => cells.map(({ cell }) => cell.id);

it("preflight() leaves nothing out where there is enough, or where nobody knows", () => {
  for (const memoryMB of [8000, undefined]) {
    assertEquals(preflight(plan, { memoryMB, diskMB: memoryMB, cores: 2 }), {
      run: plan,
      left: [],
      notes: [],
    });
  }
});

it("preflight() leaves out what the memory cannot hold, and says so with both numbers", () => {
  const { run, left, notes } = preflight(plan, { memoryMB: 3210, diskMB: 5000, cores: 2 });
  assertEquals([ids(run), ids(left)], [["small", "vgg"], ["resnet50"]]);
  assertEquals(notes, [
    "this machine has 3.2 GB of free memory, up to 4.5 GB are needed; left out: timing (resnet50)",
  ]);
});

it("preflight() leaves out what the disk cannot hold", () => {
  const { left, notes } = preflight(plan, { memoryMB: 9000, diskMB: 50, cores: 2 });
  assertEquals(ids(left), ["vgg"]);
  assertStringIncludes(notes[0], "0.1 GB of free disk");
});

it("preflight() keeps cells whose rows are there already", () => {
  const kept = [{ ...plan[1], kept: [{ n: "1" }] }];
  assertEquals(preflight(kept, { memoryMB: 1, cores: 2 }).left, []);
});

it("preflight() says what a cell lacks whose committed rows stay", () => {
  const lacks = "the weights of vgg do not ship", cell = { ...plan[2].cell, lacks };
  const { run, left, notes } = preflight([plan[0], { ...plan[2], cell, kept: [{ n: "1" }] }], { cores: 2 });
  assertEquals([ids(run), ids(left)], [["small", "vgg"], []]);
  assertEquals(notes, [`${lacks}; committed rows stay: timing (vgg)`]);
});

it("preflight() names a cell that lacks something and has no committed rows, and leaves it out", () => {
  const lacks = "the weights of vgg do not ship", cell = { ...plan[2].cell, lacks };
  const { run, notes } = preflight([plan[0], { ...plan[2], cell, kept: [] }], { cores: 2 });
  assertEquals([ids(run), notes], [["small"], [`${lacks}; no committed rows, left out: timing (vgg)`]]);
});

it("preflight() keeps the rows of a cell that was to be measured again and cannot be", () => {
  const kept = [{ n: "1" }], again = { ...plan[1], kept, again: true };
  const { run, left } = preflight([plan[0], again], { memoryMB: 3210, cores: 2 });
  assertEquals([run, ids(left)], [[plan[0], { ...plan[1], kept }], ["resnet50"]]);
});

it("preflight() names a missing core and still runs everything", () => {
  const { run, notes } = preflight(plan, { cores: 1 });
  assertEquals(run, plan);
  assertStringIncludes(notes[0], "1 core");
});

it("resourcesHere() finds memory, disk and cores of this machine", () => {
  const { memoryMB, diskMB, cores } = resourcesHere();
  assert(memoryMB! > 10 && diskMB! > 10 && cores >= 1);
});
