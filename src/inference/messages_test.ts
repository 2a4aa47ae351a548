/** What leaves a process: every byte is one that the protocol notes know, and nothing that memory happened to hold. */
import { assert, assertEquals } from "@std/assert";
import { foldBatchNorm } from "../models/fold.ts";
import type { Graph } from "../models/graph.ts";
import { randomWeights, seededImage } from "../models/weights.ts";
import { activationLayer, buildModel } from "../models/zoo.ts";
import { QUARTIC } from "../polynomial/polynomial.ts";
import { packedBytes, replyBits } from "../protocols/activation/lifted.ts";
import { ACTIVATION_PROTOCOLS } from "../protocols/registry.ts";
import { Ring } from "../ring/ring.ts";
import { type RecordedMessage, recordInference } from "./_recorded.ts";
import { everything, odd, smallWeights } from "./_small_networks.ts";
import { planInference } from "./plan.ts";

const ring = await Ring.open();

const planOf = (graph: Graph, activation: string, linear = "masked") =>
  planInference(graph, { activation, linear, fractionBits: 16, polynomial: QUARTIC, ringBits: 30 });

function convNet() {
  const graph = buildModel("convnet");
  return foldBatchNorm(graph, randomWeights(graph, 1, QUARTIC));
}

const PROTOCOLS = [
  ["lifted", "masked"],
  ...ACTIVATION_PROTOCOLS.flatMap(({ name }) => [[name, "masked"], [name, "beaver"]]),
] as const;
const NETWORKS = [
  ...[1, 17, 300, 784].map((n) => ({ graph: activationLayer(n), weights: new Map() })),
  { graph: odd, weights: smallWeights(odd) },
  convNet(),
  { graph: everything, weights: smallWeights(everything) },
];

for (const [activation, linear] of PROTOCOLS) {
  for (const { graph, weights } of NETWORKS) {
    // No comparisons, so no max pooling.
    if (graph === everything && activation === "lifted") continue;
    const name = graph.nodes.length === 2 ? `${graph.inputShape.join(" x ")} activations` : graph.name;
    Deno.test(`${activation} with ${linear} on ${name} sends the same bytes whatever ring memory held before`, async () => {
      const plan = planOf(graph, activation!, linear), image = seededImage(graph, 3);
      const [zeros, marked] = [
        await recordInference(plan, weights, [image, image], { filling: 0 }),
        await recordInference(plan, weights, [image, image], { filling: 0xa5 }),
      ];
      assert(zeros.messages.length > 0);
      for (const [i, message] of zeros.messages.entries()) {
        const other = marked.messages[i]!, { from, to, phase, tag } = message;
        assertEquals(other.bytes, message.bytes, `${phase} message ${tag} from the ${from} to the ${to}`);
      }
      assertEquals(marked.logits, zeros.logits);
    });
  }
}

/** The words of a message of `lifted`, padding included. */
function unpack({ bytes }: RecordedMessage, bits: number): Uint32Array {
  const packed = ring.allocate(bytes.length), words = bytes.length * 8 / bits, out = ring.allocate(4 * words);
  ring.bytes.set(bytes, packed);
  ring.kernels.unpack32(packed, words, bits, out);
  const result = new Uint32Array(ring.bytes.buffer, out, words).slice();
  ring.release(packed, bytes.length);
  ring.release(out, 4 * words);
  return result;
}

/** The packed messages of a lone activation layer: image, reply, re-masked words, each with its bits a word. */
function packedMessages(n: number, messages: readonly RecordedMessage[]) {
  const spec = planOf(activationLayer(n), "lifted").lifted!.specs.get(0)!;
  const online = messages.filter(({ phase, to }) => phase === "online" && to !== "dealer");
  const lengthOf = (bits: number) => packedBytes(n, bits);
  const fromClient = online.filter(({ from }) => from === "client"),
    replies = online.filter(({ from, bytes }) =>
      from === "server" && bytes.length === lengthOf(replyBits(spec))
    );
  return [
    ...fromClient.map((message) => ({ message, bits: spec.ringBits })),
    ...replies.map((message) => ({ message, bits: replyBits(spec) })),
  ];
}

for (const n of [1, 17, 300, 784]) {
  Deno.test(`lifted fills the messages of ${n} words up with zeros, and nobody can undo a mask with them`, async () => {
    const graph = activationLayer(n), image = Float32Array.from({ length: n }, (_, i) => 3 * Math.sin(i + 1));
    const { messages } = await recordInference(planOf(graph, "lifted"), new Map(), Array(6).fill(image));
    const packed = packedMessages(n, messages);
    assertEquals(packed.length, 3 * 6);
    for (const { message, bits } of packed) {
      assertEquals(unpack(message, bits).slice(n).filter((word) => word !== 0), new Uint32Array());
    }
    // A server that only reads: the image's words plus what stands behind them, its own mask among other things.
    const { imageBits, ringBits } = planOf(graph, "lifted").lifted!;
    const recovered = packed.filter(({ message: { from } }) => from === "client").map(({ message }) => {
      const words = unpack(message, ringBits), padding = words.slice(n);
      return padding.reduce((sum, mask, i) => {
        const x = (words[i % n]! + mask) % 2 ** ringBits;
        return sum +
          Number(
            mask !== 0 && x === (Math.round(image[i % n]! * 2 ** imageBits) + 2 ** ringBits) % 2 ** ringBits,
          );
      }, 0);
    });
    assertEquals(recovered.filter((count) => count > 0), []);
  });
}

/** Chi-square over the values of the lowest and of the highest eight bits of words: 255 degrees of freedom each. */
function chiSquares(words: readonly number[], bits: number): number[] {
  return [0, bits - 8].map((shift) => {
    const counts = new Float64Array(256), expected = words.length / 256;
    for (const word of words) counts[word >>> shift & 255]!++;
    return counts.reduce((sum, count) => sum + (count - expected) ** 2 / expected, 0);
  });
}

/** Mean 255, deviation 22.6: six deviations above the mean. */
const LIMIT = 255 + 6 * 22.6;
/** So that every class expects 100 words. */
const QUERIES = Math.ceil(100 * 256 / 300);

Deno.test("lifted sends uniform words in every message, and constant masks would be seen", async () => {
  const n = 300, plan = planOf(activationLayer(n), "lifted"), spec = plan.lifted!.specs.get(0)!;
  const image = new Float32Array(n).fill(1.5), images = Array(QUERIES).fill(image);
  const statistics = async (constantMasks: boolean) => {
    const { messages } = await recordInference(plan, new Map(), images, { constantMasks });
    const early = messages.filter(({ from, to, phase, bytes }) =>
      from === "client" && to === "server" && phase === "offline" && bytes.length === 4 * n
    );
    assertEquals(early.length, QUERIES);
    const v = early.flatMap(({ bytes }) => [...new Uint32Array(bytes.slice().buffer)]);
    const packed = packedMessages(n, messages);
    const of = (wanted: string, index: number) =>
      packed.filter(({ message: { from } }) => from === wanted)
        .filter((_, i, all) => index < 0 || Math.floor(i % (all.length / QUERIES)) === index)
        .flatMap(({ message, bits }) => [...unpack(message, bits).slice(0, n)]);
    return {
      v: chiSquares(v.map((word) => word % 2 ** spec.ringBits), spec.ringBits),
      image: chiSquares(of("client", 0), spec.ringBits),
      remasked: chiSquares(of("client", 1), spec.ringBits),
      reply: chiSquares(of("server", -1), replyBits(spec)),
    };
  };
  for (const [what, values] of Object.entries(await statistics(false))) {
    for (const value of values) assert(value < LIMIT, `${what}: chi-square ${value}`);
  }
  for (const [what, values] of Object.entries(await statistics(true))) {
    for (const value of values) assert(value > 10 * LIMIT, `constant masks, ${what}: chi-square ${value}`);
  }
});
