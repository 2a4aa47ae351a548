/** The float engine against the definition of each layer, written out, and against itself without batch norm. */
import { assertAlmostEquals, assertEquals, assertThrows } from "@std/assert";
import { it } from "@std/testing/bdd";
import { activate, evaluate, evaluateLogits } from "./float_engine.ts";
import { consumersOf, foldBatchNorm, foldGraph } from "./fold.ts";
import { type Activation, type Graph, inferShapes, type Node, type Shape, type Weights } from "./graph.ts";
import { checkWeights, randomWeights, seededImage } from "./weights.ts";
import { buildModel } from "./zoo.ts";
import { normed as graph } from "./_small_networks.ts";
import { QUARTIC } from "../polynomial/polynomial.ts";

const RELU: Activation = { kind: "relu" };

const weights = randomWeights(graph, 3, QUARTIC), image = seededImage(graph, 4);

/** One value of a node by the definition, from the values of the nodes before it. */
function valueAt(
  node: Node,
  [y, x, c]: Shape,
  at: (id: string, y: number, x: number, c: number) => number,
): number {
  const shapes = inferShapes(graph);
  const tensor = (name: string) => weights.get(name)!.data;
  switch (node.op) {
    case "input":
      return image[(y * 9 + x) * 3 + c];
    case "conv": {
      const [h, w, inputs] = shapes.get(node.input)!, { kernel, stride, padding, outputs } = node;
      let sum = node.bias ? tensor(`${node.id}.bias`)[c] : 0;
      for (let i = 0; i < kernel; i++) {
        for (let j = 0; j < kernel; j++) {
          const row = y * stride + i - padding, column = x * stride + j - padding;
          if (row < 0 || row >= h || column < 0 || column >= w) continue;
          for (let k = 0; k < inputs; k++) {
            const weight = tensor(`${node.id}.weight`)[((i * kernel + j) * inputs + k) * outputs + c];
            sum += weight * at(node.input, row, column, k);
          }
        }
      }
      return sum;
    }
    case "dense": {
      let sum = tensor(`${node.id}.bias`)[c];
      for (let k = 0; k < shapes.get(node.input)![2]; k++) {
        sum += tensor(`${node.id}.weight`)[k * node.outputs + c] * at(node.input, 0, 0, k);
      }
      return sum;
    }
    case "batchNorm": {
      const of = (part: string) => tensor(`${node.id}.${part}`)[c];
      return (at(node.input, y, x, c) - of("mean")) / Math.sqrt(of("variance") + 1e-5) * of("scale") +
        of("offset");
    }
    case "activation": {
      const v = at(node.input, y, x, c);
      return (322 + 512 * v + 160 * v ** 2 - 3 * v ** 4) / 1024;
    }
    case "averagePool":
    case "maxPool": {
      const [h, w] = shapes.get(node.input)!, window: number[] = [];
      for (let i = 0; i < node.kernel; i++) {
        for (let j = 0; j < node.kernel; j++) {
          const row = y * node.stride + i - node.padding, column = x * node.stride + j - node.padding;
          if (row >= 0 && row < h && column >= 0 && column < w) window.push(at(node.input, row, column, c));
        }
      }
      return node.op === "maxPool" ? Math.max(...window) : window.reduce((a, b) => a + b) / window.length;
    }
    case "add":
      return at(node.input, y, x, c) + at(node.shortcut, y, x, c);
    case "flatten": {
      const [, w, channels] = shapes.get(node.input)!;
      return at(node.input, Math.floor(c / channels / w), Math.floor(c / channels) % w, c % channels);
    }
  }
}

it("evaluate() computes every layer as it is defined", () => {
  const shapes = inferShapes(graph), values = evaluate(graph, weights, QUARTIC, image);
  assertEquals([...values.keys()], graph.nodes.map((node) => node.id));
  for (const node of graph.nodes) {
    const [h, w, channels] = shapes.get(node.id)!, value = values.get(node.id)!;
    assertEquals(value.length, h * w * channels);
    value.forEach((actual, i) => {
      const position = [Math.floor(i / channels / w), Math.floor(i / channels) % w, i % channels] as const;
      const expected = valueAt(node, position, (id, y, x, c) => {
        const [, width, depth] = shapes.get(id)!;
        return values.get(id)![(y * width + x) * depth + c];
      });
      assertAlmostEquals(actual, expected, 1e-9, `${node.id}[${position}]`);
    });
  }
});

function assertClose(actual: Float64Array, expected: Float64Array, tolerance: number) {
  assertEquals(actual.length, expected.length);
  actual.forEach((value, i) => assertAlmostEquals(value, expected[i], tolerance));
}

function agreesWhenFolded(graph: Graph, weights: Weights, activation: Activation, image: Float32Array) {
  const folded = foldBatchNorm(graph, weights);
  checkWeights(folded.graph, folded.weights);
  assertEquals(folded.graph.nodes.filter((node) => node.op === "batchNorm"), []);
  assertEquals(foldGraph(graph), folded.graph);
  const logits = evaluateLogits(graph, weights, activation, image);
  assertClose(evaluateLogits(folded.graph, folded.weights, activation, image), logits, 1e-3);
  assertClose(evaluate(graph, weights, activation, image).get(graph.nodes.at(-1)!.id)!, logits, 0);
}

it("foldBatchNorm() keeps what a network computes", () => {
  agreesWhenFolded(graph, weights, QUARTIC, image);
  for (const name of ["convnet", "minionn", "minionn-bn", "resnet20", "roundnet"]) {
    for (const activation of [RELU, QUARTIC]) {
      const graph = buildModel(name);
      agreesWhenFolded(graph, randomWeights(graph, 2, activation), activation, seededImage(graph, 9));
    }
  }
});

it("foldBatchNorm() refuses a batch norm that does not follow a layer of its own", () => {
  const nodes = graph.nodes.map((node) => node.id === "bn3" ? { ...node, input: "conv2" } as Node : node);
  assertThrows(() => foldGraph({ ...graph, nodes }), RangeError, "batch norm bn3 cannot be merged");
  const roundnet = buildModel("roundnet");
  const padded = roundnet.nodes.map((node) => node.id === "pool2" ? { ...node, padding: 1 } as Node : node);
  assertThrows(
    () => foldGraph({ ...roundnet, nodes: padded }),
    RangeError,
    "batch norm bn2 cannot be merged",
  );
});

it("consumersOf() lists the readers of each value in order", () => {
  const ids = (id: string) => consumersOf(graph).get(id)!.map((node) => node.id);
  assertEquals(ids("act1"), ["conv2", "conv3"]);
  assertEquals(ids("bn3"), ["add"]);
  assertEquals(ids("dense1"), []);
});

it("activate() is ReLU or the polynomial, element by element", () => {
  assertEquals([...activate(RELU, Float64Array.of(-2, -0, 0, 3))], [0, 0, 0, 3]);
  assertEquals(activate(QUARTIC, Float64Array.of(2))[0], 1.892578125);
});

it("evaluate() refuses an image of the wrong size and weights of another network", () => {
  assertThrows(
    () => evaluate(graph, weights, RELU, image.subarray(1)),
    RangeError,
    "11x9x3 (297 values), got 296",
  );
  assertThrows(() => evaluate(buildModel("convnet"), weights, RELU, image), RangeError, "weights of convnet");
});
