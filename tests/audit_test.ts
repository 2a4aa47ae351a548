/** From an audit to the scales of a session and to the client's verdict, by the commands that a person types. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { afterAll, beforeAll, describe, it } from "@std/testing/bdd";
import type { FloatTensor } from "../src/models/graph.ts";
import type { Ranges } from "../src/models/ranges.ts";
import { writeFolder } from "./support/model_folders.ts";
import { Program } from "./support/program.ts";
import { ROLE_NAMES, startRoles } from "./support/roles.ts";

let root = "", ranges: Ranges = {};
const audit = (...args: string[]) => Program.start("audit", ["--model", "convnet", "--images", "8", ...args]);
const described = async (folder: string) => JSON.parse(await Deno.readTextFile(`${folder}/model.json`));
const listed = () => Object.values(ranges).join();

/** Multiplies the weights before the last activation, whose inputs then escape. */
const enlarge = (weights: Map<string, FloatTensor>) => {
  for (const part of ["weight", "bias"]) {
    const { data } = weights.get(`dense1.${part}`)!;
    data.forEach((v, i) => data[i] = 15 * v);
  }
};

describe("audit", () => {
  beforeAll(async () => {
    root = await Deno.makeTempDir();
    await writeFolder(`${root}/sound`);
    await using program = audit("--weights", `${root}/sound`, "--write", "--json");
    ranges = JSON.parse((await program.succeeds()).stdout).ranges;
    await writeFolder(`${root}/escaping`, { ranges, change: enlarge });
  });
  afterAll(() => Deno.remove(root, { recursive: true }));

  it("writes the ranges that it prints and leaves the rest of the model as it is", async () => {
    const { ranges: written, ...rest } = await described(`${root}/sound`);
    assertEquals(written, ranges);
    assertEquals(Object.keys(ranges), ["act1", "act2", "act3", "classifier"]);
    assertEquals([rest.model, rest.classes, rest.activation.kind], ["convnet", 10, "polynomial"]);
  });

  it("prints a table with a verdict and the option for the three roles", async () => {
    await using program = audit("--weights", `${root}/sound`, "--ring-bits", "20");
    const { stdout } = await program.succeeds();
    assertMatch(stdout, /largest \|z\|/);
    assert(stdout.includes(`--ranges=${listed()}\n`), stdout);
    assertMatch(stdout, /convnet fits 20 ring bits\n$/);
  });

  it("refuses a network without head-room in a sentence, and accepts it by force", async () => {
    const folder = `${root}/refused`;
    await writeFolder(folder, { ranges, change: enlarge });
    await using refused = audit("--weights", folder, "--write");
    await refused.failsWith(["convnet: inputs of act3 up to", "leave no head-room"], 20_000);
    assertEquals((await described(folder)).ranges, ranges);
    await using forced = audit("--weights", folder, "--write", "--force");
    await forced.succeeds();
    assert((await described(folder)).ranges.act3 > 16);
  });

  it("finds 0 for a layer that reads nothing but zeros, and infer takes it", async () => {
    const folder = `${root}/silent`;
    await writeFolder(folder, {
      change: (weights) => {
        for (const part of ["weight", "bias"]) weights.get(`dense1.${part}`)!.data.fill(0);
      },
    });
    await using program = audit("--weights", folder, "--write");
    await program.succeeds();
    assertEquals((await described(folder)).ranges.act3, 0);
    await using asked = Program.start("infer", ["--model", "convnet", "--weights", folder, "--json"]);
    const { unreliable, argmaxAgrees } = JSON.parse((await asked.succeeds()).stdout);
    assertEquals([unreliable, argmaxAgrees], [false, true]);
  });

  for (const activation of ["lifted", "honeybadger"]) {
    for (const [folder, unreliable] of [["sound", false], ["escaping", true]] as const) {
      it(`infer with ${activation} reports ${unreliable ? "no class for escaping" : "the class for sound"} inputs`, async () => {
        await using program = Program.start("infer", [
          ...["--model", "convnet", "--activation", activation, "--weights", `${root}/${folder}`],
          ...["--repetitions", "2", "--warm-up", "0", "--json"],
        ]);
        const result = JSON.parse((await program.succeeds()).stdout);
        assertEquals([result.unreliable, result.class === null], [unreliable, unreliable]);
      });
    }
  }

  it("gives ranges that all three roles must be told", async () => {
    const lifted = ["--activation", "lifted"];
    await using untold = Program.start("server", [
      ...["--model", "convnet", "--listen", "127.0.0.1:0", "--weights", `${root}/sound`],
      ...lifted,
    ]);
    await untold.failsWith([`start all three roles with --ranges=${listed()}`], 20_000);
    await using roles = await startRoles({
      all: [...lifted, "--ranges", listed()],
      server: ["--weights", `${root}/escaping`],
    });
    const [, client] = await Promise.all(ROLE_NAMES.map((name) => roles[name].succeeds()));
    assertMatch(client.stdout, /^client: unreliable: .* no class, /);
  });
});
