/**
 * One suite for every activation protocol and every form that its input can have: right over the whole range, costs as declared, nothing
 * opened unmasked, material used once.
 */
import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { it } from "@std/testing/bdd";
import { dealtBytes } from "../../correlations/correlation.ts";
import { activate } from "../../models/float_engine.ts";
import type { Activation } from "../../models/graph.ts";
import { fittedWave } from "../../models/trigonometric.ts";
import { type Polynomial, QUARTIC } from "../../polynomial/polynomial.ts";
import { Ring } from "../../ring/ring.ts";
import { sharedWire, valueBits, type Wire } from "../../wires/wire.ts";
import {
  CHI_SQUARE_LIMIT,
  chiSquare,
  countingBytes,
  expectedTraffic,
  runChain,
  zeroMasks,
} from "../_chain.ts";
import type { ActivationProtocol, ActivationStep, ProtocolStep } from "../protocol.ts";
import { ACTIVATION_PROTOCOLS } from "../registry.ts";
import { remask } from "../steps/remask.ts";
import { square32 } from "./_square32.ts";

const ring = await Ring.open();

const polynomial = (coefficients: number[], precision: number): Polynomial => ({
  kind: "polynomial",
  coefficients,
  precision,
});
const SQUARE = polynomial([0, 0, 1], 0);
const FUNCTIONS: Record<string, Activation> = {
  quadratic: polynomial([479, 512, 96], 10),
  quartic: QUARTIC,
  "quartic at p = 16": polynomial([19238, 32768, 10733, 0, -214], 16),
  "cubic with every coefficient": polynomial([-5, 3, 7, -1], 4),
  "degree 6": polynomial([837, 2048, 966, 0, -48, 0, 1], 12),
  "degree 10": polynomial([3, 8, 3, 1, -2, 1, 1, -1, 1, 1, -1], 14),
  linear: polynomial([1, 3], 2),
  square: SQUARE,
  wave: fittedWave(8, 1, 1.5),
  "wave of two harmonics": fittedWave(16, 2, 1),
  "wave of three harmonics, short and strong": fittedWave(4, 3, 2),
  "wave of period 10": fittedWave(10, 1, 2),
};

/** A form of the input: a wire, and whether it is re-masked first. */
interface Form {
  readonly wire: (words: number) => Wire;
  readonly masked: boolean;
  readonly outputBits: number;
}

const wireOf =
  (width: 32 | 64, ringBits: number, fractionBits: number, extraBits: number, clientLate: boolean) =>
  (words: number): Wire => ({
    ...sharedWire(words, width, ringBits, fractionBits + extraBits),
    extraBits,
    clientLate,
  });

const FORMS: Record<string, Form> = {
  "64-bit shares": { wire: wireOf(64, 64, 20, 2, true), masked: false, outputBits: 16 },
  "64-bit shares at 10 bits": { wire: wireOf(64, 64, 10, 0, true), masked: false, outputBits: 10 },
  "64-bit words whose client's part is early": {
    wire: wireOf(64, 64, 20, 2, false),
    masked: false,
    outputBits: 16,
  },
  "64-bit words re-masked": { wire: wireOf(64, 64, 16, 0, true), masked: true, outputBits: 16 },
  "30-bit shares": { wire: wireOf(32, 30, 24, 0, true), masked: false, outputBits: 13 },
  "30-bit words whose client's part is early": {
    wire: wireOf(32, 30, 24, 0, false),
    masked: false,
    outputBits: 13,
  },
  "30-bit words with extra bits": { wire: wireOf(32, 30, 24, 2, false), masked: false, outputBits: 13 },
  "30-bit words re-masked": { wire: wireOf(32, 30, 24, 0, true), masked: true, outputBits: 13 },
  "30-bit words whose client's part is early, re-masked": {
    wire: wireOf(32, 30, 24, 0, false),
    masked: true,
    outputBits: 13,
  },
  "24-bit words re-masked": { wire: wireOf(32, 24, 18, 0, true), masked: true, outputBits: 10 },
  "coarse 20-bit words re-masked": { wire: wireOf(32, 20, 7, 0, true), masked: true, outputBits: 7 },
};

/** The chain for a form, or null where the protocol refuses it. */
function planned(
  protocol: ActivationProtocol,
  { wire, masked, outputBits }: Form,
  words: number,
  f: Activation,
  remasks = false,
): { chain: readonly ProtocolStep[]; step: ActivationStep; input: Wire } | null {
  const input = wire(words), before = masked ? [remask(input)] : [];
  try {
    const step = protocol.plan({
      name: "test",
      input: before[0]?.outputs[0] ?? input,
      function: f,
      outputBits,
      remask: remasks,
    });
    return { chain: [...before, step], step, input };
  } catch (error) {
    assert(error instanceof RangeError && error.message.startsWith("test: "), String(error));
    return null;
  }
}

/** What each protocol does, so that none of the checks below vanishes with a refusal. */
const on64 = {
  forms: (form: string) => form.startsWith("64-bit"),
  functions: (name: string) => !name.startsWith("wave"),
};
const early32 = (form: string) => !form.startsWith("64-bit") && form !== "30-bit shares";
const TAKES: Record<
  string,
  { forms(form: string): boolean; functions(name: string, form: string): boolean }
> = {
  relu: on64,
  tree: on64,
  honeybadger: on64,
  espn: on64,
  lifted: {
    forms: early32,
    // x^2 without coefficient bits leaves a coarse ring nothing to truncate.
    functions: (name, form) =>
      on64.functions(name) && name !== "linear" && (name !== "square" || !form.startsWith("coarse")),
  },
  trigonometric: {
    forms: early32,
    functions: (name) => name.startsWith("wave") && name !== "wave of period 10",
  },
  square32: {
    forms: (form) => !form.startsWith("64-bit") && !form.includes("extra bits"),
    functions: (name) => name === "square",
  },
};

const grid = (n: number, reach: number) =>
  Float64Array.from({ length: n }, (_, i) => n === 1 ? reach / 4 : -reach + 2 * reach * i / (n - 1));

for (const protocol of [...ACTIVATION_PROTOCOLS, square32]) {
  const { usual } = protocol;
  const forms = Object.entries(FORMS).filter(([, form]) => planned(protocol, form, 4, usual) !== null);

  it(`${protocol.name} takes its forms of input and functions, and refuses every other one with a sentence`, () => {
    const expected = TAKES[protocol.name];
    assert(forms.length > 0);
    if (expected === undefined) return;
    assertEquals(forms.map(([name]) => name), Object.keys(FORMS).filter(expected.forms));
    for (const [name, form] of protocol.computes ? [] : forms) {
      const taken = Object.keys(FUNCTIONS).filter((name) =>
        planned(protocol, form, 4, FUNCTIONS[name]) !== null
      );
      assertEquals(
        taken,
        Object.keys(FUNCTIONS).filter((title) => expected.functions(title, name)),
      );
    }
  });

  for (const [name, form] of forms) {
    for (const [title, function_] of Object.entries(protocol.computes ? { usual } : FUNCTIONS)) {
      // Degree 10 at |x| = 5 is 2^23: truncating it from 32 bits fails grossly once in 500 times. Powers stay below 2^10 here.
      const degree = function_.kind === "polynomial" ? function_.coefficients.length - 1 : 1,
        most = planned(protocol, form, 4, function_)?.step.limit;
      if (most === undefined) continue;
      const reach = Math.min(5, most / 2, 2 ** (10 / degree));
      it(`${protocol.name} computes the ${title} function of ${name} within its carry bound`, async () => {
        const { chain, step, input } = planned(protocol, form, 1000, function_)!,
          unit = 2 ** -valueBits(input);
        const x = grid(1000, reach).map((v) => Math.round(v / unit) * unit);
        const { outputs } = await runChain(ring, input, x, chain);
        const scale = 2 ** -step.outputs[0].fractionBits;
        const expected = step.plain(x.map((v) => Math.floor(v * 2 ** step.inputBits))).map((v) => v * scale);
        // The truncation to the protocol's scale moves x by up to a unit of it.
        const slope = step.inputBits < valueBits(input)
          ? lipschitz(step, function_, reach) * 2 ** -step.inputBits + scale
          : 0;
        const worst = Math.max(
          ...outputs[0].values().map((v, i) => Math.abs(Number(v) * scale - expected[i])),
        );
        const bound = step.carryBound(reach) + slope;
        assert(worst <= bound, `difference ${worst} from the fixed-point result, bound ${bound}`);
        if (!step.errorBound) return;
        const exact = activate(function_, x);
        outputs[0].forEach((v, i) =>
          assert(Math.abs(Number(v) * scale - exact[i]) <= step.errorBound!(x[i]))
        );
      });
    }

    if (form.outputBits >= 13) {
      it(`${protocol.name} on ${name} is within 0.01 of the exact function over its range, at most [-5, 5]`, async () => {
        const { chain, step, input } = planned(protocol, form, 4097, usual)!;
        const x = grid(4097, Math.min(5, step.limit / 2)),
          { outputs } = await runChain(ring, input, x, chain);
        const exact = activate(usual, x), scale = 2 ** -step.outputs[0].fractionBits;
        const worst = Math.max(
          ...outputs[0].values().map((v, i) => Math.abs(Number(v) * scale - exact[i])),
        );
        assert(worst < 0.01, `largest error ${worst}`);
      });
    }

    it(`${protocol.name} on ${name} sends, deals and waits for exactly what its lists say`, async () => {
      for (const length of [0, 1, 3, 300, 2 ** 16 + 1]) {
        for (const remasks of [false, true]) {
          const { chain, step, input } = planned(protocol, form, length, usual, remasks)!;
          const { outputs, clientEarly, traffic, dealtBytes: dealt } = await runChain(
            ring,
            input,
            grid(length, 0.5),
            chain,
          );
          assertEquals(outputs[0].length, length);
          for (const phase of ["offline", "online"] as const) {
            assertEquals(traffic[phase], expectedTraffic(chain, phase), `${phase}, ${length} elements`);
          }
          assertEquals(dealt, dealtBytes(chain.flatMap(({ query }) => query)));
          const { mask, clientLate } = step.outputs[0];
          assertEquals(mask !== null, clientEarly[0] !== undefined && !clientLate);
        }
      }
    });

    // The low bits of such a part are no secret: the other party can compute them (docs/lifted.md, "v early").
    const hidesAllBits = form.wire(1).extraBits === 0 || form.wire(1).width === 64;
    (hidesAllBits ? it : it.ignore)(
      `${protocol.name} on ${name} sends uniformly distributed bytes, and constant masks would be seen` +
        (hidesAllBits ? "" : " (skipped: low bits that both parties know)"),
      async () => {
        const n = 4096, { chain, input } = planned(protocol, form, n, usual, true)!;
        // All of the constant is the server's: nothing but masks can hide it.
        const statistic = async (weak: boolean) => {
          const counts = { server: new Float64Array(256), client: new Float64Array(256) };
          const server = countingBytes(counts.server, "server")!,
            client = countingBytes(counts.client, "client")!;
          await runChain(ring, input, new Float64Array(n).fill(0.25), chain, {
            isShared: false,
            tap: (role, channel) => client(role, server(role, channel)),
            ...(weak ? { weaken: zeroMasks } : {}),
          });
          return [counts.server, counts.client].map(chiSquare);
        };
        for (const value of await statistic(false)) assert(value < CHI_SQUARE_LIMIT, `chi-square ${value}`);
        assert(Math.min(...await statistic(true)) > 10 * CHI_SQUARE_LIMIT);
      },
    );

    it(`${protocol.name} on ${name} refuses to use its material twice`, async () => {
      const { chain, input } = planned(protocol, form, 3, usual)!;
      const { again } = await runChain(ring, input, grid(3, 0.5), chain);
      for (const role of ["server", "client"] as const) {
        await assertRejects(() => again(role), Error, "used before");
      }
    });
  }
}

/** A bound of the slope of what the protocol computes. */
function lipschitz(step: ActivationStep, f: Activation, reach: number): number {
  if (step.spec["protocol"] === "relu" || f.kind !== "polynomial") return 1;
  return f.coefficients.reduce(
    (sum, c, k) => sum + k * Math.abs(c) / 2 ** f.precision * (reach + 1) ** Math.max(0, k - 1),
    0,
  );
}

it("lifted refuses an input whose client's part comes late: that is what beaver makes", () => {
  const lifted = ACTIVATION_PROTOCOLS.find(({ name }) => name === "lifted")!;
  const layer = { name: "net: act1", function: QUARTIC, outputBits: 13, remask: true };
  assertThrows(
    () => lifted.plan({ ...layer, input: FORMS["30-bit shares"].wire(8) }),
    RangeError,
    "net: act1: lifted needs the client's part of its input before the image is known",
  );
});
