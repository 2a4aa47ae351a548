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
import type { Dealing, Material } from "../../dealer/material.ts";
import { add, rescale, subtract } from "../../ring/arithmetic.ts";
import type { Ring } from "../../ring/ring.ts";
import { type RingTensor, words } from "../../ring/tensor.ts";
import { swap } from "../open.ts";
import {
  type ActivationProtocol,
  type ActivationSpec,
  type Cost,
  once,
  type Party,
  WORD_BYTES,
} from "../protocol.ts";
import { binomial, table } from "./binomial.ts";
import {
  carryBoundOfGroups,
  fixedPointOfGroups,
  linearPart,
  type PowerGroup,
  powerGroups,
  shifted,
} from "./power_groups.ts";

const groupsOf = (spec: ActivationSpec) => powerGroups(spec.polynomial, spec.fractionBits);

export const espn: ActivationProtocol = {
  name: "espn",

  cost(spec): Cost {
    const groups = groupsOf(spec), bytes = spec.length * WORD_BYTES;
    const sent = groups.reduce((sum, { degree }) => sum + (degree - 1) * bytes, 0);
    return {
      exchanges: groups.length > 0 ? 1 : 0,
      bytesServer: sent,
      bytesClient: sent,
      dealtBytes: groups.length * bytes,
    };
  },

  async deal(spec, dealing) {
    for (const group of groupsOf(spec)) await dealGroup(spec.length, group, dealing);
  },

  async prepare(spec, party, material) {
    const held: HeldGroup[] = [];
    for (const group of groupsOf(spec)) held.push(await holdGroup(spec.length, group, material));
    return once("espn", (x) => evaluate(spec, party, held, x));
  },

  fixedPoint: fixedPointOfGroups,
  carryBound: carryBoundOfGroups,
};

interface HeldGroup {
  readonly group: PowerGroup;
  /** Masks of this party's powers 1 ... d-1, planes of n words. */
  readonly masks: RingTensor;
  /** This party's share of K. */
  readonly k: RingTensor;
}

/** c_(i+j) binom(i+j, i) at row i - 1, column j - 1: the cross terms. */
function crossTable(ring: Ring, { degree, coefficients }: PowerGroup): RingTensor {
  return table(ring, degree - 1, degree - 1, (row, column) => {
    const i = row + 1, k = row + column + 2;
    return k <= degree ? coefficients[k]! * binomial(k, i) : 0n;
  });
}

async function dealGroup(n: number, group: PowerGroup, dealing: Dealing): Promise<void> {
  const { ring } = dealing, rows = group.degree - 1;
  using a = dealing.ownOfServer(rows * n);
  using b = dealing.ownOfClient(rows * n);
  using cross = crossTable(ring, group);
  using k = words(ring, n);
  ring.bytes.fill(0, k.address, k.address + k.byteLength);
  ring.kernels.bilinear64(a.address, b.address, cross.address, rows, k.address, n);
  await dealing.share(k);
}

async function holdGroup(n: number, group: PowerGroup, material: Material): Promise<HeldGroup> {
  const masks = await material.own((group.degree - 1) * n);
  const k = words(masks.ring, n);
  await material.share(k);
  return { group, masks, k };
}

async function evaluate(
  spec: ActivationSpec,
  party: Party,
  held: HeldGroup[],
  x: RingTensor,
): Promise<RingTensor> {
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
    using monomials = table(ring, degree - 1, degree + 1, (i, k) => k === i + 1 ? 1n : 0n);
    const own = powers.view(row * n, (degree - 1) * n);
    ring.kernels.polynomials64(input.address, monomials.address, degree - 1, degree, own.address, n);
    subtract(own, masks, masked.view(row * n, (degree - 1) * n));
    using polynomial = table(ring, 1, degree + 1, (_, k) => coefficients[k]!);
    const local = words(ring, n, group.fractionBits);
    ring.kernels.polynomials64(input.address, polynomial.address, 1, degree, local.address, n);
    locals.push(local);
    row += degree - 1;
  }

  using theirs = await swap(party, masked);

  row = 0;
  held.forEach(({ group, masks, k }, i) => {
    const rows = group.degree - 1, sum = locals[i]!;
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
}
