/** One suite for every activation protocol: right over the whole range, costs as declared, nothing opened unmasked. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import type { Material } from "../../dealer/material.ts";
import type { Channel } from "../../network/channel.ts";
import { type Polynomial, QUARTIC } from "../../polynomial/polynomial.ts";
import { add } from "../../ring/arithmetic.ts";
import { decode, encode } from "../../ring/fixed_point.ts";
import { Ring } from "../../ring/ring.ts";
import { words } from "../../ring/tensor.ts";
import { both, freshMaterial, inProcess, shareOf } from "../_in_process.ts";
import type { ActivationProtocol, ActivationSpec } from "../protocol.ts";
import { ACTIVATION_PROTOCOLS } from "../registry.ts";

const ring = await Ring.open();

const polynomial = (coefficients: number[], precision: number): Polynomial => ({
  kind: "polynomial",
  coefficients,
  precision,
});
const POLYNOMIALS: Record<string, Polynomial> = {
  quadratic: polynomial([479, 512, 96], 10),
  quartic: QUARTIC,
  "quartic at p = 16": polynomial([19238, 32768, 10733, 0, -214], 16),
  "cubic with every coefficient": polynomial([-5, 3, 7, -1], 4),
  "degree 6": polynomial([837, 2048, 966, 0, -48, 0, 1], 12),
  "degree 10": polynomial([3, 8, 3, 1, -2, 1, 1, -1, 1, 1, -1], 14),
  linear: polynomial([1, 3], 2),
  square: polynomial([0, 0, 1], 0),
};

/** Runs a protocol once on the real numbers `x`. */
async function run(
  protocol: ActivationProtocol,
  spec: ActivationSpec,
  x: ArrayLike<number>,
  tap: (channel: Channel) => Channel = (channel) => channel,
  weaken: (material: Material) => Material = (material) => material,
) {
  const parties = inProcess(ring), material = freshMaterial(parties);
  using value = encode(ring, x, spec.fractionBits, "x");
  const shares = shareOf(value);
  const server = { ...parties.server, peer: tap(parties.server.peer) };
  const [evaluateServer, evaluateClient] = await Promise.all([
    protocol.prepare(spec, server, weaken(material.server)),
    protocol.prepare(spec, parties.client, weaken(material.client)),
    protocol.deal(spec, material.dealing),
  ]);
  const [y, other] = await both((role) =>
    role === "server" ? evaluateServer(shares.server) : evaluateClient(shares.client)
  );
  const again = () =>
    both(async (role) =>
      role === "server" ? await evaluateServer(shares.server) : await evaluateClient(shares.client)
    );
  return {
    y: decode(add(y, other)),
    server,
    client: parties.client,
    dealt: parties.serverToDealer.received.bytes,
    again,
  };
}

const grid = (n: number, reach = 5) =>
  Float64Array.from({ length: n }, (_, i) => n === 1 ? 1.25 : -reach + 2 * reach * i / (n - 1));

const exact = ({ polynomial: { coefficients, precision } }: ActivationSpec, x: number) =>
  coefficients.reduceRight((sum, c) => sum * x + c / 2 ** precision, 0);

for (const protocol of ACTIVATION_PROTOCOLS) {
  const polynomials = protocol.name === "relu" ? { quartic: QUARTIC } : POLYNOMIALS;

  for (const [name, function_] of Object.entries(polynomials)) {
    // x^10 at |x| = 5 is 2^23: truncating it from 32 bits fails grossly once in 500 times. Powers stay below 2^10 here.
    const reach = Math.min(5, 2 ** (10 / (function_.coefficients.length - 1)));
    Deno.test(`${protocol.name} computes the ${name} polynomial within its carry bound`, async () => {
      for (const fractionBits of [10, 16]) {
        const spec = { length: 1000, fractionBits, polynomial: function_ }, unit = 2 ** -fractionBits;
        const x = grid(spec.length, reach).map((v) => Math.round(v / unit) * unit);
        const { y } = await run(protocol, spec, x);
        const expected = protocol.fixedPoint(spec, x.map((v) => v / unit)).map((v) => v * unit);
        const bound = protocol.carryBound(spec, reach);
        const worst = Math.max(...y.map((v, i) => Math.abs(v - expected[i]!)));
        assert(
          worst <= bound,
          `difference ${worst} from the fixed-point result, bound ${bound}, ${fractionBits} bits`,
        );
      }
    });
  }

  Deno.test(`${protocol.name} at 16 bits is within 0.01 of the exact function over [-5, 5]`, async () => {
    const spec = { length: 4097, fractionBits: 16, polynomial: QUARTIC }, x = grid(spec.length);
    const { y } = await run(protocol, spec, x);
    const f = protocol.name === "relu" ? (v: number) => Math.max(0, v) : (v: number) => exact(spec, v);
    const worst = Math.max(...y.map((v, i) => Math.abs(v - f(x[i]!))));
    assert(worst < 0.01, `largest error ${worst}`);
  });

  for (const length of [0, 1, 3, 2 ** 16 + 1]) {
    Deno.test(`${protocol.name} on ${length} elements sends and waits for exactly what cost() says`, async () => {
      const spec = { length, fractionBits: 16, polynomial: QUARTIC };
      const { y, server, client, dealt } = await run(protocol, spec, grid(length));
      const cost = protocol.cost(spec);
      assertEquals(y.length, length);
      assertEquals(
        {
          bytesServer: server.peer.sent.bytes,
          bytesClient: client.peer.sent.bytes,
          exchanges: client.peer.exchanges,
          dealtBytes: dealt,
        },
        {
          bytesServer: cost.bytesServer,
          bytesClient: cost.bytesClient,
          exchanges: cost.exchanges,
          dealtBytes: cost.dealtBytes,
        },
      );
      assertEquals(server.peer.exchanges, client.peer.exchanges);
    });
  }

  Deno.test(`${protocol.name} sends uniformly distributed bytes, and a constant mask would be seen`, async () => {
    const spec = { length: 4096, fractionBits: 16, polynomial: QUARTIC };
    const zeros = (material: Material): Material => ({
      own: (n, fractionBits = 0) => Promise.resolve(cleared(n, fractionBits)),
      own32: material.own32,
      share: (into) => Promise.resolve(void into.bytes.fill(0)),
    });
    assert(await chiSquareOfBytes(protocol, spec, (material) => material) < LIMIT);
    assert(await chiSquareOfBytes(protocol, spec, zeros) > 10 * LIMIT);
  });

  Deno.test(`${protocol.name} refuses to use its material twice`, async () => {
    const spec = { length: 3, fractionBits: 16, polynomial: QUARTIC };
    const { again } = await run(protocol, spec, grid(3));
    await assertRejects(again, Error, "used before");
  });
}

function cleared(n: number, fractionBits: number) {
  const tensor = words(ring, n, fractionBits);
  tensor.bytes.fill(0);
  return tensor;
}

/** 255 degrees of freedom, mean 255, deviation 22.6: six deviations above the mean. */
const LIMIT = 255 + 6 * 22.6;

/** Chi-square of the bytes that the server sends for shares (x, 0) of a constant: nothing but the masks can hide it. */
async function chiSquareOfBytes(
  protocol: ActivationProtocol,
  spec: ActivationSpec,
  weaken: (material: Material) => Material,
) {
  const counts = new Float64Array(256);
  const record = (payload: Uint8Array) => payload.forEach((byte) => counts[byte]!++);
  const parties = inProcess(ring), material = freshMaterial(parties);
  const peer = parties.server.peer;
  const tapped: Channel = {
    send: (tag, payload) => (record(payload), peer.send(tag, payload)),
    receive: (tag, into) => peer.receive(tag, into),
    exchange: (tag, payload, into) => (record(payload), peer.exchange(tag, payload, into)),
    get sent() {
      return peer.sent;
    },
    get received() {
      return peer.received;
    },
    get exchanges() {
      return peer.exchanges;
    },
    get oneWayDelays() {
      return peer.oneWayDelays;
    },
    close: () => peer.close(),
  };
  using x = encode(ring, new Float64Array(spec.length).fill(1.5), spec.fractionBits, "x");
  using zero = cleared(spec.length, spec.fractionBits);
  const server = { ...parties.server, peer: tapped };
  const [evaluateServer, evaluateClient] = await Promise.all([
    protocol.prepare(spec, server, weaken(material.server)),
    protocol.prepare(spec, parties.client, weaken(material.client)),
    protocol.deal(spec, material.dealing),
  ]);
  await both((role) => role === "server" ? evaluateServer(x) : evaluateClient(zero));
  const total = counts.reduce((sum, count) => sum + count, 0), expected = total / 256;
  return counts.reduce((sum, count) => sum + (count - expected) ** 2 / expected, 0);
}
