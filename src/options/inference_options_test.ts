import { assertEquals, assertThrows } from "@std/assert";
import { it } from "@std/testing/bdd";
import { parseCommand, UsageError } from "../terminal/command.ts";
import { INFER_OPTIONS, MIRROR_OPTION, NETWORK_OPTION, PLAN_OPTIONS } from "./inference_options.ts";
import { batchFrom } from "./query_images.ts";

const options = { ...PLAN_OPTIONS, ...INFER_OPTIONS, model: NETWORK_OPTION, mirror: MIRROR_OPTION };

for (
  const [first, second] of [
    ["--elements=8", "--model=convnet"],
    ["--elements=8", "--classes=10"],
    ["--elements=8", "--weights=DIR"],
    ["--elements=8", "--model-seed=2"],
    ["--mirror", "--elements=8"],
    ["--weights=DIR", "--model-seed=2"],
    ["--image=a.png", "--seed=2"],
    ["--drawn=3", "--seed=2"],
  ] as const
) {
  it(`${first} refuses ${second}, which it would make do nothing`, () => {
    const said = `${first.replace(/=.*/, "")} and ${second.replace(/=.*/, "")} were both given; give one`;
    assertThrows(() => parseCommand({ name: "infer", options }, [second, first]), UsageError, said);
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
