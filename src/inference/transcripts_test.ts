/**
 * Every message of every protocol on small networks under fixed seeds, word for word as it was when it was recorded: who sends what in
 * which phase. A change of structure must leave the record alone; a change of a protocol changes lines of it, and its commit says
 * which and why. `UPDATE_TRANSCRIPTS=1 deno task test src/inference/transcripts_test.ts` records anew.
 */
import { assertEquals } from "@std/assert";
import { it } from "@std/testing/bdd";
import type { Graph, Weights } from "../models/graph.ts";
import { seededImage } from "../models/weights.ts";
import { activationLayer } from "../models/zoo.ts";
import { ACTIVATION_PROTOCOLS, activationProtocol, LINEAR_PROTOCOLS } from "../protocols/registry.ts";
import { type RecordedMessage, recordInference } from "./_recorded.ts";
import { everything, inSixtyFourths, odd, residual, smallWeights } from "../models/_small_networks.ts";

import { PROTOCOL_VERSION } from "./plan.ts";
import { planInference } from "./planner.ts";
import { PLAN_TAG } from "./tags.ts";

const RECORD = new URL("testdata/transcripts.json", import.meta.url);
const recorded: Record<string, Record<string, string>> = JSON.parse(
  await Deno.readTextFile(RECORD).catch(() => "{}"),
);
const updates = Deno.env.get("UPDATE_TRANSCRIPTS") === "1", before = structuredClone(recorded);

it("the record is of this version of the protocols", () => {
  if (!updates) assertEquals(recorded["version"], { protocols: `${PROTOCOL_VERSION}` });
});

const weightsOf = (graph: Graph): Weights =>
  new Map(
    [...smallWeights(graph)].map(([name, { shape, data }]) => [name, { shape, data: inSixtyFourths(data) }]),
  );

const PROTOCOLS = ACTIVATION_PROTOCOLS.flatMap(({ name, readsEarly, scaling }) =>
  LINEAR_PROTOCOLS.filter(({ readsMasked }) => readsMasked || !readsEarly).map(({ name: linear }) => ({
    activation: name,
    linear,
    // Small rings have no comparisons, so no max pooling.
    graphs: [activationLayer(300), scaling.kind === "ring" ? odd : everything, residual],
  }))
);

/** By phase and direction the messages in order: length and the first 32 bits of SHA-256. */
async function summaryOf(messages: readonly RecordedMessage[]): Promise<Record<string, string>> {
  const summary: Record<string, string> = {};
  for (const { from, to, phase, bytes } of messages.filter(isCounted)) {
    const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes.slice())).toHex().slice(0, 8);
    const key = `${phase}, ${from} to ${to}`;
    summary[key] = `${summary[key] ?? ""} ${bytes.length}:${hash}`.trim();
  }
  return Object.fromEntries(Object.entries(summary).sort());
}

/** The digest of the plan, compared by the parties and sent with requests to the dealer, changes with the version of the protocols. */
const isCounted = ({ to, tag }: RecordedMessage) => to !== "dealer" && tag !== PLAN_TAG;

for (const { activation, linear, graphs } of PROTOCOLS) {
  for (const graph of graphs) {
    const name = `${activation} with ${linear} on ${graph.name} of ${graph.inputShape.join(" x ")}`;
    it(`${name} sends what it sent when it was recorded`, async () => {
      const plan = planInference(graph, {
        activation,
        linear,
        function: activationProtocol(activation).usual,
      });
      const images = [1, 2].map((seed) => inSixtyFourths(Float32Array.from(seededImage(graph, seed))));
      for (const threads of [1, 2]) {
        const { messages } = await recordInference(plan, weightsOf(graph), images, { threads });
        const summary = await summaryOf(messages);
        if (updates) recorded[name] = summary;
        else assertEquals(summary, recorded[name]);
      }
    });
  }
}

if (updates) {
  globalThis.addEventListener("unload", () => {
    const version = { protocols: `${PROTOCOL_VERSION}` };
    const isChanged = Object.keys(before).some((name) =>
      JSON.stringify(before[name]) !== JSON.stringify(recorded[name])
    );
    if (isChanged && recorded["version"]?.["protocols"] === version.protocols) {
      throw new Error(
        "messages changed: raise PROTOCOL_VERSION first, since roles of both codes would misunderstand each other",
      );
    }
    Deno.writeTextFileSync(RECORD, JSON.stringify({ ...recorded, version }, null, 2) + "\n");
  });
}
