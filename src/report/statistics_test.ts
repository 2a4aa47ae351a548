import { assertAlmostEquals, assertEquals, assertThrows } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import {
  deviation,
  incompleteBeta,
  logGamma,
  mean,
  median,
  pairedDifference,
  quantile,
  quartiles,
  tInterval,
  tQuantile,
  wilsonInterval,
} from "./statistics.ts";

describe("median(), quartiles(), mean(), deviation()", () => {
  it("agree with values worked out by hand", () => {
    const list = [7, 1, 3, 4];
    assertEquals([median(list), median([5, 1, 9]), mean(list)], [3.5, 5, 3.75]);
    assertEquals(quartiles(list), { low: 2.5, high: 4.75 });
    assertEquals([quantile(list, 0), quantile(list, 1)], [1, 7]);
    assertAlmostEquals(deviation([2, 4, 4, 4, 5, 5, 7, 9]), Math.sqrt(32 / 7), 1e-12);
    assertEquals(list, [7, 1, 3, 4], "the argument is not reordered");
  });
  it("refuse an empty list", () => {
    assertThrows(() => median([]), RangeError);
    assertThrows(() => mean([]), RangeError);
  });
});

describe("tQuantile() and tInterval()", () => {
  it("agree with the printed tables", () => {
    // Two-sided 95 %: 12.706, 2.776, 2.093, 1.962 for 1, 4, 19, 1000 degrees of freedom; one-sided 99 %: 2.764 for 10.
    const known: [number, number, number][] = [
      [0.975, 1, 12.7062047],
      [0.975, 4, 2.7764451],
      [0.975, 19, 2.0930241],
      [0.975, 1000, 1.9623391],
      [0.99, 10, 2.7637695],
    ];
    for (const [p, degrees, t] of known) assertAlmostEquals(tQuantile(p, degrees), t, 1e-6);
    assertAlmostEquals(tQuantile(0.025, 4), -2.7764451, 1e-6);
  });
  it("gives the interval of five runs as printed in a public notebook", () => {
    // Accuracy at regularisation 0.1, five seeds: mean 44.548, interval 28.779 to 60.317.
    const { mean, low, high } = tInterval([52.26, 39.74, 31.68, 36.35, 62.73]);
    assertAlmostEquals(mean, 44.548, 0.01);
    assertAlmostEquals(low, 28.779, 0.02);
    assertAlmostEquals(high, 60.317, 0.02);
  });
  it("does not know the interval of one value", () => {
    const { mean, low } = tInterval([3]);
    assertEquals([mean, low], [3, NaN]);
  });
});

describe("special functions", () => {
  it("agree with closed forms", () => {
    assertAlmostEquals(logGamma(10), Math.log(362880), 1e-11);
    assertAlmostEquals(logGamma(0.5), Math.log(Math.PI) / 2, 1e-12);
    for (const x of [0.05, 0.5, 0.95]) {
      assertAlmostEquals(incompleteBeta(x, 3, 1), x ** 3, 1e-13);
      assertAlmostEquals(incompleteBeta(x, 1, 4), 1 - (1 - x) ** 4, 1e-13);
    }
  });
});

describe("wilsonInterval()", () => {
  it("agrees with values worked out by hand and never leaves 0 to 1", () => {
    const { value, low, high } = wilsonInterval(81, 263);
    assertAlmostEquals(value, 0.308, 1e-3);
    // Newcombe, "Two-sided confidence intervals for the single proportion", 1998, table I.
    assertAlmostEquals(low, 0.2553, 1e-4);
    assertAlmostEquals(high, 0.3662, 1e-4);
    assertEquals(wilsonInterval(0, 20).low, 0);
    assertAlmostEquals(wilsonInterval(0, 20).high, 0.1611, 1e-4);
    assertEquals(wilsonInterval(20, 20).high, 1);
  });
});

it("pairedDifference() counts the trials in which two differ, and no others", () => {
  const of = (ahead: number, behind: number, both: number, neither: number) => {
    const make = (parts: readonly (readonly [number, boolean])[]) =>
      parts.flatMap(([count, value]) => new Array<boolean>(count).fill(value));
    return pairedDifference(
      make([[ahead, true], [behind, false], [both, true], [neither, false]]),
      make([[ahead, false], [behind, true], [both, true], [neither, false]]),
    );
  };
  // McNemar's data of 10,000 images: (700 - 600) / n, standard error sqrt(1300 - 100^2 / n) / n.
  const { value, low, high } = of(700, 600, 6500, 2200), half = 1.644854 * Math.sqrt(1300 - 1) / 10_000;
  assertAlmostEquals(value, 0.01, 1e-12);
  assertAlmostEquals(low, 0.01 - half, 1e-6);
  assertAlmostEquals(high, 0.01 + half, 1e-6);
  assertEquals(of(0, 0, 5, 5), { value: 0, low: 0, high: 0 });
  assertThrows(() => pairedDifference([true], []), RangeError, "1 trials cannot be paired with 0");
});
