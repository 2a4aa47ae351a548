/**
 * `tree`: square and multiply (CrypTen's polynomial, the baseline "CrypTen Poly"): x^2, then x^3 and x^4, then x^5 ... x^8, each
 * power truncated to f bits before the next round; only powers that a coefficient asks for, or that such a power needs, are made.
 *
 * x^k = x^(k - h) * x^h with h the largest power of two below k. Every factor is opened once, masked by an own random word,
 * in the round in which it is first used; the dealer shares the products of the masks: x y = (u + r)(v + s) with
 * u = x - r, v = y - s public is u v + u s + v r + r s. ceil(log2 degree) exchanges.
 */
import { type Dealt, type Own, own } from "../../correlations/correlation.ts";
import { productOf } from "../../correlations/products.ts";
import type { Polynomial } from "../../polynomial/polynomial.ts";
import { add, multiplyAdd, multiplyConstant, rescale, subtract } from "../../ring/arithmetic.ts";
import { type RingTensor, words } from "../../ring/tensor.ts";
import { multiplyOpened, open } from "../open.ts";
import { type Party, WORD_BYTES } from "../protocol.ts";
import { linearPart } from "./power_groups.ts";
import { type ActivationSpec, type Evaluate, exchange, onWords64 } from "./words64.ts";

/** x^power = x^low * x^high. */
interface Product {
  readonly power: number;
  readonly low: number;
  readonly high: number;
}

interface Round {
  /** Powers opened in this round, for the first and only time. */
  readonly opened: readonly number[];
  readonly products: readonly Product[];
}

/** The rounds that make every power with a coefficient other than zero. */
function rounds(polynomial: Polynomial): Round[] {
  const needed = new Map<number, Product>();
  const need = (power: number) => {
    if (power < 2 || needed.has(power)) return;
    const high = 2 ** (Math.ceil(Math.log2(power)) - 1);
    needed.set(power, { power, low: power - high, high });
    need(power - high);
    need(high);
  };
  polynomial.coefficients.forEach((c, k) => c !== 0 && need(k));

  const opened = new Set<number>(), result: Round[] = [];
  const products = [...needed.values()].sort((a, b) => a.power - b.power);
  for (let reach = 1; products.some(({ power }) => power > reach); reach *= 2) {
    const round = products.filter(({ power }) => power > reach && power <= 2 * reach);
    const fresh = [...new Set(round.flatMap(({ low, high }) => [low, high]))].filter((k) => !opened.has(k));
    fresh.forEach((k) => opened.add(k));
    result.push({ opened: fresh.sort((a, b) => a - b), products: round });
  }
  return result;
}

const SUMMARY = "square and multiply, as CrypTen does: ceil(log2 degree) exchanges";

export const tree = onWords64("tree", SUMMARY, (spec) => {
  const steps = rounds(spec.polynomial), n = spec.length;
  const masks = new Map<number, Own<64>>(), products = new Map<number, Dealt<64>>();
  for (const { opened, products: made } of steps) {
    for (const power of opened) masks.set(power, own(`mask of x^${power}`, "both", n, 64));
    for (const { power, low, high } of made) {
      products.set(power, productOf(`product for x^${power}`, masks.get(low)!, masks.get(high)!));
    }
  }
  return {
    query: steps.flatMap(({ opened, products: made }) => [
      ...opened.map((power) => masks.get(power)!),
      ...made.map(({ power }) => products.get(power)!),
    ]),
    messages: steps.map(({ opened }) => exchange(opened.length * n * WORD_BYTES)),
    async hold(party, drawn) {
      const held = new Map<number, RingTensor>(), shares = new Map<number, RingTensor>();
      for (const { opened, products: made } of steps) {
        for (const power of opened) held.set(power, drawn.own(masks.get(power)!));
        for (const { power } of made) shares.set(power, await drawn.share(products.get(power)!));
      }
      return evaluation(spec, party, held, shares);
    },
    plain: (x) => fixedPoint(spec, x),
    carryBound: (size) => carryBound(spec, size),
  };
});

function fixedPoint(spec: ActivationSpec, x: Float64Array): Float64Array {
  const { coefficients, precision } = spec.polynomial,
    unit = 2 ** spec.fractionBits,
    scale = 2 ** precision;
  const products = rounds(spec.polynomial).flatMap((round) => round.products);
  return x.map((value) => {
    const powers = [1, value];
    for (const { power, low, high } of products) {
      powers[power] = Math.floor(powers[low] * powers[high] / unit);
    }
    const constant = Math.round((coefficients[0] ?? 0) * unit / scale);
    return coefficients.reduce(
      (sum, c, k) => k === 0 || c === 0 ? sum : sum + Math.floor(c * powers[k] / scale),
      constant,
    );
  });
}

function carryBound(spec: ActivationSpec, size: number): number {
  const { coefficients, precision } = spec.polynomial, unit = 2 ** -spec.fractionBits;
  // A product of factors with errors e_low, e_high is off by them and by one unit of truncation; a term is truncated once
  // more, and its floor may fall on either side of a unit.
  const errors = new Map<number, number>([[1, 0]]);
  let bound = unit;
  for (const { power, low, high } of rounds(spec.polynomial).flatMap((round) => round.products)) {
    const eLow = errors.get(low)!, eHigh = errors.get(high)!;
    const error = 2 * unit + eLow * size ** high + eHigh * size ** low + eLow * eHigh;
    errors.set(power, error);
    const c = Math.abs(coefficients[power] ?? 0);
    if (c !== 0) bound += 2 * unit + c * 2 ** -precision * error;
  }
  return bound;
}

const evaluation = (
  spec: ActivationSpec,
  party: Party,
  masks: ReadonlyMap<number, RingTensor>,
  shares: ReadonlyMap<number, RingTensor>,
): Evaluate =>
async (x) => {
  const { ring } = party, n = spec.length, { coefficients, precision } = spec.polynomial;
  const y = linearPart(party, spec, x);
  const powers = new Map<number, RingTensor>([[1, x]]), openings = new Map<number, RingTensor>();
  const temporary: RingTensor[] = [...masks.values(), ...shares.values()];
  const factor = (power: number) => [openings.get(power)!, masks.get(power)!] as const;

  for (const round of rounds(spec.polynomial)) {
    const u = words(ring, round.opened.length * n);
    temporary.push(u);
    round.opened.forEach((power, i) => {
      const view = u.view(i * n, n);
      subtract(powers.get(power)!.view(0, n, 0), masks.get(power)!, view);
      openings.set(power, view);
    });
    await open(party, u);
    for (const { power, low, high } of round.products) {
      // (u + r)(v + s), truncated to f bits.
      const sum = shares.get(power)!.view(0, n, 2 * spec.fractionBits);
      multiplyOpened(party, multiplyAdd, sum, factor(low), factor(high));
      const product = rescale(sum, words(ring, n, spec.fractionBits));
      powers.set(power, product);
      temporary.push(product);
      if ((coefficients[power] ?? 0) === 0) continue;
      using term = multiplyConstant(
        product,
        BigInt(coefficients[power]),
        words(ring, n, spec.fractionBits + precision),
      );
      using result = rescale(term, words(ring, n, spec.fractionBits));
      add(y, result);
    }
  }
  for (const tensor of temporary) tensor[Symbol.dispose]();
  return y;
};
