/**
 * `honeybadger`: powers of a random mask (HoneyBadgerMPC; the paper's single-round protocol for two parties).
 *
 * Dealt for a group of powers of y = x >> shift: a mask r = r_server + r_client, each summand known to its party, and shares of
 * G_i(r) = sum over j >= i of c_j binom(j, i) r^(j - i). Both parties open u = y - r (uniform, since r is) and evaluate
 * P(y) = sum over i of G_i(r) u^i by Horner's rule: one exchange, one word each way per group. See docs/honeybadger.md.
 */
import { dealt, own, type OwnWord } from "../../correlations/correlation.ts";
import { addConstant, multiplyConstant, subtract } from "../../ring/arithmetic.ts";
import { type RingTensor, words } from "../../ring/tensor.ts";
import { open } from "../open.ts";
import type { Party } from "../protocol.ts";
import { binomial, publicTable } from "./binomial.ts";
import { onPowerGroups } from "./power_groups.ts";

const SUMMARY = "powers of a random mask: one exchange";

/** The sum takes the place of u, which the caller keeps as well. */
const opened = (party: Party, u: RingTensor) => open(party, u.retain());

export const honeybadger = onPowerGroups("honeybadger", SUMMARY, opened, (group, n) => {
  const { degree, coefficients, fractionBits } = group, r = own("r", "both", n, 64);
  // G_0 ... G_(d-2), planes of n words, are dealt; G_(d-1) = c_(d-1) + d c_d r is linear in r and G_d = c_d public.
  const g = dealt("G(r)", (degree - 1) * n, 64, [r], {
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
  });
  return {
    query: [r, g],
    rows: 1,
    async hold({ role, ring }, drawn) {
      // This party's summand of the mask, and its shares of G_0 ... G_(d-1).
      const mask = drawn.own(r), shares = words(ring, degree * n);
      await drawn.share(g, shares.view(0, (degree - 1) * n));
      const last = shares.view((degree - 1) * n, n);
      multiplyConstant(mask, BigInt(degree) * coefficients[degree], last);
      if (role === "server") addConstant(last, coefficients[degree - 1]);
      return (y, out) => {
        subtract(y.view(0, n, 0), mask, out);
        return (u) => {
          // The public lead c_d, like every public constant, is added by one party only.
          const lead = role === "server" ? coefficients[degree] : 0n, sum = words(ring, n, fractionBits);
          ring.kernels.horner64(u.address, shares.address, degree, lead, sum.address, n);
          mask[Symbol.dispose]();
          shares[Symbol.dispose]();
          return sum;
        };
      };
    },
  };
});
