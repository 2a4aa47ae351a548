import { assertEquals, assertGreater, assertLess } from "@std/assert";
import { it } from "@std/testing/bdd";
import { sparingly } from "./role_report.ts";

it("of a flood of warnings the first in a stretch of time are written and the others counted", async () => {
  const lines: string[] = [], warn = sparingly((line) => lines.push(line), 20, 50);
  for (let i = 0; i < 1000; i++) warn("no handshake");
  assertEquals(lines, Array(20).fill("no handshake"));
  await new Promise((resolve) => setTimeout(resolve, 100));
  assertEquals(lines.slice(20), ["980 more lines in 0.05 s"]);
  warn("again");
  assertEquals(lines.at(-1), "again");
});

it("peakRssMB() is the peak of the process itself, not of the one that started it", async () => {
  const held = new Uint8Array(200e6).fill(1), module = import.meta.resolve("./role_report.ts");
  const peakOf = async (work: string) => {
    const text = `import { peakRssMB } from ${JSON.stringify(module)}; ${work} console.log(peakRssMB());`;
    const args = [
      "run",
      "--no-prompt",
      "--allow-read",
      `data:application/typescript,${encodeURIComponent(text)}`,
    ];
    const { stdout } = await new Deno.Command(Deno.execPath(), { args, stderr: "inherit" }).output();
    return Number(new TextDecoder().decode(stdout));
  };
  assertLess(await peakOf(""), 180);
  assertGreater(await peakOf("let more = new Uint8Array(500e6).fill(1); more = null;"), 480);
  assertGreater(held.length, 0);
});
