import { assertEquals, assertThrows } from "@std/assert";
import { it } from "@std/testing/bdd";
import type { Graph } from "./graph.ts";
import { formatGraph, parseGraph } from "./graph_json.ts";
import { buildModel, MODEL_NAMES } from "./zoo.ts";

const graph: Graph = {
  name: "small-1",
  classes: 2,
  inputShape: [6, 6, 1],
  nodes: [
    { id: "input", op: "input" },
    { id: "conv", op: "conv", input: "input", kernel: 3, stride: 1, padding: 0, outputs: 3, bias: true },
    { id: "flatten", op: "flatten", input: "conv" },
    { id: "fc", op: "dense", input: "flatten", outputs: 2, bias: false },
  ],
};

it("parseGraph() gives back what formatGraph() wrote", () => {
  for (const name of MODEL_NAMES) {
    const whole = buildModel(name);
    // A mark for the paper's tables, which own networks do not have.
    const nodes = whole.nodes.map((node) => {
      if (node.op !== "conv") return node;
      const { shortcut: _, ...rest } = node;
      return rest;
    });
    assertEquals(parseGraph(formatGraph({ ...whole, nodes })), { ...whole, nodes });
  }
});

it("parseGraph() makes one object of one network, in whatever order its fields are written", () => {
  const nodes = graph.nodes.map((node) => Object.fromEntries(Object.entries(node).reverse()));
  const { name, classes, inputShape } = graph;
  const turned = JSON.stringify({ nodes, inputShape, classes, name });
  assertEquals(JSON.stringify(parseGraph(turned)), JSON.stringify(parseGraph(formatGraph(graph))));
});

it("parseGraph() says what is wrong with a network and where", () => {
  const conv = graph.nodes[1];
  const refused = (changes: Record<string, unknown>, message: string) => {
    assertThrows(() => parseGraph(JSON.stringify({ ...graph, ...changes })), SyntaxError, message);
  };
  const withConv = (changes: Record<string, unknown>) => ({
    nodes: graph.nodes.map((node) => node === conv ? { ...conv, ...changes } : node),
  });
  assertThrows(() => parseGraph("{"), SyntaxError, "not valid JSON");
  assertThrows(() => parseGraph("[]"), SyntaxError, "the network must be an object");
  refused({ weights: 1 }, 'the network has the field "weights"; known are name, classes, inputShape, nodes');
  refused({ name: "../up" }, '"name" must be a name, found "../up"');
  refused({ classes: 1 }, '"classes" must be at least 2, found 1');
  refused({ inputShape: [6, 6] }, '"inputShape" must be height, width and channels, found [6,6]');
  refused({ nodes: [] }, '"nodes" must be a list of 2 to 4000 nodes');
  refused(withConv({ op: "constructor" }), 'node 1 must have an "op" of input, conv, ');
  refused(withConv({ kernel: 0 }), 'node 1 (conv): "kernel" must be an integer from 1 to 4096, found 0');
  refused(withConv({ bias: undefined }), 'node 1 (conv): "bias" must be true or false, found nothing');
  refused(withConv({ id: "__proto__ " }), 'node 1 (conv): "id" must be a name of letters');
  refused(withConv({ groups: 2 }), 'node 1 has the field "groups"');
  refused(withConv({ kernel: 7 }), "node conv has kernel 7, larger than its 6x6 input");
  const pool = { id: "pool", op: "maxPool", input: "conv", kernel: 2, stride: 2 };
  refused(
    { nodes: [...graph.nodes.slice(0, 2), { ...pool, padding: 2 }, ...graph.nodes.slice(2)] },
    "node pool has padding 2, as much as its kernel of 2: there are windows that see nothing",
  );
  refused(
    {
      nodes: [
        ...graph.nodes.slice(0, 2),
        { ...pool, op: "averagePool", padding: 1 },
        ...graph.nodes.slice(2),
      ],
    },
    'node 2 (averagePool): "padding" must be 0, since no protocol averages over a border, found 1',
  );
  refused(withConv({ input: "fc" }), "node conv reads fc, which no earlier node makes");
  refused(withConv({ outputs: 65536, padding: 4096 }), "more than the 8388608 that are taken");
  refused({ classes: 3 }, "the last node, fc, must give 3 logits, its shape is 1 x 1 x 2");
  refused({ nodes: [graph.nodes[0], graph.nodes[0]] }, "the first node, and no other, must be the input");
});
