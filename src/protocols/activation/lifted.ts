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
 * constant term. Both roundings, that of z and that of y, are random and without bias. See docs/lifted.md.
 */
import type { Dealing, Material } from "../../dealer/material.ts";
import { horner, type Polynomial, realCoefficients } from "../../polynomial/polynomial.ts";
import type { Ring } from "../../ring/ring.ts";
import { type RingTensor, words } from "../../ring/tensor.ts";
import type { Cost } from "../protocol.ts";

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

/** Elements of a packed message are filled up with zeros to a multiple of this. */
export const PACKING = 128;
export const packedBytes = (length: number, bits: number): number =>
  Math.ceil(length / PACKING) * PACKING / 8 * bits;

/** Throws a RangeError unless the scales obey the bounds of the proof. */
export function checkSpec(spec: LiftedSpec, what: string): void {
  const { ringBits, keptBits, inputBits } = spec, reply = replyBits(spec), shift = shiftBits(spec);
  const fail = (reason: string) => {
    throw new RangeError(`${what}: lifted with ${ringBits} ring bits ${reason}`);
  };
  if (degreeOf(spec.polynomial) < 2) fail("needs a polynomial of degree 2 or more");
  if (keptBits < 1 || keptBits > inputBits) {
    fail(`keeps ${keptBits} of ${inputBits} fraction bits; use a wider ring`);
  }
  if (reply > 16) fail(`would reply with ${reply} bits, more than 16`);
  if (shift < 1 || shift + ringBits > 128) {
    fail(`would shift by ${shift} bits, which breaks m + k <= 128; use a lower degree`);
  }
  if (ringBits + spec.extraBits > 32) fail("does not fit 32-bit words after Winograd's transform");
}

/** Online cost of one activation layer: the server's reply and the client's next masked words. */
export function costOfLifted(spec: LiftedSpec): Cost {
  return {
    exchanges: 2,
    bytesServer: packedBytes(spec.length, replyBits(spec)),
    bytesClient: packedBytes(spec.length, spec.ringBits),
    dealtBytes: spec.length * 2 * degreeOf(spec.polynomial) * 8 * limbsOf(spec),
  };
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

/** The dealer: s from both parties' own words, r = s - 2^(k-2), shares of both sets of G. */
export async function dealLifted(spec: LiftedSpec, dealing: Dealing): Promise<void> {
  const { ring } = dealing, { length: n, ringBits } = spec, degree = degreeOf(spec.polynomial);
  using r = dealing.mask32(n);
  const masks = r.uint32, offset = 2 ** (ringBits - 2);
  for (let i = 0; i < n; i++) masks[i] -= offset;
  using table = coefficientTable(ring, spec);
  using g = words(ring, n * wordsPerElement(spec));
  const deal = limbsOf(spec) === 1 ? ring.kernels.liftedMasks64 : ring.kernels.liftedMasks128;
  deal(r.address, n, ringBits, droppedBits(spec), table.address, degree, g.address);
  await (limbsOf(spec) === 1 ? dealing.share(g) : dealing.share128(g));
}

/** A party's material of one activation layer. */
export interface LiftedMaterial {
  /** Its summand of s, 32-bit words. */
  readonly mask: RingTensor<32>;
  /** Its shares of G: [length][2][degree] numbers. */
  readonly g: RingTensor;
}

export async function holdLifted(spec: LiftedSpec, material: Material): Promise<LiftedMaterial> {
  const mask = await material.own32(spec.length);
  const g = words(mask.ring, spec.length * wordsPerElement(spec));
  await material.share(g);
  return { mask, g };
}

/** Horner and truncate-and-reduce at a party: y from the opened e_hi. The client subtracts its next mask; the server, which has none, adds the leading term. */
export function evaluateLifted(
  spec: LiftedSpec,
  opened: RingTensor<32>,
  g: RingTensor,
  mask: RingTensor<32> | null,
  out: RingTensor<32>,
): void {
  const { kernels } = opened.ring, degree = degreeOf(spec.polynomial), n = spec.length;
  const topBit = replyBits(spec) - 1, shift = shiftBits(spec), isOneWord = limbsOf(spec) === 1;
  if (mask === null) {
    const gate = isOneWord ? kernels.liftedGateServer64 : kernels.liftedGateServer128;
    const lead = BigInt(spec.polynomial.coefficients[degree]!);
    gate(opened.address, g.address, degree, lead, topBit, shift, out.address, n);
  } else {
    const gate = isOneWord ? kernels.liftedGateClient64 : kernels.liftedGateClient128;
    gate(opened.address, g.address, degree, topBit, shift, mask.address, out.address, n);
  }
}

/** Bound of the error of y = P(z) as a real number, for z in range: both roundings go to a neighbour. */
export function errorBound({ polynomial, keptBits, outputBits }: LiftedSpec, z: number): number {
  const c = realCoefficients(polynomial), step = 2 ** -keptBits, furthest = Math.abs(z) + step;
  const slope = horner(c.map((c, j) => j * c).slice(1), z);
  const curvature = horner(c.map((c, j) => j * (j - 1) * Math.abs(c)).slice(2), furthest);
  return Math.abs(slope) * step + curvature / 2 * step ** 2 + 2 ** -outputBits;
}

/** Elements of a part of a message: while it travels, the next one is computed. A multiple of {@linkcode PACKING}. */
const PART = 1 << 14;

/** The parts in which the messages of a layer travel; small layers are one. */
export function partsOf(spec: LiftedSpec) {
  return Array.from({ length: Math.ceil(spec.length / PART) }, (_, i) => {
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
export function fixedPointOfLifted(spec: LiftedSpec, z: Float64Array): Float64Array {
  const dropped = 2 ** droppedBits(spec), scale = 2 ** -spec.keptBits, unit = 2 ** spec.outputBits;
  const real = spec.polynomial.coefficients.map((c) => c * 2 ** -spec.polynomial.precision);
  return z.map((v) => {
    const x = Math.round(v / dropped) * scale;
    return Math.round(real.reduceRight((sum, c) => sum * x + c, 0) * unit);
  });
}
