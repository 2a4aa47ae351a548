import { assertEquals } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { formatDuration, Progress } from "./progress.ts";

describe("formatDuration()", () => {
  it("speaks in seconds, minutes and hours", () => {
    assertEquals([0, 0.44, 7.6, 61, 120, 3599.6, 7500].map(formatDuration), [
      "0.0 s",
      "0.4 s",
      "8 s",
      "1 min 1 s",
      "2 min",
      "1 h 00 min",
      "2 h 05 min",
    ]);
  });
});

describe("Progress", () => {
  const record = (terminal: boolean) => {
    const text: string[] = [], clock = { ms: 0 };
    const progress = new Progress("cells", 4, {
      terminal,
      write: (t) => text.push(t),
      now: () => clock.ms,
    });
    return { text, clock, progress };
  };
  it("writes a line every ten seconds where there is no terminal", () => {
    const { text, clock, progress } = record(false);
    for (
      const [ms, done] of [[1000, 1], [12_000, 2], [15_000, 3], [
        24_000,
        4,
      ]] as const
    ) {
      clock.ms = ms;
      progress.update(done, "resnet18");
    }
    progress.finish("done");
    assertEquals(text, [
      "cells 2/4, 12 s left, resnet18\n",
      "cells 4/4, resnet18\n",
      "done\n",
    ]);
  });
  it("weighs the pieces if their size is known", () => {
    const { text, clock, progress } = record(true);
    clock.ms = 1000;
    progress.update(1, "", [1, 11]);
    assertEquals(text, ["\r\x1b[Kcells 1/4, 10 s left"]);
  });
});
