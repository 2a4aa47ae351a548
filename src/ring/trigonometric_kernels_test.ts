import { assert, assertEquals } from "@std/assert";
import { it } from "@std/testing/bdd";
import { Ring } from "./ring.ts";

// Every kernel against integers and doubles on random words and at the edges; a guard behind each output shows writes past its end.

const ring = await Ring.open(), { kernels } = ring;
const SIZES = [0, 1, 2, 5, 301], GUARD = 0x5c;
const HARMONICS = [1, 2, 3] as const;

/** Random bytes, and a guard behind them. */
function bytes(length: number) {
  const address = ring.allocate(length + 8), view = ring.bytes.subarray(address, address + length + 8);
  for (let at = 0; at < length; at += 65536) {
    crypto.getRandomValues(view.subarray(at, Math.min(length, at + 65536)));
  }
  view.fill(GUARD, length);
  const word48 = (i: number) =>
    view.subarray(6 * i, 6 * i + 6).reduceRight((word, byte) => word << 8n | BigInt(byte), 0n);
  return {
    address,
    words: new Uint32Array(ring.bytes.buffer, address, Math.ceil(length / 4)),
    word48,
    checkGuard: (what: string) =>
      assert(view.subarray(length).every((byte) => byte === GUARD), `${what} wrote past its end`),
  };
}

const signed = (word: bigint) => Number(BigInt.asIntN(48, word));

it("sub48 subtracts words of six bytes, in place too", () => {
  for (const n of SIZES) {
    const a = bytes(6 * n), b = bytes(6 * n), out = bytes(6 * n);
    kernels.sub48(a.address, b.address, out.address, n);
    out.checkGuard("sub48");
    const expected = Array.from({ length: n }, (_, i) => BigInt.asUintN(48, a.word48(i) - b.word48(i)));
    assertEquals(Array.from({ length: n }, (_, i) => out.word48(i)), expected);
    kernels.sub48(a.address, b.address, a.address, n);
    a.checkGuard("sub48 in place");
    assertEquals(Array.from({ length: n }, (_, i) => a.word48(i)), expected);
  }
});

it("the words for a mask are cosines and sines of it to the nearest integer, and the line for both top bits", () => {
  for (const H of HARMONICS) {
    for (
      const [k, turnBits, waveBits, lineShift] of [[30, 27, 10, 6], [24, 21, 9, -3], [16, 9, 9, 0], [
        30,
        30,
        11,
        1,
      ]] as const
    ) {
      for (const n of SIZES) {
        const t = turnBits - waveBits,
          s = bytes(4 * n),
          out = bytes(6 * n * (2 * H + 2)),
          constant = 12345n - (1n << 40n);
        if (n > 4) s.words.set([0, 2 ** k - 1, 2 ** (k - 2), 2 ** (k - 2) - 1, 3 * 2 ** (k - 2)]);
        const amplitudes = [-50000.5, 9000, -777.25].slice(0, H), parameters = bytes(8 * (1 + H));
        new BigInt64Array(ring.bytes.buffer, parameters.address, 1)[0] = constant;
        new Float64Array(ring.bytes.buffer, parameters.address + 8, H).set(amplitudes);
        kernels[`trigonometricMasks${H}`](
          s.address,
          n,
          k,
          turnBits,
          t,
          lineShift,
          parameters.address,
          out.address,
        );
        out.checkGuard("trigonometricMasks");
        for (let e = 0; e < n; e++) {
          const mask = s.words[e] % 2 ** k,
            angle = 2 * Math.PI * (mask - (2 ** t - 1) / 2) / 2 ** turnBits,
            at = e * (2 * H + 2);
          amplitudes.forEach((b, h) => {
            for (const [i, f] of [[0, Math.cos], [1, Math.sin]] as const) {
              const exact = b * f((2 * h + 1) * angle), got = signed(out.word48(at + 2 * h + i));
              assert(Math.abs(got - exact) <= 0.5 + 1e-3, `${got} for ${exact}`);
            }
          });
          const r = (mask - 2 ** (k - 2) + 2 ** k) % 2 ** k, rho = BigInt(r + 2 ** (k - 2));
          const shifted = (v: bigint) => lineShift < 0 ? v >> BigInt(-lineShift) : v << BigInt(lineShift);
          const wrapped = r >= 2 ** (k - 1) ? rho - (1n << BigInt(k)) : rho;
          assertEquals(out.word48(at + 2 * H), BigInt.asUintN(48, constant - shifted(wrapped)));
          assertEquals(out.word48(at + 2 * H + 1), BigInt.asUintN(48, constant - shifted(rho)));
        }
      }
    }
  }
});

it("the gate looks up the angle, picks the line by the top bit, and shifts modulo 2^48", () => {
  for (const H of HARMONICS) {
    for (const [k, waveBits, t, lineShift] of [[30, 10, 17, 6], [24, 9, 0, -2], [16, 2, 5, 0]] as const) {
      const turn = bytes(8 << waveBits),
        places = 2 ** waveBits,
        pairs = new Int32Array(ring.bytes.buffer, turn.address, 2 * places);
      for (const n of SIZES) {
        const e = bytes(4 * n), words = bytes(6 * n * (2 * H + 2)), mask = bytes(4 * n), reply = bytes(4 * n);
        for (let i = 0; i < n; i++) e.words[i] %= 2 ** k;
        kernels.trigonometricReply(e.address, reply.address, n, k, t, waveBits);
        reply.checkGuard("trigonometricReply");
        const value = (i: number) => {
          const place = (e.words[i] >>> t) % places, top = e.words[i] >>> (k - 1), at = i * (2 * H + 2);
          assertEquals(reply.words[i], top * places + place);
          let y = words.word48(at + 2 * H + top);
          for (let h = 0; h < H; h++) {
            const j = (2 * h + 1) * place % places;
            y += words.word48(at + 2 * h) * BigInt(pairs[2 * j]) +
              words.word48(at + 2 * h + 1) * BigInt(pairs[2 * j + 1]);
          }
          return y;
        };
        const low = (y: bigint) => Number(BigInt.asUintN(48, y) >> BigInt(48 - k));
        const shifted = (v: number) =>
          lineShift < 0 ? BigInt(v >>> -lineShift) : BigInt(v) << BigInt(lineShift);
        const compare = (out: ReturnType<typeof bytes>, expected: (i: number) => number) => {
          out.checkGuard("trigonometricGate");
          for (let i = 0; i < n; i++) {
            assertEquals((out.words[i] >>> 0) % 2 ** k, (expected(i) + 2 ** k) % 2 ** k);
          }
        };
        const server = bytes(4 * n), client = bytes(4 * n);
        kernels[`trigonometricGateServer${H}`]({
          e: e.address,
          words: words.address,
          turn: turn.address,
          waveBits,
          k,
          t,
          lineShift,
          out: server.address,
          n,
        })();
        compare(server, (i) => low(value(i) + shifted(e.words[i])));
        kernels[`trigonometricGateClient${H}`](
          reply.address,
          words.address,
          turn.address,
          waveBits,
          k,
          0,
          client.address,
          n,
        );
        compare(client, (i) => low(value(i)));
        const masks = mask.words.slice(0, n);
        kernels[`trigonometricGateClient${H}`](
          reply.address,
          words.address,
          turn.address,
          waveBits,
          k,
          mask.address,
          mask.address,
          n,
        );
        compare(mask, (i) => low(value(i)) - masks[i] % 2 ** k);
      }
    }
  }
});
