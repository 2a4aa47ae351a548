/**
 * `honeybadger`: powers of a random mask (HoneyBadgerMPC; the paper's single-round protocol for two parties).
 *
 * Dealt for a group of powers of y = x >> shift: a mask r = r_server + r_client, each summand known to its party, and shares of
 * G_i(r) = sum over j >= i of c_j binom(j, i) r^(j - i). Both parties open u = y - r (uniform, since r is) and evaluate
 * P(y) = sum over i of G_i(r) u^i by Horner's rule: one exchange, one word each way per group. See docs/honeybadger.md.
 */
import { type Dealt, dealt, type Own, own, type OwnWord } from "../../correlations/correlation.ts";
import type { Drawn } from "../../correlations/drawn.ts";
import { add, addConstant, multiplyConstant, rescale, subtract } from "../../ring/arithmetic.ts";
import { type RingTensor, words } from "../../ring/tensor.ts";
import { open } from "../open.ts";
import { type Party, WORD_BYTES } from "../protocol.ts";
import { binomial, publicTable } from "./binomial.ts";
import {
  carryBoundOfGroups,
  fixedPointOfGroups,
  linearPart,
  type PowerGroup,
  powerGroups,
  shifted,
} from "./power_groups.ts";
import { type ActivationSpec, type Evaluate, exchange, onWords64 } from "./words64.ts";

export const honeybadger = onWords64("honeybadger", "powers of a random mask: one exchange", (spec) => {
  const groups = powerGroups(spec.polynomial, spec.fractionBits).map((group) => dealtFor(group, spec.length));
  return {
    query: groups.flatMap(({ r, g }) => [r, g]),
    messages: groups.length > 0 ? [exchange(groups.length * spec.length * WORD_BYTES)] : [],
    async hold(party, drawn) {
      const held: HeldGroup[] = [];
      for (const group of groups) held.push(await holdGroup(group, party, drawn));
      return evaluation(spec, party, held);
    },
    plain: (x) => fixedPointOfGroups(spec, x),
    carryBound: (size) => carryBoundOfGroups(spec, size),
  };
});

interface DealtGroup {
  readonly group: PowerGroup;
  readonly r: Own<64>;
  /** G_0 ... G_(d-2), planes of n words. */
  readonly g: Dealt<64>;
}

/** G_0 ... G_(d-2) are dealt; G_(d-1) = c_(d-1) + d c_d r is linear in r and G_d = c_d public. */
function dealtFor(group: PowerGroup, n: number): DealtGroup {
  const { degree, coefficients } = group, r = own("r", "both", n, 64);
  return {
    group,
    r,
    g: dealt("G(r)", (degree - 1) * n, 64, [r], {
      fill(ring, [mask], out) {
        using rows = publicTable(
          ring,
          degree - 1,
          degree + 1,
          (i, k) => k + i <= degree ? coefficients[k + i] * binomial(k + i, i) : 0n,
        );
        ring.kernels.polynomials64(mask.address, rows.address, degree - 1, degree, out.address, n);
      },
      // r^k = sum over l of binom(k, l) r_S^l r_C^(k - l).
      products(element) {
        const i = Math.floor(element / n), e = element % n;
        return Array.from({ length: degree - i + 1 }, (_, k) =>
          Array.from({ length: k + 1 }, (_, l) => ({
            coefficient: coefficients[k + i] * binomial(k + i, i) * binomial(k, l),
            server: (word: OwnWord) => word(r, e) ** BigInt(l),
            client: (word: OwnWord) => word(r, e) ** BigInt(k - l),
          }))).flat();
      },
    }),
  };
}

interface HeldGroup {
  readonly group: PowerGroup;
  /** This party's summand of the mask. */
  readonly r: RingTensor;
  /** Its shares of G_0 ... G_(d-1), planes of n words. */
  readonly g: RingTensor;
}

async function holdGroup({ group, r, g }: DealtGroup, party: Party, drawn: Drawn): Promise<HeldGroup> {
  const { degree, coefficients } = group, n = r.words;
  const mask = drawn.own(r);
  const shares = words(party.ring, degree * n);
  await drawn.share(g, shares.view(0, (degree - 1) * n));
  const last = multiplyConstant(
    mask,
    BigInt(degree) * coefficients[degree],
    shares.view((degree - 1) * n, n),
  );
  if (party.role === "server") addConstant(last, coefficients[degree - 1]);
  return { group, r: mask, g: shares };
}

const evaluation =
  (spec: ActivationSpec, party: Party, held: readonly HeldGroup[]): Evaluate => async (x) => {
    const { ring } = party, n = spec.length;
    const y = linearPart(party, spec, x);
    if (held.length === 0) return y;

    using u = words(ring, held.length * n);
    held.forEach(({ group, r }, i) => {
      using input = shifted(party, x, group);
      subtract(input.view(0, n, 0), r, u.view(i * n, n));
    });
    await open(party, u);

    held.forEach(({ group, r, g }, i) => {
      const { degree, coefficients, fractionBits } = group;
      // The public lead c_d, like every public constant, is added by one party only.
      const lead = party.role === "server" ? coefficients[degree] : 0n;
      using power = words(ring, n, fractionBits);
      ring.kernels.horner64(u.view(i * n, n).address, g.address, degree, lead, power.address, n);
      using result = rescale(power, words(ring, n, spec.fractionBits));
      add(y, result);
      r[Symbol.dispose]();
      g[Symbol.dispose]();
    });
    return y;
  };
