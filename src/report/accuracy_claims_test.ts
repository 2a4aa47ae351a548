import { assertEquals } from "@std/assert";
import { it } from "@std/testing/bdd";
import { accuracyClaims } from "./accuracy_claims.ts";
import { checkClaim, type Data } from "./claim.ts";
import { csvText, type CsvValue, type Row } from "./csv.ts";

type Given = Readonly<Record<string, CsvValue>>;

/** Verdict and measured text of a claim on rows of its experiment. */
function check(id: string, given: readonly Given[]) {
  const rows = given.map((row): Row =>
    Object.fromEntries(Object.entries({ size: "full", ...row }).map(([k, v]) => [k, csvText(v)]))
  );
  const data: Data = { rows: () => rows, reference: () => [] };
  const { verdict, measured } = checkClaim(accuracyClaims.find((claim) => claim.id === id)!, data);
  return [verdict, measured];
}

const row = (method: string, seed: number, plaintext_accuracy: number, more: Given = {}): Given => ({
  ...{
    model: "convnet",
    dataset: "cifar10",
    epochs: 60,
    method,
    protocol: method === "ReLU" ? "relu" : "lifted",
  },
  ...{
    activation: method === "ReLU" ? "relu" : "poly:4:10",
    recipe: `of ${method}`,
    weights: `${method} ${seed}`,
  },
  ...{ training_seed: seed, plaintext_accuracy, private_accuracy: 70, plaintext_same_accuracy: 70 },
  ...{ audited: true, agreement: 99.8, private_images: 500, test_images: 10_000, largest_relative_input: 2 },
  ...more,
});
const HINGE = "polynomial, hinge", WAVES = "trigonometric";

it("private-accuracy allows a tenth of a point, or one of few images", () => {
  const of = (private_accuracy: number, private_images = 500, more: Given = {}) =>
    check("private-accuracy", [
      row("ReLU", 1, 71),
      row(HINGE, 1, 69, { private_accuracy, private_images, ...more }),
    ]);
  assertEquals(of(70.2), [
    "holds",
    `2 rows, 0.20 points at most (${HINGE} 1, 500 images), classes agree in 99.80\u00a0% or more on cifar10`,
  ]);
  assertEquals(of(69.7)[0], "fails");
  assertEquals(of(67.9, 50)[0], "fails");
  // Twenty images that depart make thirteen by chance, thirty sixteen.
  assertEquals([of(70.13, 10_000)[0], of(70.14, 10_000)[0]], ["holds", "fails"]);
  const thirty = { agreement: 99.7 };
  assertEquals([of(70.16, 10_000, thirty)[0], of(70.17, 10_000, thirty)[0]], ["holds", "fails"]);
  // Of few images one may depart, and as many as three deviations allow; whether they are to the better does not matter.
  assertEquals([of(68, 50, { agreement: 98 })[0], of(70, 50, { agreement: 96 })[0]], ["holds", "fails"]);
  assertEquals([of(70, 500, { agreement: 99 })[0], of(70, 500, { agreement: 98.8 })[0]], ["holds", "fails"]);
  assertEquals(of(61, 100, { agreement: 91 })[0], "fails");
  // What the audit refuses is no network for a small ring; by 64-bit words it counts.
  assertEquals(of(60, 10_000, { audited: false })[0], "holds");
  assertEquals(of(60, 10_000, { audited: false, protocol: "espn" })[0], "fails");
});

it("private-accuracy-all asks for all test images, a tenth of a point and 99.7 % of the classes", () => {
  const of = (more: Given) =>
    check("private-accuracy-all", [
      row("ReLU", 1, 71, { agreement: 50 }),
      row(HINGE, 1, 69, { private_images: 10_000, ...more }),
    ])[0];
  assertEquals([of({}), of({ private_accuracy: 69.9 }), of({ agreement: 99.7 })], [
    "holds",
    "holds",
    "holds",
  ]);
  assertEquals([of({ private_accuracy: 70.11 }), of({ agreement: 99.69 })], ["fails", "fails"]);
  assertEquals([of({ private_images: 1000 }), of({ audited: false })], ["not measured", "not measured"]);
  const hundred = (agreement: number) => of({ agreement, dataset: "cifar100" });
  assertEquals([hundred(99.5), hundred(99.4)], ["holds", "fails"]);
  // A network that was asked about fewer is not passed over.
  const whole = row(HINGE, 1, 69, { private_images: 10_000 }), part = row(HINGE, 2, 69);
  assertEquals(check("private-accuracy-all", [whole, part])[0], "fails");
});

it("shipped-near-relu compares the best recipes by their means, and takes waves for no polynomial", () => {
  const relu = [row("ReLU", 1, 70), row("ReLU", 2, 72)];
  const weak = row("polynomial, PILLAR", 1, 60), waves = row(WAVES, 1, 99, { activation: "trig:10:1:2" });
  const polynomials = [row(HINGE, 1, 68.5), row(HINGE, 2, 69.5)];
  assertEquals(check("shipped-near-relu", [...relu, weak, waves, ...polynomials]), [
    "holds",
    `cifar10: 69.0\u00a0% (${HINGE} 1) against 71.0\u00a0%`,
  ]);
  const escaping = polynomials.map((one) => ({ ...one, audited: false }));
  assertEquals(
    check("shipped-near-relu", [...relu, weak, ...escaping])[1],
    `cifar10: 69.0\u00a0% (${HINGE} 1) against 71.0\u00a0%; of those that the audit accepts 60.0\u00a0% (polynomial, PILLAR 1)`,
  );
  assertEquals(check("shipped-near-relu", [...relu, weak, waves])[0], "fails");
  // The best single run is no mean.
  assertEquals(check("shipped-near-relu", [...relu, row(HINGE, 1, 66), row(HINGE, 2, 71)])[0], "fails");
  assertEquals(check("shipped-near-relu", [row(HINGE, 1, 66)])[0], "not measured");
});

it("waves-keep-relu fails by a network that is further below its twin, or significantly", () => {
  const waves = (relu_difference: number | "", relu_high: number | "" = relu_difference) =>
    row(WAVES, 1, 80, { relu_difference, relu_high, relu_weights: relu_difference === "" ? "" : "twin" });
  assertEquals(check("waves-keep-relu", [waves("")])[0], "not measured");
  assertEquals(check("waves-keep-relu", [waves(0.57, 1)])[0], "holds");
  assertEquals(check("waves-keep-relu", [waves(-0.25, 0.4)])[0], "holds");
  assertEquals(check("waves-keep-relu", [waves(-0.6, 0.1)])[0], "fails");
  assertEquals(check("waves-keep-relu", [waves(-0.25, -0.01)])[0], "fails");
  const elsewhere = { ...waves(-2, -1), dataset: "cifar100", weights: "other" };
  assertEquals(check("waves-keep-relu", [elsewhere])[0], "not measured");
  assertEquals(check("waves-keep-relu", [waves(0.57, 1), elsewhere]), [
    "holds",
    `${WAVES} 1 +0.57, other on cifar100 \u22122.00`,
  ]);
  // A twin that ships and that nobody compared with is no reason to hold.
  assertEquals(check("waves-keep-relu", [row("ReLU", 2, 80), waves("")])[0], "not measured");
  assertEquals(check("waves-keep-relu", [row("ReLU", 1, 80), waves("")]), [
    "fails",
    `${WAVES} 1 not compared`,
  ]);
  // One whose weights do not ship was named where its row was made, and cannot be compared with here.
  const leftOut = { ...waves(""), relu_weights: "twin" };
  assertEquals(check("waves-keep-relu", [row("ReLU", 1, 80), leftOut])[0], "not measured");
  assertEquals(check("waves-keep-relu", [row("ReLU", 1, 80), leftOut, waves(0.57, 1)])[0], "holds");
});

it("waves-above-relu wants three seeds of each", () => {
  const seeds = (method: string, accuracies: readonly number[], more: Given = {}) =>
    accuracies.map((accuracy, i) => row(method, i + 1, accuracy, more));
  const relu = seeds("ReLU", [71, 72, 73]);
  const waves = (...accuracies: number[]) =>
    check("waves-above-relu", [...relu, ...seeds(WAVES, accuracies)]);
  assertEquals(waves(72, 73, 74.3), [
    "holds",
    "73.1\u00a0% against 72.0\u00a0%; by seed +1.00 to +1.30 points, 95\u00a0% interval of the mean +0.67 to +1.53",
  ]);
  assertEquals([waves(72, 73, 72.4)[0], waves(80, 80)[0]], ["fails", "not measured"]);
  // A training has a row a protocol, and counts once.
  const twice = [...relu, ...seeds(WAVES, [80, 80]), row(WAVES, 1, 80, { protocol: "relu" })];
  assertEquals(check("waves-above-relu", twice)[0], "not measured");
});

for (const [id, option] of [["smallest-ring", "--ring-bits"], ["smallest-angle", "--angle-bits"]] as const) {
  it(`${id} wants no loss at its number of bits, says from where on there is none, and reads ${option} alone`, () => {
    const at = (...lossless: readonly (readonly [number, boolean])[]) =>
      lossless.map(([bits, is_lossless]) => ({
        ...{ weights: "results/models/one", model: "convnet", protocol: "waves", option, bits, is_lossless },
      }));
    const most = id === "smallest-ring" ? 30 : 10, rows = at([4, false], [6, true], [8, true], [most, true]);
    assertEquals(check(id, rows), ["holds", "one by waves: from 6 bits on"]);
    assertEquals(check(id, at([4, true], [6, true], [most, false])), ["fails", "one by waves: no number"]);
    assertEquals(check(id, at([most, false], [most + 2, true]))[0], "fails");
    assertEquals(check(id, rows.map((row) => ({ ...row, option: "--fraction-bits" })))[0], "not measured");
  });
}

it("brightness parts ReLU and waves from polynomials", () => {
  const at = (method: string, factor: number, private_accuracy: number) => ({
    method,
    factor,
    private_accuracy,
  });
  const rows = [at("ReLU", 1, 5), at("ReLU", 4, 50), at(HINGE, 4, 11), at(WAVES, 4, 25)];
  assertEquals(check("brightness", rows), [
    "holds",
    "ReLU 50.0\u00a0%, polynomial, hinge 11.0\u00a0%, trigonometric 25.0\u00a0%",
  ]);
  assertEquals(check("brightness", [...rows, at(WAVES, 4, 14)])[0], "fails");
  assertEquals(check("brightness", [...rows, at(HINGE, 4, 40)])[0], "fails");
  for (const missing of ["ReLU", HINGE, WAVES]) {
    assertEquals(check("brightness", rows.filter(({ method }) => method !== missing))[0], "not measured");
  }
});

it("retrained-bits fails by one network that comes out another", () => {
  const one = { weights: "results/models/one", is_same: true };
  assertEquals(check("retrained-bits", [one]), ["holds", "one the same"]);
  assertEquals(check("retrained-bits", [one, { ...one, is_same: false }])[0], "fails");
  const elsewhere = { ...one, is_same: false, rounds_alike: false };
  assertEquals(check("retrained-bits", [one, elsewhere])[0], "not judged here");
});
