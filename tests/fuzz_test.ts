/** `deno task fuzz` in small: see src/fuzzing/fuzz.ts for what counts as a finding. */
import { assert, assertEquals } from "@std/assert";
import { it } from "@std/testing/bdd";
import { fileURLToPath } from "node:url";
import { fuzz } from "../src/fuzzing/fuzz.ts";

it("300 attacks harm nobody, and end in a sentence each", async () => {
  const copies = await Deno.makeTempDir();
  try {
    const folder = fileURLToPath(new URL("../results/models/convnet-pillar-shapes", import.meta.url));
    const { tallies, findings } = await fuzz(300, 7, { folder, copies });
    assertEquals(findings, []);
    assertEquals(tallies.map(({ cases }) => cases), [75, 75, 75, 75]);
    // Attacks that all end well would be none.
    for (const { kind, endedWell } of tallies) assert(kind === "stranger" || endedWell < 75, kind);
  } finally {
    await Deno.remove(copies, { recursive: true });
  }
});
