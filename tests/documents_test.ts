/** The documents say what code and CSVs say, their links lead somewhere, and the first of them stays short. */
import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import * as catalogue from "../experiments/mod.ts";
import { freshDocuments } from "../src/documents/documents.ts";
import { list, paragraph, table } from "../src/documents/markdown.ts";
import { withParts } from "../src/documents/parts.ts";
import { claims } from "../src/report/claims.ts";
import { Program } from "./support/program.ts";

const pages = async () => [
  ...["README.md", "ARTIFACT.md", "std/README.md", "results/reference/README.md"],
  ...(await Array.fromAsync(Deno.readDir("docs"), ({ name }) => `docs/${name}`)).filter((path) =>
    path.endsWith(".md")
  ),
];

/** "a/{b,c}.ts" names two files. */
const alternatives = (path: string): string[] => {
  const [, before, names, after] = /^(.*?)\{(.*?)\}(.*)$/.exec(path) ?? [];
  return names === undefined
    ? [path]
    : names.split(",").flatMap((name) => alternatives(before + name + after));
};

describe("the documents", () => {
  it("are as `deno task documents` writes them", async () => {
    for (const [path, text] of await freshDocuments(catalogue)) {
      assert(await Deno.readTextFile(path) === text, `${path} is stale; run: deno task documents`);
    }
  });
  it("name every claim, command and result", async () => {
    const { tasks } = JSON.parse(await Deno.readTextFile("deno.json"));
    const read = (path: string) => Deno.readTextFileSync(path);
    for (const { id } of claims) assertStringIncludes(read("ARTIFACT.md"), `**\`${id}\`**`);
    for (const name of Object.keys(tasks)) assertStringIncludes(read("docs/commands.md"), `| \`${name}\``);
    for (const { key } of catalogue.allResults) {
      assertStringIncludes(read("docs/results.md"), `## \`${key}\``);
    }
  });
  it("link to files that are there", async () => {
    const lost: string[] = [];
    for (const page of await pages()) {
      for (const [, target] of (await Deno.readTextFile(page)).matchAll(/\]\(([^)#\s]+)[^)]*\)/g)) {
        if (/^https?:/.test(target)) continue;
        const path = new URL(target, new URL(`../${page}`, import.meta.url));
        await Deno.stat(path).catch(() => lost.push(`${page}: ${target}`));
      }
    }
    assertEquals(lost, []);
  });
  it("name files of this repository that are there", async () => {
    const lost: string[] = [];
    for (const page of await pages()) {
      for (
        const [, path] of (await Deno.readTextFile(page)).matchAll(
          /`((?:src|tests|experiments|docs)\/[^`\s]+)`/g,
        )
      ) {
        for (const name of alternatives(path)) {
          const glob = new RegExp(`^${name.replace(/[.+]/g, "\\$&").replace(/\*|<\w+>|SIZE/g, "[^/]+")}$`);
          const folder = name.slice(0, name.replace(/\/$/, "").lastIndexOf("/"));
          const isThere = await Array.fromAsync(Deno.readDir(folder), (entry) => `${folder}/${entry.name}`)
            .then((paths) => paths.some((path) => glob.test(path) || `${path}/` === name), () => false);
          if (!isThere) lost.push(`${page}: ${name}`);
        }
      }
    }
    assertEquals(lost, []);
  });
  it("name options that commands have", async () => {
    const { tasks } = JSON.parse(await Deno.readTextFile("deno.json")) as {
      tasks: Record<string, { command: string }>;
    };
    const known = new Set(["--experimental-wasm-revectorize"]); // of V8
    // One after another: of thirty at once one may wait for a minute where the machine is busy.
    for (const [name, { command }] of Object.entries(tasks)) {
      if (name === "build" || !command.includes("src/cli/")) continue;
      const file = name.replace(/:turbo$/, "").replace(":", "_");
      await using program = Program.start(file, ["--help"], { proves: false });
      for (const [flag] of (await program.succeeds()).stdout.matchAll(/--[a-z][a-z-]*/g)) known.add(flag);
    }
    const unknown: string[] = [];
    for (const page of await pages()) {
      const text = await Deno.readTextFile(page);
      const code = [...text.matchAll(/```sh[^]*?```|`[^`\n]+`/g)].map(([part]) => part).join("\n");
      for (const [option] of code.matchAll(/(?<![\w-])--[a-z][a-z-]*/g)) {
        if (!known.has(option)) unknown.push(`${page}: ${option}`);
      }
    }
    assertEquals(unknown, []);
  });
  it("begin with one of at most 10 kB", async () => {
    const { size } = await Deno.stat("README.md");
    assert(size <= 10_000, `README.md has ${size} bytes`);
  });
});

describe("withParts()", () => {
  const marked = (name: string, text: string) =>
    `before\n<!-- ${name}, written by deno task documents -->\n${text}<!-- end of ${name} -->\nafter`;
  it("writes what stands between the marks and nothing else", () => {
    const parts = { list: () => "- $1 is one" };
    const once = withParts(marked("list", "old\n"), parts, "page");
    assertEquals(once, marked("list", "\n- $1 is one\n\n"));
    assertEquals(withParts(once, parts, "page"), once);
    assertEquals(withParts(marked("list", ""), parts, "page"), once);
  });
  it("names a part that nothing writes", () => {
    assertThrows(
      () => withParts(marked("other", ""), {}, "page"),
      RangeError,
      'page asks for a part "other"',
    );
  });
});

describe("Markdown", () => {
  it("is what deno fmt leaves alone", async () => {
    const long = "word ".repeat(20).trimEnd();
    const text = [
      paragraph(`${long} masked + espn ${long} a - b ${long}`),
      list([`${long} one`, "two"]),
      table([{ name: "a|b", value: "1" }, { name: "é", value: "22" }]),
    ].join("\n\n") + "\n";
    const fmt = new Deno.Command(Deno.execPath(), {
      args: ["fmt", "--ext", "md", "-"],
      stdin: "piped",
      stdout: "piped",
    }).spawn();
    const writer = fmt.stdin.getWriter();
    await writer.write(new TextEncoder().encode(text));
    await writer.close();
    assertEquals(new TextDecoder().decode((await fmt.output()).stdout), text);
  });
});
