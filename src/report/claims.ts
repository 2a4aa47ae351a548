/**
 * What the paper states and what we state, as data: a sentence, where it stands, how it is measured from the
 * CSVs, and when it holds. `deno task claims` checks them all.
 *
 * To add one, append an object to {@linkcode claims}: `measure` takes the rows of its experiment and gives a
 * value, `test` says whether the value is good enough.
 */
import { numberOf, type Row } from "./csv.ts";

/** The measured rows, by experiment, and the reference values of others, by file. */
export interface Data {
  rows(experiment: string): readonly Row[];
  reference(name: string): readonly Row[];
}

/** A statement that rows of an experiment can confirm or refute. */
export interface Claim<T = unknown> {
  /** Short name, kept for ever: `fit-quartic-8`. */
  readonly id: string;
  /** The statement, in one sentence that a number can refute. */
  readonly sentence: string;
  /** Where it stands: `paper, Figure 11`, `public code`, `ours`. */
  readonly source: string;
  /** Key of the experiment that measures it. */
  readonly experiment: string;
  /** Least size of a run that measures it well enough; default: any. */
  readonly size?: "smoke" | "quick" | "full";
  /** What is expected, in words. */
  readonly expected: string;
  /** What is still accepted, in words. */
  readonly tolerance: string;
  /** The value, or `undefined` if the rows that it needs are not there. */
  measure(rows: readonly Row[], data: Data): T | undefined;
  test(value: T): boolean;
  /** The value in words; default: as it is. */
  show?(value: T): string;
}

/** Whether a claim holds. */
export type Verdict = "holds" | "fails" | "not measured";

/** A claim and what became of it. */
export interface CheckedClaim {
  readonly id: string;
  readonly verdict: Verdict;
  readonly sentence: string;
  readonly source: string;
  readonly experiment: string;
  readonly expected: string;
  readonly measured: string;
  readonly tolerance: string;
  /** The larger size that a run needs to judge it; absent if size is not the obstacle. */
  readonly needs?: "smoke" | "quick" | "full";
}

/** Checks the type of a claim's value against its test, and forgets the type. */
export function claim<T>(claim: Claim<T>): Claim {
  return claim as Claim;
}

/** Rows of a reference file or an experiment that have the given values. */
export function where(rows: readonly Row[], values: Readonly<Record<string, string | number>>): Row[] {
  return rows.filter((row) =>
    Object.entries(values).every(([column, value]) => row[column] === String(value))
  );
}

const sizeOrder = ["smoke", "quick", "full"];

/** Whether a value lies within a relative distance of another. */
export function near(value: number, expected: number, relative: number): boolean {
  return Math.abs(value - expected) <= relative * Math.abs(expected);
}

/** The size of the smallest row, or `undefined` without rows. */
export function sizeOf(rows: readonly Row[]): string | undefined {
  const least = Math.min(...rows.map((row) => sizeOrder.indexOf(row["size"] ?? "")));
  return sizeOrder[least];
}

/** Checks one claim. */
export function checkClaim(claim: Claim, data: Data): CheckedClaim {
  const { id, sentence, source, experiment, expected, tolerance } = claim;
  const result = (verdict: Verdict, measured: string): CheckedClaim => ({
    id,
    verdict,
    sentence,
    source,
    experiment,
    expected,
    measured,
    tolerance,
  });
  const rows = data.rows(experiment), size = sizeOf(rows);
  if (rows.length === 0) return result("not measured", `no rows of ${experiment}`);
  if (claim.size !== undefined && sizeOrder.indexOf(size ?? "") < sizeOrder.indexOf(claim.size)) {
    const measured = `needs a run of size ${claim.size}, rows are ${size ?? "of unknown size"}`;
    return { ...result("not measured", measured), needs: claim.size };
  }
  let value: unknown;
  try {
    value = claim.measure(rows, data);
  } catch (error) {
    return result("not measured", error instanceof Error ? error.message : String(error));
  }
  if (value === undefined) return result("not measured", "rows are missing");
  const text = claim.show
    ? claim.show(value)
    : typeof value === "number"
    ? String(Number(value.toPrecision(4)))
    : String(value);
  return result(claim.test(value) ? "holds" : "fails", text);
}

/** Checks all claims, or those of some experiments. */
export function checkClaims(
  data: Data,
  experiments?: readonly string[],
  list: readonly Claim[] = claims,
): CheckedClaim[] {
  return list
    .filter((claim) => experiments === undefined || experiments.includes(claim.experiment))
    .map((claim) => checkClaim(claim, data));
}

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

/** All claims, in the order in which they are shown. */
export const claims: readonly Claim[] = [
  claim<string>({
    id: "fit-aware-8",
    sentence: "With 8 fraction bits the quantisation-aware quartic for ReLU on [-5, 5] is that of Figure 11.",
    source: "paper, Figure 11",
    experiment: "polynomial_fit",
    expected: "70 128 45 0 -1",
    tolerance: "every coefficient equal",
    measure: (rows) => fit(rows, "aware", 4, 8)?.["coefficients"],
    test: (coefficients) => coefficients === "70 128 45 0 -1",
  }),
  claim<string>({
    id: "fit-aware-10",
    sentence:
      "With 10 fraction bits it is the quartic that all inference configurations of the public code use.",
    source: "public code",
    experiment: "polynomial_fit",
    expected: "322 512 160 0 -3",
    tolerance: "every coefficient equal",
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
    measure(rows) {
      const ten = fit(rows, "aware", 4, 10), twelve = fit(rows, "aware", 4, 12);
      return ten && twelve ? 1 - numberOf(twelve, "rms") / numberOf(ten, "rms") : undefined;
    },
    test: (gain) => gain >= 0.01,
    show: (gain) => `${(100 * gain).toFixed(1)}\u00a0% less`,
  }),
];
