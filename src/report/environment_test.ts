import { assert, assertEquals, assertMatch } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import os from "node:os";
import { currentCommit, describeMachine, machineText } from "./environment.ts";

describe("machineText()", () => {
  it("names the processor, not the host or a folder", () => {
    const text = machineText();
    assertMatch(text, /^[^/\\\n]+, \d+ cores?, [\d.]+ GiB, \w+, Deno \d+\.\d+\.\d+$/);
    assert(!text.includes(os.hostname()), text);
    assertEquals(
      machineText({
        ...describeMachine(),
        cpu: "Test",
        cores: 1,
        memoryGiB: 0,
        system: "Linux",
        deno: "2.0.0",
      }),
      "Test, 1 core, Linux, Deno 2.0.0",
    );
  });
});

describe("currentCommit()", () => {
  it("is a short commit, marked if code was changed, or unknown", async () => {
    assertMatch(await currentCommit(), /^([0-9a-f]{12}(\+changes)?|unknown)$/);
  });
});
