/**
 * What the paper states and what we state, as data: a sentence, where it stands, how it is measured from the
 * CSVs, and when it holds. `deno task claims` checks them all.
 *
 * To add one, append an object to the list of its subject (`fit_claims.ts`, `inference_claims.ts`, `training_claims.ts`, `accuracy_claims.ts`,
 * `headline_claims.ts`):
 * `measure` takes the rows of its experiment and gives a value, `test` says whether the value is good enough.
 */
import type { Row } from "./csv.ts";

/** The measured rows, by experiment, and the reference values of others, by file. */
export interface Data {
  rows(experiment: string): readonly Row[];
  reference(name: string): readonly Row[];
}

/** How much a run measures. */
export type Size = "smoke" | "quick" | "full";

/** Why a value decides nothing here: measured on another kind of machine, or on one that was busy or throttled. */
export interface Obstacle {
  readonly kind: "machine" | "noise";
  /** The end of a sentence: `where TensorFlow.js takes 68 ms in place of 34`. */
  readonly text: string;
  /** Cells that are worth measuring once more. */
  readonly cells?: readonly string[];
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
  readonly size?: Size;
  /** Least size that decides all of it; smaller ones from `size` on decide a part. Default: `size`. */
  readonly fully?: Size;
  /** Of a claim about time: key of the experiment that times it. */
  readonly timed?: string;
  /** What is expected, in words. */
  readonly expected: string;
  /** What is still accepted, in words. */
  readonly tolerance: string;
  /** What one run would have to find for the claim to be wrong, in words: the end of "refuted by". */
  readonly refuted: string;
  /** The value, or `undefined` if the rows that it needs are not there. */
  measure(rows: readonly Row[], data: Data): T | undefined;
  test(value: T): boolean;
  /** Why the value decides nothing, if so: it was measured where the claim does not apply. */
  unjudged?(value: T): Obstacle | undefined;
  /** The value in words; default: as it is. */
  show?(value: T): string;
}

/** Whether a claim holds. */
export type Verdict = "holds" | "fails" | "not judged here" | "not measured";

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
  readonly refuted: string;
  /** Of a claim about time: key of the experiment that times it. */
  readonly timed?: string;
  /** Why it is not judged here. */
  readonly obstacle?: Obstacle;
  /** The larger size that a run needs to judge it; absent if size is not the obstacle. */
  readonly needs?: Size;
  /** It holds for the rows that are there; a larger size measures more of it. */
  readonly partly?: true;
  /** Its value could not be computed from the rows that are there: a fault, not a lack. */
  readonly broken?: true;
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

/** Sizes in ascending order. */
export const sizeOrder: readonly string[] = ["smoke", "quick", "full"] satisfies Size[];

/** Whether a value lies within a relative distance of another. */
export function near(value: number, expected: number, relative: number): boolean {
  return Math.abs(value - expected) <= relative * Math.abs(expected);
}

/** The size of the smallest row, or `undefined` without rows. */
function smallestSize(rows: readonly Row[]): string | undefined {
  const least = Math.min(...rows.map((row) => sizeOrder.indexOf(row["size"] ?? "")));
  return sizeOrder[least];
}

/** Checks one claim. */
export function checkClaim(claim: Claim, data: Data): CheckedClaim {
  const { id, sentence, source, experiment, expected, tolerance, refuted } = claim;
  const result = (verdict: Verdict, measured: string): CheckedClaim => ({
    id,
    verdict,
    sentence,
    source,
    experiment,
    expected,
    measured,
    tolerance,
    refuted,
    ...(claim.timed ? { timed: claim.timed } : {}),
  });
  const rows = data.rows(experiment), size = smallestSize(rows);
  if (rows.length === 0) return result("not measured", `no rows of ${experiment}`);
  if (claim.size !== undefined && sizeOrder.indexOf(size ?? "") < sizeOrder.indexOf(claim.size)) {
    const measured = `needs a run of size ${claim.size}, rows are ${size ?? "of unknown size"}`;
    return { ...result("not measured", measured), needs: claim.size };
  }
  let value: unknown;
  try {
    value = claim.measure(rows, data);
  } catch (error) {
    return {
      ...result("not measured", error instanceof Error ? error.message : String(error)),
      broken: true,
    };
  }
  if (value === undefined) return result("not measured", "rows are missing");
  const text = claim.show
    ? claim.show(value)
    : typeof value === "number"
    ? String(Number(value.toPrecision(4)))
    : String(value);
  const obstacle = claim.unjudged?.(value);
  if (obstacle !== undefined) {
    return { ...result("not judged here", `${text}, ${obstacle.text}`), obstacle };
  }
  if (!claim.test(value)) return result("fails", text);
  const isPart = claim.fully !== undefined && sizeOrder.indexOf(size ?? "") < sizeOrder.indexOf(claim.fully);
  return { ...result("holds", text), ...isPart && { partly: true } };
}
