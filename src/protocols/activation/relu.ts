/**
 * `relu`: the exact ReLU of the baselines (CrypTen, CryptGPU): sign by a binary carry tree, back to arithmetic shares, multiply.
 *
 * Bits are processed as planes: plane i holds bit i of 64 elements in each word, so every boolean round sends exactly the bits it
 * needs. Server and client know the planes S and C of their own share; x = S + C. With p = S xor C, g = S and C the carry
 * into bit 63 is g_62...0 under (g, p) o (g', p') = (g xor (p and g'), p and p'), a tree of six levels over 64 positions.
 *
 *   1 exchange    g = S and C, one-sided masks
 *   6 exchanges   the levels, 32, 16, ..., 1 pairs
 *   1 exchange    bit b = not sign to arithmetic shares, with a bit that the dealer shares both ways
 *   1 exchange    x * b
 */
import { dealt, own, type OwnWord } from "../../correlations/correlation.ts";
import type { Drawn } from "../../correlations/drawn.ts";
import { ONES, productOf, productOfMasks } from "../../correlations/products.ts";
import {
  addConstant,
  and,
  andXor,
  copy,
  multiplyAdd,
  multiplyConstant,
  not,
  subtract,
  xor,
} from "../../ring/arithmetic.ts";
import type { Ring } from "../../ring/ring.ts";
import { type RingTensor, words } from "../../ring/tensor.ts";
import { multiplyOpened, open, openBits, swap } from "../open.ts";
import { type Party, WORD_BYTES } from "../protocol.ts";
import { type ElementWise, exchange, onWords64 } from "./words64.ts";

const POSITIONS = 64;
/** Pairs combined at each level of the tree. */
const LEVELS = [32, 16, 8, 4, 2, 1];
/** Planes opened at a level of k pairs: k of p_high, k of g_low, and p_low of all pairs but the lowest, whose p is never used. */
const opened = (pairs: number) => 3 * pairs - 1;

/** Words of one plane: 64 elements a word. */
const planeWords = (n: number) => Math.ceil(n / 64);

/**
 * The positions 0 ... 63 in bit-reversed order: at every level the lower members of all pairs are then the first half and the
 * upper members the second, so a level is a handful of long vector operations. Position 0 is the identity (g, p) = (0, -),
 * position i + 1 is bit i.
 */
const ORDER = Array.from({ length: POSITIONS }, (_, i) => {
  let reversed = 0;
  for (let bit = 0; bit < 6; bit++) if (i & (1 << bit)) reversed |= 32 >> bit;
  return reversed;
});

export const relu = onWords64(
  "relu",
  "the exact ReLU of the baselines, by a binary carry tree: nine exchanges",
  ({ length }) => ({ ...reluOf(length), plain: (x) => x.map((v) => Math.max(0, v)), carryBound: () => 0 }),
  { kind: "relu" },
);

/** ReLU of `length` words at any scale. */
export function reluOf(length: number): ElementWise {
  const w = planeWords(length);
  const generate = oneSidedAnd((POSITIONS - 1) * w), levels = LEVELS.map((pairs) => levelOf(pairs, w));
  const toArithmetic = bitOf(w), product = productWithBit(length);
  return {
    query: [generate, ...levels, toArithmetic, product].flatMap(({ query }) => query),
    messages: [
      (POSITIONS - 1) * w,
      ...LEVELS.map((pairs) => opened(pairs) * w),
      w,
      2 * length,
    ].map((words) => exchange(words * WORD_BYTES)),
    async hold(party, drawn) {
      const and = await generate.hold(party, drawn), tree: Level[] = [];
      for (const level of levels) tree.push(await level.hold(party, drawn));
      const toNumber = await toArithmetic.hold(party, drawn), multiply = await product.hold(party, drawn);
      return async (x) => {
        using positive = await nonNegative(party, x, and, tree);
        using bit = await toNumber(positive);
        return await multiply(x, bit.view(0, length));
      };
    },
  };
}

type Level = (g: RingTensor, p: RingTensor) => Promise<{ g: RingTensor; p: RingTensor }>;

/** This party's share of the bit x >= 0, one plane. */
async function nonNegative(
  party: Party,
  x: RingTensor,
  generate: (planes: RingTensor) => Promise<RingTensor>,
  levels: readonly Level[],
): Promise<RingTensor> {
  const w = planeWords(x.length);
  using planes = bitPlanes(party.ring, x);
  const sign = planes.view(63 * w, w);

  // Planes of positions in tree order: bit ORDER - 1, and zeros at position 0.
  let p = words(party.ring, POSITIONS * w);
  party.ring.bytes.fill(0, p.address, p.address + w * WORD_BYTES);
  for (let i = 1; i < POSITIONS; i++) {
    const from = planes.address + (ORDER[i] - 1) * w * WORD_BYTES;
    party.ring.bytes.copyWithin(p.address + i * w * WORD_BYTES, from, from + w * WORD_BYTES);
  }
  let g = await generate(p);
  for (const level of levels) ({ g, p } = await level(g, p));
  // sign = S_63 xor C_63 xor carry; b = not sign.
  const bit = xor(sign, g, words(party.ring, w));
  g[Symbol.dispose]();
  p[Symbol.dispose]();
  return party.role === "server" ? not(bit) : bit;
}

/** Bit planes of a share, padded with zeros to whole words. */
function bitPlanes(ring: Ring, x: RingTensor): RingTensor {
  const padded = planeWords(x.length) * 64;
  using full = words(ring, padded);
  ring.bytes.copyWithin(full.address, x.address, x.address + x.byteLength);
  ring.bytes.fill(0, full.address + x.byteLength, full.address + full.byteLength);
  const planes = words(ring, padded);
  ring.kernels.bitPlanes64(full.address, planes.address, padded);
  return planes;
}

// --- g = S and C: each operand is known to one party, so one mask a side is enough.

/** `n` words of bits; `hold` takes the planes of all positions (zeros at position 0) and returns g at all positions. */
function oneSidedAnd(n: number) {
  const a = own("a", "server", n, 64, "xor"), b = own("b", "client", n, 64, "xor");
  const k = dealt("a and b", n, 64, [a, b], {
    fill: (ring, [x, y], out) => ring.kernels.and64(x.address, y.address, out.address, n),
    products: (e) => [{ coefficient: ONES, server: (word) => word(a, e), client: (word) => word(b, e) }],
  }, "xor");
  return {
    query: [a, b, k],
    async hold(party: Party, drawn: Drawn) {
      const mask = drawn.own(party.role === "server" ? a : b), share = await drawn.share(k);
      return async (planes: RingTensor): Promise<RingTensor> => {
        const skipped = planes.length - n, mine = planes.view(skipped, n);
        const g = words(party.ring, planes.length);
        party.ring.bytes.fill(0, g.address, g.address + skipped * WORD_BYTES);
        const result = g.view(skipped, n);
        using masked = xor(mine, mask, words(party.ring, n));
        using theirs = await swap(party, masked);
        // S and C = S and (C xor b) xor (S xor a) and b xor a and b.
        and(theirs, party.role === "server" ? mine : mask, result);
        xor(result, share);
        mask[Symbol.dispose]();
        share[Symbol.dispose]();
        return g;
      };
    },
  };
}

// --- one level: g' = g_high xor (p_high and g_low), p' = p_high and p_low.

/** Masks a of p_high, b of g_low and, for all pairs but the lowest, c of p_low. */
function levelOf(pairs: number, w: number) {
  const full = pairs * w, upper = full - w;
  const a = own("a", "both", full, 64, "xor"), b = own("b", "both", full, 64, "xor");
  const c = own("c", "both", upper, 64, "xor"), ab = productOf("a and b", a, b);
  const ac = dealt("a and c", upper, 64, [a, c], {
    fill: (ring, [x, y], out) =>
      ring.kernels.and64(x.address + w * WORD_BYTES, y.address, out.address, upper),
    products: (e) => productOfMasks([a, e + w], [c, e], ONES),
  }, "xor");
  const isLast = pairs === 1;
  return {
    query: isLast ? [a, b, ab] : [a, b, ab, c, ac],
    async hold(party: Party, drawn: Drawn): Promise<Level> {
      const { ring } = party;
      // One block of memory for all of them: each block has room behind it that kernels may touch.
      const masks = words(ring, opened(pairs) * w);
      const maskA = drawn.own(a, masks.view(0, full)), maskB = drawn.own(b, masks.view(full, full));
      const shareAB = await drawn.share(ab);
      const maskC = isLast ? null : drawn.own(c, masks.view(2 * full, upper));
      const shareAC = isLast ? null : await drawn.share(ac);
      return async (g, p) => {
        using delta = words(ring, opened(pairs) * w);
        xor(p.view(full, full), maskA, delta.view(0, full));
        xor(g.view(0, full), maskB, delta.view(full, full));
        if (maskC) xor(p.view(w, upper), maskC, delta.view(2 * full, upper));
        await openBits(party, delta);
        const d = delta.view(0, full), e = delta.view(full, full), h = delta.view(2 * full, upper);

        const nextG = xor(g.view(full, full), shareAB, words(ring, full));
        multiplyOpened(party, andXor, nextG, [d, maskA], [e, maskB]);
        // Position 0 of p' is never read: it stays undefined.
        const nextP = words(ring, full);
        if (maskC && shareAC) {
          const product = nextP.view(w, upper);
          copy(shareAC, product);
          multiplyOpened(party, andXor, product, [d.view(w, upper), maskA.view(w, upper)], [h, maskC]);
        }
        for (const tensor of [g, p, masks, shareAB, shareAC]) tensor?.[Symbol.dispose]();
        return { g: nextG, p: nextP };
      };
    },
  };
}

// --- bit to arithmetic: rho is shared by exclusive or (own bits) and additively; b xor rho =: t is opened, b = t + rho - 2 t rho.

function bitOf(w: number) {
  const n = 64 * w, rho = own("rho", "both", w, 64, "xor");
  const share = dealt("rho as numbers", n, 64, [rho], {
    fill: (ring, [x], out) => ring.kernels.bitsToWords64(x.address, out.address, n),
    // a xor b = a + b - 2 a b.
    products(e) {
      const bit = (word: OwnWord) => word(rho, e >> 6) >> BigInt(e & 63) & 1n,
        one = () => 1n;
      return [
        { coefficient: 1n, server: bit, client: one },
        { coefficient: 1n, server: one, client: bit },
        { coefficient: -2n, server: bit, client: bit },
      ];
    },
  });
  return {
    query: [rho, share],
    async hold(party: Party, drawn: Drawn) {
      const { ring } = party, mask = drawn.own(rho), numbers = await drawn.share(share);
      return async (bits: RingTensor): Promise<RingTensor> => {
        using t = xor(bits, mask, words(ring, w));
        await openBits(party, t);
        const result = words(ring, n);
        ring.kernels.bitsToWords64(t.address, result.address, n);
        using twist = addConstant(multiplyConstant(result, -2n, words(ring, n)), 1n);
        if (party.role === "client") multiplyConstant(result, 0n);
        multiplyAdd(result, twist, numbers);
        mask[Symbol.dispose]();
        numbers[Symbol.dispose]();
        return result;
      };
    },
  };
}

// --- x * b by a multiplication triple; b is an integer, so nothing is truncated.

function productWithBit(n: number) {
  const r = own("r", "both", n, 64), s = own("s", "both", n, 64), rs = productOf("r s", r, s);
  return {
    query: [r, s, rs],
    async hold(party: Party, drawn: Drawn) {
      const { ring } = party, maskR = drawn.own(r), maskS = drawn.own(s), share = await drawn.share(rs);
      return async (x: RingTensor, b: RingTensor): Promise<RingTensor> => {
        using delta = words(ring, 2 * n);
        const u = subtract(x.view(0, n, 0), maskR, delta.view(0, n)),
          v = subtract(b, maskS, delta.view(n, n));
        await open(party, delta);
        const y = share.withFractionBits(x.fractionBits);
        multiplyOpened(party, multiplyAdd, y, [u, maskR], [v, maskS]);
        for (const tensor of [maskR, maskS]) tensor[Symbol.dispose]();
        return y;
      };
    },
  };
}
