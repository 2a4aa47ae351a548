import { assert, assertAlmostEquals, assertEquals, assertThrows } from "@std/assert";
import { it } from "@std/testing/bdd";
import { FUNCTIONS } from "../polynomial/integer_fit.ts";
import { evaluatePolynomial, type Polynomial } from "../polynomial/polynomial.ts";
import { trigonometricAt } from "../models/trigonometric.ts";
import { formatActivation, parseActivation } from "./activations.ts";

const polynomial = (text: string): Polynomial => {
  const activation = parseActivation(text);
  assert(activation.kind === "polynomial");
  return activation;
};

it("parseActivation() gives the paper's coefficients", () => {
  assertEquals(parseActivation("relu"), { kind: "relu" });
  const known: [text: string, precision: number, coefficients: number[]][] = [
    ["poly:4", 10, [322, 512, 160, 0, -3]],
    ["poly:4:10", 10, [322, 512, 160, 0, -3]],
    ["poly:4:8", 8, [70, 128, 45, 0, -1]],
    ["poly:2:10", 10, [479, 512, 96]],
    ["poly:6:12", 12, [837, 2048, 966, 0, -48, 0, 1]],
  ];
  for (const [text, precision, coefficients] of known) {
    assertEquals(parseActivation(text), { kind: "polynomial", coefficients, precision }, text);
  }
});

it("parseActivation() leaves out highest coefficients that are 0: degree 5 at precision 10 is degree 4", () => {
  for (const degree of [5, 6, 8]) {
    assertEquals(parseActivation(`poly:${degree}:10`), parseActivation("poly:4:10"));
  }
  // The real fit of ReLU, which is x / 2 plus an even function, has no odd terms but x.
  assertEquals(polynomial("poly:5:real").coefficients.length, 5);
});

it("parseActivation() with real coefficients is the real fit, in integers that doubles hold", () => {
  const { coefficients, precision } = polynomial("poly:4:real");
  [0.293262012, 0.5, 0.163898929, 0, -0.0032714488].forEach((c, k) =>
    assertAlmostEquals(coefficients[k] / 2 ** precision, c, 5e-10)
  );
  for (const name of ["poly", "silu", "gelu"]) {
    for (let degree = 2; degree <= 10; degree++) {
      assert(polynomial(`${name}:${degree}:real`).coefficients.every(Number.isSafeInteger));
    }
  }
});

it("parseActivation() fits the sigmoid, which is odd but for a constant: degree 4 is degree 3", () => {
  const cubic = polynomial("sigmoid:4:10");
  assertEquals(cubic, parseActivation("sigmoid:3:10"));
  assertEquals(cubic.coefficients.map((c) => c === 0), [false, false, true, false]);
});

it("parseActivation() bends a polynomial more than ReLU: the even part is multiplied, the line stays", () => {
  const plain = polynomial("poly:4:real").coefficients, bent = polynomial("poly:4:real:1.5").coefficients;
  plain.forEach((c, k) => assertAlmostEquals(bent[k] / (k % 2 ? 1 : 1.5), c, 2));
  assertEquals(parseActivation("poly:4:14:1"), parseActivation("poly:4:14"));
  for (const text of ["poly:4:10:0", "poly:4:10:4.5", "silu:4:10:1.5", "poly:4:10:1.555"]) {
    assertThrows(() => parseActivation(text), SyntaxError, "unknown activation");
  }
});

it("parseActivation() knows AESPA's activation as the square", () =>
  assertEquals(parseActivation("hermite"), { kind: "polynomial", coefficients: [0, 0, 1], precision: 0 }));

it("parseActivation() fits SiLU, GELU and sigmoid, degree 4 and precision 10 unless told otherwise", () => {
  for (const name of ["silu", "gelu", "sigmoid"] as const) {
    assertEquals(parseActivation(name), parseActivation(`${name}:4:10`));
    const fine = polynomial(`${name}:6:16`);
    for (let x = -4.5; x <= 4.5; x += 0.5) {
      assertAlmostEquals(evaluatePolynomial(fine, x), FUNCTIONS[name](x), 0.12, `${name}(${x})`);
    }
  }
});

it("parseActivation() gives a wave the amplitudes of ReLU's Fourier sum, times a factor", () => {
  const fit = parseActivation("trig:16:2:1"), double = parseActivation("trig:10:1:2:learned");
  assert(fit.kind === "trigonometric" && double.kind === "trigonometric");
  assertEquals([fit.period, fit.offset, fit.learned], [16, 2, undefined]);
  fit.amplitudes.forEach((b, k) => assertAlmostEquals(b, [-1.621139, -0.180127][k], 1e-6));
  assertEquals([double.period, double.offset, double.learned], [10, 1.25, true]);
  assertAlmostEquals(double.amplitudes[0], -2.026424, 1e-6);
  // The fit's distance from ReLU on half a period, of rms 0.0035 P.
  for (let x = -7.5; x <= 7.5; x += 0.5) {
    assertAlmostEquals(trigonometricAt(fit, x), Math.max(0, x), 0.2, `${x}`);
  }
});

it("formatActivation() names what parseActivation() takes", () => {
  for (
    const text of [
      ...["relu", "hermite", "poly:4:10", "poly:8:real", "poly:6:12", "silu:4:10", "gelu:6:real", "poly:2:4"],
      ...[
        "sigmoid:3:10",
        "sigmoid:5:real",
        "sigmoid:exact",
        "poly:4:10:1.5",
        "poly:4:14:1.25",
        "poly:6:real:2",
      ],
      ...["trig:10:1:2", "trig:16:2:1", "trig:12.5:3:0.75", "trig:8:1:1.333333:learned"],
    ]
  ) {
    assertEquals(formatActivation(parseActivation(text)), text);
  }
  assertEquals(formatActivation(parseActivation("poly:5:10")), "poly:4:10");
  const other: Polynomial = { kind: "polynomial", coefficients: [0, 0, 0, 1], precision: 0 };
  assertEquals(formatActivation(other), "(x^3) / 2^0");
});

it("parseActivation() answers what it does not know by one sentence with what is accepted", () => {
  for (
    const text of [
      "",
      "tanh",
      "poly:1",
      "poly:11",
      "poly:4:3",
      "poly:4:25",
      "poly:4:",
      "relu:4",
      "hermite:2",
      "sigmoid:1",
      "silu:exact",
      ...[
        "trig",
        "trig:10:1",
        "trig:0:1:1",
        "trig:65:1:1",
        "trig:10:4:1",
        "trig:10:1:0",
        "trig:10:1:5",
        "trig:10:1:1:taught",
        "trig:10:1:2.5:learned",
      ],
      "poly:4:real:x",
    ]
  ) {
    assertThrows(
      () => parseActivation(text),
      SyntaxError,
      `"${text}"; accepted: relu, hermite (AESPA's, for convnet alone), sigmoid:exact (in the clear alone), or poly, silu, gelu or sigmoid`,
    );
  }
});
