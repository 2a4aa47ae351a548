/**
 * `espn`: exponentiating secret shared values using the binomial theorem (the paper's own single-round protocol).
 *
 * With y = y0 + y1 (server, client), y^k = sum over i of binom(k, i) y0^i y1^(k-i). Each party knows the powers of its own share;
 * the terms i = 0 and i = k are local, every other one is a product of a number known to the server and a number known to the
 * client. So one mask per power, known to its owner alone, suffices: the server sends e_i = y0^i - a_i, the client
 * h_j = y1^j - b_j for i, j = 1 ... d-1, and the dealer shares one word, K = sum c_k binom(k, i) a_i b_(k-i). Then
 *   server: c_k binom(k, i) y0^i h_(k-i) + K_server,   client: c_k binom(k, i) e_i b_(k-i) + K_client,
 * summed, are shares of the cross terms: (e + a) h + e b + a b = (e + a)(h + b). One exchange, d - 1 words each way per
 * group. See docs/espn.md.
 */
import { dealt, own, type OwnWord } from "../../correlations/correlation.ts";
import { add, subtract } from "../../ring/arithmetic.ts";
import type { Ring } from "../../ring/ring.ts";
import { type RingTensor, words } from "../../ring/tensor.ts";
import { swap } from "../open.ts";
import { binomial, publicTable } from "./binomial.ts";
import { onPowerGroups, type PowerGroup } from "./power_groups.ts";

const SUMMARY = "powers by the binomial theorem: one exchange";

export const espn = onPowerGroups("espn", SUMMARY, swap, (group, n) => {
  const { degree, coefficients, fractionBits } = group, rows = degree - 1;
  // Masks of the server's and the client's powers 1 ... d-1, planes of n words, and the sum of their products.
  const a = own("a", "server", rows * n, 64), b = own("b", "client", rows * n, 64);
  const k = dealt("K", n, 64, [a, b], {
    fill(ring, [maskA, maskB], out) {
      using cross = crossTable(ring, group);
      out.bytes.fill(0);
      ring.kernels.bilinear64(maskA.address, maskB.address, cross.address, rows, out.address, n);
    },
    products: (e) =>
      Array.from({ length: rows }, (_, i) =>
        Array.from({ length: rows - i }, (_, j) => ({
          coefficient: crossTerm(group, i, j),
          server: (word: OwnWord) => word(a, i * n + e),
          client: (word: OwnWord) => word(b, j * n + e),
        }))).flat(),
  });
  return {
    query: [a, b, k],
    rows,
    async hold({ role, ring }, drawn) {
      const { kernels } = ring, masks = drawn.own(role === "server" ? a : b), share = await drawn.share(k);
      return (y, out) => {
        // Powers 1 ... d-1 of the own share, then this party's local term sum over k of c_k y_i^k.
        using monomials = publicTable(ring, rows, degree + 1, (i, k) => k === i + 1 ? 1n : 0n);
        const powers = words(ring, rows * n);
        kernels.polynomials64(y.address, monomials.address, rows, degree, powers.address, n);
        subtract(powers, masks, out);
        using polynomial = publicTable(ring, 1, degree + 1, (_, k) => coefficients[k]);
        const sum = words(ring, n, fractionBits);
        kernels.polynomials64(y.address, polynomial.address, 1, degree, sum.address, n);
        return (theirs) => {
          using cross = crossTable(ring, group);
          // Rows of the table are the server's powers, columns the client's.
          const [rowWords, columnWords] = role === "server" ? [powers, theirs] : [theirs, masks];
          kernels.bilinear64(rowWords.address, columnWords.address, cross.address, rows, sum.address, n);
          add(sum, share.view(0, n, fractionBits));
          for (const tensor of [masks, share, powers]) tensor[Symbol.dispose]();
          return sum;
        };
      };
    },
  };
});

/** c_(i+j) binom(i+j, i) at row i - 1, column j - 1: the cross terms. */
function crossTerm({ degree, coefficients }: PowerGroup, row: number, column: number): bigint {
  const k = row + column + 2;
  return k <= degree ? coefficients[k] * binomial(k, row + 1) : 0n;
}

const crossTable = (ring: Ring, group: PowerGroup): RingTensor =>
  publicTable(ring, group.degree - 1, group.degree - 1, (row, column) => crossTerm(group, row, column));
