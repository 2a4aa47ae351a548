import { assertEquals } from "@std/assert";
import { it } from "@std/testing/bdd";
import { checkClaim, type Data } from "./claim.ts";
import { csvText, type CsvValue, type Row } from "./csv.ts";
import { trainingClaims } from "./training_claims.ts";

const asRead = (rows: readonly Readonly<Record<string, CsvValue>>[]): Row[] =>
  rows.map((row) =>
    Object.fromEntries(Object.entries({ size: "full", ...row }).map(([k, v]) => [k, csvText(v)]))
  );

/** Verdict and measured text of a claim on rows by experiment. */
function check(id: string, tables: Readonly<Record<string, readonly Readonly<Record<string, CsvValue>>[]>>) {
  const data: Data = { rows: (key) => asRead(tables[key] ?? []), reference: () => [] };
  const { verdict, measured } = checkClaim(trainingClaims.find((claim) => claim.id === id)!, data);
  return [verdict, measured];
}

const degreeRow = (
  series: string,
  degree: number | null,
  test_accuracy: number,
  more: Record<string, CsvValue> = {},
) => ({
  ...{ series, degree, fitted_degree: degree === null ? null : degree - degree % 2, test_accuracy },
  ...{
    held_out_accuracy: test_accuracy,
    penalty: series === "PILLAR" ? 1e-5 : "off",
    largest_input: 9,
    epochs: 30,
  },
  ...more,
});

it("unmodified-fails fails with one run of degree 6 or more that trains", () => {
  const rows = [
    degreeRow("unmodified", 4, 50),
    degreeRow("unmodified", 6, 10),
    degreeRow("unmodified, rate 0.01", 8, 14),
  ];
  assertEquals(check("unmodified-fails", { degree_sweep: rows }), [
    "holds",
    "degree 6: at most 10.0\u00a0%, degree 8: at most 14.0\u00a0%",
  ]);
  const trains = [...rows, degreeRow("unmodified, rate 0.01", 6, 40)];
  assertEquals(check("unmodified-fails", { degree_sweep: trains })[0], "fails");
  assertEquals(check("unmodified-fails", { degree_sweep: rows.slice(0, 1) })[0], "not measured");
  assertEquals(check("unmodified-fails", { degree_sweep: [...rows, degreeRow("AESPA", 2, 65)] })[0], "holds");
});

it("pillar-trains asks for every degree and takes the coefficient that held-out images choose", () => {
  const rows = [2, 3, 4, 5, 6, 7, 8].map((degree) => degreeRow("PILLAR", degree, 60 + degree));
  assertEquals(check("pillar-trains", { degree_sweep: rows }), ["holds", "62.0\u00a0% to 68.0\u00a0%"]);
  assertEquals(check("pillar-trains", { degree_sweep: rows.slice(1) })[0], "not measured");
  const rival = degreeRow("AESPA", 2, 20, { held_out_accuracy: 90 });
  assertEquals(check("pillar-trains", { degree_sweep: [rival, ...rows] })[1], "62.0\u00a0% to 68.0\u00a0%");
  assertEquals(check("pillar-trains", { degree_sweep: [rival, ...rows.slice(1)] })[0], "not measured");
  const worse = degreeRow("PILLAR", 4, 20, { penalty: 1e-3, held_out_accuracy: 90 });
  assertEquals(check("pillar-trains", { degree_sweep: [...rows, worse] }), [
    "fails",
    "20.0\u00a0% to 68.0\u00a0%",
  ]);
});

it("range-kept wants one coefficient whose every run stays below 8, and shows what it costs", () => {
  const row = (penalty: number, largest_input: CsvValue, test_accuracy: number) => ({
    penalty,
    largest_input,
    test_accuracy,
  });
  const rows = [
    row(1e-3, 7, 60),
    row(1e-3, 7.9, 62),
    row(1e-2, 5.5, 50),
    row(1e-6, 30, 70),
    row(1e-8, "Infinity", 50),
  ];
  assertEquals(check("range-kept", { regularisation_sweep: rows }), [
    "holds",
    "penalty 1e-3: largest 7.90, accuracy 61.0\u00a0%, best of all coefficients 70.0\u00a0%",
  ]);
  const [verdict, measured] = check("range-kept", {
    regularisation_sweep: rows.filter(({ penalty }) => penalty < 1e-3),
  });
  assertEquals([verdict, measured], [
    "fails",
    "penalty 1e-6: largest 30.0, accuracy 70.0\u00a0%, best of all coefficients 70.0\u00a0%",
  ]);
  // A run that diverged has no largest input.
  assertEquals(check("range-kept", { regularisation_sweep: [row(1e-3, null, 10)] })[0], "fails");
});

it("clip-alone-deceives wants health in training and a loss in inference", () => {
  const tables = (none: number, clip = 56) => ({
    training_ablation: [{ variant: "no penalty", train_accuracy: 57 }, {
      variant: "PILLAR",
      train_accuracy: 90,
    }],
    clip_at_inference: ([["clip", clip], ["no clip", none]] as const).map(([inference, test_accuracy]) => ({
      ...{ from: "training_ablation", variant: "no penalty", inference, test_accuracy, largest_input: 1e9 },
    })),
  });
  assertEquals(check("clip-alone-deceives", tables(25)), [
    "holds",
    "training 57.0\u00a0%, with clip 56.0\u00a0%, without 25.0\u00a0%, largest input 1.0e+9",
  ]);
  assertEquals(check("clip-alone-deceives", tables(50))[0], "fails");
  assertEquals(check("clip-alone-deceives", tables(5, 30))[0], "fails");
  assertEquals(check("clip-alone-deceives", { ...tables(25), training_ablation: [] })[0], "holds");
});
