/** The fixed-point engine against arithmetic on bigint, and against the float engine. */
import { assertAlmostEquals, assertEquals, assertThrows } from "@std/assert";
import { it } from "@std/testing/bdd";
import { evaluateFixed, type FixedArithmetic, shift } from "./fixed_engine.ts";
import { activate, evaluate } from "./float_engine.ts";
import { foldBatchNorm } from "./fold.ts";
import { inferShapes, type Node, windowOf } from "./graph.ts";
import { randomWeights, seededImage } from "./weights.ts";
import { averaged as graph } from "./_small_networks.ts";
import { buildModel } from "./zoo.ts";
import { QUARTIC } from "../polynomial/polynomial.ts";

/** f bits everywhere; the quartic, rounded down. */
const arithmetic = (f: number): FixedArithmetic => ({
  inputBits: f,
  weightBits: () => f,
  activation: (_, x) => ({
    integers: activate(QUARTIC, shift(x, f).map((v) => v / 2 ** f)).map((v) => Math.floor(v * 2 ** f)),
    fractionBits: f,
  }),
});

const weights = randomWeights(graph, 1, QUARTIC), image = seededImage(graph, 2);

it("evaluateFixed() equals arithmetic on bigint, layer by layer", () => {
  const f = 12, shapes = inferShapes(graph), values = evaluateFixed(graph, weights, arithmetic(f), image);
  const big = (id: string) => [...values.get(id)!.integers].map(BigInt);
  const encode = (x: number, bits: number) => BigInt(Math.round(x * 2 ** bits));
  const linear = (node: Node & { op: "conv" | "dense" }, inputBits: number, factor: number): bigint[] => {
    const x = big(node.input), [h, w, inputs] = shapes.get(node.input)!, [oh, ow] = shapes.get(node.id)!;
    const { kernel, stride, padding } = windowOf(node);
    const weight = weights.get(`${node.id}.weight`)!.data, bias = weights.get(`${node.id}.bias`)!.data;
    const result: bigint[] = [];
    for (let p = 0; p < oh * ow; p++) {
      for (let o = 0; o < node.outputs; o++) {
        let sum = encode(bias[o], inputBits + f);
        for (let t = 0; t < kernel * kernel * inputs; t++) {
          const tap = Math.floor(t / inputs);
          const row = Math.floor(p / ow) * stride - padding + Math.floor(tap / kernel);
          const column = p % ow * stride - padding + tap % kernel;
          if (row < 0 || row >= h || column < 0 || column >= w) continue;
          const value = encode(Math.fround(weight[t * node.outputs + o] * factor), f);
          sum += value * x[(row * w + column) * inputs + t % inputs];
        }
        result.push(sum);
      }
    }
    return result;
  };
  const node = <Op extends Node["op"]>(id: string) =>
    graph.nodes.find((n) => n.id === id) as Node & { op: Op };
  assertEquals(big("input"), [...image].map((v) => encode(v, f)));
  assertEquals(big("conv1"), linear(node<"conv">("conv1"), f, 1));
  const conv1 = big("conv1");
  assertEquals(
    big("pool1"),
    Array.from({ length: 45 }, (_, i) => {
      const y = Math.floor(i / 15) * 2,
        x = Math.floor(i / 5) % 3 * 2,
        at = (r: number, c: number) => conv1[((y + r) * 6 + x + c) * 5 + i % 5];
      return at(0, 0) + at(0, 1) + at(1, 0) + at(1, 1);
    }),
  );
  // The pooled value has 2 f + 2 bits; a shift of bigint is a floor.
  const quartic = (v: bigint) => {
    const x = Number(v) / 2 ** f;
    return BigInt(Math.floor((322 + 512 * x + 160 * x ** 2 - 3 * x ** 4) / 1024 * 2 ** f));
  };
  assertEquals(big("act1"), big("pool1").map((v) => quartic(v >> BigInt(f + 2))));
  assertEquals(big("conv2"), linear(node<"conv">("conv2"), f, 1));
  const shortcut = big("act1");
  assertEquals(big("add"), big("conv2").map((v, i) => v + (shortcut[i] << BigInt(f))));
  assertEquals(big("act2"), big("add").map((v) => quartic(v >> BigInt(f))));
  assertEquals(big("max"), big("act2"));
  const max = big("max");
  assertEquals(
    big("pool2"),
    [0, 1, 2, 3, 4].map((c) => max.filter((_, i) => i % 5 === c).reduce((a, b) => a + b)),
  );
  // Nine values count as 2^4; the rest, 16 / 9, is in the weights.
  assertEquals(big("dense"), linear(node<"dense">("dense"), f + 4, 16 / 9));
  assertEquals(
    graph.nodes.map((n) => values.get(n.id)!.fractionBits),
    [f, 2 * f, 2 * f + 2, f, 2 * f, 2 * f, f, f, f + 4, f + 4, 2 * f + 4],
  );
});

it("evaluateFixed() approaches the float engine as fraction bits grow", () => {
  for (
    const [name, f, tolerance] of [["convnet", 10, 0.02], ["convnet", 16, 5e-4], [
      "resnet20",
      16,
      5e-3,
    ]] as const
  ) {
    const whole = buildModel(name),
      { graph, weights } = foldBatchNorm(whole, randomWeights(whole, 1, QUARTIC));
    const image = seededImage(graph, 1), floats = evaluate(graph, weights, QUARTIC, image);
    const fixed = evaluateFixed(graph, weights, arithmetic(f), image);
    const { integers, fractionBits } = fixed.get("classifier")!;
    floats.get("classifier")!.forEach((logit, i) =>
      assertAlmostEquals(integers[i] / 2 ** fractionBits, logit, tolerance)
    );
  }
});

it("evaluateFixed() names the layer whose integers leave what doubles hold exactly", () => {
  const loud = new Map(weights).set("conv2.weight", {
    shape: [3, 3, 5, 5],
    data: new Float32Array(225).fill(2 ** 20),
  });
  assertThrows(
    () => evaluateFixed(graph, loud, arithmetic(20), image),
    RangeError,
    "the sums of conv2 reach 2^",
  );
  const far = Float64Array.from(image, (v) => v * 2 ** 40);
  assertThrows(() => evaluateFixed(graph, weights, arithmetic(16), far), RangeError, "a value of input is");
});

it("evaluateFixed() refuses batch norm and an odd average that no linear layer takes", () => {
  const whole = buildModel("convnet");
  const all = randomWeights(whole, 1, QUARTIC);
  assertThrows(
    () => evaluateFixed(whole, all, arithmetic(12), seededImage(whole, 1)),
    RangeError,
    "batch norm bn1",
  );
  const nodes = graph.nodes.map((node) =>
    node.id === "flatten" ? { id: "flatten", op: "activation", input: "pool2" } as Node : node
  );
  assertThrows(
    () => evaluateFixed({ ...graph, nodes }, weights, arithmetic(12), image),
    RangeError,
    "must feed a linear layer, not flatten",
  );
});
