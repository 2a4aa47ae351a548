/** The networks against the reference counts, which were not made with this code. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import { it } from "@std/testing/bdd";
import { countModel } from "./counts.ts";
import { type Graph, inferShapes } from "./graph.ts";
import { buildModel, MODEL_NAMES } from "./zoo.ts";

const IDS: Record<string, string> = {
  "ConvNet": "convnet",
  "MiniONN (no BN)": "minionn",
  "MiniONN-BN": "minionn-bn",
  "VGG-16-BN-avg": "vgg16-bn-avg",
  "VGG-16 (no BN)": "vgg16",
  "ResNet-18": "resnet18",
  "ResNet-20": "resnet20",
  "ResNet-32": "resnet32",
  "ResNet-110": "resnet110",
  "ResNet-50 (224)": "resnet50",
  "RoundNet": "roundnet",
};

const csv = Deno.readTextFileSync(new URL("../../results/reference/architectures.csv", import.meta.url));
const [, ...lines] = csv.trim().split("\n").filter((line) => !line.startsWith("#"));

for (const [name, ...numbers] of lines.map((line) => line.split(","))) {
  const [classes, ...expected] = numbers.map(Number);
  it(`countModel() of ${IDS[name]} with ${classes} classes equals the reference`, () => {
    const counts = countModel(buildModel(IDS[name], classes));
    assertEquals([
      counts.params,
      counts.linearWeights,
      counts.conv,
      counts.shortcutConv,
      counts.dense,
      counts.batchNorm,
      counts.activationLayers,
      counts.activations,
      counts.macs,
      counts.linearInputs,
    ], expected);
  });
}

it("the reference covers every network but the average-pooling ResNet-50, which differs in one pooling layer", () => {
  assertEquals(
    new Set(lines.map((line) => IDS[line.split(",")[0]])),
    new Set(MODEL_NAMES.filter((name) => name !== "resnet50-avg")),
  );
  const of = (graph: Graph) => graph.nodes.filter((node) => node.id !== "stemPool");
  const max = buildModel("resnet50"), average = buildModel("resnet50-avg");
  assertEquals(of(average), of(max));
  assertEquals(countModel(average), countModel(max));
});

it("buildModel() gives graphs that follow the contract", () => {
  for (const name of MODEL_NAMES) {
    const graph = buildModel(name, 17), ids = graph.nodes.map((node) => node.id), last = graph.nodes.at(-1)!;
    assertEquals(new Set(ids).size, ids.length, `${name}: ids are unique`);
    assertEquals([graph.nodes[0].op, last.op], ["input", "dense"]);
    assertEquals(inferShapes(graph).get(last.id), [1, 1, 17]);
  }
});

it("buildModel() has 10 classes by default, 1000 for ImageNet", () => {
  for (const name of MODEL_NAMES) {
    assertEquals(buildModel(name).classes, name.startsWith("resnet50") ? 1000 : 10);
  }
});

it("buildModel() lists the known networks when it does not know one", () => {
  const error = assertThrows(() => buildModel("resnet19"), RangeError, 'unknown model "resnet19"') as Error;
  for (const name of MODEL_NAMES) assert(error.message.includes(name));
  assertThrows(() => buildModel("toString"), RangeError);
  assertThrows(() => buildModel("resnet20", 1.5), RangeError, "classes");
});
