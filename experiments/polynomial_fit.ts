/**
 * Quantisation-aware fitting of ReLU (the paper's Figure 11): polynomials whose coefficients are integers over
 * 2^p, found by an exact search, beside the real-valued fit and the fit whose coefficients are cut to p bits.
 */
import { FITTED_RANGE, formatPolynomial, horner, integerFit, realFit } from "../mod.ts";
import {
  type ChartDescription,
  defineExperiment,
  type LineChart,
  numberOf,
  type Row,
} from "../src/reproduction/experiment.ts";

const range = FITTED_RANGE, allDegrees = [2, 3, 4, 5, 6, 7, 8, 9, 10], allPrecisions = [8, 10, 12, 16];
const relu = (x: number) => Math.max(0, x);

type Method = "real" | "truncated" | "aware";

interface FitCell {
  id: string;
  seconds: number;
  method: Method;
  degree: number;
  precision?: number;
}

/** Largest root mean square that is drawn. */
const PLOTTED_RMS = 1.5;

/** Root mean square and largest distance from ReLU on [-5, 5], on 10001 points. */
function distance(coefficients: readonly number[]): { rms: number; largest: number } {
  const points = 10_001;
  let squares = 0, largest = 0;
  for (let i = 0; i < points; i++) {
    const x = range * (2 * i / (points - 1) - 1), error = Math.abs(horner(coefficients, x) - relu(x));
    squares += error * error;
    largest = Math.max(largest, error);
  }
  return { rms: Math.sqrt(squares / points), largest };
}

/** Coefficients without the zeros of the highest powers: the same polynomial has one form. */
function trim(coefficients: readonly number[]): number[] {
  return coefficients.slice(0, coefficients.findLastIndex((c) => c !== 0) + 1);
}

function measure({ method, degree, precision }: FitCell) {
  const real = [...realFit({ degree, range })];
  if (precision === undefined) {
    return {
      coefficients: real.map((c) => Math.abs(c) < 1e-12 ? "0" : c.toPrecision(9)).join(" "),
      ...distance(real),
    };
  }
  const aware = method === "aware" ? integerFit({ degree, range, precision }) : undefined;
  const integers = trim(aware?.polynomial.coefficients ?? real.map((c) => Math.trunc(c * 2 ** precision)));
  return {
    coefficients: integers.join(" "),
    polynomial: formatPolynomial({ kind: "polynomial", coefficients: integers, precision }),
    search_nodes: aware?.nodes,
    ...distance(integers.map((c) => c / 2 ** precision)),
  };
}

/** The polynomial of a row at x. */
function valueAt(row: Row, x: number): number {
  const scale = row["precision"] === "" ? 1 : 2 ** numberOf(row, "precision");
  return horner(row["coefficients"].split(" ").map((c) => Number(c) / scale), x);
}

export const polynomialFit = defineExperiment<FitCell>({
  key: "polynomial_fit",
  title: "Quantisation-aware polynomial fit of ReLU",
  source: "paper, Figure 11",
  explanation:
    "A network evaluates polynomials whose coefficients are integers over 2^p. Cutting the coefficients of the real-valued " +
    "least-squares fit to p bits loses the high powers; choosing the best integers loses next to nothing. The search is exact, " +
    "so it also shows which degrees are worth asking for: ReLU minus x/2 is even, so odd degrees add nothing, and at " +
    "p = 8 and 10 every degree from 4 up gives the same quartic.",
  columns: {
    method:
      "real = real-valued least squares; truncated = its coefficients cut to p bits; aware = best integers",
    degree: "degree asked for",
    precision: "fraction bits p of the coefficients; empty for real",
    coefficients:
      "constant term first; integers over 2^p, decimals for real; zeros of the highest powers left out",
    polynomial: "the polynomial in words; two rows with the same text are the same polynomial",
    rms: "root mean square distance from ReLU on [-5, 5]",
    max_error: "largest distance from ReLU on [-5, 5]",
    search_nodes: "nodes visited by the exact search",
  },
  cells(size) {
    const degrees = size === "smoke" ? [2, 4] : allDegrees,
      precisions = size === "smoke" ? [8, 10] : allPrecisions;
    return degrees.flatMap((degree): FitCell[] => [
      { id: `degree ${degree} real`, seconds: 0.05, method: "real", degree },
      ...precisions.flatMap((precision) =>
        (["truncated", "aware"] as const).map((method) => ({
          id: `degree ${degree} p ${precision} ${method}`,
          seconds: 0.05,
          method,
          degree,
          precision,
        }))
      ),
    ]);
  },
  run(cell) {
    const { rms, largest, ...fit } = measure(cell), { method, degree, precision } = cell;
    return [{ method, degree, precision, ...fit, rms, max_error: largest }];
  },
  figures(rows, reference): ChartDescription[] {
    const quartic = (method: Method, precision: string) =>
      rows.find((row) =>
        row["method"] === method && row["precision"] === precision && row["degree"] === "4"
      )!;
    const xs = Array.from({ length: 201 }, (_, i) => range * (i / 100 - 1));
    const curve = (name: string, style: number, f: (x: number) => number) => ({
      name,
      style,
      role: "curve" as const,
      points: xs.map((x) => ({ x, y: f(x) })),
    });
    // Every tenth of the paper's points, so that the curve below remains visible.
    const paper = (name: string, style: number, column: string) => ({
      name,
      style,
      role: "points" as const,
      points: reference("figure11").filter((_, i) => i % 10 === 0)
        .map((row) => ({ x: numberOf(row, "x"), y: numberOf(row, column) })),
    });
    const figure11: LineChart = {
      kind: "lines",
      name: "polynomial_fit_figure11",
      see: "cut coefficients leave ReLU at both ends of the range, the best integers stay on it.",
      caption:
        "ReLU and its quartic with 8 fraction bits: real-valued fit cut to 8 bits, and best integers. " +
        "Curves are ours, markers the paper's (Figure 11, coefficients of its notebook).",
      x: { title: "x", min: -range, max: range, ticks: [-4, -2, 0, 2, 4] },
      y: { title: "value", min: -0.5, max: 6, ticks: [0, 2, 4, 6] },
      series: [
        curve("cut to 8 bits", 3, (x) => valueAt(quartic("truncated", "8"), x)),
        paper("cut, paper", 3, "naive8"),
        curve("quantisation-aware", 0, (x) => valueAt(quartic("aware", "8"), x)),
        paper("aware, paper", 0, "aware8"),
        curve("ReLU", 6, relu),
      ],
    };
    const precisions = [...new Set(rows.map((row) => row["precision"]).filter((p) => p !== ""))];
    const against = (name: string, style: number, method: Method, precision: string) => ({
      name,
      style,
      points: rows.filter((row) => row["method"] === method && row["precision"] === precision)
        .map((row) => ({ x: numberOf(row, "degree"), y: numberOf(row, "rms") })),
    });
    const cut = against("cut, p = 10", 4, "truncated", "10");
    if (cut.points.length === 0) return [figure11];
    const worst = cut.points.reduce((one, other) => other.y > one.y ? other : one);
    const precise = Math.max(...precisions.map(Number)),
      [fewest, most] = [cut.points[0].x, cut.points.at(-1)!.x];
    const gain = (precision: string) => {
      const rms = against("", 0, "aware", precision).points.map(({ y }) => y);
      return rms.length === 0 ? "" : ` ${(rms[0] / rms.at(-1)!).toFixed(1)} times`;
    };
    const error: LineChart = {
      kind: "lines",
      name: "polynomial_fit_error",
      see: `from degree ${fewest} to ${most} the error falls${gain(precisions[0])} with ${
        precisions[0]
      } bits and${gain(String(precise))} with ${precise}.`,
      caption:
        "Distance from ReLU on [−5, 5] against the degree asked for. With 8 and 10 bits every degree from 4 up " +
        "gives the same quartic." +
        (worst.y > PLOTTED_RMS
          ? ` Cut to 10 bits, the real-valued fit leaves the plot (rms ${
            worst.y.toPrecision(2)
          } at degree ${worst.x}).`
          : ""),
      x: { title: "degree", ticks: [...new Set(rows.map((row) => numberOf(row, "degree")))] },
      y: { title: "rms error", scale: "log", max: PLOTTED_RMS },
      series: [
        ...precisions.map((p, i) => against(`aware, p = ${p}`, i, "aware", p)),
        against("real-valued", 6, "real", ""),
        cut,
      ],
    };
    return [figure11, error];
  },
  table(rows) {
    const groups = Map.groupBy(rows.filter((row) => row["method"] === "aware"), (row) => row["polynomial"]);
    return [...groups.values()]
      .sort((a, b) => numberOf(a[0], "precision") - numberOf(b[0], "precision"))
      .map((same) => ({
        p: same[0]["precision"],
        degrees: same.map((row) => row["degree"]).join(", "),
        polynomial: same[0]["polynomial"],
        rms: numberOf(same[0], "rms"),
        max_error: numberOf(same[0], "max_error"),
      }));
  },
});
