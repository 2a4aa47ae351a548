import { assert, assertEquals } from "@std/assert";
import { it } from "@std/testing/bdd";
import { measure } from "./measure.ts";

it("measure() runs the candidates in turns, three times at least, and reports each", () => {
  const order: string[] = [];
  const candidate = (name: string) => ({ name, run: () => void order.push(name) });
  const timings = measure([candidate("a"), candidate("b")], 0);
  assertEquals(order.join(""), "ababab");
  assertEquals([...timings.keys()], ["a", "b"]);
  for (const { bestMs, medianMs, repetitions } of timings.values()) {
    assertEquals(repetitions, 3);
    assert(bestMs >= 0 && bestMs <= medianMs);
  }
});
