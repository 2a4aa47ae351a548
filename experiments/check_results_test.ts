import { assertEquals } from "@std/assert";
import { it } from "@std/testing/bdd";
import * as catalogue from "./mod.ts";
import { checkResults, experimentsOf, keysOf } from "../src/reproduction/check_results.ts";

const keys = (only?: string[]) => experimentsOf(catalogue, only).map(({ key }) => key);

it("a derived table that is asked for measures what it is drawn from, and nothing else", () => {
  assertEquals(keys(["speedup_table"]), ["inference_latency"]);
  assertEquals(keys(["speedup_table", "ring_width"]), ["inference_latency", "ring_width"]);
  assertEquals(keys(["ring_width"]), ["ring_width"]);
  assertEquals(keys(), catalogue.experiments.map(({ key }) => key));
});

it("an experiment answers for the tables that are derived from it alone", () => {
  assertEquals(keysOf(catalogue, experimentsOf(catalogue, ["inference_latency"])), [
    "inference_latency",
    "speedup_table",
  ]);
  assertEquals(keysOf(catalogue, experimentsOf(catalogue, ["ring_width"])), ["ring_width"]);
});

it("a folder without CSVs leaves every claim unmeasured and none broken", async () => {
  const folder = await Deno.makeTempDir();
  try {
    for (const claim of await checkResults(catalogue, folder)) {
      assertEquals([claim.verdict, claim.broken], ["not measured", undefined], claim.id);
    }
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
