import { assert, assertEquals, assertThrows } from "@std/assert";
import { it } from "@std/testing/bdd";
import { evaluatePolynomial, QUARTIC } from "../polynomial/polynomial.ts";
import { Ring } from "./ring.ts";

// Kernels of 32-bit words and of `lifted`: every one against BigInt arithmetic on random words of full range and at the edges; then the whole protocol. A
// guard word behind each output shows writes past the end.

const ring = await Ring.open();
const kernels = ring.kernels;
const SIZES = [0, 1, 3, 5, 1027];
const DEGREES = [2, 3, 4, 5, 6, 7, 8, 9, 10];
const GUARD64 = 0x0123456789abcdefn, GUARD32 = 0x89abcdef;

const mod = (value: bigint, bits: number) => BigInt.asUintN(bits, value);

function words64(n: number): { address: number; words: BigUint64Array } {
  const address = ring.allocate((n + 1) * 8);
  const words = new BigUint64Array(ring.bytes.buffer, address, n + 1);
  fillRandom(address, n * 8);
  words[n] = GUARD64;
  return { address, words };
}

function words32(n: number, bits = 32): { address: number; words: Uint32Array } {
  const address = ring.allocate((n + 1) * 4);
  const words = new Uint32Array(ring.bytes.buffer, address, n + 1);
  fillRandom(address, n * 4);
  for (let i = 0; i < n; i++) words[i] >>>= 32 - bits;
  words[n] = GUARD32;
  return { address, words };
}

function fillRandom(address: number, bytes: number): void {
  for (let at = 0; at < bytes; at += 65536) {
    crypto.getRandomValues(new Uint8Array(ring.bytes.buffer, address + at, Math.min(65536, bytes - at)));
  }
}

/** Throws unless words[e] is want(e), a number modulo 2^32, for e = 0 ... n - 1, and the guard still stands. */
function compare(words: Uint32Array, n: number, want: (e: number) => bigint, label: string): void {
  for (let e = 0; e < n; e++) {
    const expected = Number(mod(want(e), 32));
    if (words[e] !== expected) {
      throw new Error(`${label}, n = ${n}, word ${e}: ${words[e]} instead of ${expected}`);
    }
  }
  assertEquals(words[n], GUARD32, `${label} wrote past the end`);
}

/** The integer of [low, high] pairs of words, or of single ones. */
function wide(words: BigUint64Array, i: number, limbs: number): bigint {
  return limbs === 1 ? words[i] : words[2 * i] | words[2 * i + 1] << 64n;
}

function setWide(words: BigUint64Array, i: number, limbs: number, value: bigint): void {
  for (let limb = 0; limb < limbs; limb++) words[i * limbs + limb] = mod(value >> BigInt(64 * limb), 64);
}

it("pack32 and unpack32 keep the low bits of every width", () => {
  for (let bits = 1; bits < 32; bits++) {
    for (const n of [0, 128, 5 * 128]) {
      const words = words32(n), bytes = words32(n * bits / 32), out = words32(n);
      if (n > 0) words.words.set([0, 2 ** 32 - 1, 2 ** bits, 2 ** bits - 1]);
      kernels.pack32(words.address, n, bits, bytes.address);
      assertEquals(bytes.words[n * bits / 32], GUARD32, `pack32 of ${bits} bits wrote past the end`);
      kernels.unpack32(bytes.address, n, bits, out.address);
      compare(out.words, n, (e) => mod(BigInt(words.words[e]), bits), `round trip of ${bits} bits`);
      // Lane l of a block of 128 words is a stream of bits of its own.
      for (let e = 0; e < n; e++) {
        const block = Math.floor(e / 128), lane = e % 4, start = Math.floor(e % 128 / 4) * bits;
        for (const bit of [0, bits - 1]) {
          const at = block * 4 * bits + Math.floor((start + bit) / 32) * 4 + lane;
          assert((bytes.words[at] >>> (start + bit) % 32 & 1) === (words.words[e] >>> bit & 1));
        }
      }
      const packed = bytes.words.slice(0, n * bits / 32);
      kernels.pack32(words.address, n, bits, words.address);
      assertEquals(words.words.slice(0, packed.length), packed, `pack32 of ${bits} bits in place`);
    }
  }
  for (const n of [1, 3, 17, 127, 129, 300]) {
    for (const bits of [1, 15, 24, 30, 31]) {
      const blocks = Math.ceil(n / 128), words = words32(128 * blocks), packed = words32(4 * blocks * bits);
      const filledUp = words32(128 * blocks), out = words32(n);
      filledUp.words.set(words.words.subarray(0, n));
      filledUp.words.fill(0, n, 128 * blocks);
      kernels.pack32(words.address, n, bits, packed.address);
      const expected = words32(4 * blocks * bits);
      kernels.pack32(filledUp.address, 128 * blocks, bits, expected.address);
      assertEquals(
        packed.words,
        expected.words,
        `${n} words of ${bits} bits take nothing of what lies behind them`,
      );
      kernels.unpack32(packed.address, n, bits, out.address);
      compare(
        out.words,
        n,
        (e) => mod(BigInt(words.words[e]), bits),
        `round trip of ${n} words of ${bits} bits`,
      );
    }
  }
  assertThrows(() => kernels.pack32(4096, 128, 0, 4096), WebAssembly.RuntimeError);
  assertThrows(() => kernels.unpack32(4096, 128, 32, 4096), WebAssembly.RuntimeError);
});

it("reply32 adds, drops bits and reduces", () => {
  for (const n of SIZES) {
    for (const [shift, bits] of [[15, 15], [8, 16], [0, 32], [31, 1], [16, 16]] as const) {
      const y = words32(n), r = words32(n), out = words32(n);
      const want = (e: number) =>
        mod(mod(BigInt(y.words[e]) + BigInt(r.words[e]), 32) >> BigInt(shift), bits);
      kernels.reply32(y.address, r.address, out.address, n, shift, bits);
      compare(out.words, n, want, `reply32 of ${bits} bits`);
      const kept = out.words.slice();
      kernels.reply32(y.address, r.address, y.address, n, shift, bits);
      compare(y.words, n, (e) => BigInt(kept[e]), "reply32 in place");
    }
  }
});

it("addShifted32 equals BigInt arithmetic", () => {
  for (const n of SIZES) {
    for (const bits of [0, 11, 31]) {
      const a = words32(n), b = words32(n), out = words32(n);
      kernels.addShifted32(a.address, b.address, bits, out.address, n);
      compare(
        out.words,
        n,
        (e) => BigInt(a.words[e]) + (BigInt(b.words[e]) << BigInt(bits)),
        "addShifted32",
      );
    }
  }
});

it("poolSum32 sums windows of any channel count", () => {
  const cases = [[4, 6, 3, 2, 2], [5, 5, 4, 3, 1], [7, 7, 10, 7, 7], [8, 8, 1, 3, 2]] as const;
  for (const [height, width, channels, kernel, stride] of cases) {
    const x = words32(height * width * channels);
    const outHeight = Math.floor((height - kernel) / stride) + 1;
    const outWidth = Math.floor((width - kernel) / stride) + 1;
    const out = words32(outHeight * outWidth * channels);
    kernels.poolSum32(x.address, out.address, height, width, channels, kernel, stride);
    compare(out.words, outHeight * outWidth * channels, (e) => {
      const c = e % channels, column = Math.floor(e / channels) % outWidth;
      const y = Math.floor(e / channels / outWidth);
      let sum = 0n;
      for (let i = 0; i < kernel; i++) {
        for (let j = 0; j < kernel; j++) {
          sum += BigInt(x.words[((y * stride + i) * width + column * stride + j) * channels + c]);
        }
      }
      return sum;
    }, "poolSum32");
  }
});

it("addRow32 repeats its row", () => {
  for (const n of SIZES) {
    for (const period of [1, 10, 64]) {
      const a = words32(n), row = words32(period), out = words32(n);
      kernels.addRow32(a.address, row.address, out.address, n, period);
      compare(out.words, n, (e) => BigInt(a.words[e]) + BigInt(row.words[e % period]), "addRow32");
    }
  }
});

/** Bits of the public word and truncated bits, for one and two limbs. */
const ONE_LIMB = [[16, 40], [15, 33], [16, 0]] as const;
const TWO_LIMBS = [[16, 41], [14, 96], [15, 64], [9, 32], [16, 65], [16, 97], [10, 112], [8, 127]] as const;

for (const limbs of [1, 2]) {
  const width = 64 * limbs;
  const gates = limbs === 1
    ? { server: kernels.liftedGate64, client: kernels.liftedGateMasked64 }
    : { server: kernels.liftedGate128, client: kernels.liftedGateMasked128 };
  const masks = limbs === 1 ? kernels.liftedMasks64 : kernels.liftedMasks128;

  it(`the gates modulo 2^${width} evaluate the set that the top bit selects, at every degree`, () => {
    for (const degree of DEGREES) {
      for (const [replyBits, shift] of limbs === 1 ? ONE_LIMB : TWO_LIMBS) {
        for (const n of degree === 4 ? SIZES : [0, 3, 41]) {
          const sets = words64(n * 2 * degree * limbs), label = `gate of degree ${degree}, shift ${shift}`;
          const u = words32(n, replyBits), mask = words32(n), out = words32(n);
          const largest = 2 ** replyBits - 1, top = 2 ** (replyBits - 1);
          [largest, 0, top, top - 1].forEach((edge, i) => i < n && (u.words[i] = edge));
          if (n > 1) sets.words.fill(2n ** 64n - 1n, 0, 4 * degree * limbs); // the longest carries, in both sets
          const horner = (e: number, lead: bigint) => {
            let y = lead;
            for (let i = 0; i < degree; i++) {
              const set = u.words[e] >= top ? 1 : 0;
              y = y * BigInt(u.words[e]) + wide(sets.words, (e * 2 + set) * degree + i, limbs);
            }
            return mod(y, width) >> BigInt(shift);
          };
          const topBit = replyBits - 1;
          for (const lead of [-3n, 5n, BigInt.asIntN(64, GUARD64), -(2n ** 63n)]) {
            gates.server(u.address, sets.address, degree, lead, topBit, shift, out.address, n);
            compare(out.words, n, (e) => horner(e, lead), `server's ${label}`);
          }
          gates.client(u.address, sets.address, degree, topBit, shift, mask.address, out.address, n);
          compare(out.words, n, (e) => horner(e, 0n) - BigInt(mask.words[e]), `client's ${label}`);
          gates.client(u.address, sets.address, degree, topBit, shift, mask.address, mask.address, n);
          compare(mask.words, n, (e) => BigInt(out.words[e]), `client's ${label}, in place of the mask`);
        }
      }
    }
    assertThrows(() => gates.server(4096, 4096, 11, 1n, 15, 40, 4096, 4), WebAssembly.RuntimeError);
  });

  it(`the dealer's words modulo 2^${width} are the shifted polynomial, at every degree`, () => {
    const plans = [[30, 15], [24, 8], [16, 2], [16, 14], [32, 16], [20, 6]] as const;
    for (const degree of DEGREES) {
      for (const [k, t] of plans) {
        for (const n of [0, 1, degree === 4 ? 211 : 29]) {
          const r = words32(n), table = words64((degree + 1) * limbs), out = words64(n * 2 * degree * limbs);
          const edges = [0, 2 ** k - 1, 2 ** (k - 1), 2 ** (k - 1) - 1, 2 ** t - 1, 2 ** 32 - 1];
          edges.forEach((edge, i) => i < n - 1 ? r.words[i] = edge : 0);
          masks(r.address, n, k, t, table.address, degree, out.address);
          for (let e = 0; e < n; e++) {
            const word = mod(BigInt(r.words[e]), k);
            const high = (word >> BigInt(t)) + 2n ** BigInt(k - 2 - t);
            for (const set of [0, 1]) {
              const rho = set ? high : high - ((word >> BigInt(k - 1)) << BigInt(k - t));
              for (let i = degree - 1; i >= 0; i--) {
                let want = 0n;
                for (let j = i; j <= degree; j++) {
                  want += wide(table.words, j, limbs) * binomial(j, i) * (-rho) ** BigInt(j - i);
                }
                const got = wide(out.words, (e * 2 + set) * degree + degree - 1 - i, limbs);
                assert(
                  got === mod(want, width),
                  `G_${i} of degree ${degree}, set ${set}, k = ${k}, t = ${t}, r = ${word}`,
                );
              }
            }
          }
          assertEquals(out.words[n * 2 * degree * limbs], GUARD64);
        }
      }
    }
    assertThrows(() => masks(4096, 4, 30, 15, 4096, 1, 8192), WebAssembly.RuntimeError);
  });
}

/** Binomial coefficient as a bigint. */
function binomial(n: number, k: number): bigint {
  let value = 1n;
  for (let i = 1; i <= k; i++) value = value * BigInt(n - k + i) / BigInt(i);
  return value;
}

/** Bits of a word, dropped bits, fraction bits of pre-activations and activations, 64-bit limbs of the polynomial. */
const PLANS = [
  { k: 30, t: 15, fz: 24, fy: 13, limbs: 1, largest: 0.01 },
  { k: 24, t: 8, fz: 18, fy: 10, limbs: 1, largest: 0.01 },
  { k: 30, t: 14, fz: 24, fy: 13, limbs: 2, largest: 0.005 },
  { k: 16, t: 4, fz: 11, fy: 6, limbs: 1, largest: 0.1 },
];

for (const { k, t, fz, fy, limbs, largest } of PLANS) {
  it(`an activation layer from masks to shares, k = ${k}, t = ${t}, modulo 2^${64 * limbs}`, () => {
    const n = 10_000, padded = Math.ceil(n / 128) * 128, degree = 4, width = 64 * limbs;
    const fx = fz - t, shift = degree * fx + QUARTIC.precision - fy, limit = 2 ** (k - 2);
    assert(shift + k <= width);
    // The polynomial of x with fx fraction bits, every term at the scale of the highest; half a unit for rounding.
    const coefficients = QUARTIC.coefficients.map((c, i) => BigInt(c) << BigInt((degree - i) * fx));
    coefficients[0] += 1n << BigInt(shift - 1);
    const table = words64((degree + 1) * limbs);
    coefficients.forEach((c, i) => setWide(table.words, i, limbs, c));

    // The dealer: masks (with garbage above k bits), the sets as shares.
    const rServer = words32(n), rClient = words32(n), r = words32(n), count = n * 2 * degree;
    kernels.add32(rServer.address, rClient.address, r.address, n);
    const sets = words64(count * limbs),
      serverSets = words64(count * limbs),
      clientSets = words64(count * limbs);
    const masks = limbs === 1 ? kernels.liftedMasks64 : kernels.liftedMasks128;
    masks(r.address, n, k, t, table.address, degree, sets.address);
    for (let i = 0; i < count; i++) {
      setWide(serverSets.words, i, limbs, wide(sets.words, i, limbs) - wide(clientSets.words, i, limbs));
    }

    // Shares of z: the client's masked by r_client is the message v, the server's is what its convolution yields.
    const z = words32(n, k - 1).words.subarray(0, n), v = words32(n), y = words32(n);
    [0, 1, limit - 1, limit, limit + 1, 2 * limit - 1].forEach((edge, i) => z[i] = edge); // z + 2^(k-2), from 1 on
    for (let e = 0; e < n; e++) {
      z[e] ||= 1;
      const clientZ = y.words[e]; // random so far
      v.words[e] = clientZ + rClient.words[e];
      y.words[e] = z[e] - clientZ;
    }

    const reply = words32(padded), bytes = words32(padded), u = words32(padded);
    kernels.add32(v.address, rServer.address, v.address, n);
    kernels.reply32(y.address, v.address, reply.address, n, t, k - t);
    kernels.pack32(reply.address, padded, k - t, bytes.address);
    kernels.unpack32(bytes.address, padded, k - t, u.address);
    const mask = words32(n), serverY = words32(n), clientY = words32(n), lead = coefficients[degree];
    const server = limbs === 1 ? kernels.liftedGate64 : kernels.liftedGate128;
    const client = limbs === 1 ? kernels.liftedGateMasked64 : kernels.liftedGateMasked128;
    server(u.address, serverSets.address, degree, lead, k - t - 1, shift, serverY.address, n);
    client(u.address, clientSets.address, degree, k - t - 1, shift, mask.address, clientY.address, n);

    const errors: number[] = [];
    for (let e = 0; e < n; e++) {
      const opened = BigInt.asIntN(k, BigInt(serverY.words[e] + clientY.words[e] + mask.words[e]));
      // u - rho is z / 2^t rounded down, or one more.
      const word = r.words[e] % 2 ** k;
      const wrap = u.words[e] < 2 ** (k - t - 1) && word >= 2 ** (k - 1) ? 2 ** (k - t) : 0;
      const x = u.words[e] - Math.floor(word / 2 ** t) + wrap - limit / 2 ** t;
      const value = z[e] - limit, carry = x - Math.floor(value / 2 ** t);
      assert(carry === 0 || carry === 1, `x = ${x} for z = ${value}`);
      // The sum of the truncated shares is the rounded value, or one less.
      const polynomial = coefficients.reduceRight((sum, c) => sum * BigInt(x) + c, 0n);
      const less = (polynomial >> BigInt(shift)) - opened;
      assert(BigInt.asIntN(k, less) === 0n || BigInt.asIntN(k, less) === 1n, `${less} units off at x = ${x}`);
      const real = value / 2 ** fz;
      if (Math.abs(real) > 7.9) continue;
      errors.push(Math.abs(Number(opened) / 2 ** fy - evaluatePolynomial(QUARTIC, real)));
    }
    assert(errors.length > n / 3);
    assert(Math.max(...errors) < largest, `largest error ${Math.max(...errors)}, expected below ${largest}`);
    const mean = errors.reduce((sum, error) => sum + error, 0) / errors.length;
    assert(mean < largest / 8, `mean error ${mean}`);
  });
}
