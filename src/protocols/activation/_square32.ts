/** A test-only protocol on words of 32 bits: x^2 by an opened x - r and a dealt r^2, modulo 2^k, nothing truncated. */
import { dealt, own } from "../../correlations/correlation.ts";
import { productOfMasks } from "../../correlations/products.ts";
import { RingTensor } from "../../ring/tensor.ts";
import { partOf } from "../../wires/halves.ts";
import { type ActivationProtocol, once, stateless } from "../protocol.ts";

export const square32: ActivationProtocol = {
  name: "square32",
  summary: "x^2 in a small ring, for tests",
  scaling: { kind: "ring", mostIntegerBits: 4 },
  takes: ["ringBits"],
  usual: { kind: "polynomial", coefficients: [0, 0, 1], precision: 0 },

  plan({ name, input, function: f }) {
    const { words: n, width } = input;
    if (width !== 32) throw new RangeError(`${name}: square32 reads words of 32 bits, not of ${width}`);
    if (f.kind !== "polynomial" || f.coefficients.join() !== "0,0,1") {
      throw new RangeError(`${name}: square32 computes x^2`);
    }
    if (input.extraBits > 0) throw new RangeError(`${name}: square32 has no room for extra bits`);
    const wire = { ...input, width: 32 } as const, r = own("r", "both", n, 32);
    const square = dealt("r^2", n, 32, [r], {
      fill(_, [mask], out) {
        mask.uint32.forEach((v, i) => out.uint32[i] = Math.imul(v, v));
      },
      products: (e) => productOfMasks([r, e], [r, e]),
    });
    return {
      spec: { protocol: "square32" },
      inputBits: input.fractionBits,
      keptBits: input.fractionBits,
      limit: 2 ** ((input.ringBits - 1) / 2 - input.fractionBits),
      plain: (x) => x.map((v) => v * v),
      carryBound: () => 0,
      outputs: [{ ...input, fractionBits: 2 * input.fractionBits, clientLate: true, mask: null }],
      session: [],
      query: [r, square],
      messages: [{ phase: "online", from: "both", bytes: 4 * n }],
      setUp: stateless(async ({ role, ring, peer, tag }, drawn, [early]) => {
        const mask = drawn.own(r), share = await drawn.share(square), part = partOf(ring, role, wire, early);
        return {
          early: [undefined],
          online: once("square32", async ([late]) => {
            using x = part(late);
            using mine = new RingTensor(ring, 32, n);
            using theirs = new RingTensor(ring, 32, n);
            x.uint32.forEach((v, i) => mine.uint32[i] = v - mask.uint32[i]);
            await peer.exchange(tag, mine.bytes, theirs.bytes);
            const y = new RingTensor(ring, 32, n, 2 * input.fractionBits);
            for (let i = 0; i < n; i++) {
              const u = mine.uint32[i] + theirs.uint32[i], own = role === "server" ? Math.imul(u, u) : 0;
              y.uint32[i] = own + 2 * Math.imul(u, mask.uint32[i]) + share.uint32[i];
            }
            mask[Symbol.dispose]();
            share[Symbol.dispose]();
            return [y];
          }),
        };
      }),
    };
  },
};
