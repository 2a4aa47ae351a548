import { assert, assertAlmostEquals, assertEquals, assertThrows } from "@std/assert";
import { it } from "@std/testing/bdd";
import { evaluate, evaluateLogits } from "../models/float_engine.ts";
import type { FloatTensor, Graph, Node } from "../models/graph.ts";
import { SeededRandom } from "../models/seeded_random.ts";
import { checkWeights, seededImage } from "../models/weights.ts";
import { buildModel, MODEL_NAMES } from "../models/zoo.ts";
import { HERMITE_2, hermiteGraph, SQUARE } from "./hermite.ts";
import { checkFoldable, FARTHEST_VERTEX, foldHermite } from "./hermite_fold.ts";
import { initialState } from "./initial.ts";

/** ConvNet as if trained: scales of either sign, means and variances of ordinary size. */
function trainedConvnet(seed: number): Map<string, FloatTensor> {
  const { weights } = initialState(hermiteGraph(buildModel("convnet")), seed);
  const ranges: Record<string, [number, number]> = {
    scale: [-0.6, 0.6],
    offset: [-0.3, 0.3],
    mean: [-0.5, 0.5],
    variance: [0.2, 1.5],
  };
  return new Map([...weights].map(([name, { shape, data }]) => {
    const random = new SeededRandom(seed, name), range = ranges[name.slice(name.lastIndexOf(".") + 1)];
    return [name, { shape, data: range ? data.map(() => random.uniform(...range)) : data }];
  }));
}

/** Largest difference of the logits before and after the fold, as a share of the largest logit. */
function distance(weights: Map<string, FloatTensor>, seed: number): number {
  const graph = buildModel("convnet"), image = seededImage(graph, seed), folded = foldHermite(graph, weights);
  checkWeights(graph, folded);
  const before = evaluateLogits(hermiteGraph(graph), weights, HERMITE_2, image);
  const after = evaluateLogits(graph, folded, SQUARE, image);
  const largest = Math.max(...before.map(Math.abs));
  return Math.max(...before.map((v, i) => Math.abs(v - after[i]))) / largest;
}

it("foldHermite() gives the logits of the trained network by squares", () => {
  for (const seed of [1, 2, 3]) {
    const weights = trainedConvnet(seed), untouched = structuredClone(weights);
    const found = distance(weights, seed);
    assert(found < 1e-4, `seed ${seed}: ${found}`);
    assertEquals(weights, untouched);
  }
});

it("foldHermite() gives the logits of a network as it was before the first step", () =>
  assert(distance(new Map(initialState(hermiteGraph(buildModel("convnet")), 4).weights), 4) < 1e-4));

it("foldHermite() keeps the logits where channels are nearly linear, linear or constant", () => {
  const weights = trainedConvnet(5),
    set = (name: string, c: number, value: number) => {
      weights.get(name)!.data[c] = value;
    };
  for (const [c, scale] of [[0, 0.01], [1, -0.01]] as const) set("act2.norm2.scale", c, scale);
  for (const part of ["act1.norm1", "act1.norm2"]) set(`${part}.scale`, 3, 0);
  assert(distance(weights, 5) < 1e-4);
  set("act3.norm2.scale", 7, 0);
  set("act3.norm2.scale", 8, 1e-9);
  const found = distance(weights, 5);
  assert(found < 1e-3, `${found}`);
});

/** A network of one channel: x, the activation, and a layer that hands its value on as the first logit. */
function chain(...between: Node[]): Graph {
  return {
    name: "chain",
    classes: 2,
    inputShape: [1, 1, 1],
    nodes: [
      { id: "input", op: "input" },
      { id: "first", op: "dense", input: "input", outputs: 1, bias: true },
      { id: "act", op: "activation", input: "first" },
      ...between,
      { id: "last", op: "dense", input: between.at(-1)?.id ?? "act", outputs: 2, bias: true },
    ],
  };
}

/** Its weights for f = a x^2 + b x, up to the epsilons of batch norm, with mean and variance of x. */
function weightsOf(a: number, b: number, mean: number, variance: number): Map<string, FloatTensor> {
  const { weights } = initialState(hermiteGraph(chain()), 1);
  const values: Record<string, number[]> = {
    "first.weight": [1],
    "first.bias": [0],
    "last.weight": [1, 0],
    "last.bias": [0, 0],
    "act.norm1.mean": [mean],
    "act.norm1.variance": [variance],
    "act.norm1.scale": [b * Math.sqrt(variance)],
    "act.norm2.scale": [a * Math.SQRT2],
  };
  for (const [name, data] of Object.entries(values)) weights.get(name)!.data.set(data);
  return new Map(weights);
}

it("foldHermite() takes the square of values whose root mean square is 1", () => {
  for (const [a, b, mean] of [[0.3, -0.5, 2], [-0.01, 1, 0], [0, 1, 0.5], [0, 0, -3]] as const) {
    const weights = foldHermite(chain(), weightsOf(a, b, mean, 4));
    // Mean and variance of mean - 2 and mean + 2 are those that the batch norm states.
    const squares = [-2, 2].map((d) => evaluate(chain(), weights, SQUARE, [mean + d]).get("act")![0]);
    assertAlmostEquals((squares[0] + squares[1]) / 2, 1, 1e-4, `${a} ${b}`);
  }
});

it("foldHermite() moves a vertex that is too far away, by no more than it states", () => {
  const mean = 1, variance = 4;
  for (const far of [0.5, 0.99, 1.01, 2, 100, 1e9, Infinity]) {
    for (const sign of [1, -1]) {
      // A z^2 + z, whose vertex is far * FARTHEST_VERTEX deviations from the mean, as a x^2 + b x + c.
      const A = sign / (2 * far * FARTHEST_VERTEX), a = A / variance;
      const b = 1 / Math.sqrt(variance) - 2 * a * mean;
      const trained = weightsOf(a, b, mean, variance), folded = foldHermite(chain(), trained);
      for (const z of [-5, -1, 0, 0.5, 3, 8]) {
        const x = [mean + 2 * z];
        const before = evaluateLogits(hermiteGraph(chain()), trained, HERMITE_2, x)[0];
        const after = evaluateLogits(chain(), folded, SQUARE, x)[0];
        const bound = far < 1 ? 0 : z ** 2 / 512;
        // float32 rounds the constant of the square, which is 128 times as large as f.
        assert(Math.abs(before - after) <= bound + 1e-4, `${far} ${z}: ${before}, ${after}`);
      }
    }
  }
});

it("checkFoldable() takes ConvNet alone of all networks, as its sentence says", () => {
  const isFoldable = (name: string) => {
    try {
      checkFoldable(buildModel(name));
      return true;
    } catch (error) {
      assert(error instanceof RangeError);
      return false;
    }
  };
  assertEquals(MODEL_NAMES.filter(isFoldable), ["convnet"]);
});

it("checkFoldable() names what is in the way, in one sentence", () => {
  checkFoldable(chain());
  const conv = { op: "conv", kernel: 1, stride: 1, padding: 0, outputs: 1 } as const;
  for (
    const [graph, reason] of [
      [buildModel("minionn"), "in minionn conv2 pads act1 with zeros"],
      [buildModel("resnet18"), "in resnet18 stage1.block1.conv1 pads act1 with zeros"],
      [buildModel("resnet50"), "in resnet50 act1 is read by maxPool stemPool"],
      [chain({ id: "sum", op: "add", input: "act", shortcut: "act" }), "act is read by add sum"],
      [chain({ id: "again", op: "activation", input: "act" }), "act is read by activation again"],
      [chain({ ...conv, id: "conv", input: "act", bias: false }), "conv, which reads act, has no bias"],
      [
        { ...chain(), nodes: chain().nodes.map((n) => n.op === "activation" ? { ...n, input: "input" } : n) },
        "act reads input input",
      ],
    ] as const
  ) {
    assertThrows(() => checkFoldable(graph), RangeError, reason);
    assertThrows(() => foldHermite(graph, new Map()), RangeError, "networks that it fits: convnet");
  }
});
