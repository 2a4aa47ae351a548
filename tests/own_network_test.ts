/** A network that PyTorch wrote, from its ONNX file to a private answer; client and dealer hold its graph and no weight. */
import { fileURLToPath } from "node:url";
import { assert, assertAlmostEquals, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { afterAll, beforeAll, describe, it } from "@std/testing/bdd";
import { readModelFolder, weightsFile } from "../src/data/model_folder.ts";
import { evaluateLogits } from "../src/models/float_engine.ts";
import { foldBatchNorm } from "../src/models/fold.ts";
import { GREY, png } from "./support/png.ts";
import { assertOneSentence, Program } from "./support/program.ts";

const PATIENCE_MS = 120_000;
const file = (name: string) => fileURLToPath(new URL(`onnx/${name}.onnx`, import.meta.url));

/** 28 x 28 grey pixels, no two neighbours alike. */
const PIXELS = Uint8Array.from({ length: 28 * 28 }, (_, i) => (i * 73) % 256);

let root = "";

async function run(name: string, ...args: string[]) {
  await using program = Program.start(name, args);
  return await program.ended(PATIENCE_MS);
}

async function succeeds(name: string, ...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await run(name, ...args);
  assertEquals(code, 0, `${name} said: ${stdout}${stderr}`);
  return stdout;
}

/** A session of the three roles as on three machines, with the graph that each of them has. */
async function session(
  graphs: { readonly dealer: string; readonly server: string; readonly client: string },
) {
  const common = (
    role: keyof typeof graphs,
  ) => ["--graph", `${root}/${graphs[role]}/graph.json`, "--activation", "relu"];
  const listen = ["--listen", "127.0.0.1:0"];
  await using dealer = Program.start("dealer", [...common("dealer"), ...listen, "--once"]);
  const at = ["--dealer", `127.0.0.1:${await dealer.port()}`];
  await using server = Program.start("server", [
    ...common("server"),
    "--once",
    ...listen,
    ...at,
    "--weights",
    `${root}/digits`,
  ]);
  const to = [
    "--connect",
    `127.0.0.1:${await server.port()}`,
    ...at,
    "--image",
    `${root}/picture.png`,
    "--json",
  ];
  await using client = Program.start("client", [...common("client"), ...to]);
  const ended = await client.ended(PATIENCE_MS);
  if (ended.code === 0) { for (const role of [server, dealer]) await role.ended(PATIENCE_MS); }
  return ended;
}

describe("a network from an ONNX file", () => {
  beforeAll(async () => {
    root = await Deno.makeTempDir();
    await Deno.writeFile(
      `${root}/picture.png`,
      png({ width: 28, height: 28, colour: GREY, samples: PIXELS }),
    );
    const out = await succeeds(
      "import",
      file("digits"),
      "--out",
      `${root}/digits`,
      "--mean",
      "0.1307",
      "--deviation",
      "0.3081",
    );
    assertStringIncludes(out, "digits: 28 x 28 x 1, 10 classes, 8310 parameters, 4769 activations");
    assertStringIncludes(out, "note: the final Softmax was dropped");
    assertMatch(
      out,
      /as ONNX Runtime \((native|web)\) computes it: largest difference \d\.\de-\d+ on 4 random images/,
    );
    await Deno.mkdir(`${root}/public`);
    for (const name of ["graph.json", "model.json"]) {
      await Deno.copyFile(`${root}/digits/${name}`, `${root}/public/${name}`);
    }
  });
  afterAll(() => Deno.remove(root, { recursive: true }));

  /** What PyTorch would have computed of the picture. */
  async function expectedLogits(): Promise<Float64Array> {
    const { graph, weights, activation } = await readModelFolder(`${root}/digits`);
    const folded = foldBatchNorm(graph, weights);
    const image = Array.from(PIXELS, (value) => (value / 255 - 0.1307) / 0.3081);
    return evaluateLogits(folded.graph, folded.weights, activation, image);
  }

  it("is audited and inferred by its folder alone", async () => {
    const audited = await succeeds("audit", "--weights", `${root}/digits`, "--images", "4", "--write");
    assertStringIncludes(audited, "digits fits 64 ring bits");
    const few = [
      "--weights",
      `${root}/digits`,
      "--activation",
      "relu",
      "--repetitions",
      "1",
      "--warm-up",
      "0",
      "--json",
    ];
    const result = JSON.parse(await succeeds("infer", ...few, "--image", `${root}/picture.png`, "--logits"));
    assertEquals([result.model, result.argmaxAgrees, result.answers.length], ["digits", true, 1]);
    const expected = await expectedLogits();
    expected.forEach((logit, k) => assertAlmostEquals(result.answers[0].float[k], logit, 1e-6));
    expected.forEach((logit, k) => assertAlmostEquals(result.answers[0].logits[k], logit, 1e-3));
  });

  it("answers a client that has its graph, and refuses one that has another", async () => {
    const { code, stdout, stderr } = await session({ dealer: "public", server: "digits", client: "public" });
    assertEquals(code, 0, stderr);
    const { query: { logits } } = JSON.parse(/^\{"query".*$/m.exec(stdout)![0]);
    (await expectedLogits()).forEach((logit, k) => assertAlmostEquals(logits[k], logit, 1e-3));

    // Of the same shapes everywhere: a digest alone tells them apart.
    const other = (await Deno.readTextFile(`${root}/public/graph.json`)).replace(
      '"id": "act1"',
      '"id": "actA"',
    )
      .replaceAll('"input": "act1"', '"input": "actA"');
    await Deno.mkdir(`${root}/other`);
    await Deno.writeTextFile(`${root}/other/graph.json`, other);
    await Deno.copyFile(`${root}/public/model.json`, `${root}/other/model.json`);
    const refused = await session({ dealer: "public", server: "digits", client: "other" });
    assertEquals(refused.code, 1);
    assertStringIncludes(refused.stderr, "error: server and client were started with different plans");
  });

  it("is refused where the folder holds another network, or the picture cannot be normalised", async () => {
    const { stderr } = await run(
      "server",
      "--graph",
      `${root}/public/graph.json`,
      "--activation",
      "relu",
      "--weights",
      "results/models/convnet-relu-shapes",
    );
    assertStringIncludes(stderr, "holds convnet with 10 classes, not digits with 10");
    await Deno.mkdir(`${root}/bare`);
    await Deno.copyFile(`${root}/public/graph.json`, `${root}/bare/graph.json`);
    const bare = await run(
      "client",
      "--graph",
      `${root}/bare/graph.json`,
      "--activation",
      "relu",
      "--image",
      `${root}/picture.png`,
    );
    assertStringIncludes(
      bare.stderr,
      `how digits takes pictures stands in the model.json that belongs beside ${root}/bare/graph.json: `,
    );
  });
});

it("a residual network of PyTorch goes on with waves: import, train --from, audit, infer", async () => {
  const folder = await Deno.makeTempDir(), imported = `${folder}/residual`, out = `${folder}/waves`;
  const classes = ["triangle", "square"].concat(Array.from({ length: 8 }, (_, i) => `class ${i}`));
  const recipe = "--limit 64 --batch 16 --epochs 2 --seed 3 --dataset shapes".split(" ");
  const waves = ["--activation", "trig:10:1:2", "--pooling", "average"];
  const train = (to: string, ...args: string[]) =>
    ["train", ...args, "--out", to, "--results", `${folder}/results`] as const;
  const description = async (of: string) => JSON.parse(await Deno.readTextFile(`${of}/model.json`));
  try {
    await succeeds(
      "import",
      file("residual"),
      "--out",
      imported,
      "--channels",
      "BGR",
      "--mean",
      "0.4,0.5,0.6",
    );
    const from = ["--from", imported];
    const trained = await succeeds(...train(out, ...from, ...recipe, ...waves));
    assertStringIncludes(trained, "residual on shapes, trig:10:1:2: 2 epochs in ");
    const { run: begun } = JSON.parse(await Deno.readTextFile(`${out}/training.json`));
    const { pixels } = await description(imported), { sha256 } = await weightsFile(imported);
    assertEquals([begun.model, begun.from, begun.pixels, begun.pooling], [
      "residual",
      sha256,
      pixels,
      "average",
    ]);
    assertMatch(begun.graph, /^[0-9a-f]{64}$/);
    const found = await description(out);
    assertEquals([found.model, found.activation.period, found.pixels], ["residual", 10, pixels]);
    const { graph, weights } = await readModelFolder(out);
    assertEquals(graph.nodes.find(({ id }) => id === "maxpool.pool1")!.op, "averagePool");
    // Batch norms are nodes of this file, and measure anew.
    const before = (await readModelFolder(imported)).weights.get("bn1.mean")!;
    assert(weights.get("bn1.mean")!.data.some((v, i) => v !== before.data[i]));

    assertStringIncludes(
      await succeeds("audit", "--weights", out, "--dataset", "shapes", "--images", "8", "--write"),
      "residual fits 30 ring bits",
    );
    const query = ["--weights", out, "--drawn", "1", "--repetitions", "1", "--warm-up", "0", "--json"];
    const result = JSON.parse(await succeeds("infer", ...query));
    assertEquals([result.model, result.activation, result.argmaxAgrees], ["residual", "trigonometric", true]);

    // The recipe again, with what it began from: the same bits, also by a run that was resumed at its end.
    await succeeds(...train(`${folder}/again`, "--repeat", out, ...from));
    await succeeds(...train(`${folder}/again`, "--repeat", out, ...from, "--resume"));
    assertEquals(await weightsFile(`${folder}/again`), await weightsFile(out));
    // It ships with its architecture.
    await succeeds("publish", "--weights", out, "--out", `${folder}/shipped`);
    assertEquals((await readModelFolder(`${folder}/shipped`)).graph, graph);

    await Deno.writeTextFile(`${folder}/names.txt`, classes.join("\n"));
    const named = ["--out", `${folder}/named`, "--class-names", `${folder}/names.txt`];
    await succeeds("import", file("residual"), ...named);
    await succeeds("import", file("digits"), "--out", `${folder}/digits`);
    const refused = async (message: string, ...args: readonly string[]) => {
      const { code, stderr } = await run(...train(`${folder}/refused`, ...args));
      assertEquals([code, assertOneSentence(stderr).includes(message)], [1, true], stderr);
    };
    await refused(
      "no protocol computes trig:10:1:2 in a network with max pooling (maxpool.pool1 of residual)",
      ...from,
      ...recipe,
      ...waves.slice(0, 2),
    );
    await refused("class 0 of", "--from", `${folder}/named`, ...recipe);
    await refused(
      "shapes has images of 32 x 32 x 1, not of 28 x 28 x 1",
      "--from",
      `${folder}/digits`,
      ...recipe,
    );
    await refused("was trained with from ", "--repeat", out);
    await refused("was trained with from ", "--repeat", out, "--from", out);
    await refused(
      "--from holds residual, but --preset or --model asks for convnet",
      ...from,
      "--model",
      "convnet",
    );
    const { code, stderr } = await run("import", file("residual"), "--out", out);
    assertEquals([code, assertOneSentence(stderr).includes("holds a network already")], [1, true], stderr);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

it("import says in one sentence what it cannot take", async () => {
  const folder = await Deno.makeTempDir(), out = ["--out", `${folder}/out`];
  const refused = async (message: string, ...args: string[]) => {
    const { code, stderr } = await run("import", ...args);
    assertEquals(code, 1);
    assert(stderr.startsWith(`error: ${message}`), stderr);
  };
  try {
    await Deno.copyFile(file("digits"), `${folder}/resnet18.onnx`);
    await refused(
      "resnet18 is the name of a network of ours; give another --name",
      `${folder}/resnet18.onnx`,
      ...out,
    );
    await Deno.writeTextFile(`${folder}/text.onnx`, "hello");
    await refused(`${folder}/text.onnx: not an ONNX file`, `${folder}/text.onnx`, ...out);
    await refused(`cannot read ${folder}/none.onnx: `, `${folder}/none.onnx`, ...out);
    await refused("--mean has 3 numbers, the network 1 channels", file("digits"), ...out, "--mean", "0,0,0");
    await refused("--deviation has a number that is none", file("digits"), ...out, "--deviation", "1e999");
    await refused(
      "--channels RGB does not fit a network of 1 channels",
      file("digits"),
      ...out,
      "--channels",
      "RGB",
    );
    await Deno.writeTextFile(`${folder}/names.txt`, "zero\none\n");
    await refused(
      `${folder}/names.txt has 2 lines, the network 10 classes`,
      file("digits"),
      ...out,
      "--class-names",
      `${folder}/names.txt`,
    );
    await Deno.mkdir(`${folder}/trained`);
    await Deno.writeTextFile(`${folder}/trained/model.json`, "{}");
    await refused(`${folder}/trained holds a network already`, file("digits"), "--out", `${folder}/trained`);
    await Deno.copyFile(file("external"), `${folder}/external.onnx`);
    const missing = `${folder}/external.onnx: cannot read ${folder}/external.weights: `;
    await refused(missing, `${folder}/external.onnx`, ...out);
    assertEquals(
      [...Deno.readDirSync(folder)].some(({ name }) => name === "out"),
      false,
      "a refused network left a folder",
    );
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
