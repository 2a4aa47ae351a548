import { assert, assertAlmostEquals, assertEquals } from "@std/assert";
import { it } from "@std/testing/bdd";
import { coresOfOthers, parseProcessorTime, processorTime } from "./other_processes.ts";

const text = (all: string, own: string) =>
  `cpu  ${all}\ncpu0 1 2 3 4 5 6 7 8 9 10\nintr 5\n77 (a (strange) name) S 1 77 77 0 -1 4194304 9 9 9 9 ${own} 20 0 1 0 5\n`;

it("parseProcessorTime() reads seconds of all processes and of this one with its ended children", () =>
  assertEquals(
    parseProcessorTime(text("1000 200 300 99999 50 7 8 40 0 0", "11 22 33 44"), 5),
    { all: 15.4, own: 1.1, atMs: 5 },
  ));

it("parseProcessorTime() reads nothing from a system that says something else", () =>
  assertEquals(parseProcessorTime("", 0), undefined));

it("coresOfOthers() is what others took over the time between, and nothing where it is not known", () => {
  const before = { all: 10, own: 1, atMs: 1000 };
  assertAlmostEquals(coresOfOthers(before, { all: 14, own: 2, atMs: 3000 })!, 1.5);
  // Both numbers are rounded by the system.
  assertEquals(coresOfOthers(before, { all: 11, own: 2.01, atMs: 3000 }), 0);
  assertEquals(coresOfOthers(undefined, before), null);
});

it("processorTime() counts this process, and others as others", async () => {
  const busy = (ms: number) => {
    for (const end = performance.now() + ms; performance.now() < end;);
  };
  const before = await processorTime();
  if (before === undefined) return console.log("this system does not say what processes take");
  busy(1000);
  const own = await processorTime();
  assert(own!.own - before.own > 0.2, `${own!.own - before.own} s of its own`);
  const loop = new Deno.Command(Deno.execPath(), { args: ["eval", "for (;;);"] }).spawn();
  await new Promise((resolve) => setTimeout(resolve, 2000));
  const beside = await processorTime();
  // It has not ended, so it is none of our ended children.
  const others = coresOfOthers(own, beside)!;
  loop.kill();
  await loop.status;
  assert(others > 0.1, `${others} cores`);
});
