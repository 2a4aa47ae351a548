import { assert, assertEquals } from "@std/assert";
import { it } from "@std/testing/bdd";
import { claims } from "./claims.ts";
import { coverage, decided, entryText, minutesText } from "./coverage.ts";

const claim = claims[0];
const decidedBy = (change: object) =>
  (["smoke", "quick", "full"] as const).map((size) => {
    const { size: _, fully: __, ...rest } = claim;
    return decided({ ...rest, ...change }, size);
  });

it("a claim is decided fully from its size on, or partly until a larger one decides all of it", () => {
  assertEquals(decidedBy({}), ["fully", "fully", "fully"]);
  assertEquals(decidedBy({ size: "quick" }), ["not", "fully", "fully"]);
  assertEquals(decidedBy({ fully: "quick" }), ["partly", "fully", "fully"]);
  assertEquals(decidedBy({ size: "quick", fully: "full" }), ["not", "partly", "fully"]);
});

it("no claim is decided fully before it is decided at all", () => {
  const order = ["not", "partly", "fully"];
  for (const row of coverage(claims, () => ({ minutes: 1, memoryMB: 1 }))) {
    const { smoke, quick, full } = row.sizes,
      ranks = [smoke, quick, full].map((e) => order.indexOf(e.decided));
    assert(ranks[0] <= ranks[1] && ranks[1] <= ranks[2] && ranks[2] === 2, row.id);
  }
});

it("smoke judges no time", () => {
  for (const { id, timed, size } of claims) {
    if (timed !== undefined) assert(size === "quick" || size === "full", `${id} is judged by a smoke run`);
  }
});

it("entries are short", () => {
  assertEquals(
    entryText({ decided: "partly", minutes: 1.26, memoryMB: 4500 }),
    "partly, 1.3\u00a0min, 4.5\u00a0GB",
  );
  assertEquals(entryText({ decided: "not", minutes: 1, memoryMB: 1 }), "not");
  assertEquals([0.02, 12.4, 192].map(minutesText), ["seconds", "12\u00a0min", "3.2\u00a0h"]);
});
