import { assertEquals, assertStringIncludes } from "@std/assert";
import { it } from "@std/testing/bdd";
import { parseCommand } from "../terminal/command.ts";
import { ACTIVATION_OPTION, INFER_OPTIONS, NETWORK_OPTION, PLAN_OPTIONS } from "./inference_options.ts";
import { readModelDescription } from "../data/model_folder.ts";
import { ACTIVATION_PROTOCOLS } from "../protocols/registry.ts";
import { RANDOM_MODEL, withDefaults } from "./network_and_plan.ts";

const options = {
  ...PLAN_OPTIONS,
  ...INFER_OPTIONS,
  model: NETWORK_OPTION,
  activation: ACTIVATION_OPTION,
} as const;

async function chosen(...args: string[]) {
  const values = parseCommand({ name: "infer", options }, args);
  if (values === "help") throw new Error("help was not asked for");
  return await withDefaults(values);
}

it("without a word about network and image, infer takes a shipped one and a picture that it knows", async () => {
  const { weights, drawn } = await chosen();
  assertStringIncludes(weights!, "convnet-pillar-shapes");
  assertEquals(drawn, 1);
});

it("a seed of weights asks for a random network, a seed of an image for a random image", async () => {
  const random = await chosen("--model-seed", "3");
  assertEquals([random.weights, random.model, random.drawn], [undefined, RANDOM_MODEL, undefined]);
  const image = await chosen("--seed", "3");
  assertStringIncludes(image.weights!, "convnet-pillar-shapes");
  assertEquals(image.drawn, undefined);
});

it("a protocol alone gets a shipped network with its function, and a random one where none has it", async () => {
  for (const { name, usual } of ACTIVATION_PROTOCOLS) {
    const { weights, model, activation } = await chosen("--activation", name);
    assertEquals(activation, name);
    if (weights === undefined) assertEquals([usual.kind, model], ["trigonometric", RANDOM_MODEL]);
    else assertEquals((await readModelDescription(weights)).activation.kind, usual.kind, name);
  }
});
