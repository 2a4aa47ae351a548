import { assert, assertAlmostEquals, assertEquals } from "@std/assert";
import { it } from "@std/testing/bdd";
import {
  activationLayer,
  fixedPointValues,
  type Graph,
  planInference,
  QUARTIC,
  type Weights,
} from "../mod.ts";
import { manyInferences, predictedFailures } from "./many_inferences.ts";
import { sizes } from "../src/reproduction/experiment.ts";

/** One dense layer 1 -> n with weights 1 before the activations, so that every pre-activation is the image's number. */
const graph = (n: number): Graph => ({
  ...activationLayer(n),
  inputShape: [1, 1, 1],
  nodes: [
    { id: "input", op: "input" },
    { id: "dense", op: "dense", input: "input", outputs: n, bias: false },
    { id: "activation", op: "activation", input: "dense" },
    { id: "logits", op: "dense", input: "activation", outputs: n, bias: false },
  ],
});
const weightsOf = (n: number): Weights =>
  new Map([
    ["dense.weight", { shape: [1, n], data: new Float32Array(n).fill(1) }],
    ["logits.weight", { shape: [n, n], data: new Float32Array(n * n) }],
  ]);
const predictedFor = (activation: string, n: number, x: number) => {
  const plan = planInference(graph(n), {
    activation,
    linear: "masked",
    function: QUARTIC,
  });
  return predictedFailures(plan, fixedPointValues(plan, weightsOf(n), [x]));
};

it("predictedFailures() adds |v| / 2^64 over what honeybadger truncates, by hand for x = 2", () => {
  // The pre-activation at 32 bits; 512 x at 16; 5 x^2 at 32; x once more where x^4 is on 8 of its bits, and 3 x^4 at 32.
  const one = 2 * 2 ** 32 + 512 * 2 * 2 ** 16 + 5 * 4 * 2 ** 32 + 2 * 2 ** 16 + 3 * 16 * 2 ** 32;
  assertAlmostEquals(predictedFor("honeybadger", 3, 2) / (3 * one / 2 ** 64), 1, 1e-3);
  assertEquals(predictedFor("lifted", 3, 2), 0);
});

it("many_inferences has 20, 200 and 10,000 inferences of each protocol, of different images", () => {
  for (const [i, size] of sizes.entries()) {
    const cells = manyInferences.cells(size) as unknown as {
      protocol: string;
      first: number;
      images: number;
    }[];
    for (const protocol of ["lifted", "honeybadger"]) {
      const own = cells.filter((cell) => cell.protocol === protocol);
      assertEquals(own.reduce((sum, { images }) => sum + images, 0), [20, 200, 10_000][i]);
      own.forEach(({ first }, k) => assert(k === 0 || first >= own[k - 1].first + own[k - 1].images));
    }
  }
});
