import { assert, assertEquals } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { checkClaim, checkClaims, claim, claims, type Data, where } from "./claims.ts";
import { numberOf } from "./csv.ts";

const rows = [
  { model: "a", time: "2", size: "quick" },
  { model: "b", time: "3", size: "quick" },
];
const data: Data = { rows: (key) => key === "timing" ? rows : [], reference: () => [] };
const example = claim<number>({
  id: "b-over-a",
  sentence: "b takes longer than a.",
  source: "ours",
  experiment: "timing",
  expected: "1.5",
  tolerance: "at least 1.4",
  refuted: "a ratio below 1.4",
  measure: (rows) => {
    const [a] = where(rows, { model: "a" }), [b] = where(rows, { model: "b" });
    return a && b ? numberOf(b, "time") / numberOf(a, "time") : undefined;
  },
  test: (ratio) => ratio >= 1.4,
});

describe("checkClaim()", () => {
  it("tells what holds, what fails, and what was not measured", () => {
    const check = (change: object) => {
      const { verdict, measured } = checkClaim({ ...example, ...change }, data);
      return [verdict, measured];
    };
    assertEquals(check({}), ["holds", "1.5"]);
    assertEquals(check({ test: () => false }), ["fails", "1.5"]);
    assertEquals(check({ show: (value: number) => `${value} times` }), ["holds", "1.5 times"]);
    const unjudged = () => ({ kind: "machine", text: "elsewhere" });
    assertEquals(check({ test: () => false, unjudged }), ["not judged here", "1.5, elsewhere"]);
    assertEquals(check({ experiment: "other" }), ["not measured", "no rows of other"]);
    assertEquals(check({ measure: () => undefined }), ["not measured", "rows are missing"]);
    assertEquals(check({ size: "full" }), ["not measured", "needs a run of size full, rows are quick"]);
    const broken = check({ measure: () => numberOf(rows[0], "bytes") });
    assertEquals(broken, ["not measured", 'there is no column "bytes"; columns are model, time, size']);
  });
  it("tells a value that cannot be computed from one that was not measured", () => {
    const broken = checkClaim({ ...example, measure: () => numberOf(rows[0], "bytes") }, data);
    assertEquals([broken.verdict, broken.broken], ["not measured", true]);
    assertEquals(checkClaim({ ...example, measure: () => undefined }, data).broken, undefined);
  });
  it("says which size is needed, so that a small run is not blamed", () => {
    assertEquals(checkClaim({ ...example, size: "full" }, data).needs, "full");
    assertEquals(checkClaim(example, data).needs, undefined);
  });
});

describe("checkClaims()", () => {
  it("selects by experiment", () => {
    const list = [example, { ...example, id: "other", experiment: "other" }];
    assertEquals(checkClaims(data, ["timing"], list).map(({ id }) => id), ["b-over-a"]);
    assertEquals(checkClaims(data, undefined, list).length, 2);
  });
});

describe("claims", () => {
  it("have names of their own and sentences", () => {
    assertEquals(new Set(claims.map(({ id }) => id)).size, claims.length);
    for (const { id, sentence } of claims) {
      assert(/^[a-z0-9-]+$/.test(id), id);
      assert(/^[A-Z].*\.$/.test(sentence), `${id}: a claim is a sentence`);
    }
  });
});
