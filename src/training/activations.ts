/** Activations as a command line names them: `relu`, `poly:4:10`, `silu:6`, `trig:10:1:2`, `hermite`, ... */
import type { Activation } from "../models/graph.ts";
import {
  AMPLITUDE_DIVISOR,
  fittedWave,
  MOST_HARMONICS,
  type Trigonometric,
} from "../models/trigonometric.ts";
import { type FunctionName, integerFit, realFit } from "../polynomial/integer_fit.ts";
import { FITTED_RANGE, formatPolynomial, type Polynomial } from "../polynomial/polynomial.ts";
import { HERMITE, SQUARE } from "./hermite.ts";

/** What {@linkcode parseActivation} accepts, for help texts. */
export const ACTIVATION_SYNTAX =
  "relu, hermite (AESPA's, for convnet alone), sigmoid:exact (in the clear alone), or poly, silu, gelu or " +
  "sigmoid with a degree 2-10 (default 4) and a precision of 4-24 bits or real (default 10), as in poly:4:10, " +
  "silu:6 or poly:8:real, and behind those of poly a multiple of its even part up to 4, as in poly:4:14:1.5, or trig with a period of 1-64, 1-3 harmonics and a multiple of the amplitudes of ReLU's " +
  "fit up to 4, as in trig:10:1:2, and :learned behind it where each layer learns its own, from a multiple up to 2.4";

/** The function itself, where `sigmoid` names polynomials fitted to it. */
export const EXACT_SIGMOID = "sigmoid:exact";

const FITTED: Readonly<Record<string, FunctionName>> = {
  poly: "relu",
  silu: "silu",
  gelu: "gelu",
  sigmoid: "sigmoid",
};
const FITTED_TEXT = new RegExp(
  `^(${
    Object.keys(FITTED).join("|")
  })(?::([2-9]|10)(?::([4-9]|1\\d|2[0-4]|real)(?::(\\d(?:\\.\\d5?)?))?)?)?$`,
);

const TRIGONOMETRIC_TEXT = new RegExp(
  `^trig:(\\d{1,2}(?:\\.\\d{1,6})?):([1-${MOST_HARMONICS}]):(\\d(?:\\.\\d{1,6})?)(:learned)?$`,
);
const LEAST_PERIOD = 1, LARGEST_PERIOD = 64, MOST_STRENGTH = 4;

// Real coefficients lie on so fine a grid that a float32 does not feel it, and stay integers below 2^53 over it.
const REAL_PRECISION = 40;

/**
 * The activation that a text names. `poly:D:P` is the best polynomial of degree D for ReLU whose coefficients
 * are integers over 2^P, `poly:D:real` the one with real coefficients; `silu`, `gelu` and `sigmoid` are fitted
 * in the same way; `poly:D:P:S` is fitted to x/2 + S |x|/2, which bends S times as much: the best imitation of ReLU is not
 * the best activation, as with `trig`; `sigmoid:exact` is the sigmoid itself. Highest coefficients that come out as 0 are left out:
 * `poly:5:10` is `poly:4:10`. `hermite` is the square, all that is left of AESPA's activation in a trained network:
 * see {@linkcode trainingGraph}. `trig:P:H:S` has the period P, H harmonics and S times the amplitudes of the fit to ReLU.
 *
 * @throws {SyntaxError} of one sentence that says what is accepted
 *
 * @example
 * ```ts
 * import { parseActivation } from "./activations.ts";
 *
 * const activation = parseActivation("poly:4:10");
 * console.log(activation.kind === "polynomial" && activation.coefficients); // [ 322, 512, 160, 0, -3 ]
 * ```
 */
export function parseActivation(text: string): Activation {
  if (text === "relu") return { kind: "relu" };
  if (text === EXACT_SIGMOID) return { kind: "sigmoid" };
  if (text === HERMITE) return SQUARE;
  const wave = parseTrigonometric(text);
  if (wave) return wave;
  const [, name = "", degree = "4", precision = "10", strength = "1"] = FITTED_TEXT.exec(text) ?? [],
    S = Number(strength);
  if (!name || S <= 0 || S > MOST_STRENGTH || (name !== "poly" && S !== 1)) {
    throw new SyntaxError(`unknown activation "${text}"; accepted: ${ACTIVATION_SYNTAX}`);
  }
  return fit(FITTED[name], Number(degree), precision === "real" ? REAL_PRECISION : Number(precision), S);
}

/** The shortest text that {@linkcode parseActivation} turns into this activation, else its formula. */
export function formatActivation(activation: Activation): string {
  if (activation.kind === "relu") return "relu";
  if (activation.kind === "sigmoid") return EXACT_SIGMOID;
  if (activation.kind === "trigonometric") return formatTrigonometric(activation);
  const { coefficients, precision } = activation, degree = coefficients.length - 1;
  if (precision === SQUARE.precision && coefficients.join() === SQUARE.coefficients.join()) return HERMITE;
  const isKnown = degree >= 2 && degree <= 10 && precision >= 4 &&
    (precision <= 24 || precision === REAL_PRECISION);
  const name = isKnown &&
    Object.keys(FITTED).find((name) =>
      fit(FITTED[name], degree, precision).coefficients.join() === coefficients.join()
    );
  if (!name) return formatBentPolynomial(activation, isKnown);
  return `${name}:${degree}:${precisionText(precision)}`;
}

const precisionText = (precision: number) => precision === REAL_PRECISION ? "real" : `${precision}`;

/** Strengths are multiples of 1/20: few enough to try. */
function formatBentPolynomial(activation: Polynomial, isKnown: boolean): string {
  const { coefficients, precision } = activation, degree = coefficients.length - 1;
  for (let twentieths = 1; isKnown && twentieths <= 20 * MOST_STRENGTH; twentieths++) {
    const strength = twentieths / 20, bent = fit("relu", degree, precision, strength);
    if (bent.coefficients.join() === coefficients.join()) {
      return `poly:${degree}:${precisionText(precision)}:${strength}`;
    }
  }
  return formatPolynomial(activation);
}

function parseTrigonometric(text: string): Trigonometric | undefined {
  const [, period, harmonics, strength, learned] = TRIGONOMETRIC_TEXT.exec(text) ?? [];
  const P = Number(period), S = Number(strength);
  if (!(P >= LEAST_PERIOD && P <= LARGEST_PERIOD && S > 0 && S <= MOST_STRENGTH)) return undefined;
  const wave = fittedWave(P, Number(harmonics), S, learned !== undefined);
  // The first step would cut larger ones, so that training would start from another function than its name says.
  const isWithinBound = wave.amplitudes.every((b) => Math.abs(b) <= P / AMPLITUDE_DIVISOR);
  return learned === undefined || isWithinBound ? wave : undefined;
}

function formatTrigonometric({ period, offset, amplitudes, learned }: Trigonometric): string {
  const strength = Number((-amplitudes[0] * Math.PI ** 2 / period).toFixed(6));
  const text = `trig:${period}:${amplitudes.length}:${strength}${learned ? ":learned" : ""}`;
  const known = parseTrigonometric(text);
  if (known?.offset === offset && known.amplitudes.join() === amplitudes.join()) return text;
  const waves = amplitudes.map((b, k) => ` + ${b} cos(2 pi ${2 * k + 1} x / ${period})`);
  return `x / 2 + ${offset}${waves.join("")}`;
}

/** Whether a text names an activation whose inputs need no bound: nothing was fitted on a range. */
export const isUnbounded = (text: string): boolean =>
  text === "relu" || text === EXACT_SIGMOID || text === HERMITE || text.startsWith("trig:");

function fit(name: FunctionName, degree: number, precision: number, strength = 1): Polynomial {
  const options = { degree, range: FITTED_RANGE, function: name, strength };
  const coefficients = precision === REAL_PRECISION
    ? [...realFit(options)].map((c) => Math.round(c * 2 ** precision) + 0) // no minus zeros
    : [...integerFit({ ...options, precision, box: strength === 1 }).polynomial.coefficients];
  return { kind: "polynomial", coefficients: withoutLeadingZeros(coefficients), precision };
}

const withoutLeadingZeros = (coefficients: readonly number[]): number[] =>
  coefficients.slice(0, coefficients.findLastIndex((c) => c !== 0) + 1);
