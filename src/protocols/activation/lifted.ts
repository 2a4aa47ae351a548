/**
 * `lifted`: linear layers modulo 2^k in 32-bit words, the polynomial modulo 2^64, one short opening, a truncation that cannot fail.
 *
 * Input: shares z_server + z_client = z modulo 2^k, |z| < 2^(k-2), f_z fraction bits. Dealt: s = s_server + s_client modulo 2^k, each
 * summand known to its party; r = s - 2^(k-2). Offline the client sends v = z_client + s_client, which it knows before the image.
 * Online the server forms e = z_server + v + s_server = (z + 2^(k-2)) + r modulo 2^k and sends e_hi = e >> t alone: k - t bits.
 *
 * Why no comparison is needed: z' = z + 2^(k-2) is in [0, 2^(k-1)), so z' + r wraps exactly if the top bit of e is 0 and that of r is 1.
 * With b = top bit of e, rho_1 = r >> t, rho_0 = (r >> t) - 2^(k-t) (top bit of r): z' >> t = e_hi - rho_b - (0 or 1).
 * So both parties hold shares of G_i(rho_b) = sum over j >= i of C_j binom(j, i) (-rho_b)^(j-i) for both b, pick the set by the
 * public b and evaluate P by Horner's rule in the public e_hi: no message. The offset 2^(k-2-t) is part of rho.
 *
 * Truncate and reduce: both shift their share of P right by m bits and read it modulo 2^k. With m + k <= 64 the wrap-around of
 * the shares is a multiple of 2^(64-m), hence 0 modulo 2^k: only a carry of one unit is left, whose mean the dealer adds to the
 * constant term. Both roundings, that of z and that of y, are random and without bias.
 *
 * Where a linear layer reads y, the client sends its part less a fresh mask a at once, while the server's next part of the reply is on
 * its way: y is re-masked (server y - a, client a) without a message of its own. See docs/lifted.md.
 */
import { type Dealt, type Own, own } from "../../correlations/correlation.ts";
import type { Drawn } from "../../correlations/drawn.ts";
import { horner, type Polynomial, realCoefficients } from "../../polynomial/polynomial.ts";
import type { Ring } from "../../ring/ring.ts";
import { RingTensor, words } from "../../ring/tensor.ts";
import { packedBytes, PACKING, receiveNumbers, sendNumbers } from "../../wires/packing.ts";
import { type Half, valueBits } from "../../wires/wire.ts";
import {
  type ActivationLayer,
  type ActivationProtocol,
  type ActivationStep,
  type Message,
  once,
  type Party,
  polynomialOf,
  type Prepared,
  stateless,
} from "../protocol.ts";

/** Scales and widths of one activation layer; public. */
export interface LiftedSpec {
  readonly length: number;
  readonly polynomial: Polynomial;
  /** k: the ring of the linear layers. */
  readonly ringBits: number;
  /** Fraction bits of the input z, of the output y, and those of z that are kept. */
  readonly inputBits: number;
  readonly outputBits: number;
  readonly keptBits: number;
  /** Bits by which the shares of z are scaled up beyond f_z: the two of Winograd, or none. */
  readonly extraBits: number;
}

/** The server's reply has at most this many bits. */
const MOST_REPLY_BITS = 16;
/**
 * Kept and integer bits that a reply must be able to tell about z: with fewer kept ones the slope of a polynomial, which is large where inputs are
 * large, makes much of every rounding error before it. So inputs of activations may reach 16.
 */
const FEWEST_REPLY_BITS = 9;

export const lifted: ActivationProtocol = {
  name: "lifted",
  summary:
    "our own: linear layers in a small ring, the polynomial in a large one; one short reply, a truncation that cannot fail",
  scaling: { kind: "ring", mostIntegerBits: MOST_REPLY_BITS - 2 - FEWEST_REPLY_BITS },
  takes: ["ringBits"],
  readsEarly: true,

  plan(layer) {
    const { name, input, outputBits } = layer, spec = liftedSpec(layer), n = spec.length;
    const s = own("s", "both", n, 32),
      a = layer.remask ? own("a", "client", n, 32) : null,
      g = dealtFor(spec, s);
    const messages: Message[] = [
      { phase: "offline", from: "client", bytes: 4 * n },
      { phase: "online", from: "server", bytes: packedBytes(n, replyBits(spec)) },
    ];
    if (a) {
      messages.push({ phase: "online", from: "client", bytes: packedBytes(n, spec.ringBits), remasks: true });
    }
    const step: Step = { name, spec, s, g, a };
    return {
      spec: { protocol: "lifted", ...spec },
      outputs: [{
        words: n,
        width: 32,
        ringBits: input.ringBits,
        fractionBits: outputBits,
        extraBits: 0,
        factor: 1,
        clientLate: a === null,
        mask: a,
      }],
      session: [],
      query: a ? [s, g, a] : [s, g],
      messages,
      open: stateless((party, drawn, [early]) =>
        (party.role === "server" ? server : client)(step, party, drawn, early)
      ),
      inputBits: spec.inputBits,
      keptBits: spec.keptBits,
      limit: 2 ** (spec.ringBits - 2 - spec.inputBits),
      plain: (z) => fixedPoint(spec, z),
      carryBound: (size) => carryBound(spec, size),
      errorBound: (z) => errorBound(spec, z),
    };
  },
};

/** The scales of a step that this protocol has planned. */
export const liftedSpecOf = ({ spec }: Pick<ActivationStep, "spec">): LiftedSpec =>
  spec as unknown as LiftedSpec;

/** What the plan chose for a layer, and what it draws. */
interface Step {
  readonly name: string;
  readonly spec: LiftedSpec;
  /** The mask of z: each summand known to its party. */
  readonly s: Own<32>;
  readonly g: Dealt<64 | 128>;
  /** The mask of y; null where nothing reads it masked. */
  readonly a: Own<32> | null;
}

/** t: bits of z that are dropped. */
export const droppedBits = ({ inputBits, keptBits }: LiftedSpec): number => inputBits - keptBits;
/** Bits of the server's reply. */
export const replyBits = (spec: LiftedSpec): number => spec.ringBits - droppedBits(spec);
/** The degree without leading zeros. */
export const degreeOf = ({ coefficients }: Polynomial): number => coefficients.findLastIndex((c) => c !== 0);
/** m: fraction bits of the polynomial's value beyond those of the output. */
export const shiftBits = (
  { polynomial, keptBits, outputBits }: Pick<LiftedSpec, "polynomial" | "keptBits" | "outputBits">,
): number => degreeOf(polynomial) * keptBits + polynomial.precision - outputBits;
/** Words of 64 bits that one number takes: two where the shift and the ring do not fit one. */
export const limbsOf = (
  spec: Pick<LiftedSpec, "polynomial" | "keptBits" | "outputBits" | "ringBits">,
): 1 | 2 => shiftBits(spec) + spec.ringBits <= 64 ? 1 : 2;

/** Throws a RangeError where the layer breaks a bound of the proof. */
function liftedSpec(layer: ActivationLayer): LiftedSpec {
  const { name, input, outputBits } = layer;
  if (input.width !== 32) {
    throw new RangeError(
      `${name}: lifted reads words of 32 bits, not of ${input.width}; use another activation protocol`,
    );
  }
  if (input.clientLate) {
    throw new RangeError(
      `${name}: lifted needs the client's part of its input before the image is known, which only weights in clear at the server give: ` +
        `linear protocol masked; or choose another activation protocol`,
    );
  }
  const { ringBits, extraBits } = input,
    inputBits = valueBits(input),
    polynomial = polynomialOf("lifted", layer);
  const spec = {
    length: input.words,
    polynomial,
    ringBits,
    inputBits,
    outputBits,
    keptBits: keptBitsFor(polynomial, ringBits, inputBits, outputBits),
    extraBits,
  };
  checkSpec(spec, name);
  return spec;
}

/**
 * Kept bits f_x: as many as m + k <= 64 allows, m = d f_x + p - f_y, and a reply of at most 16 bits. Where one word would keep fewer
 * than six bits, two limbs are used and the reply is the limit.
 */
function keptBitsFor(
  polynomial: Polynomial,
  ringBits: number,
  inputBits: number,
  outputBits: number,
): number {
  const degree = degreeOf(polynomial), reply = MOST_REPLY_BITS - (ringBits - inputBits);
  const fits = (bits: number) => Math.floor((bits - ringBits + outputBits - polynomial.precision) / degree);
  return Math.min(inputBits, reply, fits(64) >= 6 ? fits(64) : fits(128));
}

function checkSpec(spec: LiftedSpec, what: string): void {
  const { ringBits, keptBits, inputBits } = spec, reply = replyBits(spec), shift = shiftBits(spec);
  const fail = (reason: string) => {
    throw new RangeError(`${what}: lifted with ${ringBits} ring bits ${reason}`);
  };
  if (degreeOf(spec.polynomial) < 2) fail("needs a polynomial of degree 2 or more");
  if (keptBits < 1 || keptBits > inputBits) {
    fail(`keeps ${keptBits} of ${inputBits} fraction bits; use a wider ring`);
  }
  if (reply > 16) fail(`would reply with ${reply} bits, more than 16`);
  if (shift < 1) {
    fail(`would have ${shift} bits to truncate; give the coefficients more bits, or use a wider ring`);
  }
  if (shift + ringBits > 128) {
    fail(`would shift by ${shift} bits, which breaks m + k <= 128; use a lower degree`);
  }
  if (ringBits + spec.extraBits > 32) fail("does not fit 32-bit words after Winograd's transform");
}

/** C_j at the common scale d * f_x + p, [degree + 1] numbers of one or two limbs. */
function coefficientTable(ring: Ring, spec: LiftedSpec): RingTensor {
  const { polynomial: { coefficients }, keptBits } = spec,
    degree = degreeOf(spec.polynomial),
    limbs = limbsOf(spec);
  const table = words(ring, (degree + 1) * limbs);
  for (let j = 0; j <= degree; j++) {
    // One unit of the output more: the two floors of truncate-and-reduce lose one unit together on average.
    const value = (BigInt(coefficients[j] ?? 0) << BigInt((degree - j) * keptBits)) +
      (j === 0 ? 1n << BigInt(shiftBits(spec)) : 0n);
    table.int64[j * limbs] = BigInt.asIntN(64, value);
    if (limbs === 2) table.int64[2 * j + 1] = BigInt.asIntN(64, value >> 64n);
  }
  return table;
}

/** Words of both sets of G for one element. */
const wordsPerElement = (spec: LiftedSpec) => 2 * degreeOf(spec.polynomial) * limbsOf(spec);

/** Both sets of G for r = s - 2^(k-2): [length][2][degree] numbers. The wrap bit of r is no product of own words. */
const dealtFor = (spec: LiftedSpec, s: Own<32>): Dealt<64 | 128> => ({
  kind: "dealt",
  name: "G(rho_0), G(rho_1)",
  words: spec.length * 2 * degreeOf(spec.polynomial),
  bits: limbsOf(spec) === 1 ? 64 : 128,
  group: "add",
  from: [s],
  fill(ring, [masks], out) {
    const { length: n, ringBits, polynomial } = spec, offset = 2 ** (ringBits - 2);
    using r = new RingTensor(ring, 32, n);
    const from = masks!.uint32, to = r.uint32;
    for (let i = 0; i < n; i++) to[i] = from[i]! - offset;
    using table = coefficientTable(ring, spec);
    const deal = limbsOf(spec) === 1 ? ring.kernels.liftedMasks64 : ring.kernels.liftedMasks128;
    deal(r.address, n, ringBits, droppedBits(spec), table.address, degreeOf(polynomial), out.address);
  },
});

/** Offline: everything that the server adds to z before it replies becomes one word R: its early half (B * a, biases), v, its part of s. */
async function server({ spec, s, g, a }: Step, party: Party, drawn: Drawn, early: Half): Promise<Prepared> {
  const { ring, peer, tag } = party, { kernels } = ring, n = spec.length;
  using mask = drawn.own(s);
  const shares = await drawn.share(g), word = new RingTensor(ring, 32, n);
  using v = new RingTensor(ring, 32, n);
  await receiveNumbers(peer, tag, v, 32);
  kernels.addShifted32(v.address, mask.address, spec.extraBits, word.address, n);
  if (early) kernels.add32(word.address, early.address, word.address, n);

  const online = async (z: RingTensor<32>) => {
    const y = new RingTensor(ring, 32, n, spec.outputBits), reply = replyBits(spec);
    for (const { spec: part, start, more, of } of partsOf(spec)) {
      using e = new RingTensor(ring, 32, part.length);
      const shift = droppedBits(spec) + spec.extraBits;
      kernels.reply32(z.address + 4 * start, word.address + 4 * start, e.address, part.length, shift, reply);
      // The reply travels while this party evaluates its own share.
      const sent = sendNumbers(peer, tag, e, reply, more);
      evaluate(part, "server", e, of(shares), null, y.view(start, part.length));
      await sent;
    }
    word[Symbol.dispose]();
    shares[Symbol.dispose]();
    if (a === null) return y;
    const masked = new RingTensor(ring, 32, n, spec.outputBits);
    for (const { spec: { length }, start, more } of partsOf(spec)) {
      await receiveNumbers(peer, tag, masked.view(start, length), spec.ringBits, more);
    }
    kernels.add32(masked.address, y.address, masked.address, n);
    y[Symbol.dispose]();
    return masked;
  };
  return { early: [undefined], online: once("lifted", async ([z]) => [await online(z as RingTensor<32>)]) };
}

/** Offline: v = z_client + s_client, 2^e times, goes to the server. */
async function client({ spec, s, g, a }: Step, party: Party, drawn: Drawn, early: Half): Promise<Prepared> {
  const { ring, peer, tag } = party, { kernels } = ring, n = spec.length;
  using mask = drawn.own(s);
  const shares = await drawn.share(g);
  using v = new RingTensor(ring, 32, n);
  if (early) kernels.addShifted32(early.address, mask.address, spec.extraBits, v.address, n);
  else kernels.shl32(mask.address, spec.extraBits, v.address, n);
  await sendNumbers(peer, tag, v, 32);
  const next = a && drawn.own(a).withFractionBits(spec.outputBits);

  const online = async () => {
    // This party would only wait for the server's convolution. From memory the dealt words, read once, cost as much as the arithmetic.
    for (const dealt of next ? [shares, next] : [shares]) kernels.touch(dealt.address, dealt.byteLength);
    const sent: Promise<void>[] = [], y = next ? null : new RingTensor(ring, 32, n, spec.outputBits);
    for (const { spec: part, start, more, of } of partsOf(spec)) {
      using opened = new RingTensor(ring, 32, part.length);
      await receiveNumbers(peer, tag, opened, replyBits(spec), more);
      using out = y ? y.view(start, part.length) : new RingTensor(ring, 32, part.length);
      evaluate(part, "client", opened, of(shares), next?.view(start, part.length) ?? null, out);
      if (y) continue;
      // Not awaited before the server's last part is read: until then the server does not read.
      sent.push(sendNumbers(peer, tag, out, spec.ringBits, more));
      sent.at(-1)!.catch(() => {});
    }
    await Promise.all(sent);
    for (const tensor of [shares, next]) tensor?.[Symbol.dispose]();
    return y ?? undefined;
  };
  return { early: [next?.retain()], online: once("lifted", async () => [await online()]) };
}

/** Horner and truncate-and-reduce: a party's part of y from the opened e_hi, less `mask` if given. The leading term is the server's. */
function evaluate(
  spec: LiftedSpec,
  role: Party["role"],
  opened: RingTensor<32>,
  g: RingTensor,
  mask: RingTensor<32> | null,
  out: RingTensor<32>,
): void {
  const { kernels } = opened.ring, degree = degreeOf(spec.polynomial), n = spec.length;
  const topBit = replyBits(spec) - 1, shift = shiftBits(spec), isOneWord = limbsOf(spec) === 1;
  if (mask) {
    const gate = isOneWord ? kernels.liftedGateClient64 : kernels.liftedGateClient128;
    gate(opened.address, g.address, degree, topBit, shift, mask.address, out.address, n);
  } else {
    const gate = isOneWord ? kernels.liftedGateServer64 : kernels.liftedGateServer128;
    const lead = role === "server" ? BigInt(spec.polynomial.coefficients[degree]!) : 0n;
    gate(opened.address, g.address, degree, lead, topBit, shift, out.address, n);
  }
}

/** Elements of a part of a message: while it travels, the next one is computed. A multiple of {@linkcode PACKING}. */
const PART = PACKING << 7;

/** The parts in which the messages of a layer travel; small layers are one. */
function partsOf(spec: LiftedSpec) {
  return Array.from({ length: Math.max(1, Math.ceil(spec.length / PART)) }, (_, i) => {
    const start = i * PART, length = Math.min(PART, spec.length - start), each = wordsPerElement(spec);
    return {
      start,
      spec: { ...spec, length },
      /** Whether others follow. */
      more: start + length < spec.length,
      of: (g: RingTensor) => g.view(start * each, length * each),
    };
  });
}

/** The plain integers: z rounded to the kept bits, the polynomial exactly, rounded to the output's. */
function fixedPoint(spec: LiftedSpec, z: Float64Array): Float64Array {
  const dropped = 2 ** droppedBits(spec), scale = 2 ** -spec.keptBits, unit = 2 ** spec.outputBits;
  const real = realCoefficients(spec.polynomial);
  return z.map((v) => Math.round(horner(real, Math.round(v / dropped) * scale) * unit));
}

/** Of the numbers around z among those of the kept bits, the protocol takes one and {@linkcode fixedPoint} the nearest; two roundings of y. */
function carryBound({ polynomial, keptBits, outputBits }: LiftedSpec, size: number): number {
  const step = 2 ** -keptBits, slopes = realCoefficients(polynomial).map((c, j) => j * Math.abs(c)).slice(1);
  return horner(slopes, size + step) * step + 2 * 2 ** -outputBits;
}

/** Bound of the error of y = P(z) as a real number, for z in range: both roundings go to a neighbour. */
function errorBound({ polynomial, keptBits, outputBits }: LiftedSpec, z: number): number {
  const c = realCoefficients(polynomial), step = 2 ** -keptBits, furthest = Math.abs(z) + step;
  const slope = horner(c.map((c, j) => j * c).slice(1), z);
  const curvature = horner(c.map((c, j) => j * (j - 1) * Math.abs(c)).slice(2), furthest);
  return Math.abs(slope) * step + curvature / 2 * step ** 2 + 2 ** -outputBits;
}
