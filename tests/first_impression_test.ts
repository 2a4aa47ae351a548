/** What a stranger meets first: the defaults, a place that cannot be written, and sentences about nothing. */
import { assert, assertEquals, assertMatch, assertStringIncludes, assertThrows } from "@std/assert";
import { afterAll, beforeAll, describe, it } from "@std/testing/bdd";
import { writeImageList } from "../src/data/image_list.ts";
import { type Dataset, holdOut } from "../src/data/dataset.ts";
import { shapesDataset } from "../src/data/shapes.ts";
import { Program } from "./support/program.ts";

/** What every run of a network prints alike: traffic, delays, class. */
const lasting = (text: string): string[] =>
  text.match(/\d+\.\d+ MB|\d+ one-way delays|^class .*?;|largest logit [\d.]+/gm) ?? [];

describe("without options", () => {
  for (const protocol of ["lifted", "relu", "honeybadger"]) {
    it(`infer has a trained network tell what a drawn picture shows, by ${protocol}`, async () => {
      const options = protocol === "lifted" ? [] : ["--activation", protocol];
      await using program = Program.start("infer", options);
      const { stdout } = await program.succeeds();
      assertMatch(stdout, /^class 1 \(square\), as drawn, as in plaintext; logits differ by at most /m);
      if (protocol !== "lifted") return;
      for (const page of ["README.md", "ARTIFACT.md"]) {
        const [, shown] = /```text\n(convnet [^]*?)```/.exec(await Deno.readTextFile(page))!;
        assertEquals(lasting(shown), lasting(stdout), page);
      }
    });
  }

  it("a network with random weights is not said to be wrong where two logits are closer than the error", async () => {
    await using program = Program.start("infer", ["--model", "minionn-bn", "--repetitions", "3"]);
    const { stdout } = await program.succeeds();
    assertMatch(
      stdout,
      /^class \d, (as in plaintext|not that of plaintext, whose logits of the two are closer)/m,
    );
  });

  it("explain looks at the same", async () => {
    await using program = Program.start("explain", ["--json"]);
    assertEquals(JSON.parse((await program.succeeds()).stdout).model, "convnet");
  });

  it("infer takes the network that the weights belong to", async () => {
    await using program = Program.start("infer", [
      "--weights",
      "results/models/minionn-bn-pillar",
      ...["--repetitions", "1", "--warm-up", "0"],
    ]);
    assertStringIncludes((await program.succeeds()).stdout, "minionn-bn (10 classes)");
  });

  it("a picture that the network takes for another one is said to be another one", async () => {
    await using program = Program.start("infer", ["--drawn", "14", "--repetitions", "1"]);
    assertStringIncludes(
      (await program.succeeds()).stdout,
      "class 6 (arrow), drawn was 4 (cross), as in plaintext;",
    );
  });
});

describe("a place that cannot be written", () => {
  let root = "";
  beforeAll(async () => {
    root = await Deno.makeTempDir();
    await Deno.writeTextFile(`${root}/file`, "a file where a folder is wanted");
  });
  afterAll(() => Deno.remove(root, { recursive: true }));

  for (
    const [name, ...args] of [
      ["train", "--preset", "convnet-pillar-cpu", "--dataset", "shapes", "--out", "FILE/run"],
      [
        "train",
        "--preset",
        "convnet-pillar-cpu",
        "--dataset",
        "shapes",
        "--out",
        "ROOT/run",
        "--results",
        "FILE",
      ],
      ["reproduce", "--size", "smoke", "--results", "FILE/results"],
      ["merge", "--size", "smoke", "--from", "ROOT", "--results", "FILE"],
      ["figures", "--results", "FILE"],
      ["data", "--get", "cifar10", "--data", "FILE"],
      ["audit", "--weights", "FILE", "--write"],
    ] as const
  ) {
    it(`ends ${name} ${args.join(" ")} at once with a sentence`, async () => {
      const given = args.map((arg) => arg.replace("FILE", `${root}/file`).replace("ROOT", root));
      await using program = Program.start(name, given);
      await program.failsWith([`cannot write to the folder ${root}/file`], 20_000);
    });
  }
});

it("a device in the place of a file is refused: it has no end", async () => {
  const root = await Deno.makeTempDir(), weights = `${root}/weights`;
  try {
    await Deno.mkdir(weights);
    await Deno.symlink("/dev/zero", `${weights}/model.json`);
    await Deno.symlink("/dev/zero", `${root}/key.pem`);
    await Deno.symlink("/dev/zero", `${root}/cert.pem`);
    for (
      const [name, args, what] of [
        ["infer", ["--image", "/dev/zero"], "cannot read the image /dev/zero: /dev/zero"],
        ["infer", ["--images", "/dev/zero"], "cannot read the images /dev/zero: /dev/zero"],
        ["infer", ["--weights", weights], `${weights}/model.json`],
        ["client", ["--graph", "/dev/zero"], "cannot read the network /dev/zero: /dev/zero"],
        ["dealer", ["--tokens", "/dev/zero"], "cannot read /dev/zero: /dev/zero"],
        ["dealer", ["--identity", root], `cannot read ${root}/cert.pem: ${root}/cert.pem`],
        ["import", ["--onnx", "/dev/zero", "--out", `${root}/out`], "cannot read /dev/zero: /dev/zero"],
      ] as const
    ) {
      await using program = Program.start(name, args);
      await program.failsWith([what, "is a device, not a file"], 20_000);
    }
  } finally {
    await Deno.remove(root, { recursive: true });
  }
});

it("a folder that is not there is no place to read from, and is not made", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const absent = `${folder}/absent`;
    for (
      const [command, args, part] of [
        ["audit", ["--weights", absent, "--write"], "is not a model folder"],
        ["figures", ["--results", absent], "is not there"],
      ] as const
    ) {
      await using program = Program.start(command, args);
      await program.failsWith([absent, part]);
      assertEquals(await Array.fromAsync(Deno.readDir(folder)), []);
    }
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

it("a folder of the system's is named as one that nothing is written to", async () => {
  // By its task: Deno asks for all rights before anything is written there.
  const args = ["--onnx", "tests/onnx/digits.onnx", "--out", "/proc/x"];
  await using program = Program.task("import", args, Deno.cwd());
  await program.failsWith(["cannot write to the folder /proc/x: it is the system's"], 20_000);
});

it("a full disk is named with the folder that has no room", async () => {
  const root = await Deno.makeTempDir();
  try {
    await Deno.symlink("/dev/full", `${root}/.lock`);
    await using program = Program.start("train", ["--preset", "convnet-pillar-cpu", "--out", root]);
    await program.failsWith([`cannot write to the folder ${root}`], 20_000);
  } finally {
    await Deno.remove(root, { recursive: true });
  }
});

describe("statistics over nothing", () => {
  it("are not made of held-out images that are none", () => {
    const dataset: Dataset = shapesDataset({ train: 9, test: 1 });
    assertThrows(() => holdOut(dataset), Error, "9 training images are too few to hold some out");
    assertEquals(holdOut(shapesDataset({ train: 10, test: 1 })).test.count, 1);
  });

  it("are not told of fixed point where every query leaves its range", async () => {
    const file = await Deno.makeTempFile();
    try {
      await writeImageList(file, [new Float32Array(32 * 32 * 3).fill(3000)]);
      const options = ["--activation", "honeybadger", "--images", file, "--check", "1"];
      await using table = Program.start("infer", options);
      const { stdout } = await table.succeeds();
      assertStringIncludes(stdout, "not compared with fixed point, whose range every query left");
      assert(!/NaN|undefined|null/.test(stdout), stdout);
      await using json = Program.start("infer", [...options, "--json"]);
      assertEquals(JSON.parse((await json.succeeds()).stdout).oracleMaxAbsError, null);
    } finally {
      await Deno.remove(file);
    }
  });
});
