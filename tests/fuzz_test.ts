/** `deno task fuzz` in small: see src/fuzzing/fuzz.ts for what counts as a finding. */
import { assert, assertEquals } from "@std/assert";
import { it } from "@std/testing/bdd";
import { fileURLToPath } from "node:url";
import { fuzz } from "../src/fuzzing/fuzz.ts";

it("300 attacks harm nobody, and end in a sentence each", async () => {
  const copies = await Deno.makeTempDir();
  try {
    const at = (path: string) => fileURLToPath(new URL(path, import.meta.url));
    const folder = at("../results/models/convnet-pillar-shapes"), onnx = at("onnx");
    const { tallies, findings } = await fuzz(300, 7, { folder, copies, onnx });
    assertEquals(findings, []);
    assertEquals(tallies.map(({ cases }) => cases), [50, 50, 50, 50, 50, 50]);
    // Attacks that all end well would be none.
    for (const { kind, endedWell } of tallies) assert(kind === "stranger" || endedWell < 50, kind);
  } finally {
    await Deno.remove(copies, { recursive: true });
  }
});
