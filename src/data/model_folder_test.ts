import { assertEquals, assertRejects } from "@std/assert";
import { trigonometric, withLearnedActivations } from "../models/trigonometric.ts";
import { randomWeights } from "../models/weights.ts";
import { buildModel } from "../models/zoo.ts";
import { readModelFolder, writeModelFolder } from "./model_folder.ts";

Deno.test("readModelFolder() gives back a network that learned its waves, and refuses a wave that is none", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const activation = trigonometric(10, 1, 2, true), model = "convnet";
    const weights = randomWeights(buildModel(model), 1, trigonometric(10, 1, 2));
    for (const layer of ["act1", "act2", "act3"]) {
      weights.set(`${layer}.fourier`, { shape: [2], data: Float32Array.of(1, -2) });
    }
    await writeModelFolder(folder, { model, classes: 10, activation }, weights);
    const read = await readModelFolder(folder);
    assertEquals(read.activation, activation);
    assertEquals(read.graph, withLearnedActivations(buildModel(model), activation));
    assertEquals(read.weights.get("act2.fourier")!.data, Float32Array.of(1, -2));

    for (const wrong of [{ period: 0 }, { offset: "1" }, { amplitudes: [] }, { learned: false }]) {
      const description = { model, classes: 10, activation: { ...activation, ...wrong } };
      await Deno.writeTextFile(`${folder}/model.json`, JSON.stringify(description));
      await assertRejects(
        () => readModelFolder(folder),
        Error,
        'must hold "model", "classes" and "activation"',
      );
    }
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
