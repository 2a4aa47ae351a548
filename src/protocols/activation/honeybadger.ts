/**
 * `honeybadger`: powers of a random mask (HoneyBadgerMPC; the paper's single-round protocol for two parties).
 *
 * Dealt for a group of powers of y = x >> shift: a mask r = r_server + r_client, each summand known to its party, and shares of
 * G_i(r) = sum over j >= i of c_j binom(j, i) r^(j - i). Both parties open u = y - r (uniform, since r is) and evaluate
 * P(y) = sum over i of G_i(r) u^i by Horner's rule: one exchange, one word each way per group. See docs/honeybadger.md.
 */
import type { Dealing, Material } from "../../dealer/material.ts";
import { add, addConstant, multiplyConstant, rescale, subtract } from "../../ring/arithmetic.ts";
import { type RingTensor, words } from "../../ring/tensor.ts";
import { open } from "../open.ts";
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

export const honeybadger: ActivationProtocol = {
  name: "honeybadger",

  cost(spec): Cost {
    const groups = groupsOf(spec), bytes = spec.length * WORD_BYTES;
    return {
      exchanges: groups.length > 0 ? 1 : 0,
      bytesServer: groups.length * bytes,
      bytesClient: groups.length * bytes,
      dealtBytes: groups.reduce((sum, { degree }) => sum + (degree - 1) * bytes, 0),
    };
  },

  async deal(spec, dealing) {
    for (const group of groupsOf(spec)) await dealGroup(spec.length, group, dealing);
  },

  async prepare(spec, party, material) {
    const n = spec.length, groups = groupsOf(spec);
    const held: HeldGroup[] = [];
    for (const group of groups) held.push(await holdGroup(n, group, party, material));
    return once("honeybadger", (x) => evaluate(spec, party, held, x));
  },

  fixedPoint: fixedPointOfGroups,
  carryBound: carryBoundOfGroups,
};

/** G_0 ... G_(d-2) are dealt; G_(d-1) = c_(d-1) + d c_d r is linear in r and G_d = c_d public. */
async function dealGroup(n: number, { degree, coefficients }: PowerGroup, dealing: Dealing): Promise<void> {
  const { ring } = dealing;
  using r = dealing.mask(n);
  using rows = table(
    ring,
    degree - 1,
    degree + 1,
    (i, k) => k + i <= degree ? coefficients[k + i]! * binomial(k + i, i) : 0n,
  );
  using g = words(ring, (degree - 1) * n);
  ring.kernels.polynomials64(r.address, rows.address, degree - 1, degree, g.address, n);
  await dealing.share(g);
}

interface HeldGroup {
  readonly group: PowerGroup;
  /** This party's summand of the mask. */
  readonly r: RingTensor;
  /** Its shares of G_0 ... G_(d-1), planes of n words. */
  readonly g: RingTensor;
}

async function holdGroup(n: number, group: PowerGroup, party: Party, material: Material): Promise<HeldGroup> {
  const { degree, coefficients } = group;
  const r = await material.own(n);
  const g = words(r.ring, degree * n);
  await material.share(g.view(0, (degree - 1) * n));
  const last = multiplyConstant(r, BigInt(degree) * coefficients[degree]!, g.view((degree - 1) * n, n));
  if (party.role === "server") addConstant(last, coefficients[degree - 1]!);
  return { group, r, g };
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

  using u = words(ring, held.length * n);
  held.forEach(({ group, r }, i) => {
    using input = shifted(party, x, group);
    subtract(input.view(0, n, 0), r, u.view(i * n, n));
  });
  await open(party, u);

  held.forEach(({ group, r, g }, i) => {
    const { degree, coefficients, fractionBits } = group;
    // The public lead c_d, like every public constant, is added by one party only.
    const lead = party.role === "server" ? coefficients[degree]! : 0n;
    using power = words(ring, n, fractionBits);
    ring.kernels.horner64(u.view(i * n, n).address, g.address, degree, lead, power.address, n);
    using result = rescale(power, words(ring, n, spec.fractionBits));
    add(y, result);
    r[Symbol.dispose]();
    g[Symbol.dispose]();
  });
  return y;
}
