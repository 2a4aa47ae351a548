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
import { type Dealt, dealt, type Own, own, type OwnWord } from "../../correlations/correlation.ts";
import { add, rescale, subtract } from "../../ring/arithmetic.ts";
import type { Ring } from "../../ring/ring.ts";
import { type RingTensor, words } from "../../ring/tensor.ts";
import { swap } from "../open.ts";
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

export const espn = onWords64("espn", "powers by the binomial theorem: one exchange", (spec) => {
  const groups = powerGroups(spec.polynomial, spec.fractionBits).map((group) => dealtFor(group, spec.length));
  const rows = groups.reduce((sum, { group }) => sum + group.degree - 1, 0);
  return {
    query: groups.flatMap(({ a, b, k }) => [a, b, k]),
    messages: groups.length > 0 ? [exchange(rows * spec.length * WORD_BYTES)] : [],
    async hold(party, drawn) {
      const held: HeldGroup[] = [];
      for (const { group, a, b, k } of groups) {
        held.push({ group, masks: drawn.own(party.role === "server" ? a : b), k: await drawn.share(k) });
      }
      return evaluation(spec, party, held);
    },
    plain: (x) => fixedPointOfGroups(spec, x),
    carryBound: (size) => carryBoundOfGroups(spec, size),
  };
});

interface DealtGroup {
  readonly group: PowerGroup;
  /** Masks of the server's and the client's powers 1 ... d-1, planes of n words. */
  readonly a: Own<64>;
  readonly b: Own<64>;
  /** The sum of the products of the masks. */
  readonly k: Dealt<64>;
}

interface HeldGroup {
  readonly group: PowerGroup;
  /** Masks of this party's powers 1 ... d-1, planes of n words. */
  readonly masks: RingTensor;
  /** This party's share of K. */
  readonly k: RingTensor;
}

/** c_(i+j) binom(i+j, i) at row i - 1, column j - 1: the cross terms. */
function crossTerm({ degree, coefficients }: PowerGroup, row: number, column: number): bigint {
  const k = row + column + 2;
  return k <= degree ? coefficients[k] * binomial(k, row + 1) : 0n;
}

const crossTable = (ring: Ring, group: PowerGroup): RingTensor =>
  publicTable(ring, group.degree - 1, group.degree - 1, (row, column) => crossTerm(group, row, column));

function dealtFor(group: PowerGroup, n: number): DealtGroup {
  const rows = group.degree - 1, a = own("a", "server", rows * n, 64), b = own("b", "client", rows * n, 64);
  return {
    group,
    a,
    b,
    k: dealt("K", n, 64, [a, b], {
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
    }),
  };
}

const evaluation =
  (spec: ActivationSpec, party: Party, held: readonly HeldGroup[]): Evaluate => async (x) => {
    const { ring } = party, n = spec.length;
    const y = linearPart(party, spec, x);
    if (held.length === 0) return y;

    // Powers 1 ... d-1 of the own share per group, then this party's local term sum over k of c_k y_i^k.
    const width = held.reduce((sum, { group }) => sum + group.degree - 1, 0);
    using powers = words(ring, width * n);
    using masked = words(ring, width * n);
    const locals: RingTensor[] = [];
    let row = 0;
    for (const { group, masks } of held) {
      const { degree, coefficients } = group;
      using input = shifted(party, x, group);
      using monomials = publicTable(ring, degree - 1, degree + 1, (i, k) => k === i + 1 ? 1n : 0n);
      const own = powers.view(row * n, (degree - 1) * n);
      ring.kernels.polynomials64(input.address, monomials.address, degree - 1, degree, own.address, n);
      subtract(own, masks, masked.view(row * n, (degree - 1) * n));
      using polynomial = publicTable(ring, 1, degree + 1, (_, k) => coefficients[k]);
      const local = words(ring, n, group.fractionBits);
      ring.kernels.polynomials64(input.address, polynomial.address, 1, degree, local.address, n);
      locals.push(local);
      row += degree - 1;
    }

    using theirs = await swap(party, masked);

    row = 0;
    held.forEach(({ group, masks, k }, i) => {
      const rows = group.degree - 1, sum = locals[i];
      const opened = theirs.view(row * n, rows * n), own = powers.view(row * n, rows * n);
      using cross = crossTable(ring, group);
      // Rows of the table are the server's powers, columns the client's.
      const [a, b] = party.role === "server" ? [own, opened] : [opened, masks];
      ring.kernels.bilinear64(a.address, b.address, cross.address, rows, sum.address, n);
      add(sum, k.view(0, n, sum.fractionBits));
      using result = rescale(sum, words(ring, n, spec.fractionBits));
      add(y, result);
      row += rows;
      for (const tensor of [masks, k, sum]) tensor[Symbol.dispose]();
    });
    return y;
  };
