/** A folder that a run writes has one owner, and rows stay where they belong and say where they come from. */
import { fileURLToPath } from "node:url";
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { afterAll, beforeAll, describe, it } from "@std/testing/bdd";
import { Program, within } from "./support/program.ts";

let root = "";
const TRAINING = "--model convnet --dataset shapes --limit 128 --batch 32 --seed 3".split(" ");
const train = (...more: string[]) =>
  Program.start("train", [...TRAINING, "--results", `${root}/logs`, "--json", ...more]);

/** Owns a folder as another process would. */
async function owning(folder: string, work: () => Promise<void>): Promise<void> {
  await Deno.mkdir(folder, { recursive: true });
  using file = await Deno.open(`${folder}/.lock`, { create: true, write: true });
  await file.lock(true);
  await file.write(new TextEncoder().encode("process 4711\n"));
  await work();
}

describe("runs", () => {
  beforeAll(async () => void (root = await Deno.makeTempDir()));
  afterAll(() => Deno.remove(root, { recursive: true }));

  for (
    const [name, ...args] of [
      ["train", ...TRAINING, "--epochs", "1", "--out", "FOLDER"],
      ["train", ...TRAINING, "--epochs", "1", "--out", "FOLDER", "--resume"],
      ["reproduce", "--size", "smoke", "--only", "polynomial_fit", "--results", "FOLDER"],
      ["reproduce", "--size", "smoke", "--only", "polynomial_fit", "--results", "FOLDER", "--shard", "1/2"],
      ["merge", "--size", "smoke", "--from", "FOLDER", "--results", "FOLDER"],
      ["figures", "--results", "FOLDER"],
      ["audit", "--weights", "FOLDER", "--write"],
      ["data", "--get", "cifar10", "--data", "FOLDER"],
    ] as const
  ) {
    it(`${name} ${args.at(-1)} leaves a folder alone that another process writes`, async () => {
      const folder = `${root}/owned`;
      await owning(folder, async () => {
        await using program = Program.start(name, args.map((arg) => arg.replace("FOLDER", folder)));
        const sentence = `${folder} is being written by another process (process 4711); wait for its end`;
        await program.failsWith([sentence], 20_000);
        assertEquals(Array.from(Deno.readDirSync(folder), ({ name }) => name), [".lock"]);
      });
    });
  }

  it("train --wait begins when the other process has ended, and a lock does not outlive its holder", async () => {
    const out = `${root}/waiting`, options = ["--epochs", "40", "--out", out];
    await using first = train(...options);
    const begun = async () => {
      while (!Array.from(Deno.readDirSync(root)).some(({ name }) => name === "waiting")) await pause();
      while (!Array.from(Deno.readDirSync(out)).some(({ name }) => name === "log.csv")) await pause();
    };
    const pause = () => new Promise((resolve) => setTimeout(resolve, 20));
    await within(30_000, begun(), "the first epoch");
    await using second = train(...options, "--resume");
    await second.failsWith([`${out} is being written by another process (process ${first.pid})`], 20_000);
    await using third = train(...options, "--resume", "--wait");
    await new Promise((resolve) => setTimeout(resolve, 500));
    first.kill("SIGKILL");
    await first.ended();
    const { stdout } = await third.succeeds(60_000);
    assertEquals(JSON.parse(stdout).epochsDone, 40);
    assertEquals(Array.from(Deno.readDirSync(out), ({ name }) => name).filter((n) => n.endsWith(".tmp")), []);
  });

  it("two runs whose folders have the same last name do not share a log", async () => {
    await using first = train("--epochs", "1", "--out", `${root}/a/final`);
    await first.succeeds();
    const log = await Deno.readTextFile(`${root}/logs/final.csv`);
    await using second = train("--epochs", "1", "--out", `${root}/b/final`);
    await second.failsWith([`${root}/logs/final.csv holds other rows`, "give another --results"], 20_000);
    assertEquals(await Deno.readTextFile(`${root}/logs/final.csv`), log);
  });

  for (
    const [name, ...args] of [["reproduce", "--only", "polynomial_fit"], ["merge", "--from", "x"]] as const
  ) {
    it(`${name} does not collect rows among the committed ones, by whichever path`, async () => {
      for (
        const results of ["results", "./results/", fileURLToPath(new URL("../results", import.meta.url))]
      ) {
        await using program = Program.start(name, [...args, "--size", "smoke", "--results", results]);
        await program.failsWith(["where the committed rows are"], 20_000);
      }
    });
  }

  it("reproduce --resume says that rows of other code or another machine are kept", async () => {
    const folder = `${root}/resumed`,
      options = ["--size", "smoke", "--only", "polynomial_fit", "--results", folder];
    await using first = Program.start("reproduce", options);
    const { stderr } = await first.ended(60_000);
    assert(!/other code/.test(stderr), stderr);
    const path = `${folder}/polynomial_fit.csv`, csv = await Deno.readTextFile(path);
    // The last two columns of the first row.
    const [row] = /^degree 2 real,.*$/m.exec(csv)!;
    const other = row.replace(/,[^,]+,("[^"]*"|[^,]*)$/, ",abc123,another machine");
    await Deno.writeTextFile(path, csv.replace(row, other));
    await using second = Program.start("reproduce", [...options, "--resume"]);
    const resumed = await second.ended(60_000);
    assertMatch(
      resumed.stderr,
      /^kept cells were measured with other code or on another machine: commit abc123 on another machine$/m,
    );
    assertStringIncludes(await Deno.readTextFile(path), other);
  });
});
