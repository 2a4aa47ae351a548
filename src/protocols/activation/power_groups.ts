/**
 * How a polynomial is cut into parts that fit 64-bit words (reference for the scale trick: the paper's public code,
 * `scale_handler`). With f fraction bits x^k carries k*f of them; from k = 4 at f = 16 that is more than a word. So the
 * constant and the linear term are evaluated on the shares without any message, and the higher powers in pairs {2},
 * {3, 4}, {5, 6}, ..., each pair on x shifted right by as many bits as it needs. And what protocols on such parts have in common.
 */
import type { Correlation } from "../../correlations/correlation.ts";
import type { Drawn } from "../../correlations/drawn.ts";
import { add, addConstant, multiplyConstant, rescale } from "../../ring/arithmetic.ts";
import { type RingTensor, words } from "../../ring/tensor.ts";
import type { Polynomial } from "../../polynomial/polynomial.ts";
import { type ActivationProtocol, type Party, WORD_BYTES } from "../protocol.ts";
import { type ActivationSpec, exchange, onWords64 } from "./words64.ts";

/** sum over k of coefficients[k] * y^k with y = x >> shift, an integer polynomial without constant and linear term. */
export interface PowerGroup {
  readonly shift: number;
  readonly degree: number;
  /** Index k = 0 ... degree; entries 0 and 1 are zero. */
  readonly coefficients: readonly bigint[];
  /** Scale of the sum. */
  readonly fractionBits: number;
}

/**
 * Bits that |c_k| * 2^k * 2^fractionBits may take: at |x| = 2 each power of a group adds at most 2^(38 - 64) = 1.5e-8 to the
 * probability that its truncation fails grossly.
 */
const HEAD_BITS = 38;

/** The groups of the powers from 2 on whose coefficients are not all zero. */
export function powerGroups(polynomial: Polynomial, fractionBits: number): PowerGroup[] {
  const { coefficients } = polynomial;
  const groups: PowerGroup[] = [];
  for (let low = 2; low < coefficients.length; low = low === 2 ? 3 : low + 2) {
    const powers = (low === 2 ? [2] : [low, low + 1]).filter((k) => (coefficients[k] ?? 0) !== 0);
    if (powers.length > 0) groups.push(powerGroup(polynomial, fractionBits, powers));
  }
  return groups;
}

function powerGroup(polynomial: Polynomial, fractionBits: number, powers: number[]): PowerGroup {
  const degree = powers.at(-1)!;
  // The coefficients without their common power of two: fewer bits, rarer failures.
  let precision = polynomial.precision;
  let integers = powers.map((k) => polynomial.coefficients[k]);
  while (precision > 0 && integers.every((c) => c % 2 === 0)) {
    integers = integers.map((c) => c / 2);
    precision--;
  }
  const size = Math.max(
    ...powers.map((k) => Math.log2(Math.abs(polynomial.coefficients[k])) - polynomial.precision + k),
  );
  // The bits kept of x: the power has at most 2 * f (as the paper's code), and the sum stays within HEAD_BITS.
  const kept = Math.min(
    fractionBits,
    Math.floor(2 * fractionBits / degree),
    Math.floor((HEAD_BITS - size - precision) / degree),
  );
  if (kept < 1) {
    throw new RangeError(
      `degree ${degree} with coefficients of ${polynomial.precision} bits does not fit 64-bit words at ${fractionBits} ` +
        `fraction bits; use a lower degree or precision`,
    );
  }
  const table = Array.from({ length: degree + 1 }, () => 0n);
  powers.forEach((k, i) => table[k] = BigInt(integers[i]) << BigInt((degree - k) * kept));
  return { shift: fractionBits - kept, degree, coefficients: table, fractionBits: degree * kept + precision };
}

/** What a protocol does for one group. */
interface DealtGroup {
  readonly query: readonly Correlation[];
  /** Words that a party sends for each element, planes of n words. */
  readonly rows: number;
  /** Draws this party's half of the material. */
  hold(party: Party, drawn: Drawn): Promise<HeldGroup>;
}

/** From this party's share of y to the words that it sends, in `out`; then from what is revealed to its share of the group's sum. */
type HeldGroup = (y: RingTensor, out: RingTensor) => (revealed: RingTensor) => RingTensor;

/**
 * A protocol that computes groups of powers of shares, all of them by one exchange. `reveal` sends this party's masked words; what it returns is
 * disposed of.
 */
export const onPowerGroups = (
  name: string,
  summary: string,
  reveal: (party: Party, mine: RingTensor) => Promise<RingTensor>,
  deal: (group: PowerGroup, n: number) => DealtGroup,
): ActivationProtocol =>
  onWords64(name, summary, (spec) => {
    const n = spec.length;
    let rows = 0;
    const groups = powerGroups(spec.polynomial, spec.fractionBits).map((group) => {
      const dealt = deal(group, n), start = rows;
      rows += dealt.rows;
      return { ...dealt, group, planesIn: (all: RingTensor) => all.view(start * n, dealt.rows * n) };
    });
    return {
      query: groups.flatMap(({ query }) => query),
      messages: groups.length > 0 ? [exchange(rows * n * WORD_BYTES)] : [],
      async hold(party, drawn) {
        const held: HeldGroup[] = [];
        for (const { hold } of groups) held.push(await hold(party, drawn));
        return async (x) => {
          const { ring } = party, y = linearPart(party, spec, x);
          if (groups.length === 0) return y;

          using masked = words(ring, rows * n);
          const finish = groups.map(({ group, planesIn }, i) => {
            using input = shifted(party, x, group);
            return held[i](input, planesIn(masked));
          });
          using revealed = await reveal(party, masked);
          groups.forEach(({ planesIn }, i) => {
            using sum = finish[i](planesIn(revealed));
            using result = rescale(sum, words(ring, n, spec.fractionBits));
            add(y, result);
          });
          return y;
        };
      },
      plain: (x) => fixedPointOfGroups(spec, x),
      carryBound: (size) => carryBoundOfGroups(spec, size),
    };
  });

/**
 * This party's share of y = x >> shift. The two floors lose one unit together on average, which the server adds: so y is
 * x / 2^shift rounded at random to one of its two neighbours, without bias.
 */
function shifted(party: Party, x: RingTensor, group: PowerGroup): RingTensor {
  const y = rescale(x, words(x.ring, x.length, x.fractionBits - group.shift));
  return group.shift > 0 && party.role === "server" ? addConstant(y, 1n) : y;
}

/** This party's share of c0 + c1 * x. */
export function linearPart(party: Party, spec: ActivationSpec, x: RingTensor): RingTensor {
  const { coefficients, precision } = spec.polynomial;
  using product = multiplyConstant(
    x,
    BigInt(coefficients[1] ?? 0),
    words(x.ring, x.length, x.fractionBits + precision),
  );
  const y = rescale(product, words(x.ring, x.length, x.fractionBits));
  if (party.role === "server") addConstant(y, constantTerm(spec));
  return y;
}

const constantTerm = ({ polynomial, fractionBits }: ActivationSpec): bigint =>
  BigInt(Math.round((polynomial.coefficients[0] ?? 0) * 2 ** (fractionBits - polynomial.precision)));

/** The plain integers that the groups compute: y rounded to nearest, floor at every other shift, as if nothing were shared. */
function fixedPointOfGroups(spec: ActivationSpec, x: Float64Array): Float64Array {
  const { coefficients, precision } = spec.polynomial;
  const constant = Number(constantTerm(spec)), slope = (coefficients[1] ?? 0) / 2 ** precision;
  const groups = powerGroups(spec.polynomial, spec.fractionBits).map((group) => ({
    unit: 2 ** group.shift,
    table: group.coefficients.map(Number),
    last: 2 ** (group.fractionBits - spec.fractionBits),
  }));
  return x.map((value) => {
    let sum = Math.floor(slope * value) + constant;
    for (const { unit, table, last } of groups) {
      const y = Math.round(value / unit);
      let power = 0;
      for (let k = table.length - 1; k >= 0; k--) power = power * y + table[k];
      sum += Math.floor(power / last);
    }
    return sum;
  });
}

/**
 * Two shares shifted on their own differ by at most one unit from the shifted sum: one unit of the result for the linear
 * part and for each group, and one unit of y, times the slope of the group, where x was shifted before (its floor may then fall
 * on either side of a unit).
 */
function carryBoundOfGroups(spec: ActivationSpec, size: number): number {
  const unit = 2 ** -spec.fractionBits;
  let bound = unit;
  for (const group of powerGroups(spec.polynomial, spec.fractionBits)) {
    const step = group.shift > 0 ? unit * 2 ** group.shift : 0;
    const reach = size + step;
    let slope = 0;
    group.coefficients.forEach((c, k) => {
      // c carries (degree - k) * kept more bits than the sum's scale says: as real numbers c_k = c / 2^(F - k * kept).
      const real = Math.abs(Number(c)) * 2 ** (k * (spec.fractionBits - group.shift) - group.fractionBits);
      slope += k * real * reach ** Math.max(0, k - 1);
    });
    bound += step > 0 ? 2 * unit + slope * step : unit;
  }
  return bound;
}
