import { assert, assertAlmostEquals, assertThrows } from "@std/assert";
import { it } from "@std/testing/bdd";
import { openDataset } from "../data/open_dataset.ts";
import { evaluate } from "../models/float_engine.ts";
import { randomWeights } from "../models/weights.ts";
import { buildModel } from "../models/zoo.ts";
import { evaluationBatches } from "./batches.ts";
import { initialState } from "./initial.ts";
import { startOf } from "./start.ts";
import { rescaledTwin } from "./twin.ts";

const DATASET = await openDataset("shapes", { limit: { train: 40, test: 2 } }),
  RELU = { kind: "relu" } as const;

it("rescaledTwin() computes what the twin does, with inputs of activations within the range", () => {
  for (const name of ["convnet", "minionn-bn"]) {
    const graph = buildModel(name), weights = randomWeights(graph, 7, RELU);
    // Far out of range, and not by one factor for all layers.
    for (const part of ["weight", "bias"]) {
      const { data } = weights.get(`conv1.${part}`)!;
      weights.set(`conv1.${part}`, {
        shape: weights.get(`conv1.${part}`)!.shape,
        data: data.map((v) => 20 * v),
      });
    }
    const scaled = rescaledTwin(graph, weights, DATASET);
    const [batch] = evaluationBatches(DATASET.train, DATASET, 1);
    const before = evaluate(graph, weights, RELU, batch.images),
      after = evaluate(graph, scaled, RELU, batch.images);
    const last = graph.nodes.at(-1)!.id, size = Math.max(...before.get(last)!.map(Math.abs));
    after.get(last)!.forEach((v, i) => assertAlmostEquals(v, before.get(last)![i], 1e-4 * size));
    for (const node of graph.nodes) {
      if (node.op !== "activation") continue;
      const largest = Math.max(...after.get(node.input)!.map(Math.abs));
      assert(largest > 2 && largest < 8, `${name} ${node.id}: ${largest}`);
    }
  }
});

it("a network whose activations share what they read with others is refused", () => {
  const convnet = buildModel("convnet"), [first] = convnet.nodes.filter(({ op }) => op === "activation");
  const nodes = convnet.nodes.flatMap((node) =>
    node === first ? [node, { ...node, id: `${node.id}.again` }] : [node]
  );
  const graph = { ...convnet, nodes }, { input } = first as Extract<typeof first, { op: "activation" }>;
  assertThrows(
    () => rescaledTwin(graph, randomWeights(graph, 7, RELU), DATASET),
    RangeError,
    `convnet cannot start from a twin: ${input} is read by ${first.id} and by others`,
  );
});

it("a network whose activations go into residual sums is refused", () => {
  const graph = buildModel("resnet20"), run = { seed: 1, whitening: false, zeroResidual: false };
  assertThrows(
    () => startOf(graph, run, DATASET, { weights: initialState(graph, 1).weights, isTwin: true }),
    RangeError,
    "resnet20 cannot start from a twin: act1 is read by add stage1.block1.add",
  );
});
