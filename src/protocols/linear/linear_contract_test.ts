/** One suite for every linear protocol: exact products modulo 2^64, costs as declared, nothing sent unmasked. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import type { Material } from "../../dealer/material.ts";
import { add } from "../../ring/arithmetic.ts";
import { Convolution, type ConvolutionSpec } from "../../ring/convolution.ts";
import { encode } from "../../ring/fixed_point.ts";
import { Ring } from "../../ring/ring.ts";
import { type RingTensor, words } from "../../ring/tensor.ts";
import { both, freshMaterial, inProcess, shareOf } from "../_in_process.ts";
import type { LinearGroup, LinearProtocol } from "../protocol.ts";
import { LINEAR_PROTOCOLS } from "../registry.ts";
import { outputLength, weightsOf } from "./layers.ts";

const ring = await Ring.open();
const layer = (
  height: number,
  inputs: number,
  kernel: number,
  stride: number,
  padding: number,
  outputs: number,
): ConvolutionSpec => ({
  height,
  width: height,
  inputs,
  kernel,
  stride,
  padding,
  outputs,
});

const GROUPS: Record<string, LinearGroup> = {
  "a convolution": { inputs: 8 * 8 * 16, layers: [layer(8, 16, 3, 1, 1, 16)] },
  "a strided convolution and its shortcut on one opening": {
    inputs: 8 * 8 * 16,
    layers: [layer(8, 16, 3, 2, 1, 32), layer(8, 16, 1, 2, 0, 32)],
  },
  "a first layer": { inputs: 32 * 32 * 3, layers: [layer(32, 3, 3, 1, 1, 64)] },
  "a dense layer": { inputs: 70, layers: [layer(1, 70, 1, 1, 0, 10)] },
};

const numbers = (length: number, scale: number, seed: number) =>
  Float64Array.from({ length }, (_, i) => scale * Math.sin(seed + 12.9898 * i * (i + 1)));

async function run(protocol: LinearProtocol, group: LinearGroup, queries = 2) {
  const parties = inProcess(ring), session = freshMaterial(parties);
  const weights = group.layers.map((spec, i) =>
    encode(ring, numbers(weightsOf(spec), 0.3, i), 16, "weights")
  );
  const [server, client, dealing] = await Promise.all([
    protocol.setUp(group, parties.server, session.server, weights),
    protocol.setUp(group, parties.client, session.client, null),
    protocol.dealSession(group, session.dealing),
  ]);
  const setUp = { bytesServer: parties.server.peer.sent.bytes, bytesClient: parties.client.peer.sent.bytes };
  const outputs: RingTensor[][] = [], inputs: RingTensor[] = [];
  let again = () => Promise.resolve<unknown>(undefined);
  for (let query = 0; query < queries; query++) {
    const material = freshMaterial(parties),
      mask = freshMaterial(parties),
      x = encode(ring, numbers(group.inputs, 4, query), 16, "x"),
      shares = shareOf(x);
    const [evaluateServer, evaluateClient] = await Promise.all([
      server.prepare(parties.server, material.server, mask.server),
      client.prepare(parties.client, material.client, mask.client),
      dealing.deal(material.dealing, mask.dealing),
    ]);
    const [mine, theirs] = await both((role) =>
      role === "server" ? evaluateServer(shares.server) : evaluateClient(shares.client)
    );
    outputs.push(mine.map((y, i) => add(y, theirs[i]!)));
    inputs.push(x);
    again = () => evaluateClient(shares.client);
  }
  return { parties, weights, outputs, inputs, setUp, again, dealt: parties.serverToDealer.received.bytes };
}

for (const protocol of LINEAR_PROTOCOLS) {
  for (const [name, group] of Object.entries(GROUPS)) {
    Deno.test(`${protocol.name} computes ${name} exactly, in every query of a session`, async () => {
      const { weights, outputs, inputs } = await run(protocol, group);
      for (const [query, x] of inputs.entries()) {
        for (const [i, spec] of group.layers.entries()) {
          using convolution = new Convolution(ring, 64, spec, weights[i]!.address);
          using expected = words(ring, outputLength(spec));
          convolution.run(x.address, expected.address);
          assertEquals(outputs[query]![i]!.int64, expected.int64);
        }
      }
    });

    Deno.test(`${protocol.name} on ${name} sends what cost() and setUpCost() say`, async () => {
      const { parties, setUp, dealt } = await run(protocol, group, 1);
      const cost = protocol.cost(group);
      assertEquals(setUp, protocol.setUpCost(group));
      assertEquals({
        bytesServer: parties.server.peer.sent.bytes - setUp.bytesServer,
        bytesClient: parties.client.peer.sent.bytes - setUp.bytesClient,
        dealtBytes: dealt,
      }, { bytesServer: cost.bytesServer, bytesClient: cost.bytesClient, dealtBytes: cost.dealtBytes });
    });
  }

  Deno.test(`${protocol.name} refuses to use the material of a query twice`, async () => {
    const { again } = await run(protocol, GROUPS["a dense layer"]!, 1);
    await assertRejects(again, Error, "used before");
  });

  Deno.test(`${protocol.name} sends uniformly distributed bytes, and a constant mask would be seen`, async () => {
    assert(await chiSquareOfBytes(protocol, (material) => material) < LIMIT);
    assert(await chiSquareOfBytes(protocol, zeros) > 10 * LIMIT);
  });
}

const zeros = (material: Material): Material => ({
  own32: material.own32,
  own(n, fractionBits = 0) {
    const tensor = words(ring, n, fractionBits);
    tensor.bytes.fill(0);
    return Promise.resolve(tensor);
  },
  share: (into) => Promise.resolve(void into.bytes.fill(0)),
});

/** 255 degrees of freedom, mean 255, deviation 22.6: six deviations above the mean. */
const LIMIT = 255 + 6 * 22.6;

/** Chi-square of all bytes that the client sends in set-up and one query on a constant, with shares (0, x). */
async function chiSquareOfBytes(
  protocol: LinearProtocol,
  weaken: (material: Material) => Material,
): Promise<number> {
  const group = GROUPS["a first layer"]!, counts = new Float64Array(256);
  const record = (payload: Uint8Array) => payload.forEach((byte) => counts[byte]!++);
  const parties = inProcess(ring), session = freshMaterial(parties), peer = parties.client.peer;
  const tapped = {
    ...parties.client,
    peer: {
      ...{ sent: peer.sent, received: peer.received, exchanges: 0, oneWayDelays: 0, close: () => {} },
      send: (tag: number, payload: Uint8Array) => (record(payload), peer.send(tag, payload)),
      receive: (tag: number, into: Uint8Array) => peer.receive(tag, into),
      exchange: (
        tag: number,
        payload: Uint8Array,
        into: Uint8Array,
      ) => (record(payload), peer.exchange(tag, payload, into)),
    },
  };
  const weights = group.layers.map((spec) =>
    encode(ring, new Float64Array(weightsOf(spec)).fill(0.25), 16, "weights")
  );
  const [server, client, dealing] = await Promise.all([
    protocol.setUp(group, parties.server, weaken(session.server), weights),
    protocol.setUp(group, tapped, weaken(session.client), null),
    protocol.dealSession(group, session.dealing),
  ]);
  const material = freshMaterial(parties), mask = freshMaterial(parties);
  const [evaluateServer, evaluateClient] = await Promise.all([
    server.prepare(parties.server, weaken(material.server), weaken(material.server)),
    client.prepare(tapped, weaken(material.client), weaken(material.client)),
    dealing.deal(material.dealing, mask.dealing),
  ]);
  using x = encode(ring, new Float64Array(group.inputs).fill(1.5), 16, "x"),
    zero = encode(ring, new Float64Array(group.inputs), 16, "zero");
  await both((role) => role === "server" ? evaluateServer(zero) : evaluateClient(x));
  const total = counts.reduce((sum, count) => sum + count, 0), expected = total / 256;
  return counts.reduce((sum, count) => sum + (count - expected) ** 2 / expected, 0);
}
