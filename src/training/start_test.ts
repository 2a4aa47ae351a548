import { assertAlmostEquals, assertEquals } from "@std/assert";
import { it } from "@std/testing/bdd";
import { openDataset } from "../data/open_dataset.ts";
import { buildModel } from "../models/zoo.ts";
import { initialState } from "./initial.ts";
import { principalDirections } from "./principal_directions.ts";
import { startOf } from "./start.ts";
import { trainingGraph } from "./training_graph.ts";

const DATASET = await openDataset("shapes", { limit: { train: 64, test: 2 } });
const PLAIN = { seed: 3, whitening: false, zeroResidual: false };

it("principalDirections() gives the eigenvectors of a matrix, largest eigenvalue first", () => {
  // Eigenvalues 1, 3, 6 along (1, 1, 0), (1, -1, 0) and the third axis.
  const directions = principalDirections(Float64Array.of(2, -1, 0, -1, 2, 0, 0, 0, 6), 3);
  for (const [k, expected] of [[0, 0, 1], [1, -1, 0], [1, 1, 0]].entries()) {
    const norm = Math.hypot(...expected),
      product = expected.reduce((sum, v, i) => sum + v / norm * directions[k][i], 0);
    assertAlmostEquals(Math.abs(product), 1, 1e-12);
  }
});

it("startOf() is the drawn state where the recipe asks for nothing", () =>
  assertEquals(startOf(buildModel("resnet20"), PLAIN, DATASET), initialState(buildModel("resnet20"), 3)));

it("startOf() turns the first filters of a few into as many orthogonal directions", () => {
  const { data } = startOf(buildModel("convnet"), { ...PLAIN, whitening: true }, DATASET).weights.get(
    "conv1.weight",
  )!;
  for (let first = 0; first < 6; first++) {
    for (let second = 0; second < first; second++) {
      let product = 0;
      for (let i = 0; i < data.length; i += 6) product += data[i + first] * data[i + second];
      assertAlmostEquals(product, 0, 1e-6, `${first} and ${second}`);
    }
  }
});

it("startOf() turns many first filters into directions and their opposites of the old norms, and touches nothing else", () => {
  const graph = buildModel("minionn-bn"), drawn = initialState(graph, 3).weights, size = 27, outputs = 64;
  const { weights } = startOf(graph, { ...PLAIN, whitening: true }, DATASET);
  const changed = [...weights].filter(([name, { data }]) =>
    data.some((v, i) => v !== drawn.get(name)!.data[i])
  );
  assertEquals(changed.map(([name]) => name), ["conv1.weight"]);
  const filter = (of: typeof weights, k: number) =>
    Array.from({ length: size }, (_, i) => of.get("conv1.weight")!.data[i * outputs + k]);
  const product = (a: number[], b: number[]) => a.reduce((sum, v, i) => sum + v * b[i], 0);
  for (let k = 0; k < 2 * size; k++) {
    const own = filter(weights, k), norm = Math.sqrt(product(own, own)), old = filter(drawn, k);
    assertAlmostEquals(norm, Math.sqrt(product(old, old)), 1e-5);
    for (let other = 0; other < k; other++) {
      const second = filter(weights, other),
        cosine = product(own, second) / norm / Math.sqrt(product(second, second));
      assertAlmostEquals(cosine, other === k - size ? -1 : 0, 1e-5, `${k} and ${other}`);
    }
  }
  for (let k = 2 * size; k < outputs; k++) assertEquals(filter(weights, k), filter(drawn, k));
  // The direction in which shapes vary most is brightness: all taps of one sign.
  const signs = new Set(filter(weights, 0).map(Math.sign));
  assertEquals(signs.size, 1);
});

it("startOf() sets the last scale of each residual block to 0", () => {
  const graph = buildModel("resnet20"),
    { weights } = startOf(graph, { ...PLAIN, zeroResidual: true }, DATASET);
  const zero = [...weights].filter(([name, { data }]) =>
    name.endsWith(".scale") && data.every((v) => v === 0)
  );
  const blocks = [1, 2, 3].flatMap((stage) =>
    [1, 2, 3].map((block) => `stage${stage}.block${block}.bn2.scale`)
  );
  assertEquals(zero.map(([name]) => name), blocks);
});

it("startOf() begins with given weights, and what they lack where it always begins", () => {
  const { graph } = trainingGraph(buildModel("convnet"), "trig:10:1:2:learned");
  const given = initialState(buildModel("convnet"), 4).weights;
  const { weights } = startOf(graph, PLAIN, DATASET, { weights: given, isTwin: false });
  for (const [name, { data }] of weights) {
    const from = name.endsWith(".fourier") ? initialState(graph, 3).weights : given;
    assertEquals(data, from.get(name)!.data, name);
  }
});
