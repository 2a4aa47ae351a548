import { assertEquals, assertMatch, assertRejects, assertThrows } from "@std/assert";
import { afterEach, beforeEach, describe, it } from "@std/testing/bdd";
import { defineExperiment, type Experiment } from "./experiment.ts";
import { readCsv } from "../report/csv.ts";
import {
  checkShard,
  describeMachines,
  mergeShards,
  parseShard,
  planAgain,
  planRun,
  publish,
  runCells,
  setAside,
} from "./runner.ts";

let folder = "", calls: string[] = [];

const counts = { smoke: 2, quick: 5, full: 9 } as const;
const example = (key: string, broken: string[] = []): Experiment =>
  defineExperiment({
    key,
    title: "Example",
    explanation: "An example.",
    columns: { n: "a number", text: "a text" },
    cells: (size) => Array.from({ length: counts[size] }, (_, n) => ({ id: `cell ${n}`, n })),
    run({ id, n }, { size }) {
      calls.push(id);
      if (broken.includes(id)) throw new Error("the disk is full");
      return [{ n, text: size }, { n: n + 0.5, text: "second, row" }];
    },
    figures: () => [],
  });

const identity = { size: "quick", seed: 1, commit: "abc", machine: "a machine, 2 cores" } as const;
const cellsIn = async (path: string) => [...new Set((await readCsv(path))?.rows.map((row) => row["cell"]))];

describe("runner", () => {
  beforeEach(async () => {
    folder = await Deno.makeTempDir();
    calls = [];
  });
  afterEach(() => Deno.remove(folder, { recursive: true }));

  it("writes the rows of every cell with their provenance", async () => {
    const a = example("a"), b = example("b");
    const plan = await planRun([a, b], identity, folder);
    assertEquals(await runCells(plan, identity, folder), []);
    const table = await readCsv(`${folder}/a.csv`);
    assertEquals(table?.columns, ["cell", "n", "text", "size", "seed", "commit", "machine"]);
    assertEquals(table?.rows.length, 10);
    assertEquals(table?.rows[1], {
      cell: "cell 0",
      n: "0.5",
      text: "second, row",
      size: "quick",
      seed: "1",
      commit: "abc",
      machine: "a machine, 2 cores",
    });
    assertMatch(table?.comments[0] ?? "", /^Example\. Measured by: deno task reproduce --only a$/);
  });

  it("closes every experiment once, after the last cell and though cells fail", async () => {
    const keep = (key: string) => ({
      ...example(key, ["cell 1"]),
      close: () => Promise.resolve(void calls.push(`close ${key}`)),
    });
    const plan = await planRun([keep("a"), keep("b")], identity, folder);
    await runCells(plan, identity, folder);
    assertEquals(calls.slice(-3), ["cell 4", "close b", "close a"]);
  });

  it("reports a cell that fails, runs the others, and repeats only that cell on --resume", async () => {
    const broken = example("a", ["cell 1"]), errors: string[] = [];
    const failed = await runCells(await planRun([broken], identity, folder), identity, folder, {
      failed: (_, error) => errors.push(error.message),
    });
    assertEquals([failed.length, errors], [1, ['a, cell "cell 1": the disk is full']]);
    assertEquals((await cellsIn(`${folder}/a.csv`)).length, 4);

    calls = [];
    const plan = await planRun([example("a")], identity, folder, { resume: true });
    await runCells(plan, { ...identity, commit: "def" }, folder);
    assertEquals(calls, ["cell 1"]);
    // The order is that of the cells, not that of the runs, and every row keeps its own commit.
    assertEquals(await cellsIn(`${folder}/a.csv`), ["cell 0", "cell 1", "cell 2", "cell 3", "cell 4"]);
    const commits = (await readCsv(`${folder}/a.csv`))?.rows.map((row) => row["commit"]);
    assertEquals(commits?.slice(0, 4), ["abc", "abc", "def", "def"]);
  });

  it("keeps what is finished when a run is cut off", async () => {
    const plan = await planRun([example("a")], identity, folder);
    await assertRejects(() =>
      runCells(plan, identity, folder, {
        started(_, number) {
          if (number === 3) throw new Error("cut off");
        },
      })
    );
    assertEquals(await cellsIn(`${folder}/a.csv`), ["cell 0", "cell 1"]);
  });

  it("stops where rows cannot be written: the remaining cells would be computed for nothing", async () => {
    const full = example("a"), run = full.run;
    const plan = await planRun(
      [{
        ...full,
        run(cell, context) {
          // From the third cell on a folder is in the way of the file.
          if (calls.length === 2) {
            Deno.renameSync(`${folder}/a.csv`, `${folder}/kept.csv`);
            Deno.mkdirSync(`${folder}/a.csv/in-the-way`, { recursive: true });
          }
          return run(cell, context);
        },
      }],
      identity,
      folder,
    );
    await assertRejects(() => runCells(plan, identity, folder), Error, "so the remaining cells are left out");
    assertEquals(calls, ["cell 0", "cell 1", "cell 2"]);
    assertEquals(await cellsIn(`${folder}/kept.csv`), ["cell 0", "cell 1"]);

    calls = [];
    const inChild = { ...example("b"), run: () => Promise.reject(new Error("No space left on device")) };
    const both = await planRun([inChild, example("c")], identity, folder);
    await assertRejects(() => runCells(both, identity, folder), Error, "make room, then --resume goes on");
    assertEquals(calls, []);
  });

  it("does not resume rows of another seed or size", async () => {
    await runCells(await planRun([example("a")], identity, folder), identity, folder);
    const kept = async (size: "smoke" | "quick", seed: number) =>
      (await planRun([example("a")], { size, seed }, folder, { resume: true })).filter(({ kept }) => kept)
        .length;
    assertEquals([await kept("quick", 1), await kept("quick", 2), await kept("smoke", 1)], [5, 0, 0]);
  });

  it("refuses rows without a column, no rows, and cells of the same name", async () => {
    const wrong = { ...example("a"), run: () => [{ nn: 1 }] }, empty = { ...example("b"), run: () => [] };
    const errors: string[] = [];
    const plan = await planRun([wrong, empty], { size: "smoke", seed: 1 }, folder);
    await runCells(plan, identity, folder, { failed: (_, error) => errors.push(error.message) });
    assertEquals(errors[0], 'a, cell "cell 0": it gave a value for "nn", which is not a column');
    assertEquals(errors[2], 'b, cell "cell 0": it gave no rows');
    const twins = { ...example("c"), cells: () => [{ id: "x" }, { id: "x" }] };
    await assertRejects(() => planRun([twins], identity, folder), RangeError, 'two cells "x"');
  });

  it("publishes complete experiments, and never a smaller run over a larger one", async () => {
    const results = `${folder}/results`,
      run = async (size: "smoke" | "quick" | "full", broken: string[] = []) => {
        const experiments = [example("a", broken)], from = `${folder}/${size}`, id = { ...identity, size };
        await runCells(await planRun(experiments, id, from), id, from);
        return (await publish(experiments, size, from, results))[0];
      };
    assertEquals(await run("quick"), { key: "a", published: true });
    assertEquals(await run("smoke"), {
      key: "a",
      published: false,
      reason: `${results}/a.csv is of size quick, this run is smoke`,
    });
    assertEquals(await run("full", ["cell 8"]), {
      key: "a",
      published: false,
      reason: "1 cell is missing",
    });
    assertEquals(await run("full"), { key: "a", published: true });
    assertEquals((await cellsIn(`${results}/a.csv`)).length, 9);
  });

  it("runs long cells when told to, and otherwise keeps their committed rows", async () => {
    const plain = example("a"), identityOf = (commit: string) => ({ ...identity, commit });
    const a: Experiment = {
      ...plain,
      cells: (size) => plain.cells(size).map((cell) => cell.id === "cell 1" ? { ...cell, long: true } : cell),
    };
    const results = `${folder}/results`;
    const run = async (commit: string, long: boolean) => {
      const plan = await planRun([a], identity, `${folder}/run`, { long, results });
      await runCells(plan, identityOf(commit), `${folder}/run`);
      assertEquals(await publish([a], "quick", `${folder}/run`, results), [{ key: "a", published: true }]);
      return (await readCsv(`${results}/a.csv`))?.rows.filter((_, i) => i % 2 === 0).map((row) =>
        row["commit"]
      );
    };
    assertEquals(await run("first", false), Array(4).fill("first"));
    assertEquals(await run("second", true), Array(5).fill("second"));
    assertEquals(await run("third", false), ["third", "second", "third", "third", "third"]);
    assertEquals(calls.filter((id) => id === "cell 1").length, 1);
  });

  it("keeps the committed rows of a cell that lacks something, however a run is asked for", async () => {
    const plain = example("a"), results = `${folder}/results`;
    const lacking = (lacks: string | undefined): Experiment => ({
      ...plain,
      cells: (size) =>
        plain.cells(size).map((cell) => lacks && cell.id === "cell 1" ? { ...cell, lacks } : cell),
    });
    const run = async (commit: string, lacks: string | undefined, long: boolean) => {
      const a = lacking(lacks), plan = await planRun([a], identity, `${folder}/run`, { long, results });
      await runCells(plan, { ...identity, commit }, `${folder}/run`);
      assertEquals(await publish([a], "quick", `${folder}/run`, results), [{ key: "a", published: true }]);
      return (await readCsv(`${results}/a.csv`))?.rows.filter((_, i) => i % 2 === 0).map((row) =>
        row["commit"]
      );
    };
    assertEquals(await run("first", "weights", true), Array(4).fill("first"));
    assertEquals(await run("second", undefined, false), Array(5).fill("second"));
    assertEquals(await run("third", "weights", true), ["third", "second", "third", "third", "third"]);
  });

  it("falls back on the committed rows of a long cell that is asked for and fails", async () => {
    const plain = example("a"), results = `${folder}/results`;
    let breaks = false;
    const a: Experiment = {
      ...plain,
      cells: (size) => plain.cells(size).map((cell) => cell.id === "cell 1" ? { ...cell, long: true } : cell),
      run(cell, context) {
        if (breaks && cell.id === "cell 1") throw new Error("it broke");
        return plain.run(cell, context);
      },
    };
    const run = async (commit: string) => {
      const plan = await planRun([a], identity, `${folder}/run`, { long: true, results });
      const failed = await runCells(plan, { ...identity, commit }, `${folder}/run`);
      await publish([a], "quick", `${folder}/run`, results);
      const rows = (await readCsv(`${results}/a.csv`))!.rows.filter((_, i) => i % 2 === 0);
      return [failed.length, ...rows.map((row) => row["commit"])];
    };
    assertEquals(await run("first"), [0, ...Array(5).fill("first")]);
    breaks = true;
    assertEquals(await run("second"), [1, "second", "first", "second", "second", "second"]);
  });

  /** Every row of a CSV by its cell, as the commits of its rows. */
  const commitsOf = async (file: string) =>
    Object.fromEntries((await readCsv(file))?.rows.map((row) => [row["cell"], row["commit"]]) ?? []);

  it("measures on --resume what committed rows stood for, once it lacks nothing or long cells are asked for", async () => {
    const plain = example("a"), results = `${folder}/results`, run = `${folder}/run`;
    const changed = (change: object): Experiment => ({
      ...plain,
      cells: (size) => plain.cells(size).map((cell) => cell.id === "cell 1" ? { ...cell, ...change } : cell),
    });
    const now = { ...identity, commit: "now" };
    await runCells(await planRun([plain], identity, results), identity, results);
    for (
      const [before, options, after, asked] of [
        [{ lacks: "x" }, {}, {}, {}],
        [{ long: true }, {}, { long: true }, { long: true }],
      ] as const
    ) {
      const first = changed(before), second = changed(after);
      await runCells(await planRun([first], now, run, { results, ...options }), now, run);
      assertEquals((await commitsOf(`${run}/a.csv`))["cell 1"], "abc");
      calls = [];
      const plan = await planRun([second], now, run, { resume: true, results, ...asked });
      await setAside([second], run, plan);
      await runCells(plan, now, run);
      assertEquals([calls, (await commitsOf(`${run}/a.csv`))["cell 1"]], [["cell 1"], "now"]);
      // Measured now, so nothing is left to do, and what is published says nothing of how a run went.
      const again = await planRun([second], now, run, { resume: true, results, ...asked });
      assertEquals(again.filter(({ kept, again }) => !kept || again), []);
      await Deno.remove(run, { recursive: true });
    }
    await runCells(await planRun([changed({ lacks: "x" })], now, run, { results }), now, run);
    assertEquals((await readCsv(`${run}/a.csv`))!.comments.at(-1)!.includes('["cell 1"]'), true);
    await publish([plain], "quick", run, results);
    assertEquals(
      (await readCsv(`${results}/a.csv`))!.comments.some((line) => line.includes("cell 1")),
      false,
    );
  });

  it("has the rows of an earlier run on disk again before it measures", async () => {
    const run = `${folder}/run`, a = example("a"), broken = example("a", ["cell 4"]);
    await runCells(await planRun([broken], identity, run), identity, run);
    // A cell whose name changed since: the old CSV is set aside.
    const renamed: Experiment = {
      ...broken,
      cells: (size) =>
        a.cells(size).map((cell) => cell.id === "cell 0" ? { ...cell, id: "new" } : cell).reverse(),
      run: () => {
        throw new Error("interrupted");
      },
    };
    const plan = await planRun([renamed], identity, run, { resume: true });
    await setAside([renamed], run, plan);
    assertEquals((await runCells(plan, identity, run)).length, 2);
    assertEquals(await cellsIn(`${run}/a.csv`), ["cell 3", "cell 2", "cell 1"]);
  });

  it("says of a cell that lacks something whether there are rows for it", async () => {
    const a = example("a"),
      lacking: Experiment = {
        ...a,
        cells: (size) => a.cells(size).map((cell) => cell.id === "cell 1" ? { ...cell, lacks: "x" } : cell),
      };
    const plan = await planRun([lacking], identity, folder);
    assertEquals(plan.map(({ kept }) => kept), [undefined, [], undefined, undefined, undefined]);
  });

  it("takes rows of other data for another cell's, in a resumed run and in a merge", async () => {
    const plain = example("a"), run = `${folder}/run`;
    const on = (dataset: string): Experiment => ({
      ...plain,
      columns: { ...plain.columns, dataset: "data" },
      cells: (size) => plain.cells(size).map((cell) => ({ ...cell, dataset })),
      run: async (cell, context) => (await plain.run(cell, context)).map((row) => ({ ...row, dataset })),
    });
    const here = on("cifar10");
    await runCells(await planRun([on("shapes")], identity, run), identity, run);
    const kept = async (experiment: Experiment) =>
      (await planRun([experiment], identity, run, { resume: true })).filter((planned) => planned.kept).length;
    assertEquals([await kept(here), await kept(on("shapes"))], [0, 5]);
    // Nor are committed rows of other data borrowed.
    const long = (experiment: Experiment): Experiment => ({
      ...experiment,
      cells: (size) => experiment.cells(size).map((cell) => ({ ...cell, long: true })),
    });
    const borrowed = async (experiment: Experiment) =>
      (await planRun([long(experiment)], identity, `${folder}/other`, { results: run })).length;
    assertEquals([await borrowed(here), await borrowed(on("shapes"))], [0, 5]);
    await assertRejects(
      () => mergeShards([here], "quick", [run], `${folder}/merged`),
      Error,
      "is not part of a quick run here",
    );
  });

  it("carries committed rows of another run through shards, merge and repetition", async () => {
    const plain = example("a"), results = `${folder}/results`;
    const a: Experiment = {
      ...plain,
      cells: (size) => plain.cells(size).map((cell) => cell.id === "cell 1" ? { ...cell, lacks: "x" } : cell),
    };
    const other = { ...identity, seed: identity.seed + 1 };
    await runCells(await planRun([plain], other, results, {}), other, results);
    const folders: string[] = [];
    for (const index of [1, 2]) {
      const shard = { index, count: 2 }, to = `${folder}/shard-${index}`;
      folders.push(to);
      await runCells(await planRun([a], identity, to, { shard, results }), identity, to);
    }
    await mergeShards([a], "quick", folders, `${folder}/merged`);
    const seeds = async (file: string) => (await readCsv(file))!.rows.map((row) => Number(row["seed"]));
    const expected = [0, 1, 2, 3, 4].flatMap((i) => Array(2).fill(i === 1 ? other.seed : identity.seed));
    assertEquals(await seeds(`${folder}/merged/a.csv`), expected);
    const cells = new Map([["a", new Set(["cell 2"])]]);
    const again = await planAgain([a], identity, `${folder}/merged`, cells, results);
    await runCells(again, identity, `${folder}/merged`);
    assertEquals(await seeds(`${folder}/merged/a.csv`), expected);
  });

  it("carries committed rows through a shard that measures nothing", async () => {
    const plain = example("a"), results = `${folder}/results`, folders: string[] = [];
    const kept: Experiment = {
      ...plain,
      cells: (size) => plain.cells(size).map((cell) => cell.id === "cell 0" ? cell : { ...cell, lacks: "x" }),
    };
    await runCells(await planRun([plain], identity, results, {}), identity, results);
    for (const index of [1, 2, 3, 4, 5]) {
      const shard = { index, count: 5 }, to = `${folder}/shard-${index}`;
      folders.push(to);
      await runCells(await planRun([kept], identity, to, { shard, results }), identity, to);
    }
    await mergeShards([kept], "quick", folders, `${folder}/merged`);
    assertEquals((await readCsv(`${folder}/merged/a.csv`))!.rows.length, 10);
  });

  it("refuses a folder that holds the rows of another shard, whatever of its own was measured", async () => {
    const a = example("a"), first = { index: 1, count: 2 }, second = { index: 2, count: 2 };
    const check = (experiment: Experiment, shard: typeof first, seed: number = identity.seed) =>
      checkShard([experiment], { ...identity, seed }, shard, folder);
    await runCells(await planRun([a], identity, folder, { shard: first }), identity, folder);
    await check(a, first);
    await assertRejects(() => check(a, second), Error, 'holds "cell 0" of another shard');
    await check(a, second, identity.seed + 1);
    // A cell that is left out now, or that there is no longer, is nobody else's.
    const lacking: Experiment = {
      ...a,
      cells: (size) => a.cells(size).map((cell) => cell.id === "cell 0" ? { ...cell, lacks: "x" } : cell),
    };
    await check(lacking, first);
    await check(
      { ...a, cells: (size) => a.cells(size).map((cell) => ({ ...cell, id: `new ${cell.id}` })) },
      second,
    );
  });

  it("sets aside what a plan does not carry on: rows of another seed, or of another shard", async () => {
    const a = example("a"), run = `${folder}/run`, other = { ...identity, seed: identity.seed + 1 };
    const there = async () =>
      [await readCsv(`${run}/a.csv`), await readCsv(`${run}/a.csv.previous`)].map(Boolean);
    await runCells(await planRun([a], identity, run), identity, run);
    await setAside([a], run, await planRun([a], identity, run, { resume: true }));
    assertEquals(await there(), [true, false]);
    await setAside([a], run, await planRun([a], other, run, { resume: true }));
    assertEquals(await there(), [false, true]);
    await Deno.rename(`${run}/a.csv.previous`, `${run}/a.csv`);
    await setAside(
      [a],
      run,
      await planRun([a], identity, run, { resume: true, shard: { index: 1, count: 2 } }),
    );
    assertEquals(await there(), [false, true]);
  });

  it("says of a cell that the code was changed since the start", async () => {
    const a = example("a"), plan = await planRun([a], identity, folder);
    await runCells(plan, identity, folder, {}, () => Promise.resolve("def"));
    assertEquals((await readCsv(`${folder}/a.csv`))!.rows[0]["commit"], `${identity.commit} to def`);
  });

  it("leaves committed rows on a dataset that this run has not", async () => {
    const plain = example("a"), results = `${folder}/results`;
    const on = (dataset: string): Experiment => ({
      ...plain,
      columns: { ...plain.columns, dataset: "data" },
      run: async (cell, context) => (await plain.run(cell, context)).map((row) => ({ ...row, dataset })),
    });
    const run = async (dataset: string) => {
      await runCells(await planRun([on(dataset)], identity, `${folder}/run`), identity, `${folder}/run`);
      return (await publish([on(dataset)], "quick", `${folder}/run`, results))[0].reason;
    };
    assertEquals(await run("cifar10"), undefined);
    assertEquals(await run("shapes"), `${results}/a.csv has rows on cifar10, this run has none`);
    assertEquals(await run("cifar10"), undefined);
  });

  it("spreads cells over shards and merges them, refusing gaps and overlaps", async () => {
    const experiments = [example("a"), example("b")], folders: string[] = [];
    for (const index of [1, 2, 3]) {
      const shard = { index, count: 3 }, to = `${folder}/shard-${index}`;
      folders.push(to);
      await runCells(await planRun(experiments, identity, to, { shard }), identity, to);
    }
    const merge = (list: string[]) => mergeShards(experiments, "quick", list, `${folder}/merged`);
    await assertRejects(() => merge(folders.slice(1)), Error, "a lacks 2 of 5 cells");
    assertEquals(await readCsv(`${folder}/merged/a.csv`), undefined);
    await Deno.copyFile(`${folder}/shard-1/b.csv`, `${folder}/extra.csv`);
    await Deno.mkdir(`${folder}/extra`);
    await Deno.rename(`${folder}/extra.csv`, `${folder}/extra/b.csv`);
    await assertRejects(() => merge([...folders, `${folder}/extra`]), Error, "is also in");
    await assertRejects(
      () => mergeShards(experiments, "full", folders, folder),
      Error,
      "is of size quick, not full",
    );
    assertEquals(
      (await mergeShards([...experiments, example("c")], "quick", folders, `${folder}/three`)).absent,
      [
        "c",
      ],
    );
    const { keys, absent, origins, machines } = await merge(folders);
    assertEquals(absent, []);
    assertEquals([keys, origins], [["a", "b"], ["commit abc on a machine, 2 cores"]]);
    assertEquals(describeMachines(machines), []);
    assertEquals(await cellsIn(`${folder}/merged/b.csv`), ["cell 0", "cell 1", "cell 2", "cell 3", "cell 4"]);
  });

  it("says which rows of merged shards are from another machine", async () => {
    const experiments = [example("a")], folders: string[] = [];
    for (const index of [1, 2, 3]) {
      const shard = { index, count: 3 }, to = `${folder}/shard-${index}`;
      folders.push(to);
      const machine = index === 2 ? "another machine" : identity.machine;
      await runCells(await planRun(experiments, identity, to, { shard }), { ...identity, machine }, to);
    }
    const { machines } = await mergeShards(experiments, "quick", folders, `${folder}/merged`);
    assertEquals(describeMachines(machines), [
      "3 cells on a machine, 2 cores",
      "2 cells on another machine: a: cell 1; a: cell 4",
    ]);
  });

  it("measures cells of a finished run once more, and keeps the rows of one that then fails", async () => {
    await runCells(await planRun([example("a"), example("b")], identity, folder), identity, folder);
    calls = [];
    const noisy = new Map([["a", new Set(["cell 1", "cell 3"])]]);
    const plan = await planAgain([example("a", ["cell 3"]), example("b")], identity, folder, noisy);
    const failed = await runCells(plan, { ...identity, commit: "def" }, folder);
    assertEquals([calls, failed.map(({ cell }) => cell.id)], [["cell 1", "cell 3"], ["cell 3"]]);
    const rows = (await readCsv(`${folder}/a.csv`))!.rows;
    assertEquals(rows.length, 10);
    assertEquals(rows.map((row) => row["commit"]).filter((commit) => commit === "def").length, 2);
    assertEquals(rows.filter((row) => row["cell"] === "cell 1").map((row) => row["commit"]), ["def", "def"]);
  });

  it("reads I/N", () => {
    assertEquals(parseShard("2/3"), { index: 2, count: 3 });
    for (const text of ["0/3", "4/3", "1/0"]) {
      assertThrows(() => parseShard(text), RangeError, "I from 1 to N");
    }
  });
});
