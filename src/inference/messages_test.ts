/** What leaves a process: every byte is one that the protocol notes know, and nothing that memory happened to hold. */
import { assert, assertEquals } from "@std/assert";
import { it } from "@std/testing/bdd";
import { REQUEST_BYTES, REQUEST_TAG } from "../correlations/request.ts";
import { foldBatchNorm } from "../models/fold.ts";
import type { Graph } from "../models/graph.ts";
import { fittedWave } from "../models/trigonometric.ts";
import { randomWeights, seededImage } from "../models/weights.ts";
import { activationLayer, buildModel } from "../models/zoo.ts";
import { QUARTIC } from "../polynomial/polynomial.ts";
import { CHI_SQUARE_LIMIT, chiSquare } from "../protocols/_chain.ts";
import { ACTIVATION_PROTOCOLS, activationProtocol, LINEAR_PROTOCOLS } from "../protocols/registry.ts";
import { Ring } from "../ring/ring.ts";
import { PACKING } from "../wires/packing.ts";
import { type RecordedMessage, recordInference } from "./_recorded.ts";
import {
  branching,
  everything,
  flattenedBetween,
  identity,
  odd,
  residual,
  smallWeights,
  twoActivations,
} from "../models/_small_networks.ts";
import { joined } from "./batches.ts";
import type { Plan } from "./plan.ts";
import { planInference } from "./planner.ts";

const ring = await Ring.open();

const planOf = (graph: Graph, activation: string, linear = "masked", batch = 1) =>
  planInference(graph, { activation, linear, function: activationProtocol(activation).usual, batch });

function convNet() {
  const graph = buildModel("convnet");
  return foldBatchNorm(graph, randomWeights(graph, 1, QUARTIC));
}

const PROTOCOLS = ACTIVATION_PROTOCOLS.flatMap(({ name, readsEarly, scaling }) =>
  LINEAR_PROTOCOLS.filter(({ readsMasked }) => readsMasked || !readsEarly).map(({ name: linear }) => ({
    activation: name,
    linear,
    scaling,
  }))
);
const NETWORKS = [
  ...[1, 17, 300, 784].map((n) => ({ graph: activationLayer(n), weights: new Map() })),
  ...[odd, residual, branching, flattenedBetween].map((graph) => ({ graph, weights: smallWeights(graph) })),
  convNet(),
  { graph: everything, weights: smallWeights(everything) },
];
const QUERIES_OF = [
  ...NETWORKS.map((network) => ({ ...network, batch: 1 })),
  ...[odd, residual, branching, everything].map((graph) => ({
    graph,
    weights: smallWeights(graph),
    batch: 3,
  })),
];

for (const { activation, linear, scaling } of PROTOCOLS) {
  for (const { graph, weights, batch } of QUERIES_OF) {
    // Small rings have no comparisons, so no max pooling.
    if (graph === everything && scaling.kind === "ring") continue;
    const name = graph.nodes.length === 2 ? `${graph.inputShape.join(" x ")} activations` : graph.name;
    it(`${activation} with ${linear} on ${name} for ${batch} images sends the same bytes whatever ring memory held before`, async () => {
      const plan = planOf(graph, activation, linear, batch),
        image = joined(Array.from({ length: batch }, (_, i) => Float32Array.from(seededImage(graph, 3 + i))));
      const [zeros, marked] = [
        await recordInference(plan, weights, [image, image], { filling: 0 }),
        await recordInference(plan, weights, [image, image], { filling: 0xa5 }),
      ];
      assert(zeros.messages.length > 0);
      for (const [i, message] of zeros.messages.entries()) {
        const other = marked.messages[i], { from, to, phase, tag } = message;
        assertEquals(other.bytes, message.bytes, `${phase} message ${tag} from the ${from} to the ${to}`);
      }
      assertEquals(marked.logits, zeros.logits);
    });
  }
}

for (const { activation, linear, scaling } of PROTOCOLS) {
  it(`${activation} with ${linear} tells the dealer nothing of weights and image: requests, the same for others`, async () => {
    const graph = scaling.kind === "ring" ? odd : everything, plan = planOf(graph, activation, linear);
    const toDealer = async (weightSeed: number, imageSeed: number) => {
      const recorded = await recordInference(plan, randomWeights(graph, weightSeed, QUARTIC), [
        seededImage(graph, imageSeed),
      ]);
      return recorded.messages.filter(({ to }) => to === "dealer");
    };
    const [messages, others] = [await toDealer(1, 3), await toDealer(2, 4)];
    assert(messages.some(({ from }) => from === "server") && messages.some(({ from }) => from === "client"));
    assert(messages.every(({ tag, bytes }) => tag === REQUEST_TAG && bytes.length === REQUEST_BYTES));
    assertEquals(messages, others);
  });
}

for (const harmonics of [2, 3]) {
  const cases = [
    { graph: activationLayer(17), weights: new Map(), period: 8 },
    { graph: odd, weights: smallWeights(odd), period: 7.3 },
  ];
  for (const { graph, weights, period } of cases) {
    it(`trigonometric by ${harmonics} harmonics of period ${period}, other ones in each layer, sends the same bytes whatever ring memory held`, async () => {
      const wave = fittedWave(period, harmonics, 1),
        layers = graph.nodes.filter(({ op }) => op === "activation");
      const functions = Object.fromEntries(layers.map(({ id }, i) => [id, { ...wave, offset: i / 16 }]));
      const plan = planInference(graph, {
        activation: "trigonometric",
        linear: "masked",
        function: wave,
        functions,
      });
      const images = [seededImage(graph, 3)];
      const [zeros, marked] = [
        await recordInference(plan, weights, images, { filling: 0 }),
        await recordInference(plan, weights, images, { filling: 0xa5 }),
      ];
      assertEquals(marked, zeros);
    });
  }
}

/** Protocols by one short opening. */
const SHORT = ACTIVATION_PROTOCOLS.filter(({ readsEarly }) => readsEarly).map(({ name }) => name);

/** The words of a packed message, padding included. */
function unpack({ bytes }: RecordedMessage, bits: number): Uint32Array {
  const packed = ring.allocate(bytes.length), words = bytes.length * 8 / bits, out = ring.allocate(4 * words);
  ring.bytes.set(bytes, packed);
  ring.kernels.unpack32(packed, words, bits, out);
  const result = new Uint32Array(ring.bytes.buffer, out, words).slice();
  ring.release(packed, bytes.length);
  ring.release(out, 4 * words);
  return result;
}

/** Packed messages of such a protocol on two activation layers, query by query: image and re-masked words by the client, a reply for each layer. */
function packedMessages(plan: Plan, messages: readonly RecordedMessage[]) {
  const { ringBits } = plan.wires.get(plan.input)!;
  const replies = [...plan.activations.values()].map(({ messages, outputs: [{ words }] }) =>
    messages.find(({ phase, from }) => phase === "online" && from === "server")!.bytes * 8 /
    (PACKING * Math.ceil(words / PACKING))
  );
  const of = (role: string, names: readonly string[], bits: readonly number[]) =>
    messages.filter(({ phase, from, to }) => phase === "online" && from === role && to !== "dealer")
      .map((message, i) => ({ message, name: names[i % names.length], bits: bits[i % bits.length] }));
  const [first, second] = replies as [number, number];
  return [
    ...of("client", ["image", "re-masked"], [ringBits, ringBits]),
    ...of("server", ["first reply", "second reply", "logits"], [first, second, 32]),
  ].filter(({ name }) => name !== "logits");
}

const CASES = SHORT.flatMap((protocol) =>
  [[1, 1], [17, 1], [300, 1], [784, 1], [17, 3], [300, 3]].map(([one, batch]) => ({ protocol, one, batch }))
);
for (const { protocol, one, batch } of CASES) {
  it(`${protocol} fills the messages of ${batch} x ${one} words up with zeros, and nobody can undo a mask with them`, async () => {
    const n = batch * one,
      plan = planOf(twoActivations(one), protocol, "masked", batch),
      image = Float32Array.from({ length: n }, (_, i) => Math.sin(i + 1));
    const { messages } = await recordInference(plan, identity, Array(6).fill(image));
    const packed = packedMessages(plan, messages);
    assertEquals(packed.length, 4 * 6);
    for (const { message, bits } of packed) {
      assertEquals(unpack(message, bits).slice(n).filter((word) => word !== 0), new Uint32Array());
    }
    // A server that only reads: the image's words plus what stands behind them, its own mask among other things.
    const { fractionBits, ringBits } = plan.wires.get(plan.input)!, ring = 2 ** ringBits;
    const recovered = packed.filter(({ name }) => name === "image").flatMap(({ message }) => {
      const words = unpack(message, ringBits),
        integers = Array.from(image, (v) => Math.round(v * 2 ** fractionBits));
      return [...words.slice(n)].filter((mask, i) =>
        mask !== 0 && (words[i % n] + mask) % ring === (integers[i % n] + ring) % ring
      );
    });
    assertEquals(recovered, []);
  });
}

/** Chi-square over the values of the lowest and of the highest eight bits of words: 255 degrees of freedom each. */
function chiSquares(words: readonly number[], bits: number): number[] {
  return [0, bits - 8].map((shift) => {
    const counts = new Float64Array(256);
    for (const word of words) counts[word >>> shift & 255]++;
    return chiSquare(counts);
  });
}

/** So that every class expects 100 words. */
const QUERIES = Math.ceil(100 * 256 / 300);

SHORT.forEach((protocol) =>
  it(`${protocol} sends uniform words in every message, and constant masks would be seen`, async () => {
    const n = 300, plan = planOf(twoActivations(n), protocol), { ringBits } = plan.wires.get(plan.input)!;
    const images = Array(QUERIES).fill(new Float32Array(n).fill(1.5));
    const statistics = async (constantMasks: boolean) => {
      const { messages } = await recordInference(plan, identity, images, { constantMasks });
      const words = new Map<string, { bits: number; words: number[] }>();
      const add = (name: string, bits: number, more: Iterable<number>) => {
        if (!words.has(name)) words.set(name, { bits, words: [] });
        words.get(name)!.words.push(...more);
      };
      for (const { phase, from, to, bytes } of messages) {
        if (phase !== "offline" || from !== "client" || to !== "server") continue;
        add("v", ringBits, new Uint32Array(bytes.slice().buffer).map((word) => word % 2 ** ringBits));
      }
      for (const { phase, from, to, tag, bytes } of messages) {
        if (phase === "offline" && from === "dealer" && to === "server" && tag !== REQUEST_TAG) {
          add("correction", 8, bytes);
        }
      }
      for (const { message, name, bits } of packedMessages(plan, messages)) {
        add(name, bits, unpack(message, bits).slice(0, n));
      }
      assertEquals([...words.keys()], [
        "v",
        "correction",
        "image",
        "re-masked",
        "first reply",
        "second reply",
      ]);
      assertEquals(words.get("v")!.words.length, 2 * QUERIES * n);
      return [...words].flatMap(([name, { words, bits }]) =>
        chiSquares(words, bits).map((value) => ({ name, value }))
      );
    };
    for (const { name, value } of await statistics(false)) {
      assert(value < CHI_SQUARE_LIMIT, `${name}: chi-square ${value}`);
    }
    for (const { name, value } of await statistics(true)) {
      assert(value > 10 * CHI_SQUARE_LIMIT, `constant masks, ${name}: chi-square ${value}`);
    }
  })
);
