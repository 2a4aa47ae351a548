import { assertAlmostEquals, assertEquals } from "@std/assert";
import { it } from "@std/testing/bdd";
import { evaluatePolynomial, formatPolynomial, horner, QUARTIC, realCoefficients } from "./polynomial.ts";

it("evaluatePolynomial() of the quartic equals its powers, exactly at small integers", () => {
  for (const x of [-5, -2, 0, 1, 3]) {
    assertEquals(evaluatePolynomial(QUARTIC, x), (322 + 512 * x + 160 * x ** 2 - 3 * x ** 4) / 1024);
  }
  for (let x = -5; x <= 5; x += 0.37) {
    const powers = realCoefficients(QUARTIC).reduce((sum, c, k) => sum + c * x ** k, 0);
    assertAlmostEquals(evaluatePolynomial(QUARTIC, x), powers, 1e-14);
  }
});

it("horner() of no coefficients is 0", () => {
  assertEquals(horner([], 3), 0);
});

it("formatPolynomial() leaves out zeros and ones", () => {
  const format = (...coefficients: number[]) =>
    formatPolynomial({ kind: "polynomial", coefficients, precision: 8 });
  assertEquals(formatPolynomial(QUARTIC), "(322 + 512 x + 160 x^2 - 3 x^4) / 2^10");
  assertEquals(format(0, -1, 0, 1), "(-x + x^3) / 2^8");
  assertEquals(format(-3), "(-3) / 2^8");
  assertEquals(format(0, 0), "(0) / 2^8");
});
