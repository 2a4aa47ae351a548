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
import type { Dealing, Material } from "../../dealer/material.ts";
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
import { open, openBits, swap } from "../open.ts";
import { type ActivationProtocol, type Cost, once, type Party, WORD_BYTES } from "../protocol.ts";

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

export const relu: ActivationProtocol = {
  name: "relu",

  cost({ length }): Cost {
    const w = planeWords(length);
    const planes = (POSITIONS - 1) + LEVELS.reduce((sum, pairs) => sum + opened(pairs), 0) + 1;
    const sent = (planes * w + 2 * length) * WORD_BYTES;
    const dealtPlanes = (POSITIONS - 1) + LEVELS.reduce((sum, pairs) => sum + 2 * pairs - 1, 0);
    return {
      exchanges: 9,
      bytesServer: sent,
      bytesClient: sent,
      dealtBytes: (dealtPlanes * w + 64 * w + length) * WORD_BYTES,
    };
  },

  async deal({ length }, dealing) {
    const w = planeWords(length);
    await dealOneSidedAnd((POSITIONS - 1) * w, dealing);
    for (const pairs of LEVELS) await dealLevel(pairs, w, dealing);
    await dealBit(w, dealing);
    await dealProduct(length, dealing);
  },

  async prepare({ length }, party, material) {
    const w = planeWords(length);
    const generate = await prepareOneSidedAnd((POSITIONS - 1) * w, party, material);
    const levels: Level[] = [];
    for (const pairs of LEVELS) levels.push(await prepareLevel(pairs, w, party, material));
    const toArithmetic = await prepareBit(w, party, material);
    const product = await prepareProduct(length, party, material);
    return once("relu", async (x) => {
      using positive = await nonNegative(party, x, generate, levels);
      using bit = await toArithmetic(positive);
      return await product(x, bit.view(0, length));
    });
  },

  fixedPoint: (_, x) => x.map((value) => Math.max(0, value)),
  carryBound: () => 0,
};

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
    const from = planes.address + (ORDER[i]! - 1) * w * WORD_BYTES;
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

async function dealOneSidedAnd(n: number, dealing: Dealing): Promise<void> {
  using a = dealing.ownOfServer(n);
  using b = dealing.ownOfClient(n);
  await dealing.shareBits(and(a, b, a));
}

/** Takes the planes of all positions (zeros at position 0); returns g at all positions. */
async function prepareOneSidedAnd(n: number, party: Party, material: Material) {
  const mask = await material.own(n);
  const k = words(party.ring, n);
  await material.share(k);
  return async (planes: RingTensor): Promise<RingTensor> => {
    const skipped = planes.length - n, mine = planes.view(skipped, n);
    const g = words(party.ring, planes.length);
    party.ring.bytes.fill(0, g.address, g.address + skipped * WORD_BYTES);
    const result = g.view(skipped, n);
    using masked = xor(mine, mask, words(party.ring, n));
    using theirs = await swap(party, masked);
    // S and C = S and (C xor b) xor (S xor a) and b xor a and b.
    and(theirs, party.role === "server" ? mine : mask, result);
    xor(result, k);
    mask[Symbol.dispose]();
    k[Symbol.dispose]();
    return g;
  };
}

// --- one level: g' = g_high xor (p_high and g_low), p' = p_high and p_low.

async function dealLevel(pairs: number, w: number, dealing: Dealing): Promise<void> {
  using a = dealing.maskBits(pairs * w);
  using b = dealing.maskBits(pairs * w);
  await dealing.shareBits(and(a, b, b));
  if (pairs === 1) return;
  using c = dealing.maskBits((pairs - 1) * w);
  await dealing.shareBits(and(a.view(w, c.length), c, c));
}

async function prepareLevel(pairs: number, w: number, party: Party, material: Material): Promise<Level> {
  const { ring } = party, full = pairs * w, upper = full - w;
  const masks = words(ring, opened(pairs) * w);
  const a = masks.view(0, full), b = masks.view(full, full), c = masks.view(2 * full, upper);
  const ab = words(ring, full), ac = words(ring, upper);
  await fill(a, material);
  await fill(b, material);
  await material.share(ab);
  if (pairs > 1) {
    await fill(c, material);
    await material.share(ac);
  }
  return async (g, p) => {
    using delta = words(ring, masks.length);
    xor(p.view(full, full), a, delta.view(0, full));
    xor(g.view(0, full), b, delta.view(full, full));
    if (pairs > 1) xor(p.view(w, upper), c, delta.view(2 * full, upper));
    await openBits(party, delta);
    const d = delta.view(0, full), e = delta.view(full, full), h = delta.view(2 * full, upper);

    const nextG = xor(g.view(full, full), ab, words(ring, full));
    beaverAnd(party, nextG, [d, a], [e, b]);
    // Position 0 of p' is never read: it stays undefined.
    const nextP = words(ring, full);
    if (pairs > 1) {
      const product = nextP.view(w, upper);
      copy(ac, product);
      beaverAnd(party, product, [d.view(w, upper), a.view(w, upper)], [h, c]);
    }
    for (const tensor of [g, p, masks, ab, ac]) tensor[Symbol.dispose]();
    return { g: nextG, p: nextP };
  };
}

async function fill(into: RingTensor, material: Material): Promise<void> {
  using own = await material.own(into.length);
  into.bytes.set(own.bytes);
}

/** accumulator ^= (d xor a)(e xor b) xor a b, for public d, e and own shares a, b. */
function beaverAnd(
  party: Party,
  accumulator: RingTensor,
  [d, a]: [RingTensor, RingTensor],
  [e, b]: [RingTensor, RingTensor],
): void {
  andXor(accumulator, d, b);
  andXor(accumulator, e, a);
  if (party.role === "server") andXor(accumulator, d, e);
}

// --- bit to arithmetic: rho is shared by exclusive or (own bits) and additively; b xor rho =: t is opened, b = t + rho - 2 t rho.

async function dealBit(w: number, dealing: Dealing): Promise<void> {
  using rho = dealing.maskBits(w);
  using value = words(dealing.ring, 64 * w);
  dealing.ring.kernels.bitsToWords64(rho.address, value.address, 64 * w);
  await dealing.share(value);
}

async function prepareBit(w: number, party: Party, material: Material) {
  const { ring } = party, n = 64 * w;
  const rho = await material.own(w);
  const share = words(ring, n);
  await material.share(share);
  return async (bits: RingTensor): Promise<RingTensor> => {
    using t = xor(bits, rho, words(ring, w));
    await openBits(party, t);
    const result = words(ring, n);
    ring.kernels.bitsToWords64(t.address, result.address, n);
    using twist = addConstant(multiplyConstant(result, -2n, words(ring, n)), 1n);
    if (party.role === "client") multiplyConstant(result, 0n);
    multiplyAdd(result, twist, share);
    rho[Symbol.dispose]();
    share[Symbol.dispose]();
    return result;
  };
}

// --- x * b by a multiplication triple; b is an integer, so nothing is truncated.

async function dealProduct(n: number, dealing: Dealing): Promise<void> {
  using r = dealing.mask(n);
  using s = dealing.mask(n);
  using product = words(dealing.ring, n);
  dealing.ring.kernels.mul64(r.address, s.address, product.address, n);
  await dealing.share(product);
}

async function prepareProduct(n: number, party: Party, material: Material) {
  const { ring } = party;
  const r = await material.own(n), s = await material.own(n);
  const rs = words(ring, n);
  await material.share(rs);
  return async (x: RingTensor, b: RingTensor): Promise<RingTensor> => {
    using delta = words(ring, 2 * n);
    const u = subtract(x.view(0, n, 0), r, delta.view(0, n)), v = subtract(b, s, delta.view(n, n));
    await open(party, delta);
    const y = words(ring, n, x.fractionBits);
    copy(rs, y);
    multiplyAdd(y, u, s);
    multiplyAdd(y, v, r);
    if (party.role === "server") multiplyAdd(y, u, v);
    for (const tensor of [r, s, rs]) tensor[Symbol.dispose]();
    return y;
  };
}
