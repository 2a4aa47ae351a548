import { assert, assertAlmostEquals, assertEquals, assertThrows } from "@std/assert";
import { it } from "@std/testing/bdd";
import { checkPenalty, PENALTY_LINEAR_BEYOND, penaltyDerivative, penaltyValue } from "./penalty.ts";

it("penaltyValue() is the power of x / R, then its tangent", () => {
  const shape = { exponent: 4, range: 2 };
  assertEquals([-6, 0, 1, 2, 32].map((x) => penaltyValue(x, shape)), [81, 0, 1 / 16, 1, 65536]);
  assertEquals(penaltyValue(34, shape), 65536 + 4 * 4096); // |x / R| = 17
  assertEquals(penaltyValue(-34, shape), penaltyValue(34, shape));
});

it("penaltyValue() at the paper's setting has the mean over normal inputs that is known, 945 / 4.8^10", () => {
  let sum = 0, weights = 0;
  for (let x = -12; x <= 12; x += 1e-3) {
    const density = Math.exp(-x * x / 2);
    sum += density * penaltyValue(x, { exponent: 10, range: 4.8 });
    weights += density;
  }
  assertAlmostEquals(sum / weights, 945 / 4.8 ** 10, 1e-9);
});

it("penaltyDerivative() is the slope of penaltyValue(), on both sides of the start of the tangent", () => {
  for (const exponent of [2, 4, 10]) {
    for (const range of [0.5, 4.8]) {
      for (const u of [-40, -16.01, -15.99, -3, -0.1, 0, 0.7, 15.9, 16.1, 1e4]) {
        const x = u * range, h = 1e-6 * range, shape = { exponent, range };
        const slope = (penaltyValue(x + h, shape) - penaltyValue(x - h, shape)) / (2 * h);
        assertAlmostEquals(penaltyDerivative(x, shape), slope, 1e-5 * Math.abs(slope) + 1e-9);
      }
    }
  }
});

it("the penalty of any finite float32 input met in training is finite in float32", () => {
  for (const x of [7.2e23, -7.2e23, 1e20]) {
    const shape = { exponent: 10, range: 4.8 };
    assert(Number.isFinite(Math.fround(penaltyValue(x, shape))));
    assert(Number.isFinite(Math.fround(penaltyDerivative(x, shape))));
  }
  assertEquals(PENALTY_LINEAR_BEYOND, 16);
});

it("checkPenalty() takes even exponents up to 10 and positive ranges", () => {
  for (const exponent of [2, 4, 6, 8, 10]) checkPenalty({ exponent, range: 4.8 });
  for (const exponent of [0, 3, 2.5, 12, NaN]) {
    assertThrows(() => checkPenalty({ exponent, range: 4.8 }), RangeError, "2, 4, 6, 8 or 10");
  }
  for (const range of [0, -1, NaN, Infinity]) {
    assertThrows(() => checkPenalty({ exponent: 4, range }), RangeError, "positive");
  }
});
