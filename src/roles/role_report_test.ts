import { assertGreater, assertLess } from "@std/assert";
import { it } from "@std/testing/bdd";

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
