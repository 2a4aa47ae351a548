/** Claims about fitting polynomials with coefficients of limited precision. */
import { type Claim, claim, near, where } from "./claim.ts";
import { numberOf, type Row } from "./csv.ts";

/** The row of one polynomial fit. */
function fit(rows: readonly Row[], method: string, degree: number, precision: number | ""): Row | undefined {
  return where(rows, { method, degree, precision })[0];
}

/** The degrees above 4 whose best integers are not those of degree 4. */
function departures(
  rows: readonly Row[],
  precision: number,
  degrees: readonly number[],
): number[] | undefined {
  const quartic = fit(rows, "aware", 4, precision),
    others = degrees.map((d) => fit(rows, "aware", d, precision));
  if (quartic === undefined || others.includes(undefined)) return undefined;
  return degrees.filter((_, i) => others[i]?.["polynomial"] !== quartic["polynomial"]);
}

const list = (degrees: readonly number[], none: string) =>
  degrees.length === 0 ? none : `not degree ${degrees.join(", ")}`;

export const fitClaims: readonly Claim[] = [
  claim<string>({
    id: "fit-aware-8",
    sentence: "With 8 fraction bits the quantisation-aware quartic for ReLU on [-5, 5] is that of Figure 11.",
    source: "paper, Figure 11",
    experiment: "polynomial_fit",
    expected: "70 128 45 0 -1",
    tolerance: "every coefficient equal",
    refuted: "another integer in any place; the search is exact",
    measure: (rows) => fit(rows, "aware", 4, 8)?.["coefficients"],
    test: (coefficients) => coefficients === "70 128 45 0 -1",
  }),
  claim<string>({
    id: "fit-aware-10",
    sentence:
      "With 10 fraction bits the quantisation-aware quartic is that of all inference configurations of the public code.",
    source: "public code",
    experiment: "polynomial_fit",
    expected: "322 512 160 0 -3",
    tolerance: "every coefficient equal",
    refuted: "another integer in any place; the search is exact",
    measure: (rows) => fit(rows, "aware", 4, 10)?.["coefficients"],
    test: (coefficients) => coefficients === "322 512 160 0 -3",
  }),
  claim<{ cut: number; aware: number; real: number }>({
    id: "fit-cut-8",
    sentence:
      "Cutting the real-valued quartic to 8 fraction bits spoils it, choosing the best integers does not.",
    source: "paper, Figure 11",
    experiment: "polynomial_fit",
    expected: "rms 0.648 cut, 0.0958 aware, 0.0902 real",
    tolerance: "each within 2\u00a0%",
    refuted: "one of the three distances off by more than 2\u00a0%",
    measure(rows) {
      const cut = fit(rows, "truncated", 4, 8),
        aware = fit(rows, "aware", 4, 8),
        real = fit(rows, "real", 4, "");
      if (!cut || !aware || !real) return undefined;
      return { cut: numberOf(cut, "rms"), aware: numberOf(aware, "rms"), real: numberOf(real, "rms") };
    },
    test: ({ cut, aware, real }) =>
      near(cut, 0.648, 0.02) && near(aware, 0.0958, 0.02) && near(real, 0.0902, 0.02),
    show: ({ cut, aware, real }) =>
      `rms ${cut.toPrecision(3)} cut, ${aware.toPrecision(3)} aware, ${real.toPrecision(3)} real`,
  }),
  claim<number[]>({
    id: "fit-collapse",
    sentence: "With 8 and with 10 fraction bits the best polynomials of degree 5, 6 and 8 are the quartic.",
    source: "ours",
    experiment: "polynomial_fit",
    size: "quick",
    expected: "the same polynomial",
    tolerance: "every coefficient equal",
    refuted: "a degree whose optimum is another polynomial",
    measure(rows) {
      const eight = departures(rows, 8, [5, 6, 8]), ten = departures(rows, 10, [5, 6, 8]);
      return eight && ten ? [...eight, ...ten] : undefined;
    },
    test: (degrees) => degrees.length === 0,
    show: (degrees) => list(degrees, "the same polynomial"),
  }),
  claim<number>({
    id: "fit-aware-12",
    sentence:
      "With 12 fraction bits a better quartic exists than the 10-bit one that the public code uses there.",
    source: "ours",
    experiment: "polynomial_fit",
    size: "quick",
    expected: "rms 0.0904 in place of 0.0918",
    tolerance: "at least 1\u00a0% less",
    refuted: "a gain below 1\u00a0%",
    measure(rows) {
      const ten = fit(rows, "aware", 4, 10), twelve = fit(rows, "aware", 4, 12);
      return ten && twelve ? 1 - numberOf(twelve, "rms") / numberOf(ten, "rms") : undefined;
    },
    test: (gain) => gain >= 0.01,
    show: (gain) => `${(100 * gain).toFixed(1)}\u00a0% less`,
  }),
];
