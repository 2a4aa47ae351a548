import { fileURLToPath } from "node:url";
import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { nearest, parseCommand, usage, UsageError } from "./command.ts";

const command = {
  name: "example",
  summary: "does nothing",
  time: "1 min",
  options: {
    seed: { type: "integer", default: 1, min: 0, max: 100, help: "seed" },
    delayMs: { type: "number", min: 0, help: "delay" },
    profile: {
      type: "string",
      choices: ["lan", "wan"],
      default: "lan",
      help: "network",
    },
    shard: {
      type: "string",
      pattern: /^\d+\/\d+$/,
      accepts: "I/N, for example 1/4",
      help: "part",
    },
    only: { type: "list", choices: ["a", "bee"], help: "keys" },
    model: { type: "string", required: true, help: "model" },
    json: { type: "boolean", help: "print JSON" },
  },
} as const;

const parse = (...args: string[]) => {
  const values = parseCommand(command, args);
  assert(values !== "help");
  return values;
};
const message = (...args: string[]) =>
  (assertThrows(() => parseCommand(command, args), UsageError) as Error)
    .message;

describe("parseCommand()", () => {
  it("fills in defaults and infers types", () => {
    const values = parse("--model", "m");
    // Compiles only if the types are inferred from the specification.
    const seed: number = values.seed,
      profile: "lan" | "wan" = values.profile,
      model: string = values.model;
    const json: boolean = values.json,
      only: ("a" | "bee")[] | undefined = values.only;
    assertEquals([seed, profile, model, json, only, values.delayMs], [
      1,
      "lan",
      "m",
      false,
      undefined,
      undefined,
    ]);
  });
  it("takes a first argument without a name where an option is meant for it", () => {
    const onFile = {
      name: "on-file",
      options: { file: { type: "string", positional: true, required: true, help: "" } },
    } as const;
    for (const args of [["a b"], ["--file", "a b"]]) {
      assertEquals(parseCommand(onFile, args), { file: "a b" });
    }
    assertThrows(() => parseCommand(onFile, ["a", "b"]), UsageError, '"b" is not an option');
    assertThrows(() => parseCommand(onFile, ["a", "--file", "b"]), UsageError, "--file was given 2 times");
    assertThrows(() => parseCommand(onFile, []), UsageError, "--file is needed");
    assertStringIncludes(
      usage({ ...onFile, summary: "", run: () => {} }),
      "Usage: deno task on-file FILE [options]",
    );
  });
  it("reads every kind of value", () => {
    const values = parse(
      "--seed=7",
      "--delay-ms",
      "0.5",
      "--only",
      "a,bee",
      "--only=a",
      "--json",
      "--model",
      "m",
    );
    assertEquals([values.seed, values.delayMs, values.only, values.json], [
      7,
      0.5,
      ["a", "bee"],
      true,
    ]);
  });
  it("names the option, what was given and what is accepted", () => {
    assertStringIncludes(message("--only", ","), '--only was given "," but accepts');
    assertEquals(
      message("--seed", "x"),
      '--seed was given "x" but accepts an integer from 0 to 100',
    );
    assertEquals(
      message("--seed", "101"),
      '--seed was given "101" but accepts an integer from 0 to 100',
    );
    assertEquals(
      message("--seed=1.5"),
      '--seed was given "1.5" but accepts an integer from 0 to 100',
    );
    assertEquals(
      message("--delay-ms=-1"),
      '--delay-ms was given "-1" but accepts a number of at least 0',
    );
    assertEquals(
      message("--profile", "wam"),
      '--profile was given "wam" but accepts one of lan, wan; did you mean wan?',
    );
    assertEquals(
      message("--shard", "1"),
      '--shard was given "1" but accepts I/N, for example 1/4',
    );
    assertEquals(
      message("--only", "a,be"),
      '--only was given "be" but accepts any of a, bee, separated by commas; did you mean bee?',
    );
  });
  it("refuses unknown options, stray words, missing and repeated values", () => {
    assertEquals(
      message("--sede", "1"),
      "unknown option --sede; did you mean --seed?",
    );
    assertEquals(
      message("--delayms", "1"),
      "unknown option --delayms; did you mean --delay-ms?",
    );
    assertEquals(message("-x"), "unknown option -x");
    assertEquals(
      message("seed"),
      '"seed" is not an option; did you mean --seed?',
    );
    assertEquals(message("--", "stray"), '"stray" is not an option');
    assertEquals(
      message("--seed"),
      "--seed lacks its value: it accepts an integer from 0 to 100",
    );
    assertEquals(
      message("--seed", ""), // as from a variable that is not set
      "--seed lacks its value: it accepts an integer from 0 to 100",
    );
    assertEquals(
      message("--profile", "--json"),
      "--profile lacks its value: it accepts one of lan, wan",
    );
    assertEquals(
      message("--seed=1", "--seed=2"),
      "--seed was given 2 times but accepts one value",
    );
    assertEquals(
      message("--json=yes"),
      '--json was given "yes" but takes no value',
    );
    assertEquals(message(), "--model is needed: it accepts text");
  });
  it("refuses an option beside one that would make it do nothing", () => {
    const options = {
      pictureFile: { type: "path", help: "", excludes: ["seed"] },
      seed: { type: "integer", default: 1, help: "" },
      plain: { type: "boolean", help: "", excludes: ["seed", "of another command"] },
    } as const;
    const parse = (...args: string[]) => parseCommand({ name: "example", options }, args);
    for (const args of [["--picture-file", "a"], ["--seed", "1"], ["--plain", "--picture-file", "a"]]) {
      parse(...args);
    }
    for (const other of [["--picture-file", "a"], ["--plain"]]) {
      const said = `${other[0]} and --seed were both given; give one`;
      assertThrows(() => parse("--seed", "1", ...other), UsageError, said);
    }
  });
  it("refuses an option without those that it needs to do anything", () => {
    const options = {
      folder: { type: "path", needs: ["dataset", "list"], help: "" },
      dataset: { type: "string", default: "shapes", help: "" },
      list: { type: "boolean", help: "" },
    } as const;
    const parse = (...args: string[]) => parseCommand({ name: "example", options }, args);
    for (const needed of [["--dataset", "shapes"], ["--list"]]) parse("--folder", "a", ...needed);
    const said = "--folder does nothing without --dataset or --list; give that too, or leave it out";
    assertThrows(() => parse("--folder", "a"), UsageError, said);
  });
  it("answers --help anywhere", () => {
    assertEquals(parseCommand(command, ["--seed", "x", "--help"]), "help");
  });
});

describe("usage()", () => {
  it("lists options with defaults, and the time", () => {
    const text = usage({ ...command, run: () => {} });
    assertStringIncludes(text, "example: does nothing");
    assertStringIncludes(text, "--seed N");
    assertStringIncludes(text, "seed (default: 1)");
    assertStringIncludes(text, "model (required)");
    assertStringIncludes(text, "--profile lan|wan");
    assertStringIncludes(text, "Time: 1 min");
  });
});

describe("a path", () => {
  const paths = {
    name: "example",
    options: {
      out: { type: "path", default: "runs", help: "folder" },
      from: { type: "paths", help: "folders" },
    },
  } as const;
  const read = (args: readonly string[], user: string | undefined) => {
    const before = Deno.env.get("INIT_CWD");
    if (user === undefined) Deno.env.delete("INIT_CWD");
    else Deno.env.set("INIT_CWD", user);
    try {
      const values = parseCommand(paths, args);
      assert(values !== "help");
      return values;
    } finally {
      if (before === undefined) Deno.env.delete("INIT_CWD");
      else Deno.env.set("INIT_CWD", before);
    }
  };
  it("starts where the user stands, and is absolute", () => {
    assertEquals(read(["--out", "a b"], "/home/é").out, "/home/é/a b");
    assertEquals(read(["--out", "../x#y"], "/home/é").out, "/home/x#y");
    assertEquals(read(["--out", "/y%20"], "/home/é").out, "/y%20");
    assertEquals(read(["--out", "y"], undefined).out, `${Deno.cwd()}/y`);
  });
  it("has a default that starts in the repository", () => {
    assertEquals(read([], "/home/é").out, "runs");
  });
  it("is one of a list, in which a comma is written twice", () => {
    assertEquals(read(["--from", "a,b c,,d", "--from", "e"], "/u").from, ["/u/a", "/u/b c,d", "/u/e"]);
  });
});

describe("nearest()", () => {
  it("finds typing mistakes and beginnings, and nothing far away", () => {
    assertEquals(nearest("reslts", ["results", "seed"]), "results");
    assertEquals(nearest("prof", ["profile"]), "profile");
    assertEquals(nearest("banana", ["results", "seed"]), undefined);
  });
});

async function runScript(body: string, env: Record<string, string> = {}) {
  const module = new URL("./command.ts", import.meta.url).href;
  const config = fileURLToPath(new URL("../../deno.json", import.meta.url));
  const source = `import { onExit, runCommand } from "${module}";\n${body}`;
  const args = ["eval", "--no-lock", "--config", config, source];
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args,
    env,
    stderr: "piped",
  }).output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  return { code, out: text(stdout), err: text(stderr) };
}

describe("runCommand()", () => {
  const script = (run: string) =>
    `await runCommand({ name: "x", summary: "s", options: {}, run() { ${run} } });`;
  it("prints an error as one sentence, without a stack trace, and runs the clean-ups", async () => {
    const failing = script(
      'onExit(() => console.log("cleaned")); throw new Error("disk is full");',
    );
    assertEquals(await runScript(failing), {
      code: 1,
      out: "cleaned\n",
      err: "error: disk is full\n",
    });
    // Also in a role that has given its permissions away.
    const confined = script('Deno.permissions.revokeSync({ name: "env" }); throw new Error("disk is full");');
    for (const source of [failing, confined]) {
      const traced = await runScript(source, { PRIVATE_INFERENCE_TRACE: "1" });
      assertStringIncludes(traced.err, "    at ");
    }
  });
  it("lets no name in an error steer the terminal", async () => {
    const { err } = await runScript(
      script(String.raw`throw new Error("bad \x1b[2Jname\u202e\u009b.\nA second line");`),
    );
    assertEquals(err, "error: bad ?[2Jname??.\nA second line\n");
  });
  it("says of a file what the system says, and its path once", async () => {
    for (
      const [run, err] of [
        ['Deno.readFileSync("/")', "cannot read /: Is a directory"],
        ['Deno.openSync("/no/file")', "cannot open /no/file: No such file or directory"],
        ['Deno.writeFileSync("/no/file", "")', "cannot write /no/file: No such file or directory"],
        [
          'try { Deno.readFileSync("/") } catch (e) { throw new Error("cannot read the image /: " + e.message) }',
          "cannot read the image /: Is a directory",
        ],
      ] as const
    ) {
      assertEquals(await runScript(script(run.replace('""', "new Uint8Array()"))), {
        code: 1,
        out: "",
        err: `error: ${err}\n`,
      });
    }
  });
  it("passes the exit code of run on and reports rejections that nobody awaits", async () => {
    assertEquals((await runScript(script("return 3;"))).code, 3);
    assertEquals((await runScript(script("return;"))).code, 0);
    const stray = await runScript(
      script(
        'Promise.reject(new Error("stray")); return new Promise((r) => setTimeout(r, 500));',
      ),
    );
    assertEquals(stray, { code: 1, out: "", err: "error: stray\n" });
    const thrown = await runScript(
      script(
        'onExit(() => console.log("cleaned")); const over = new AbortController(); over.signal.onabort = () => { throw new Error("stray"); };' +
          "setTimeout(() => over.abort(), 20); return new Promise((r) => setTimeout(r, 500));",
      ),
    );
    assertEquals(thrown, { code: 1, out: "cleaned\n", err: "error: stray\n" });
  });
  it("ends with one sentence and exit code 1 on SIGTERM", async () => {
    const { code, out, err } = await runScript(
      `await runCommand({ name: "x", summary: "s", options: {}, interrupted: "the run is kept", async run() {
        onExit(() => console.log("cleaned"));
        setTimeout(() => Deno.kill(Deno.pid, "SIGTERM"), 50);
        await new Promise((r) => setTimeout(r, 10_000));
      } });`,
    );
    assertEquals({ code, out, err }, {
      code: 1,
      out: "cleaned\n",
      err: "interrupted; the run is kept\n",
    });
  });
});
