/** The load under which a service is measured, in small: its clients lose nothing to others who die, drip or say nothing. */
import { assert, assertEquals } from "@std/assert";
import { it } from "@std/testing/bdd";
import { measureLoad } from "../src/roles/load.ts";
import { Program } from "./support/program.ts";

it("clients beside dying ones and strangers lose no query, and what is dealt is used once at most", async () => {
  const plan = ["--model", "convnet", "--timeout", "60"];
  const figures = await measureLoad({ plan, clients: 2, seconds: 8, disturbed: true });
  const { lost, answered, disturbances, queries, seconds } = figures;
  assertEquals(lost, []);
  assert(disturbances.killed > 0 && disturbances.strangers > 1, JSON.stringify(disturbances));
  for (const [client, list] of answered.entries()) {
    assert(list.length > 0, `client ${client} had no answer`);
    assert(list.every(({ figures: { logits } }) => logits.length === 10 && logits.every(Number.isFinite)));
  }
  // The server also counts those before the time began and those who died; what they did not live to ask was dealt for nothing.
  const counted = answered.reduce((sum, list) => sum + list.length, 0);
  assert(counted <= queries.answered && queries.answered <= queries.dealt, JSON.stringify(queries));
  assert(seconds >= 8);
});

it("load measures activations alone", async () => {
  await using program = Program.start("load", [
    "--elements",
    "17",
    "--clients",
    "1",
    "--seconds",
    "1",
    "--json",
  ]);
  const { lost, queries } = JSON.parse((await program.succeeds()).stdout);
  assertEquals(lost, []);
  assert(queries > 0);
});
