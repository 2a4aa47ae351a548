import { assertEquals, assertRejects } from "@std/assert";
import { it } from "@std/testing/bdd";
import type { Graph } from "../models/graph.ts";
import { fittedWave, withLearnedActivations } from "../models/trigonometric.ts";
import { randomWeights } from "../models/weights.ts";
import { buildModel } from "../models/zoo.ts";
import { readModelFolder, writeModelFolder } from "./model_folder.ts";

it("readModelFolder() gives back a network that learned its waves, and refuses a wave that is none", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const activation = fittedWave(10, 1, 2, true), model = "convnet";
    const weights = randomWeights(buildModel(model), 1, fittedWave(10, 1, 2));
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

it("readModelFolder() takes a network that is none of ours from its graph.json, and says what does not fit it", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const graph = {
      name: "own",
      classes: 2,
      inputShape: [2, 2, 1],
      nodes: [
        { id: "input", op: "input" },
        { id: "flatten", op: "flatten", input: "input" },
        { id: "fc", op: "dense", input: "flatten", outputs: 2, bias: false },
      ],
    } as const satisfies Graph;
    const weights = new Map([["fc.weight", {
      shape: [4, 2],
      data: Float32Array.of(1, 2, 3, 4, 5, 6, 7, 8),
    }]]);
    const pixels = { channels: "grey", mean: [0.5], deviation: [0.25] } as const;
    const description = { model: "own", classes: 2, activation: { kind: "relu" }, pixels } as const;
    await writeModelFolder(folder, description, weights, { graph });
    assertEquals(await readModelFolder(folder), { ...description, graph, weights });

    const spoilt = async (changes: Record<string, unknown>, message: string) => {
      await Deno.writeTextFile(`${folder}/model.json`, JSON.stringify({ ...description, ...changes }));
      await assertRejects(() => readModelFolder(folder), Error, `${folder}/model.json${message}`);
    };
    await spoilt({ model: "resnet18" }, ": describes resnet18 with 2 classes, graph.json own with 2");
    await spoilt({ classes: 3 }, ": describes own with 3 classes, graph.json own with 2");
    const rgb = { channels: "RGB", mean: [0, 0, 0], deviation: [1, 1, 1] };
    await spoilt({ pixels: rgb }, ': has "pixels" of 3 channels, the network takes 1');
    for (
      const wrong of [{ ...pixels, channels: "CMYK" }, { ...pixels, mean: [0, 0] }, {
        ...pixels,
        deviation: [0],
      }]
    ) {
      await spoilt(
        { pixels: wrong },
        ': "pixels" must hold "channels" (RGB, BGR, grey), and "mean" and "deviation"',
      );
    }
    await writeModelFolder(folder, description, weights, { graph });
    await Deno.remove(`${folder}/graph.json`);
    await Deno.mkdir(`${folder}/graph.json`);
    await assertRejects(() => readModelFolder(folder), Error, `cannot read the network ${folder}/graph.json`);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
