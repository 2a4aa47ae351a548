/** The commands as a user runs them, on the experiment that needs neither network nor model. */
import { fileURLToPath } from "node:url";
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { afterAll, beforeAll, describe, it } from "@std/testing/bdd";
import { parseCsv } from "../report/csv.ts";

let folder = "";

async function task(command: string, ...args: string[]) {
  const script = fileURLToPath(new URL(`./${command}.ts`, import.meta.url));
  const root = fileURLToPath(new URL("../..", import.meta.url));
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "--no-prompt", "-A", script, ...args],
    cwd: root,
    stdout: "piped",
    stderr: "piped",
  }).output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  return { code, out: text(stdout), err: text(stderr) };
}

const key = "polynomial_fit";
const rows = async (path: string) =>
  parseCsv(await Deno.readTextFile(`${folder}/${path}/${key}.csv`)).rows.map(({ commit: _, ...row }) => row);
const run = (results: string, ...args: string[]) =>
  task("reproduce", "--size", "smoke", "--only", key, "--results", `${folder}/${results}`, ...args);

describe("reproduce, figures, claims, merge", () => {
  beforeAll(async () => {
    folder = await Deno.makeTempDir();
  });
  afterAll(() => Deno.remove(folder, { recursive: true }));

  it("measure, draw and judge with exit code 0", async () => {
    const { code, out, err } = await run("all");
    assertEquals(code, 0, err + out);
    assertMatch(out, /\nresult: \d+ of \d+ claims hold.*; exit code 0 \(no judged claim fails\)\n$/);
    assertMatch(err, /smoke run on .*; rows go to/);
    const files = [...Deno.readDirSync(`${folder}/all/figures`)].map(({ name }) => name);
    assert(files.length >= 3 && files.every((name) => /\.(svg|pdf|png)$/.test(name)), files.join());
    assertStringIncludes(await Deno.readTextFile(`${folder}/all/report.html`), '<div class="plot"><svg');
  });

  it("resume without measuring anything again", async () => {
    const { code, err } = await run("all", "--resume");
    assertEquals(code, 0, err);
    assertMatch(err, /: 0 cells \(\d+ are complete already\);/);
  });

  it("draw the same figures again from the CSV alone", async () => {
    const [name] = [...Deno.readDirSync(`${folder}/all/figures`)].map(({ name }) => name).filter((n) =>
      n.endsWith(".svg")
    );
    const path = `${folder}/all/figures/${name}`, before = await Deno.readTextFile(path);
    await Deno.remove(path);
    const { code, out } = await task("figures", "--results", `${folder}/all`);
    assertEquals(code, 0);
    assertStringIncludes(out, "report.html");
    assertEquals(await Deno.readTextFile(path), before);
  });

  it("merge shards into what an undivided run gives, and refuse a gap", async () => {
    const parts = ["1/2", "2/2"].map((shard) => run(`part${shard[0]}`, "--shard", shard));
    for (const { code, err } of await Promise.all(parts)) assertEquals(code, 0, err);
    const merge = (from: string) =>
      task("merge", "--size", "smoke", "--from", from, "--results", `${folder}/merged`);
    const gap = await merge(`${folder}/part1`);
    assertEquals(gap.code, 1);
    assertMatch(gap.err, /^error: polynomial_fit lacks \d+ of \d+ cells: /);
    const { code, err } = await merge(`${folder}/part1,${folder}/part2`);
    assertEquals(code, 0, err);
    assertEquals(await rows("merged"), await rows("all"));
  });

  it("fail a claim that the rows refute, and say which", async () => {
    const path = `${folder}/all/${key}.csv`, csv = await Deno.readTextFile(path);
    assertEquals((await task("claims", "--results", `${folder}/all`, "--only", key, "--partial")).code, 0);
    await Deno.writeTextFile(path, csv.replaceAll("322 512 160 0 -3", "322 512 160 0 -4"));
    const { code, out } = await task("claims", "--results", `${folder}/all`, "--only", key, "--json");
    assertEquals(code, 1);
    const verdicts = out.trim().split("\n").map((line) => JSON.parse(line));
    assert(verdicts.some(({ id, verdict }) => id === "fit-aware-10" && verdict === "fails"));
  });

  it("draw and judge the rest where a figure cannot be drawn, and say which", async () => {
    await Deno.mkdir(`${folder}/broken`);
    const csv = await Deno.readTextFile(`${folder}/merged/${key}.csv`);
    // The two charts take the distance of every fit, the claims only that of the quartics.
    const corrupt = csv.split("\n").map((line) =>
      line.startsWith("degree 2 p 8 aware,") ? line.replace(/0\.\d+/, "?") : line
    );
    await Deno.writeTextFile(`${folder}/broken/${key}.csv`, corrupt.join("\n"));
    const { code, err, out } = await task("figures", "--results", `${folder}/broken`);
    assertEquals(code, 1, out);
    assertMatch(err, /error: not drawn: the figures of polynomial_fit: column "[a-z_]+" holds "\?"/);
    const report = await Deno.readTextFile(`${folder}/broken/report.html`);
    assertStringIncludes(report, "Not drawn: the figures of polynomial_fit");
    assertStringIncludes(report, 'id="claim-fit-aware-10"');
  });

  it("answer mistakes in one sentence", async () => {
    const { code, err } = await task("reproduce", "--only", "polynomial");
    assertEquals(code, 1);
    assertStringIncludes(err, '--only was given "polynomial" but accepts any of ');
    assertStringIncludes(err, "did you mean polynomial_fit?");
    assert(!err.includes("    at "));
  });
});
