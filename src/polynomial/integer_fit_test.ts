/** Known optima to the last bit, and optimality checked by brute force. */
import { assert, assertAlmostEquals, assertEquals, assertThrows } from "@std/assert";
import { it } from "@std/testing/bdd";
import { closestIntegers, errorOf, integerFit, realFit } from "./integer_fit.ts";
import { triangularSystem } from "./least_squares.ts";

const KNOWN: [degree: number, precision: number, coefficients: number[]][] = [
  [4, 8, [70, 128, 45, 0, -1]],
  [4, 10, [322, 512, 160, 0, -3]],
  [4, 12, [1220, 2048, 663, 0, -13]],
  [4, 16, [19238, 32768, 10733, 0, -214]],
  [2, 8, [120, 128, 24]],
  [2, 10, [479, 512, 96]],
  [6, 12, [837, 2048, 966, 0, -48, 0, 1]],
];

for (const [degree, precision, coefficients] of KNOWN) {
  it(`integerFit() of degree ${degree} at precision ${precision} is the published optimum`, () => {
    assertEquals(integerFit({ degree, precision, range: 5 }).polynomial.coefficients, coefficients);
  });
}

it("integerFit() of degrees 5, 6 and 8 collapses to the quartic at precisions 8 and 10", () => {
  for (const precision of [8, 10]) {
    const quartic = integerFit({ degree: 4, precision, range: 5 }).polynomial.coefficients;
    for (const degree of [5, 6, 8]) {
      const { coefficients } = integerFit({ degree, precision, range: 5 }).polynomial;
      assertEquals(
        coefficients,
        [...quartic, ...new Array(degree - 4).fill(0)],
        `degree ${degree}, precision ${precision}`,
      );
    }
  }
});

it("realFit() of the quartic is that of the paper's notebook", () => {
  [0.293262012, 0.5, 0.163898929, 0, -0.0032714488].forEach((expected, k) => {
    assertAlmostEquals(realFit({ degree: 4, range: 5 })[k], expected, 5e-10);
  });
});

it("errors of the paper's quartics are those known", () => {
  const { rms, max } = integerFit({ degree: 4, precision: 8, range: 5 });
  assertAlmostEquals(rms, 0.0958, 5e-5);
  assertAlmostEquals(max, 0.273, 5e-4);
  assertAlmostEquals(errorOf([75 / 256, 127 / 256, 41 / 256], { degree: 2, range: 5 }).rms, 0.648, 5e-4);
});

it("closestIntegers() finds what brute force over a neighbourhood finds, with and without a box", () => {
  const x = Float64Array.from({ length: 40 }, (_, j) => -2 + j / 10), weights = new Float64Array(40).fill(1);
  for (let seed = 1; seed <= 20; seed++) {
    const y = x.map((v, j) => 3 * Math.sin(v * seed) + 5 * v + Math.cos(7 * j * seed));
    const system = triangularSystem(x, y, weights, 2);
    for (const limit of [Infinity, 3]) {
      const { coefficients } = closestIntegers(system, limit);
      const cost = (c: number[]) =>
        x.reduce((sum, v, j) => sum + (c[0] + c[1] * v + c[2] * v * v - y[j]) ** 2, 0);
      let best = Infinity;
      for (let a = -12; a <= 12; a++) {
        for (let b = -12; b <= 12; b++) {
          for (let c = -12; c <= 12; c++) {
            if (Math.max(Math.abs(a), Math.abs(b), Math.abs(c)) <= limit) {
              best = Math.min(best, cost([a, b, c]));
            }
          }
        }
      }
      assertAlmostEquals(cost(coefficients), best, 1e-9);
    }
  }
});

it("integerFit() of degree 10 at precision 16 ends within a second", () => {
  const start = performance.now(), { nodes } = integerFit({ degree: 10, precision: 16, range: 5 });
  assert(performance.now() - start < 1000 && nodes > 10, `${nodes} nodes`);
});

/**
 * The sum of squares of the paper's problem as an exact integer (times a constant): points 5 m / 999 with m = -999, -997 ... 999,
 * targets in integers. Shares no code with the fit.
 */
function exactCost(degree: number, precision: number) {
  const terms = Array.from({ length: 1000 }, (_, j) => {
    const m = BigInt(2 * j - 999);
    const powers = Array.from(
      { length: degree + 1 },
      (_, k) => (5n * m) ** BigInt(k) * 999n ** BigInt(degree - k),
    );
    return [...powers, (m > 0n ? 2n ** BigInt(precision) * 5n * m / 999n : 0n) * 999n ** BigInt(degree)];
  });
  const gram = terms[0].map((_, i) =>
    terms[0].map((_, k) => terms.reduce((sum, row) => sum + row[i] * row[k], 0n))
  );
  return (coefficients: readonly number[]): bigint => {
    const v = [...coefficients.map(BigInt), -1n];
    return v.reduce((sum, a, i) => sum + a * v.reduce((inner, b, k) => inner + gram[i][k] * b, 0n), 0n);
  };
}

for (const [degree, precision, coefficients] of KNOWN) {
  it(`the optimum of degree ${degree} at precision ${precision} is exactly the best of its neighbourhood`, () => {
    const cost = exactCost(degree, precision), limit = 2 ** (precision - 1), best = cost(coefficients);
    const reach = degree === 2 ? 12 : degree === 4 ? 3 : 1, current = [...coefficients];
    let others = 0;
    const visit = (k: number) => {
      if (k > degree) {
        if (cost(current) > best) others++;
        else assertEquals(current, coefficients);
        return;
      }
      for (let c = coefficients[k] - reach; c <= coefficients[k] + reach; c++) {
        if (Math.abs(c) > limit) continue;
        current[k] = c;
        visit(k + 1);
      }
      current[k] = coefficients[k];
    };
    visit(0);
    assert(others > 1000);
  });
}

it("integerFit() fits smooth functions closer than ReLU, with and without the box", () => {
  for (const name of ["gelu", "silu", "sigmoid"] as const) {
    const options = { degree: 6, precision: 12, range: 4, function: name, weights: "normal" } as const;
    const fit = integerFit(options), free = integerFit({ ...options, box: false });
    assert(fit.rms < 0.02, `${name}: ${fit.rms}`);
    assert(free.rms <= fit.rms * (1 + 1e-3));
    assert(fit.polynomial.coefficients.every((c) => Math.abs(c) <= 2048));
  }
});

it("integerFit() says so when it cannot prove an optimum", () => {
  assertThrows(() => integerFit({ degree: 10, precision: 16, range: 0.5 }), RangeError, "no optimum proved");
});
