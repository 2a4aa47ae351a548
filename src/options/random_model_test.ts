import { assertEquals } from "@std/assert";
import { it } from "@std/testing/bdd";
import { QUARTIC } from "../polynomial/polynomial.ts";
import { modelFrom } from "./random_model.ts";

it("makers of the same random network at once all read a whole one, and leave one folder", async () => {
  const random = {
    name: "convnet",
    classes: 10,
    activation: QUARTIC,
    seed: crypto.getRandomValues(new Uint32Array(1))[0],
  };
  const made = await Promise.all([1, 2, 3].map(() => modelFrom(undefined, random)));
  const [{ folder }] = made, parent = folder.slice(0, folder.lastIndexOf("/"));
  try {
    assertEquals(made.map((one) => one.folder), [folder, folder, folder]);
    assertEquals(made.map(({ ranges }) => ranges), Array(3).fill(made[0].ranges));
    const own = [...Deno.readDirSync(parent)].filter(({ name }) => name.includes(`-${random.seed}-`));
    assertEquals(own.length, 1);
    // A folder that was cut short is made anew.
    await Deno.remove(`${folder}/model.json`);
    assertEquals((await modelFrom(undefined, random)).ranges, made[0].ranges);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
