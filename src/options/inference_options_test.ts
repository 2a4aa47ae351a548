import { assertEquals, assertThrows } from "@std/assert";
import { it } from "@std/testing/bdd";
import { parseCommand, UsageError } from "../terminal/command.ts";
import {
  GRAPH_OPTION,
  INFER_OPTIONS,
  MANY_IMAGES_OPTIONS,
  MIRROR_OPTION,
  NETWORK_OPTION,
  PLAN_OPTIONS,
} from "./inference_options.ts";
import { batchFrom } from "./query_images.ts";

const options = {
  ...PLAN_OPTIONS,
  ...INFER_OPTIONS,
  ...MANY_IMAGES_OPTIONS,
  model: NETWORK_OPTION,
  graph: GRAPH_OPTION,
  mirror: MIRROR_OPTION,
};

for (
  const [first, second] of [
    ["--elements=8", "--model=convnet"],
    ["--elements=8", "--graph=graph.json"],
    ["--elements=8", "--classes=10"],
    ["--graph=graph.json", "--model=convnet"],
    ["--graph=graph.json", "--classes=10"],
    ["--elements=8", "--weights=DIR"],
    ["--elements=8", "--model-seed=2"],
    ["--mirror", "--elements=8"],
    ["--weights=DIR", "--model-seed=2"],
    ["--image=a.png", "--seed=2"],
    ["--drawn=3", "--seed=2"],
    ["--image=a.png", "--images=DIR"],
    ["--image=a.png", "--dataset=shapes"],
    ["--drawn=3", "--images=DIR"],
    ["--images=DIR", "--dataset=shapes"],
    ["--images=DIR", "--seed=2"],
    ["--dataset=shapes", "--seed=2"],
    ["--repetitions=5", "--images=DIR"],
    ["--warm-up=5", "--dataset=shapes"],
  ] as const
) {
  it(`${first} refuses ${second}, which it would make do nothing`, () => {
    const said = `${first.replace(/=.*/, "")} and ${second.replace(/=.*/, "")} were both given; give one`;
    assertThrows(() => parseCommand({ name: "infer", options }, [second, first]), UsageError, said);
  });
}

for (const [option, others] of [["--data", "--dataset"], ["--limit", "--images or --dataset"]] as const) {
  it(`${option} is refused without ${others}, since it would do nothing`, () => {
    const args = [`${option}=7`, "--weights=DIR"];
    const said = `${option} does nothing without ${others}; give that too, or leave it out`;
    assertThrows(() => parseCommand({ name: "infer", options }, args), UsageError, said);
  });
}
it("an image and its mirror image are a batch of two unless more are asked for, and an even one", () => {
  const batch = (batch: number | undefined, mirror: boolean) => batchFrom({ batch, mirror });
  assertEquals([batch(undefined, false), batch(3, false), batch(undefined, true), batch(6, true)], [
    undefined,
    3,
    2,
    6,
  ]);
  assertThrows(() => batch(1, true), UsageError, "--batch must be even, not 1");
});
