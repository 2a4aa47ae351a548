/**
 * The digest of every network by the default protocols and by one on 64-bit words. Another digest means that a role with this code and one with
 * the code before no longer agree: where that is intended, `UPDATE_DIGESTS=1 deno task test src/inference/digest_test.ts` records the
 * new ones; where the words of a message changed and nothing here did, PROTOCOL_VERSION must be raised by hand.
 */
import { assertEquals } from "@std/assert";
import { it } from "@std/testing/bdd";
import { foldGraph } from "../models/fold.ts";
import { buildModel, MODEL_NAMES } from "../models/zoo.ts";
import { QUARTIC } from "../polynomial/polynomial.ts";
import { DEFAULT_ACTIVATION, DEFAULT_LINEAR } from "../protocols/registry.ts";
import { digestOf } from "./plan.ts";
import { planInference } from "./planner.ts";

const RECORD = new URL("testdata/digests.json", import.meta.url);

it("the digest of every network is the recorded one", async () => {
  const digests: Record<string, string> = {};
  for (const model of MODEL_NAMES) {
    const graph = foldGraph(buildModel(model)), hasMaxPool = graph.nodes.some(({ op }) => op === "maxPool");
    for (
      const [activation, linear] of [[DEFAULT_ACTIVATION.name, DEFAULT_LINEAR.name], [
        "honeybadger",
        "beaver",
      ]] as const
    ) {
      if (hasMaxPool && activation === DEFAULT_ACTIVATION.name) continue;
      const digest = await digestOf(planInference(graph, { activation, linear, function: QUARTIC }));
      digests[`${model}, ${activation}, ${linear}`] = digest.toHex();
    }
  }
  if (Deno.env.get("UPDATE_DIGESTS") === "1") {
    await Deno.writeTextFile(RECORD, JSON.stringify(digests, null, 1) + "\n");
  }
  assertEquals(digests, JSON.parse(await Deno.readTextFile(RECORD)));
});
