/**
 * Every task as a user calls it: by its own line of `deno.json` and no right beyond it, with all it can be asked for, from a
 * folder inside a checkout whose path is hard to write in URLs, flags and lists.
 */
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { afterAll, beforeAll, describe, it } from "@std/testing/bdd";
import { shapesDataset } from "../src/data/shapes.ts";
import type { LoadResult } from "../src/reproduction/command_results.ts";
import { SERVICE, v8Arguments } from "../src/terminal/v8_flags.ts";
import { png, RGB } from "./support/png.ts";
import { childrenOf } from "./support/process_list.ts";
import { type Ended, poll, Program, within } from "./support/program.ts";

const PATIENCE_MS = 120_000;
const ROOT = new URL("../", import.meta.url);
const { tasks } = JSON.parse(await Deno.readTextFile(new URL("deno.json", ROOT)));

let checkout = "", here = "";

async function copy(from: URL, to: string): Promise<void> {
  if (!(await Deno.stat(from)).isDirectory) return await Deno.copyFile(from, to);
  await Deno.mkdir(to, { recursive: true });
  const folder = new URL(`${from.href.replace(/\/*$/, "")}/`);
  for await (const { name } of Deno.readDir(folder)) {
    if (name !== "models" || !/build/.test(from.href)) await copy(new URL(name, folder), `${to}/${name}`);
  }
}

/** Runs a task to its end. Nothing may be said about rights. */
async function run(name: string, ...args: string[]): Promise<Ended> {
  // Nothing is downloaded, also where a network is there.
  await using program = Program.task(name, args, here, { HTTPS_PROXY: "http://127.0.0.1:1" });
  const ended = await program.ended(PATIENCE_MS);
  assert(!/NotCapable|Requires \w+ access/.test(ended.stdout + ended.stderr), ended.stderr);
  return ended;
}

async function succeeds(name: string, ...args: string[]): Promise<string> {
  called.add(name);
  const { code, stdout, stderr } = await run(name, ...args);
  assertEquals(code, 0, `deno task ${name} ${args.join(" ")} said: ${stdout}${stderr}`);
  return stdout;
}

it("roles that stay hold V8 to the memory that load measures", () => {
  const [flag] = v8Arguments(SERVICE);
  for (const role of ["server", "dealer"]) {
    assertStringIncludes(tasks[role].command, ` ${flag} src/cli/${role}.ts`);
  }
});

const called = new Set<string>();
const SHIPPED = "../results/models/convnet-pillar-shapes";
const TRAINING = ["--model", "convnet", "--limit", "96", "--batch", "32", "--epochs", "1"];

describe("from a folder inside a checkout under a path with a space, #, %, é and a comma", () => {
  beforeAll(async () => {
    // What the tasks of these tests may not download.
    const runtimes = ["native", "web"].map((name) => new URL(`src/onnx/runtime_${name}.ts`, ROOT).href);
    await new Deno.Command(Deno.execPath(), { args: ["cache", "--quiet", ...runtimes] }).output();
    checkout = `${await Deno.makeTempDir()}/a #%41,é b`;
    here = `${checkout}/where I am`;
    await Deno.mkdir(`${checkout}/results`, { recursive: true });
    const documents = ["README.md", "ARTIFACT.md", "docs"];
    for (
      const name of ["src", "std", "experiments", "build", "mod.ts", "deno.json", "deno.lock", ...documents]
    ) {
      await copy(new URL(name, ROOT), `${checkout}/${name}`);
    }
    for await (const { name, isFile } of Deno.readDir(new URL("results/", ROOT))) {
      if ((isFile && name.endsWith(".csv")) || name === "reference") {
        await copy(new URL(`results/${name}`, ROOT), `${checkout}/results/${name}`);
      }
    }
    for (const name of ["convnet-pillar-shapes", "convnet-relu-shapes"]) {
      await copy(new URL(`results/models/${name}`, ROOT), `${checkout}/results/models/${name}`);
    }
    await Deno.mkdir(here);
    const samples = Uint8Array.from({ length: 32 * 32 * 3 }, (_, i) => (i * 7) % 256);
    for (const [split, count] of [["train", 48], ["val", 3]] as const) {
      for (const kind of ["cat", "dog"]) {
        await Deno.mkdir(`${here}/my pictures/${split}/${kind}`, { recursive: true });
        for (let i = 0; i < count; i++) {
          const bytes = png({
            width: 32,
            height: 32,
            colour: RGB,
            samples: samples.map((value) => value + i),
          });
          await Deno.writeFile(`${here}/my pictures/${split}/${kind}/${i}.png`, bytes);
        }
      }
    }
    await Deno.copyFile(`${here}/my pictures/val/cat/0.png`, `${here}/pic #%41 é.png`);
    await Deno.writeFile(`${here}/images.f32`, new Uint8Array(2 * 32 * 32 * 3 * 4));
  });
  afterAll(() => Deno.remove(checkout.replace(/\/[^/]*$/, ""), { recursive: true }));

  const PICTURE = "pic #%41 é.png";
  const FOLDER = ["--dataset", "folder", "--data", "my pictures"];

  it("build compiles the kernels, and leaves what the task prints one JSON object", async () => {
    const stamp = `${checkout}/build/ring_bits.stamp`, fingerprint = await Deno.readTextFile(stamp);
    await Deno.remove(stamp);
    await succeeds("build");
    assertEquals(await Deno.readTextFile(stamp), fingerprint);
    await Deno.remove(stamp);
    const printed = await succeeds("audit", "--weights", SHIPPED, "--images", "1", "--json");
    assertEquals([typeof JSON.parse(printed), await Deno.readTextFile(stamp)], ["object", fingerprint]);
  });

  it("infer takes a picture, many images, and threads", async () => {
    const shipped = ["--model", "convnet", "--weights", SHIPPED];
    const few = [...shipped, "--repetitions", "1", "--warm-up", "1"];
    const out = await succeeds("infer", ...few, "--image", PICTURE, "--profile", "lan", "--prepare", "2");
    assertStringIncludes(out, "convnet (10 classes)");
    const many = ["infer", ...shipped, "--no-revectorize", "--json", "--logits", "--images"] as const;
    assertEquals(JSON.parse(await succeeds(...many, "images.f32")).answers.length, 2);
    assertEquals(JSON.parse(await succeeds(...many, "my pictures/val/cat")).answers.length, 3);
    await succeeds("infer", ...shipped, "--dataset", "shapes", "--limit", "2");
    await Deno.writeTextFile(`${here}/labels.txt`, "0\n1\n2\n");
    await succeeds("infer", ...shipped, "--images", "my pictures/val/dog", "--labels", "labels.txt");
    await succeeds("infer", ...few, "--activation", "honeybadger", "--linear", "beaver", "--threads", "2");
    // Random weights are made, audited by TensorFlow.js and kept.
    await succeeds("infer", "--model", "convnet", "--model-seed", "7", "--repetitions", "1");
  });

  it("infer says what is in the way of a path with a comma", async () => {
    await Deno.copyFile(`${here}/${PICTURE}`, `${here}/a,b.png`);
    const { code, stderr } = await run(
      "infer",
      "--weights",
      SHIPPED,
      "--model",
      "convnet",
      "--image",
      "a,b.png",
    );
    assertEquals(code, 1);
    assertMatch(stderr, /^error: \/.*a,b\.png has a comma in its path, which .*; rename it\n$/);
  });

  it("explain and audit", async () => {
    await succeeds("explain", "--model", "convnet", "--weights", SHIPPED, "--image", PICTURE);
    await succeeds("explain", "--model", "convnet", "--model-seed", "8", "--json");
    await succeeds("audit", "--model", "convnet", "--images", "4");
    const audited = ["--model", "convnet", "--weights", SHIPPED, "--images", "4", "--write", "--force"];
    await succeeds("audit", ...audited, "--dataset", "shapes");
  });

  it("export and import, and what was imported", async () => {
    const out = await succeeds(
      "export",
      "--weights",
      "../results/models/convnet-relu-shapes",
      "--onnx",
      "my own.onnx",
    );
    assertMatch(out, /^convnet with relu in \/.*my own\.onnx: image \[1, 3, 32, 32\], 10 logits/);
    const { classNames, mean, deviation } = shapesDataset({ train: 0, test: 0 });
    await Deno.writeTextFile(`${here}/names`, classNames!.join("\n"));
    const pixels = ["--mean", mean.join(), "--deviation", deviation.join(), "--class-names", "names"];
    const own = ["my own.onnx", "--name", "own", "--out", "own network", ...pixels];
    assertStringIncludes(await succeeds("import", ...own), `own: 32 x 32 x 3, 10 classes`);
    await succeeds("audit", "--weights", "own network", "--images", "4", "--write");
    await succeeds("audit", "--weights", "own network", "--images", "4", ...FOLDER);
    const few = ["--weights", "own network", "--repetitions", "1", "--warm-up", "0"];
    await succeeds("infer", ...few, "--image", PICTURE);
    await succeeds("infer", ...few, "--drawn", "3");
    await succeeds("explain", "--weights", "own network");
    const accuracy = async (folder: string) => {
      const on = ["--dataset", "shapes", "--limit", "200", "--json"];
      return JSON.parse(await succeeds("evaluate", "--weights", folder, ...on)).accuracy;
    };
    assertEquals(await accuracy("own network"), await accuracy("../results/models/convnet-relu-shapes"));
  });

  it("train, evaluate and audit on an image folder, and again on shapes", async () => {
    const out = await succeeds("train", ...TRAINING, ...FOLDER, "--out", "own run", "--results", "logs");
    assertStringIncludes(out, `--weights '${here}/own run'`);
    assertEquals((await Deno.stat(`${here}/logs/own run.csv`)).isFile, true);
    for (const options of [[], ["--engine", "tfjs"], ["--hold-out"], ["--clip", "--json"]]) {
      await succeeds("evaluate", "--weights", "own run", "--data", "my pictures", ...options);
    }
    assertMatch(
      await succeeds("publish", "--weights", "own run"),
      /results\/models\/own run: F32, .*SHA-256 [0-9a-f]{64}/,
    );
    await succeeds(
      "audit",
      "--model",
      "convnet",
      "--classes",
      "2",
      "--weights",
      "own run",
      ...FOLDER,
      "--force",
    );
    const shapes = [...TRAINING, "--dataset", "shapes", "--results", "logs", "--json"];
    await succeeds("train", ...shapes, "--out", "tfjs", "--engine", "tfjs", "--also-clipped", "--hold-out");
    await succeeds("train:turbo", ...shapes, "--out", "turbo", "--workers", "1");
    await succeeds("train", ...shapes, "--out", "turbo", "--resume");
  });

  it("keys, and server, client and dealer with certificates and with tokens", async () => {
    assertStringIncludes(await succeeds("keys", "--out", "my keys"), "my keys/server");
    for (
      const keysOf of [
        (role: string) => ["--identity", `my keys/${role}`],
        (role: string) => ["--tokens", `my keys/${role}/tokens.json`],
      ]
    ) {
      const common = ["--model", "convnet"], listen = [...common, "--listen", "127.0.0.1:0"];
      await using dealer = Program.task("dealer", [...listen, ...keysOf("dealer"), "--threads", "2"], here);
      const at = ["--dealer", `127.0.0.1:${await dealer.port()}`];
      await using server = Program.task("server", [...listen, ...keysOf("server"), ...at], here);
      const to = ["--connect", `127.0.0.1:${await server.port()}`, ...at, "--profile", "none"];
      await using client = Program.task(
        "client",
        [...common, ...to, ...keysOf("client"), "--image", PICTURE],
        here,
      );
      assertEquals((await client.ended(PATIENCE_MS)).code, 0, client.said);
      assertMatch(client.said, /client: (class \d|unreliable)/);
      for (const role of [server, dealer]) {
        role.kill("SIGTERM");
        assertEquals((await role.ended(PATIENCE_MS)).code, 0, role.said);
      }
      for (const role of [client, server, dealer]) called.add(role.name.replace("task ", ""));
    }
  });

  it("reproduce, figures, claims and merge", async () => {
    // An experiment without a child, and one of each kind of child.
    const kinds = "polynomial_fit,network_calibration,regularisation_sweep,accuracy_table";
    await succeeds("reproduce", "--size", "smoke", "--only", kinds, "--shard", "4/4", "--results", "out");
    const files = await Array.fromAsync(Deno.readDir(`${here}/out`), ({ name }) => name);
    for (const key of kinds.split(",")) assert(files.includes(`${key}.csv`), `${key} of ${files}`);
    await succeeds("reproduce", "--size", "smoke", "--only", "polynomial_fit", "--results", "drawn");
    await succeeds("figures", "--results", "drawn");
    await succeeds("figures", "--only", "polynomial_fit");
    await succeeds("claims", "--results", "drawn", "--only", "polynomial_fit", "--partial");
    for (const [shard, folder] of [["1/2", "one, half"], ["2/2", "the other"]] as const) {
      const options = ["--only", "polynomial_fit", "--shard", shard, "--results", folder];
      await succeeds("reproduce", "--size", "smoke", ...options);
    }
    // In a list a comma is written twice.
    const from = ["--from", "one,, half,the other"];
    await succeeds("merge", "--size", "smoke", ...from, "--results", "merged");
    assertEquals((await Deno.stat(`${here}/merged/report.html`)).isFile, true);
  });

  it("the smaller ones", async () => {
    assertMatch(await succeeds("calibrate", "--profile", "lan", "--budget", "50"), /round trip/);
    assertMatch(await succeeds("fuzz", "--cases", "6", "--seed", "2"), /onnx file +1 +\d/);
    assertMatch(
      await succeeds("load", "--model", "convnet", "--clients", "1", "--seconds", "1"),
      /queries of 1 clients/,
    );
    const load = await succeeds("load", "--model", "convnet", "--clients", "2", "--seconds", "2", "--json");
    const { serverRssMB } = JSON.parse(load.slice(load.indexOf("{"))) as LoadResult;
    if (Deno.build.os === "linux") {
      assert(serverRssMB.length >= 2 && serverRssMB.every((mb) => mb > 20), load);
    }
    await succeeds("models");
    await succeeds("documents");
    await succeeds("fit");
    const timed = ["--model", "convnet", "--activation", "quartic", "--repetitions", "2"];
    for (const runtime of ["tfjs", "onnx-web", "onnx-native"]) {
      await succeeds("plaintext", ...timed, "--runtime", runtime, "--json");
    }
    await succeeds("bench", "--only", "elementwise", "--seconds", "0.01", "--no-revectorize");
    await succeeds("bench", "--only", "networks", "--models", "minionn-bn", "--seconds", "0.01", "--json");
    await succeeds("bench:training", "--models", "convnet", "--batch", "16", "--steps", "1");
    await succeeds("data", "--data", "my data");
    const { code, stderr } = await run("data", "--get", "cifar10", "--data", "my data");
    assertEquals(code, 1, stderr);
    assertStringIncludes(stderr, "error: cannot reach https://www.cs.toronto.edu/");
  });

  it("no task is left out", () => {
    // `test` is this run, and `check` needs the whole repository.
    assertEquals([...called, "check", "test"].sort(), Object.keys(tasks).sort());
  });
});

describe("a child that dies", () => {
  const isLinux = Deno.build.os === "linux", onLinux = isLinux ? it : it.ignore;
  const reason = isLinux ? "" : " (skipped: only Linux lists processes under /proc)";
  onLinux(`before it has connected ends calibrate with a sentence${reason}`, async () => {
    await using program = Program.start("calibrate", ["--budget", "60000"]);
    const child = await within(
      PATIENCE_MS,
      poll(async () => (await childrenOf(program.pid))[0]),
      "the second process",
    );
    Deno.kill(child.pid, "SIGKILL");
    await program.failsWith(["the second process ended with SIGKILL"]);
  });
});
