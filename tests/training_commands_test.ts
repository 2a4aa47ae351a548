/** `deno task train` and `deno task evaluate` as a user meets them. */
import { assert, assertAlmostEquals, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { it } from "@std/testing/bdd";
import {
  readModelFolder,
  weightsFile,
  writeDescription,
  writeModelFolder,
} from "../src/data/model_folder.ts";
import { auditedLayers } from "../src/models/ranges.ts";
import { randomWeights } from "../src/models/weights.ts";
import { buildModel } from "../src/models/zoo.ts";
import { isTrainable } from "../src/training/initial.ts";
import { QUARTIC } from "../src/polynomial/polynomial.ts";
import { GREY, png } from "./support/png.ts";
import { assertOneSentence, Program } from "./support/program.ts";

async function inFolder(test: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await test(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

async function failure(command: string, args: readonly string[]): Promise<string> {
  await using program = Program.start(command, args);
  const { code, stderr } = await program.ended();
  assertEquals(code, 1, stderr);
  return assertOneSentence(stderr);
}

const SMALL = "--model convnet --dataset shapes --limit 128 --batch 32 --epochs 2 --seed 3".split(" ");

it("train and evaluate answer every mistake in one sentence", () =>
  inFolder(async (folder) => {
    const train = (...args: string[]) =>
      ["train", [...args, "--out", `${folder}/run`, "--results", `${folder}/results`]] as const;
    const evaluate = (...args: string[]) => ["evaluate", args] as const;
    for (const name of ["empty", "begun"]) await Deno.mkdir(`${folder}/${name}`);
    await Deno.writeTextFile(`${folder}/begun/checkpoint.safetensors`, "");
    for (
      const [[command, args], part] of [
        [train("--preset", "convnet-piller"), 'unknown preset "convnet-piller"'],
        [train("--model", "convnot"), "did you mean convnet?"],
        [train("--model", "convnet", "--dataset", "cifar"), "did you mean cifar10?"],
        [train("--model", "convnet", "--activation", "poly:40"), 'unknown activation "poly:40"'],
        [
          train("--model", "minionn-bn", "--activation", "hermite"),
          "in minionn-bn conv2 pads act1 with zeros",
        ],
        [train("--model", "convnet", "--data", `${folder}/empty`), "deno task data"],
        [train("--preset", "imagenet-resnet50-pillar", "--dataset", "shapes"), "not of 224 x 224 x 3"],
        [train(...SMALL, "--batch", "33"), "--batch was given 2 times"],
        [train("--model", "convnet", "--dataset", "shapes", "--limit", "20", "--batch", "32"), "20"],
        [train(...SMALL, "--backend", "cpu"), "--backend is for --engine tfjs"],
        [evaluate("--weights", `${folder}/empty`), "is not a model folder"],
        // Nothing of a refused run stays that would refuse the next.
        [evaluate("--weights", `${folder}/run`), "is not a model folder"],
        [evaluate("--weights", `${folder}/begun`), "deno task train --resume goes on"],
      ] as const
    ) {
      assertStringIncludes(await failure(command, args), part);
    }
  }));

it("train --repeat takes every setting from a folder and gives the same bits, and refuses what would change them", () =>
  inFolder(async (folder) => {
    const train = (
      out: string,
      ...args: string[]
    ) => [...args, "--out", `${folder}/${out}`, "--results", `${folder}/results`];
    const rules = [
      "--activation",
      "trig:10:1:2",
      "--nesterov",
      "on",
      "--flip",
      "alternating",
      "--tail-average",
      "0.5",
    ];
    await using first = Program.start("train", train("first", ...SMALL, ...rules));
    await first.succeeds();
    // A network learns from it, with what it learns by written down.
    const taught = ["--teacher", `${folder}/first`];
    await using pupil = Program.start(
      "train",
      train("pupil", ...SMALL, ...taught, "--teacher-weight", "0.9"),
    );
    await pupil.succeeds();
    const { run } = JSON.parse(await Deno.readTextFile(`${folder}/pupil/training.json`));
    const { sha256 } = await weightsFile(`${folder}/first`);
    assertEquals(run.distillation, { teacher: sha256, weight: 0.9, temperature: 1 });
    const learnt = ["--repeat", `${folder}/pupil`];
    await using pupilAgain = Program.start("train", train("pupil-again", ...learnt, ...taught));
    await pupilAgain.succeeds();
    assertEquals(await weightsFile(`${folder}/pupil-again`), await weightsFile(`${folder}/pupil`));
    for (
      const [args, part] of [
        [learnt, "was trained with distillation.teacher"],
        [[...learnt, "--teacher", `${folder}/pupil`], "was trained with distillation.teacher"],
        [[...learnt, ...taught, "--teacher-temperature", "2"], "leave out --teacher-temperature"],
        [[...SMALL, "--teacher-weight", "1"], "give --teacher DIR"],
      ] as const
    ) {
      assertStringIncludes(await failure("train", train("third", ...args)), part);
    }
    const repeat = ["--repeat", `${folder}/first`];
    await using second = Program.start("train", train("second", ...repeat, "--workers", "1"));
    await second.succeeds();
    assertEquals(await weightsFile(`${folder}/second`), await weightsFile(`${folder}/first`));
    for (
      const [args, part] of [
        [["--epochs", "3"], "leave out --epochs"],
        [["--warm-up-from", "1"], "leave out --warm-up-from"],
        [["--hold-out"], "leave out --hold-out"],
        [["--seed", "3"], "leave out --seed"],
        [["--engine", "tfjs"], "was trained with engine wasm, this would be with tfjs"],
      ] as const
    ) {
      assertStringIncludes(await failure("train", train("third", ...repeat, ...args)), part);
    }
    const nowhere = await failure("train", train("third", "--repeat", `${folder}/results`));
    assertStringIncludes(nowhere, "training.json is missing");
  }));

it("train --from begins with the weights of a folder, by default with their activation, and refuses what does not fit them", () =>
  inFolder(async (folder) => {
    const relu = "results/models/convnet-relu-shapes", out = `${folder}/run`;
    const place = ["--out", out, "--results", `${folder}/results`];
    const from = [
      "--from",
      relu,
      ..."--dataset shapes --limit 64 --batch 32 --epochs 1".split(" "),
      ...place,
    ];
    // At this rate nothing moves but the running statistics.
    await using kept = Program.start("train", [...from, "--lr", "0"]);
    await kept.succeeds();
    const [before, after] = [await readModelFolder(relu), await readModelFolder(out)];
    assertEquals(after.activation, { kind: "relu" });
    for (const [name, tensor] of before.weights) {
      if (isTrainable(name)) assertEquals(after.weights.get(name), tensor);
    }
    for (const split of ["train", "val"]) {
      for (const name of ["cat", "dog"]) {
        await Deno.mkdir(`${folder}/data/${split}/${name}`, { recursive: true });
        const picture = png({ width: 32, height: 32, colour: GREY, samples: new Uint8Array(32 * 32) });
        await Deno.writeFile(`${folder}/data/${split}/${name}/1.png`, picture);
      }
    }
    const others = ["--from", relu, "--dataset", "folder", "--data", `${folder}/data`, ...place.slice(2)];
    const refused = async (message: string, ...args: readonly string[]) =>
      assertStringIncludes(await failure("train", args), message);
    await refused("folder has 2 classes, not 10", ...others, "--out", `${folder}/other`);
    await refused("leave them out with --from", ...from, "--whitening", "on");
    await refused("the activation hermite has batch norms of its own", ...from, "--activation", "hermite");
    await refused("of ours, resnet50-avg has averages", ...from, "--pooling", "average");
    await refused("--from and --twin both say what training starts from; give one", ...from, "--twin", relu);
    const learned = "has learned from the held-out images of shapes; leave out --hold-out";
    await refused(learned, ...from, "--hold-out");
    await refused(learned, ...SMALL, "--teacher", relu, "--hold-out", ...place);
    assertStringIncludes(await failure("evaluate", ["--weights", relu, "--hold-out"]), learned);
    // Held out are the last of the first images, so with another limit others are.
    const half = `${folder}/half`;
    await using unseen = Program.start("train", [...SMALL, "--hold-out", "--out", half, ...place.slice(2)]);
    await unseen.succeeds();
    await refused("or train it with the same --limit", "--from", half, ...from.slice(2), "--hold-out");
    await refused("holds a run with learningRate 0, this one has 0.05", ...from, "--activation", "relu");
  }));

it("publish halves large weights and nothing else, keeps small ones bit for bit, and ships no search run", () =>
  inFolder(async (folder) => {
    const publish = async (name: string) => {
      await using program = Program.start("publish", [
        "--weights",
        `${folder}/${name}`,
        "--out",
        `${folder}/out-${name}`,
        "--json",
      ]);
      return JSON.parse((await program.succeeds()).stdout);
    };
    const written = async (name: string, model: string, holdOut: boolean) => {
      const graph = buildModel(model), weights = randomWeights(graph, 1, QUARTIC);
      await writeModelFolder(`${folder}/${name}`, { model, classes: 10, activation: QUARTIC }, weights);
      await Deno.writeTextFile(`${folder}/${name}/training.json`, JSON.stringify({ run: { holdOut } }));
      return weights;
    };
    await written("small", "convnet", false);
    assertEquals((await publish("small")).type, "F32");
    assertEquals(await weightsFile(`${folder}/out-small`), await weightsFile(`${folder}/small`));

    const weights = await written("large", "minionn-bn", false), large = await publish("large");
    assertEquals([large.type, large.sha256], ["F16", (await weightsFile(`${folder}/out-large`)).sha256]);
    assert(large.bytes < 0.51 * (await weightsFile(`${folder}/large`)).bytes);
    const rounded = (await readModelFolder(`${folder}/out-large`)).weights;
    for (const [name, { shape, data }] of weights) {
      assertEquals(rounded.get(name), { shape, data: Float32Array.from(data, Math.f16round) });
    }
    assertEquals(await Deno.readTextFile(`${folder}/out-large/training.json`), '{"run":{"holdOut":false}}');

    await written("search", "convnet", true);
    const sentence = await failure("publish", ["--weights", `${folder}/search`, "--out", `${folder}/out`]);
    assertStringIncludes(sentence, "was trained without the images that were held out");
    const refused = async (from: string, to: string) =>
      await failure("publish", ["--weights", `${folder}/${from}`, "--out", `${folder}/${to}`]);
    assertStringIncludes(await refused("small", "small"), "is published already");
    await Deno.copyFile(`${folder}/small/model.json`, `${folder}/imported.json`);
    await Deno.mkdir(`${folder}/imported`);
    await Deno.rename(`${folder}/imported.json`, `${folder}/imported/model.json`);
    assertStringIncludes(
      await refused("small", "imported"),
      "imported holds a network that publish has not written",
    );
    await Deno.writeTextFile(`${folder}/small/training.json`, '{"run":{"holdOut":false,"epochs":3}}');
    assertStringIncludes(
      await refused("small", "out-large"),
      "out-large holds another network, trained with another epochs; give another --out",
    );
    await Deno.writeTextFile(`${folder}/small/training.json`, "{}");
    assertStringIncludes(await refused("small", "out"), "training.json does not say how the network was");
    await Deno.remove(`${folder}/small/training.json`);
    assertStringIncludes(
      await failure("publish", ["--weights", `${folder}/small`]),
      "training.json is missing",
    );
  }));

it("train --resume of a finished run leaves the folder as it is, ranges of an audit and all", () =>
  inFolder(async (folder) => {
    const out = `${folder}/run`, options = [...SMALL, "--out", out, "--results", `${folder}/results`];
    await using first = Program.start("train", options);
    await first.succeeds();
    const { graph, activation } = await readModelFolder(out), [model, classes] = [graph.name, graph.classes];
    const ranges = Object.fromEntries(auditedLayers(graph).map(({ id }) => [id, 3]));
    writeDescription(out, { model, classes, activation, ranges });
    const files = ["model.json", "training.json", "weights.safetensors"];
    const texts = () => Promise.all(files.map((file) => Deno.readFile(`${out}/${file}`)));
    const before = await texts();
    await using again = Program.start("train", [...options, "--resume"]);
    await again.succeeds();
    assertEquals(await texts(), before);
    // A kill between weights and description leaves neither the old function nor the old ranges beside new weights.
    await writeModelFolder(out, { model, classes, activation }, (await readModelFolder(out)).weights);
    assertEquals((await readModelFolder(out)).ranges, undefined);
  }));

it("train --json reports what evaluate --json measures again", () =>
  inFolder(async (folder) => {
    const out = `${folder}/run`;
    await using program = Program.start("train", [
      ...SMALL,
      ...["--out", out, "--results", `${folder}/results`, "--json", "--turbo"],
    ]);
    const { stdout } = await program.succeeds(), line = JSON.parse(stdout);
    assertEquals([line.epochsDone, line.diverged, line.evaluation.images], [2, null, 128]);
    assertEquals(line.lastInputs.length, 8);
    assertEquals(line.lastInputs[0].length, line.layers.length);

    await using again = Program.start("evaluate", ["--weights", out, "--limit", "128", "--json"]);
    const metrics = JSON.parse((await again.succeeds()).stdout);
    for (const [name, value] of Object.entries(line.evaluation)) {
      // Batches are of another size, so sums over them are rounded in another order.
      if (typeof value === "number") assertAlmostEquals(metrics[name], value, 1e-6, name);
      else assertEquals(metrics[name], value, name);
    }
    const description = JSON.parse(await Deno.readTextFile(`${out}/training.json`));
    assertEquals(description.run, line.run);
    assertEquals(description.origins.length, 1);
    assertEquals(description.origins[0].flags, [
      "--no-wasm-bounds-checks",
      "--experimental-wasm-revectorize",
    ]);
    const csv = await Deno.readTextFile(`${folder}/results/run.csv`);
    assertEquals(csv.split("\n").length, 2 + 2 + 1);
    assert(csv.includes("--experimental-wasm-revectorize"));
  }));

it("train with AESPA's activation leaves a network that evaluate measures and every protocol infers", () =>
  inFolder(async (folder) => {
    const out = `${folder}/run`, args = [...SMALL, "--activation", "hermite", "--out", out];
    const place = ["--results", `${folder}/results`, "--json"];
    await using program = Program.start("train", [...args, ...place]);
    const { evaluation } = JSON.parse((await program.succeeds()).stdout);
    const { activation } = JSON.parse(await Deno.readTextFile(`${out}/model.json`));
    assertEquals(activation, { kind: "polynomial", coefficients: [0, 0, 1], precision: 0 });

    await using again = Program.start("evaluate", ["--weights", out, "--limit", "128", "--json"]);
    const metrics = JSON.parse((await again.succeeds()).stdout);
    assertEquals([metrics.activation, metrics.accuracy], ["hermite", evaluation.accuracy]);
    assertAlmostEquals(metrics.crossEntropy, evaluation.crossEntropy, 1e-4);

    // The checkpoint is that of the trained graph: a run that has ended goes on to the same end.
    await using resumed = Program.start("train", [...args, ...place, "--resume"]);
    assertEquals(JSON.parse((await resumed.succeeds()).stdout).evaluation, evaluation);

    // By the scales of its default range lifted errs by 0.03 of the largest logit here, by audited ones by 0.004 (measured).
    await using audit = Program.start("audit", [
      ...["--model", "convnet", "--weights", out],
      ...["--dataset", "shapes", "--write"],
    ]);
    await audit.succeeds();
    for (const protocol of ["lifted", "honeybadger", "espn", "tree"]) {
      const options = [
        "--model",
        "convnet",
        "--weights",
        out,
        "--activation",
        protocol,
        "--repetitions",
        "1",
      ];
      await using query = Program.start("infer", [...options, "--json"]);
      const { maxAbsError, largestLogit } = JSON.parse((await query.succeeds()).stdout);
      const share = maxAbsError / largestLogit;
      assert(share < (protocol === "lifted" ? 0.006 : 0.003), `${protocol}: ${share}`);
    }
  }));

it("train ends a run that diverges with epoch, step and layer, and keeps its row", () =>
  inFolder(async (folder) => {
    const out = `${folder}/run`, options = ["--clip", "off", "--beta", "off", "--lr", "100"];
    const args = [...SMALL, ...options, "--out", out, "--results", `${folder}/results`];
    assertStringIncludes(await failure("train", args), "error: diverged at epoch 1, step ");
    assertStringIncludes(await Deno.readTextFile(`${folder}/results/run.csv`), "diverged at epoch 1, step ");
    await using program = Program.start("train", [...args, "--resume", "--json"]);
    const line = JSON.parse((await program.succeeds()).stdout);
    assertEquals([line.diverged.epoch, line.evaluation], [1, null]);
    assertStringIncludes(await failure("evaluate", ["--weights", out]), "has diverged");
  }));

it("train keeps the names of the classes, infer tells them, and evaluate refuses others", () =>
  inFolder(async (folder) => {
    const data = `${folder}/data`, out = `${folder}/run`;
    for (const split of ["train", "val"]) {
      for (const [i, name] of ["cat", "dog"].entries()) {
        await Deno.mkdir(`${data}/${split}/${name}`, { recursive: true });
        for (let n = 0; n < 16; n++) {
          const samples = new Uint8Array(32 * 32).fill(200 * i + n);
          const picture = png({ width: 32, height: 32, colour: GREY, samples });
          await Deno.writeFile(`${data}/${split}/${name}/${n}.png`, picture);
        }
      }
    }
    const notes = `${data}/val/dog/notes.txt`;
    await Deno.writeTextFile(notes, "");
    const images = ["--dataset", "folder", "--data", data];
    const recipe = ["--model", "convnet", "--batch", "8", "--epochs", "1", "--activation", "relu"];
    await using trained = Program.start("train", [
      ...[...recipe, ...images, "--out", out, "--results", `${folder}/results`],
    ]);
    const { code, stderr } = await trained.ended();
    assertEquals(code, 0, stderr);
    assertStringIncludes(
      stderr,
      `note: left out of ${data}: 1 not named .png, .jpg, .jpeg or .webp (val/dog/notes.txt)`,
    );
    assertEquals(JSON.parse(await Deno.readTextFile(`${out}/model.json`)).classNames, ["cat", "dog"]);

    await using inferred = Program.start("infer", [
      ...["--weights", out, "--activation", "relu", "--image", `${data}/val/cat/0.png`, "--repetitions", "1"],
    ]);
    assertMatch((await inferred.succeeds()).stdout, /class [01] \((cat|dog)\), as in plaintext/);

    await Deno.remove(notes);
    for (const split of ["train", "val"]) await Deno.rename(`${data}/${split}/cat`, `${data}/${split}/ant`);
    const refusal = await failure("evaluate", ["--weights", out, "--data", data]);
    assertStringIncludes(refusal, `class 0 of ${out} is "cat", but "ant" in the dataset folder`);
  }));
