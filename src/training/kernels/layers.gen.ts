/**
 * Element-wise layers between two convolutions, fused: batch norm, residual sum, clip, activation, penalty and range
 * record forward; the same backward with the sums that batch norm needs. A tensor is given by three numbers, the
 * address of its first element and the bytes from row to row and from image to image, so that kernels read and write
 * zero-bordered images in place.
 *
 * A row is `floats` numbers long, channels fastest. Tables hold one number a channel, repeated to a whole number of
 * vectors: `period` is the least common multiple of 4 and the channels. A kernel takes one vector of channels after
 * another over a piece of row that stays in the first-level cache: tables and sums are in registers meanwhile.
 */
import { kernelName, type LayerFamily, layerHead, operandNames } from "./_heads.ts";
import { HINGE, MAX_DEGREE, NO_PENALTY, RECORD, SETTINGS } from "./_settings.ts";

const PIECE_FLOATS = 2048;
/** Polynomial degrees with code of their own. */
const DEGREES = Array.from({ length: MAX_DEGREE }, (_, i) => i + 1);

/**
 * Code of a kernel. A `paired` one is also printed for two vectors of channels side by side, so that its sums do not wait
 * for each other; kernels with more to do than that lack the registers. `$` is the number of the vector, `@` its offset
 * in bytes.
 */
interface Sweep {
  readonly family: LayerFamily;
  readonly activation?: string;
  readonly paired?: boolean;
  /** Operands that may be absent, and are. */
  readonly without?: readonly string[];
  /** Tables, by the name of the register that holds the current vector. */
  readonly tables: readonly string[];
  readonly before?: string;
  readonly laneStart?: string;
  /** Code of one vector; `masked` where only the lanes of `mask` belong to the row. */
  readonly element: (masked: boolean) => string;
  readonly laneEnd?: string;
  readonly after?: string;
}

function sweep(
  { family, activation = "", without = [], paired, tables, before = "", laneStart = "", element, laneEnd = "", after = "" }:
    Sweep,
): string {
  const tensors = operandNames(family).filter((operand) => !without.includes(operand));
  const name = kernelName(family, activation, (operand) => tensors.includes(operand));
  const each = (print: (tensor: string) => string) => tensors.map(print).join(" ");
  const lanes = (vectors: number) => {
    const all = (code: string) =>
      Array.from({ length: vectors }, (_, k) => code.replaceAll("$", `${k}`).replaceAll("@", `${16 * k}`)).join("\n");
    return `
        for (let lane = 0; lane < period; lane += ${4 * vectors}) {
          const column = <usize>(start + lane) * 4;
          ${each((t) => `let ${t}At = ${t}Start + column;`)}
          ${all(tables.map((t, i) => `const ${t}$ = v128.load(tables + <usize>(${i} * period + lane) * 4, @);`).join(" "))}
          ${all(laneStart)}
          let left = count - lane;
          for (; left >= ${4 * vectors}; left -= period) {
            ${all(`{ ${element(false)} }`)}
            ${each((t) => `${t}At += step;`)}
          }
          ${
      vectors > 1 ? "" : `
          if (left > 0) {
            const mask = i32x4.gt_s(i32x4.splat(left), i32x4(0, 1, 2, 3));
            ${all(element(true))}
          }`
    }
          ${all(`{ ${laneEnd} }`)}
        }`;
  };
  return `
export function ${name}(${layerHead(family, tensors)}): void {
  const step = <usize>period * 4, piece = max(1, ${PIECE_FLOATS} / period) * period;
  ${before}
  for (let n = 0; n < images; n++) {
    ${each((t) => `let ${t}Start = ${t}Base + <usize>n * ${t}Image;`)}
    for (let row = 0; row < rows; row++) {
      for (let start = 0; start < floats; start += piece) {
        const count = min(piece, floats - start);
        ${paired ? `if (period % 8 == 0) { // then a row has no rest\n${lanes(2)}\n} else {\n${lanes(1)}\n}` : lanes(1)}
      }
      ${each((t) => `${t}Start += ${t}Row;`)}
    }
  }
  ${after}
}`;
}

/** Operands that are not there. */
const absent = (operands: Readonly<Record<string, boolean>>) => Object.keys(operands).filter((name) => !operands[name]);

const store = (tensor: string, value: string, masked: boolean) =>
  masked ? `storeFirst(${tensor}At, ${value}, left);` : `v128.store(${tensor}At, ${value}, @);`;
const keep = (value: string, masked: boolean) => masked ? `v128.and(${value}, mask)` : value;

/** An activation f: its value at \`c\` and its derivative at \`v\`, as expressions over vectors. */
interface Activation {
  readonly name: string;
  readonly constants: string;
  readonly derivativeConstants: string;
  readonly value: string;
  readonly derivative: (dy: string) => string;
}

const horner = (name: string, degree: number, x: string) => {
  let text = `${name}${degree}`;
  for (let k = degree - 1; k >= 0; k--) text = `f32x4.relaxed_madd(${text}, ${x}, ${name}${k})`;
  return text;
};
const splats = (name: string, degree: number, offset: number) =>
  Array.from(
    { length: degree + 1 },
    (_, k) => `const ${name}${k} = v128.load32_splat(settings, ${offset + 4 * k});`,
  ).join(" ");

const ACTIVATIONS: Activation[] = [
  {
    name: "Relu",
    constants: "",
    derivativeConstants: "",
    value: "f32x4.pmax(c, f32x4.splat(0))",
    derivative: (dy) => `v128.and(${dy}, f32x4.gt(v, f32x4.splat(0)))`,
  },
  {
    name: "Sigmoid",
    constants: "",
    derivativeConstants: "",
    value: "sigmoid(c)",
    derivative: (dy) => `f32x4.mul(${dy}, sigmoidSlope(v))`,
  },
  ...DEGREES.map((degree): Activation => ({
    name: `Polynomial${degree}`,
    constants: splats("c", degree, SETTINGS.value),
    derivativeConstants: splats("d", degree - 1, SETTINGS.slope),
    value: horner("c", degree, "c"),
    derivative: (dy) => `f32x4.mul(${dy}, ${horner("d", degree - 1, "v")})`,
  })),
];

/**
 * r relu + a polynomial of the largest degree, whose numbers have the factor 1 - r already: a polynomial of lower degree has zeros there,
 * which an epoch or two can afford.
 */
const RELU_PART = `const reluPart = v128.load32_splat(settings, ${SETTINGS.reluPart});`;
ACTIVATIONS.push({
  name: "Mixture",
  constants: `${RELU_PART} ${splats("c", MAX_DEGREE, SETTINGS.value)}`,
  derivativeConstants: `${RELU_PART} ${splats("d", MAX_DEGREE - 1, SETTINGS.slope)}`,
  value: `f32x4.relaxed_madd(f32x4.pmax(c, f32x4.splat(0)), reluPart, ${horner("c", MAX_DEGREE, "c")})`,
  derivative: (dy) =>
    `f32x4.mul(${dy}, f32x4.add(v128.and(reluPart, f32x4.gt(v, f32x4.splat(0))), ${horner("d", MAX_DEGREE - 1, "v")}))`,
});

/** Harmonics with code of their own. */
const HARMONICS = [1, 2, 3];

/** Settings of a wave: 1 / period, offset, then the coefficients of the odd powers of the cosine; of f' those of the sine. */
const INVERSE_PERIOD = `const inversePeriod = v128.load32_splat(settings, ${SETTINGS.value});`;
const HALF = "f32x4.splat(0.5)";
/** x (c0 + c1 x^2 + c2 x^4), x evaluated once. */
const oddPolynomial = (name: string, harmonics: number, x: string) =>
  `odd${harmonics}(${[x, ...Array.from({ length: harmonics }, (_, k) => `${name}${k}`)].join(", ")})`;

for (const harmonics of HARMONICS) {
  ACTIVATIONS.push({
    name: `Wave${harmonics}`,
    constants: `${INVERSE_PERIOD} const offset = v128.load32_splat(settings, ${SETTINGS.value + 4});
      ${splats("c", harmonics - 1, SETTINGS.value + 8)}`,
    derivativeConstants: `${INVERSE_PERIOD} ${splats("d", harmonics - 1, SETTINGS.slope)}`,
    value: `f32x4.relaxed_madd(c, ${HALF}, f32x4.add(offset, ${
      oddPolynomial("c", harmonics, "cosine(c, inversePeriod)")
    }))`,
    derivative: (dy) =>
      `f32x4.mul(${dy}, f32x4.add(${HALF}, ${oddPolynomial("d", harmonics, "sine(v, inversePeriod)")}))`,
  });
}

const PENALTY_CONSTANTS = `
  const inverseRange = v128.load32_splat(settings, ${SETTINGS.inverseRange}), exponent = load<i32>(settings, ${SETTINGS.exponent});`;
/** power = square^(exponent / 2 + less), for exponents 2 to 10. The branches go the same way all the time. */
const power = (less: 0 | -1) => {
  const powers = ["f32x4.splat(1)", "square", "fourth", "f32x4.mul(fourth, square)", "f32x4.mul(fourth, fourth)"];
  powers.push(`f32x4.mul(${powers[4]}, square)`);
  const of = (exponent: number) => powers[exponent / 2 + less];
  return `
    const fourth = f32x4.mul(square, square);
    const power = exponent == 10 ? ${of(10)} : exponent == 8 ? ${of(8)} : exponent == 6 ? ${of(6)} :
      exponent == 4 ? ${of(4)} : ${of(2)};`;
};
const SIZE = "const size = v128.and(v, i32x4.splat(0x7fffffff));";

/** Batch norm is z * factor + term; a fourth table, 1 / deviation, is not read here. */
const NORM_TABLES = ["factor", "term"], GRADIENT_TABLES = [...NORM_TABLES, "mean"];

/** The input of the activation: batch norm of z, plus the shortcut. */
const activationInput = (shortcut: boolean) => {
  const norm = `f32x4.relaxed_madd(z, factor$, term$)`;
  return `const z = v128.load(zAt, @); let v = ${shortcut ? `f32x4.add(${norm}, v128.load(sAt, @))` : norm};`;
};

/** y = batch norm of z, plus the shortcut: no activation follows. */
const identityForward = (shortcut: boolean) =>
  sweep({
    family: "forwardIdentity",
    without: absent({ s: shortcut }),
    tables: NORM_TABLES,
    element: (masked) => `${activationInput(shortcut)} ${store("y", "v", masked)}`,
  });

/**
 * y = f(clip(v)). The record grows: f64 sum of min(|v| / range, 16)^exponent (what the penalty adds beyond 16 ranges is
 * found by `outliers`), or for the hinge of the squares of what |v| has above the range, i32 bits of the largest |v| (ordered as integers, NaN
 * largest), i32 number of |v| outside the bound, NaN included.
 */
const activationForward = (f: Activation, shortcut: boolean) =>
  sweep({
    family: "forward",
    activation: f.name,
    without: absent({ s: shortcut }),
    tables: NORM_TABLES,
    before: `
      const clip = v128.load32_splat(settings), low = f32x4.neg(clip), bound = v128.load32_splat(settings, ${SETTINGS.bound});
      ${PENALTY_CONSTANTS}
      ${f.constants}
      let largest = i32x4.splat(0), outside = i32x4.splat(0), total = f64x2.splat(0);`,
    laneStart: "let sum$ = f32x4.splat(0);",
    element: (masked) => `
      ${activationInput(shortcut)}
      ${masked ? "v = v128.and(v, mask);" : ""}
      ${SIZE}
      largest = i32x4.max_s(largest, size);
      outside = i32x4.sub(outside, i32x4.gt_s(size, bound));
      if (exponent == ${HINGE}) {
        const excess = f32x4.pmax(f32x4.sub(size, v128.load32_splat(settings, ${SETTINGS.range})), f32x4.splat(0));
        sum$ = f32x4.relaxed_madd(excess, excess, sum$);
      } else if (exponent != ${NO_PENALTY}) {
        const ratio = f32x4.mul(v, inverseRange), square = f32x4.pmin(f32x4.mul(ratio, ratio), f32x4.splat(256));
        ${power(0)}
        sum$ = f32x4.add(sum$, power);
      }
      const c = f32x4.pmin(f32x4.pmax(v, low), clip);
      ${store("y", f.value, masked)}`,
    laneEnd: `total = f64x2.add(total, sumPairs(sum$));`,
    after: `
      store<f64>(record, load<f64>(record) + (f64x2.extract_lane(total, 0) + f64x2.extract_lane(total, 1)));
      store<i32>(record, max(load<i32>(record, ${RECORD.largest}), largestLane(largest)), ${RECORD.largest});
      store<i32>(record, load<i32>(record, ${RECORD.outside}) + laneSum(outside), ${RECORD.outside});`,
  });

/** Adds the sums of g and of g (z - mean) to \`sums\` (f64 [2][period]). */
const GRADIENT_SUMS = {
  laneStart: "let sumG$ = f32x4.splat(0), sumGZ$ = f32x4.splat(0);",
  element: "sumG$ = f32x4.add(sumG$, g); sumGZ$ = f32x4.relaxed_madd(g, f32x4.sub(z, mean$), sumGZ$);",
  laneEnd: `
    const at = sums + <usize>(lane + 4 * $) * 8;
    accumulate(at, sumG$);
    accumulate(at + <usize>period * 8, sumGZ$);`,
};

const gradientIn = (second: boolean) => second ? "f32x4.add(v128.load(dyAt, @), v128.load(eyAt, @))" : "v128.load(dyAt, @)";

/** g = dy (+ ey), with the sums of batch norm. */
const identityBackward = (second: boolean) =>
  sweep({
    family: "backwardIdentity",
    without: absent({ ey: second }),
    tables: GRADIENT_TABLES,
    laneStart: GRADIENT_SUMS.laneStart,
    element: (masked) => `
      const z = v128.load(zAt, @), g = ${keep(gradientIn(second), masked)};
      ${GRADIENT_SUMS.element}
      ${store("g", "g", masked)}`,
    laneEnd: GRADIENT_SUMS.laneEnd,
  });

/**
 * g = (dy (+ ey)) f'(v) inside the clip + factor * t^(exponent - 1): the gradient at v, with its sums; |t| <= 16. The hinge has
 * v - clamp(v, +-range) in place of the power.
 */
const activationBackward = (f: Activation, shortcut: boolean, second: boolean) =>
  sweep({
    family: "backward",
    activation: f.name,
    without: absent({ s: shortcut, ey: second }),
    tables: GRADIENT_TABLES,
    before: `
      const clip = v128.load32_splat(settings), factors = f32x4.splat(factor);
      ${PENALTY_CONSTANTS}
      ${f.derivativeConstants}`,
    laneStart: GRADIENT_SUMS.laneStart,
    element: (masked) => `
      ${activationInput(shortcut)}
      ${masked ? "v = v128.and(v, mask);" : ""}
      ${SIZE}
      const dy = ${keep(gradientIn(second), masked)};
      let g = v128.andnot(${f.derivative("dy")}, i32x4.gt_s(size, clip));
      if (exponent == ${HINGE}) {
        const range = v128.load32_splat(settings, ${SETTINGS.range});
        const excess = f32x4.sub(v, f32x4.pmin(f32x4.pmax(v, f32x4.neg(range)), range));
        g = f32x4.relaxed_madd(factors, excess, g);
      } else if (exponent != ${NO_PENALTY}) {
        const scaled = f32x4.mul(v, inverseRange);
        const ratio = f32x4.pmin(f32x4.pmax(scaled, f32x4.splat(-16)), f32x4.splat(16)), square = f32x4.mul(ratio, ratio);
        ${power(-1)}
        g = f32x4.relaxed_madd(f32x4.mul(factors, ratio), power, g);
      }
      ${GRADIENT_SUMS.element}
      ${store("g", "g", masked)}`,
    laneEnd: GRADIENT_SUMS.laneEnd,
  });

/** Sums of dy and of dy times odd powers of the cosine, added to f64 [4]: what the gradients of a learned wave are made of. */
const fourierBackward = (shortcut: boolean, second: boolean) =>
  sweep({
    family: "backwardFourier",
    without: absent({ s: shortcut, ey: second }),
    tables: NORM_TABLES,
    before: `
      const clip = v128.load32_splat(settings), low = f32x4.neg(clip);
      ${INVERSE_PERIOD}
      let total0 = f64x2.splat(0), total1 = total0, total2 = total0, total3 = total0;`,
    laneStart: "let sum0$ = f32x4.splat(0), sum1$ = sum0$, sum2$ = sum0$, sum3$ = sum0$;",
    element: (masked) => `
      ${activationInput(shortcut)}
      ${masked ? "v = v128.and(v, mask);" : ""}
      const dy = ${keep(gradientIn(second), masked)};
      const c = cosine(f32x4.pmin(f32x4.pmax(v, low), clip), inversePeriod), square = f32x4.mul(c, c);
      const first = f32x4.mul(dy, c), third = f32x4.mul(first, square);
      sum0$ = f32x4.add(sum0$, dy);
      sum1$ = f32x4.add(sum1$, first);
      sum2$ = f32x4.add(sum2$, third);
      sum3$ = f32x4.relaxed_madd(third, square, sum3$);`,
    laneEnd: [0, 1, 2, 3].map((k) => `total${k} = f64x2.add(total${k}, sumPairs(sum${k}$));`).join(" "),
    after: [0, 1, 2, 3].map((k) =>
      `store<f64>(result, load<f64>(result, ${8 * k}) + (f64x2.extract_lane(total${k}, 0) + ` +
      `f64x2.extract_lane(total${k}, 1)), ${8 * k});`
    ).join("\n"),
  });

/** Sums of z - pivot and of its square, f64 [2][period]. */
const MOMENTS = sweep({
  family: "moments",
  paired: true,
  tables: ["pivot"],
  laneStart: "let sum$ = f32x4.splat(0), squares$ = f32x4.splat(0);",
  element: (masked) => `
    const d = ${keep("f32x4.sub(v128.load(zAt, @), pivot$)", masked)};
    sum$ = f32x4.add(sum$, d);
    squares$ = f32x4.relaxed_madd(d, d, squares$);`,
  laneEnd: `
    const at = sums + <usize>(lane + 4 * $) * 8;
    accumulate(at, sum$);
    accumulate(at + <usize>period * 8, squares$);`,
});

/** dz = a g + b (z - mean) + d: the input gradient of batch norm. */
const NORM_GRADIENT = sweep({
  family: "normGradient",
  tables: ["a", "b", "mean", "d"],
  element: (masked) => `
    const centred = f32x4.sub(v128.load(zAt, @), mean$);
    const dz = f32x4.relaxed_madd(a$, v128.load(gAt, @), f32x4.relaxed_madd(b$, centred, d$));
    ${store("dz", "dz", masked)}`,
});

/** y = x + w, and y = x. Tables are not read. */
const SUM = sweep({
  family: "sum",
  tables: [],
  element: (masked) => store("y", "f32x4.add(v128.load(xAt, @), v128.load(wAt, @))", masked),
});
const COPY = sweep({
  family: "copy",
  tables: [],
  element: (masked) => store("y", "v128.load(xAt, @)", masked),
});

/**
 * Of the activation inputs outside a bound: f64 number, sum of sizes and of squares of the finite ones. Called where
 * there are such inputs, which is rare in a network worth training.
 */
const outliers = (shortcut: boolean) =>
  sweep({
    family: "outliers",
    without: absent({ s: shortcut }),
    tables: NORM_TABLES,
    before: "const bound = f32x4.splat(least);",
    element: (masked) => `
      ${activationInput(shortcut)}
      ${masked ? "v = v128.and(v, mask);" : ""}
      ${SIZE}
      if (v128.any_true(i32x4.gt_s(size, bound))) {
        addOutlier(f32x4.extract_lane(size, 0), least, result);
        addOutlier(f32x4.extract_lane(size, 1), least, result);
        addOutlier(f32x4.extract_lane(size, 2), least, result);
        addOutlier(f32x4.extract_lane(size, 3), least, result);
      }`,
  });

/** The first ten bits of ln 2. */
const LN2_HIGH = 0.693359375;
/** Taylor's series of e^r to r^7, within 2^-27 for |r| up to ln 2 / 2. */
const EXPONENTIAL_SERIES = [5040, 720, 120, 24, 6, 2, 1, 1].map((factorial) => `f32x4.splat(${1 / factorial})`)
  .reduce((sum, term) => `f32x4.relaxed_madd(${sum}, r, ${term})`);

/** Sum over k of terms[k] * square^k, as code. */
const evenSeries = (terms: readonly number[]) =>
  terms.map((term) => `f32x4.splat(${term})`).reduceRight((sum, term) => `f32x4.relaxed_madd(${sum}, square, ${term})`);
/** Taylor's series of sin(2 pi u) / u and cos(2 pi u) in u^2, within 6e-8 and 7e-9 for |u| up to 1/4. */
const taylor = (count: number, first: number) =>
  Array.from({ length: count }, (_, k) => {
    let term = (-1) ** k;
    for (let i = 1; i <= 2 * k + first; i++) term *= 2 * Math.PI / i;
    return term;
  });
const SINE_SERIES = evenSeries(taylor(6, 1)), COSINE_SERIES = evenSeries(taylor(7, 0));

const HELPERS = `
function storeFirst(at: usize, value: v128, left: i32): void {
  store<f32>(at, f32x4.extract_lane(value, 0));
  if (left > 1) store<f32>(at, f32x4.extract_lane(value, 1), 4);
  if (left > 2) store<f32>(at, f32x4.extract_lane(value, 2), 8);
}

// @ts-ignore: decorator
@inline
function sumPairs(value: v128): v128 {
  return f64x2.add(f64x2.promote_low_f32x4(value), f64x2.promote_low_f32x4(i64x2.shuffle(value, value, 1, 1)));
}

// @ts-ignore: decorator
@inline
function accumulate(at: usize, value: v128): void {
  v128.store(at, f64x2.add(v128.load(at), f64x2.promote_low_f32x4(value)));
  const high = i64x2.shuffle(value, value, 1, 1);
  v128.store(at, f64x2.add(v128.load(at, 16), f64x2.promote_low_f32x4(high)), 16);
}

/** e^-|x|, to 1e-7 of itself; where it is below 2^-126 that. */
// @ts-ignore: decorator
@inline
function decay(x: v128): v128 {
  const y = f32x4.max(f32x4.neg(f32x4.abs(x)), f32x4.splat(-87));
  const n = f32x4.nearest(f32x4.mul(y, f32x4.splat(${Math.LOG2E})));
  // ln 2 in two parts: n times the first is exact.
  let r = f32x4.sub(y, f32x4.mul(n, f32x4.splat(${LN2_HIGH})));
  r = f32x4.relaxed_nmadd(n, f32x4.splat(${Math.LN2 - LN2_HIGH}), r);
  const power = i32x4.shl(i32x4.add(i32x4.trunc_sat_f32x4_s(n), i32x4.splat(127)), 23);
  return f32x4.mul(power, ${EXPONENTIAL_SERIES});
}

// @ts-ignore: decorator
@inline
function sigmoid(x: v128): v128 {
  const t = decay(x), one = f32x4.splat(1);
  const numerator = v128.bitselect(one, t, f32x4.ge(x, f32x4.splat(0)));
  return f32x4.div(numerator, f32x4.add(one, t));
}

// @ts-ignore: decorator
@inline
function sigmoidSlope(x: v128): v128 {
  const t = decay(x), sum = f32x4.add(f32x4.splat(1), t);
  return f32x4.div(t, f32x4.mul(sum, sum));
}

/** x / period less the nearest integer. */
// @ts-ignore: decorator
@inline
function turns(x: v128, inversePeriod: v128): v128 {
  return f32x4.relaxed_madd(x, inversePeriod, f32x4.neg(f32x4.nearest(f32x4.mul(x, inversePeriod))));
}

/** cos(2 pi x / period) = sin(2 pi u), u = 1/4 - |turns|. */
// @ts-ignore: decorator
@inline
function cosine(x: v128, inversePeriod: v128): v128 {
  const u = f32x4.sub(f32x4.splat(0.25), f32x4.abs(turns(x, inversePeriod))), square = f32x4.mul(u, u);
  return f32x4.mul(u, ${SINE_SERIES});
}

/** sin(2 pi x / period) = cos(2 pi u) with the sign of turns, u = 1/4 - |turns|. */
// @ts-ignore: decorator
@inline
function sine(x: v128, inversePeriod: v128): v128 {
  const r = turns(x, inversePeriod), u = f32x4.sub(f32x4.splat(0.25), f32x4.abs(r)), square = f32x4.mul(u, u);
  return v128.xor(${COSINE_SERIES}, v128.and(r, i32x4.splat(0x80000000)));
}

// @ts-ignore: decorator
@inline
function odd1(x: v128, c0: v128): v128 {
  return f32x4.mul(x, c0);
}

// @ts-ignore: decorator
@inline
function odd2(x: v128, c0: v128, c1: v128): v128 {
  return f32x4.mul(x, f32x4.relaxed_madd(c1, f32x4.mul(x, x), c0));
}

// @ts-ignore: decorator
@inline
function odd3(x: v128, c0: v128, c1: v128, c2: v128): v128 {
  const square = f32x4.mul(x, x);
  return f32x4.mul(x, f32x4.relaxed_madd(f32x4.relaxed_madd(c2, square, c1), square, c0));
}

function largestLane(v: v128): i32 {
  return max(
    max(i32x4.extract_lane(v, 0), i32x4.extract_lane(v, 1)),
    max(i32x4.extract_lane(v, 2), i32x4.extract_lane(v, 3))
  );
}

function laneSum(v: v128): i32 {
  return i32x4.extract_lane(v, 0) + i32x4.extract_lane(v, 1) + i32x4.extract_lane(v, 2) + i32x4.extract_lane(v, 3);
}

function addOutlier(size: f32, least: f32, result: usize): void {
  if (!(size > least) || size == Infinity) return;
  const value = <f64>size;
  store<f64>(result, load<f64>(result) + 1);
  store<f64>(result, load<f64>(result, 8) + value, 8);
  store<f64>(result, load<f64>(result, 16) + value * value, 16);
}`;

const BOTH = [false, true];

export default function source(): string {
  return [
    "// asc: --enable relaxed-simd",
    HELPERS,
    ...BOTH.map(identityForward),
    ...BOTH.map(identityBackward),
    ...ACTIVATIONS.flatMap((f) =>
      BOTH.flatMap((shortcut) => [
        activationForward(f, shortcut),
        ...BOTH.map((second) => activationBackward(f, shortcut, second)),
      ])
    ),
    ...BOTH.flatMap((shortcut) => BOTH.map((second) => fourierBackward(shortcut, second))),
    MOMENTS,
    NORM_GRADIENT,
    SUM,
    COPY,
    ...BOTH.map(outliers),
  ].join("\n");
}
