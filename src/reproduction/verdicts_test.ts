import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import type { CheckedClaim } from "../report/claims.ts";
import { claimsTable, resultLine } from "./claims_table.ts";
import { displayWidth } from "../terminal/table.ts";
import { cellsToRepeat, exitCodeOf } from "./verdicts.ts";

const claim = (verdict: CheckedClaim["verdict"], more: Partial<CheckedClaim> = {}): CheckedClaim => ({
  ...{ id: "a-claim", sentence: "It is fast.", source: "ours", experiment: "timing" },
  ...{ expected: "at least 12x", measured: "16.3x", tolerance: "none", refuted: "less", verdict },
  ...more,
});
const timed = { timed: "timing" };
const noisy = (cells: string[] = []) =>
  claim("not judged here", { ...timed, obstacle: { kind: "noise", text: "where it is loud", cells } });
const elsewhere = claim("not judged here", {
  ...timed,
  obstacle: { kind: "machine", text: "on another kind of machine" },
});
const times = (count: number) => Array.from({ length: count }, () => claim("holds", timed));

describe("exitCodeOf()", () => {
  it("is 0 where no judged claim fails", () => {
    assertEquals(exitCodeOf([...times(3), claim("not measured", { needs: "full" })]), 0);
    assertEquals(exitCodeOf([]), 0);
  });
  it("is 1 where one fails, a cell broke, or a value could not be computed", () => {
    assertEquals(exitCodeOf([...times(9), claim("fails")]), 1);
    assertEquals(exitCodeOf(times(3), true), 1);
    assertEquals(exitCodeOf([claim("not measured", { broken: true })]), 1);
    // Noise does not cover a failure.
    assertEquals(exitCodeOf([noisy(), noisy(), claim("fails")]), 1);
  });
  it("is 2 where noise left more than a quarter of the claims about time open", () => {
    assertEquals(exitCodeOf([...times(3), noisy()]), 0);
    assertEquals(exitCodeOf([...times(2), noisy()]), 2);
    // Claims about other things do not dilute it, nor do those of a larger size.
    const others = Array.from({ length: 20 }, () => claim("holds"));
    const larger = Array.from({ length: 20 }, () => claim("not measured", timed));
    assertEquals(exitCodeOf([...times(2), noisy(), ...others, ...larger]), 2);
  });
  it("is 0 on another kind of machine", () => assertEquals(exitCodeOf([elsewhere, elsewhere, elsewhere]), 0));
});

it("cellsToRepeat() gathers the cells of noisy claims alone, by the experiment that times them", () => {
  const claims = [noisy(["a", "b"]), noisy(["b", "c"]), elsewhere, claim("fails", timed)];
  assertEquals(cellsToRepeat(claims), new Map([["timing", new Set(["a", "b", "c"])]]));
});

describe("claimsTable()", () => {
  const long = "a very long measurement ".repeat(9).trim();
  const all = [
    claim("holds", { measured: long }),
    claim("fails", { id: "a-rather-long-name-of-a-claim", measured: "5.4x" }),
    claim("not judged here", { measured: "5.4x, where TensorFlow.js takes 68 ms in place of 34" }),
    claim("not measured", { measured: "no rows" }),
  ];
  it("fits one line a claim to the width, and says why below what fails or is not judged", () => {
    for (const width of [60, 80, 110, 200]) {
      const lines = claimsTable(all, { width }).split("\n");
      assert(lines.every((line) => displayWidth(line) <= width), lines.join("\n"));
      assertEquals(lines.filter((line) => /^(holds|fails|not )/.test(line)).length, 4);
      const text = lines.map((line) => line.trim()).join(" ");
      assertStringIncludes(
        text,
        "It is fast. Measured: 5.4x. Expected: at least 12x (accepted: none).",
      );
      assertStringIncludes(text, "5.4x, where TensorFlow.js takes 68 ms in place of 34.");
      assert(lines.filter((line) => line.startsWith("    ")).length >= 2);
    }
  });
  it("cuts what does not fit, visibly", () =>
    assertMatch(claimsTable(all, { width: 80 }).split("\n")[2], /^holds .* a very long.*\u2026 /));
  it("has the sentences with --verbose", () => {
    const text = claimsTable(all, { verbose: true, width: 110 });
    assert(/It is fast\./.test(text) && /\(ours\)/.test(text));
    assertStringIncludes(text, "at least 12x; none");
  });
});

it("resultLine() can be searched for", () =>
  assertEquals(
    resultLine([claim("holds"), claim("fails"), noisy()], 1),
    "result: 1 of 3 claims hold, 1 fails, 1 is not judged here; exit code 1 (a claim fails or something broke)",
  ));
