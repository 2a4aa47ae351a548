/**
 * `lifted`: linear layers modulo 2^k in 32-bit words, the polynomial modulo 2^64, one short opening, a truncation that cannot fail.
 *
 * Input: shares z_server + z_client = z modulo 2^k, |z| < 2^(k-2), f_z fraction bits. Messages and masks are those of {@link ./short_opening.ts}:
 * E = z + s = (z + 2^(k-2)) + r modulo 2^k, r = s - 2^(k-2), of which the server replies with E_hi = E >> t alone: k - t bits.
 *
 * Why no comparison is needed: z' = z + 2^(k-2) is in [0, 2^(k-1)), so z' + r wraps exactly if the top bit of E is 0 and that of r is 1.
 * With b = top bit of E, rho_1 = r >> t, rho_0 = (r >> t) - 2^(k-t) (top bit of r): z' >> t = E_hi - rho_b - (0 or 1).
 * So both parties hold shares of G_i(rho_b) = sum over j >= i of C_j binom(j, i) (-rho_b)^(j-i) for both b, pick the set by the
 * public b and evaluate P by Horner's rule in the public E_hi: no message. The offset 2^(k-2-t) is part of rho.
 *
 * Truncate and reduce: both shift their share of P right by m bits and read it modulo 2^k. With m + k <= 64 the wrap-around of
 * the shares is a multiple of 2^(64-m), hence 0 modulo 2^k: only a carry of one unit is left, whose mean the dealer adds to the
 * constant term. Both roundings, that of z and that of y, are random and without bias. See docs/lifted.md.
 */
import { dealt } from "../../correlations/correlation.ts";
import { horner, type Polynomial, QUARTIC, realCoefficients } from "../../polynomial/polynomial.ts";
import type { Ring } from "../../ring/ring.ts";
import { RingTensor, words } from "../../ring/tensor.ts";
import {
  type ActivationLayer,
  type ActivationProtocol,
  type ActivationStep,
  polynomialOf,
} from "../protocol.ts";
import { type Gate, shortInput, shortOpening, type ShortSpec } from "./short_opening.ts";

/** Scales and widths of one activation layer; public. */
export interface LiftedSpec extends ShortSpec {
  readonly polynomial: Polynomial;
  /** Fraction bits of the input that are kept. */
  readonly keptBits: number;
}

/** The server's reply has at most this many bits. */
const MOST_REPLY_BITS = 16;
/**
 * Kept bits of z that a reply must have: with fewer the slope of a polynomial, which is large where inputs are large, makes much of
 * every rounding error before it. That leaves five integer bits: inputs of activations may reach 16.
 */
const FEWEST_REPLY_BITS = 9;

export const lifted: ActivationProtocol = {
  name: "lifted",
  summary:
    "our own: linear layers in a small ring, the polynomial in a large one; one short reply, a truncation that cannot fail",
  scaling: { kind: "ring", mostIntegerBits: MOST_REPLY_BITS - 2 - FEWEST_REPLY_BITS },
  takes: ["ringBits"],
  readsEarly: true,
  usual: QUARTIC,

  plan(layer) {
    const spec = liftedSpec(layer);
    return {
      spec: { protocol: "lifted", ...spec },
      ...shortOpening("lifted", spec, layer.remask, gateOf(spec)),
      keptBits: spec.keptBits,
      plain: (z) => fixedPoint(spec, z),
      carryBound: (size) => carryBound(spec, size),
      errorBound: (z) => errorBound(spec, z),
    };
  },
};

/** The scales of a step that this protocol has planned. */
export const liftedSpecOf = ({ spec }: Pick<ActivationStep, "spec">): LiftedSpec =>
  spec as unknown as LiftedSpec;

/** t: bits of z that are dropped. */
export const droppedBits = ({ inputBits, keptBits }: LiftedSpec): number => inputBits - keptBits;
/** Bits of the server's reply. */
const replyBits = (spec: LiftedSpec): number => spec.ringBits - droppedBits(spec);
/** The degree without leading zeros. */
const degreeOf = ({ coefficients }: Polynomial): number => coefficients.findLastIndex((c) => c !== 0);
/** m: fraction bits of the polynomial's value beyond those of the output. */
export const shiftBits = ({ polynomial, keptBits, outputBits }: LiftedSpec): number =>
  degreeOf(polynomial) * keptBits + polynomial.precision - outputBits;
/** Bits of a dealt number: two words of 64 where the shift and the ring do not fit one. */
const numberBits = (spec: LiftedSpec): 64 | 128 => shiftBits(spec) + spec.ringBits <= 64 ? 64 : 128;

/** Throws a RangeError where the layer breaks a bound of the proof. */
function liftedSpec(layer: ActivationLayer): LiftedSpec {
  const { name, outputBits } = layer,
    { length, ringBits, inputBits, extraBits } = shortInput("lifted", layer);
  const polynomial = polynomialOf("lifted", layer);
  const keptBits = keptBitsFor(polynomial, ringBits, inputBits, outputBits);
  const spec = { length, polynomial, ringBits, inputBits, outputBits, keptBits, extraBits };
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
}

/** C_j at the common scale d * f_x + p, [degree + 1] numbers of one or two limbs. */
function coefficientTable(ring: Ring, spec: LiftedSpec): RingTensor {
  const { polynomial: { coefficients }, keptBits } = spec,
    degree = degreeOf(spec.polynomial),
    limbs = numberBits(spec) / 64;
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

/** What is dealt and what both make of it. */
function gateOf(spec: LiftedSpec): Gate {
  const { length: n, ringBits, polynomial } = spec, degree = degreeOf(polynomial), bits = numberBits(spec);
  return {
    dropped: droppedBits(spec),
    replyBits: replyBits(spec),

    /** Both sets of G for r = s - 2^(k-2): [length][2][degree] numbers. The wrap bit of r is no product of own words. */
    dealt: (s) =>
      dealt("G(rho_0), G(rho_1)", n * 2 * degree, bits, [s], {
        fill(ring, [masks], out) {
          const offset = 2 ** (ringBits - 2);
          using r = new RingTensor(ring, 32, n);
          const from = masks.uint32, to = r.uint32;
          for (let i = 0; i < n; i++) to[i] = from[i] - offset;
          using table = coefficientTable(ring, spec);
          const deal = ring.kernels[`liftedMasks${bits}`];
          deal(r.address, n, ringBits, droppedBits(spec), table.address, degree, out.address);
        },
      }),

    /** Horner and truncate-and-reduce: a party's part of y from the opened E_hi, less `mask` if given. The leading term is the server's. */
    evaluate(role, opened, g, mask, out) {
      const { kernels } = opened.ring, topBit = replyBits(spec) - 1, shift = shiftBits(spec);
      if (mask) {
        const gate = kernels[`liftedGateMasked${bits}`];
        gate(opened.address, g.address, degree, topBit, shift, mask.address, out.address, out.length);
      } else {
        const gate = kernels[`liftedGate${bits}`];
        const lead = role === "server" ? BigInt(polynomial.coefficients[degree]) : 0n;
        gate(opened.address, g.address, degree, lead, topBit, shift, out.address, out.length);
      }
    },
  };
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
