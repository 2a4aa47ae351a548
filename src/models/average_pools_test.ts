import { assertEquals, assertThrows } from "@std/assert";
import { it } from "@std/testing/bdd";
import { everything } from "./_small_networks.ts";
import { withAveragePools } from "./average_pools.ts";
import { type Graph, inferShapes } from "./graph.ts";
import { buildModel } from "./zoo.ts";

it("withAveragePools() makes of ResNet-50 the one with averages, and leaves networks without maxima as they are", () => {
  assertEquals(withAveragePools(buildModel("resnet50")).nodes, buildModel("resnet50-avg").nodes);
  assertEquals(withAveragePools(buildModel("resnet18")), buildModel("resnet18"));
});

it("withAveragePools() keeps every shape, or refuses", () => {
  const pooled = (kernel: number, stride: number, padding: number, side = 14): Graph => ({
    name: "pooled",
    classes: 2,
    inputShape: [side, side, 1],
    nodes: [
      { id: "image", op: "input" },
      { id: "max", op: "maxPool", input: "image", kernel, stride, padding },
      { id: "flat", op: "flatten", input: "max" },
      { id: "logits", op: "dense", input: "flat", outputs: 2, bias: true },
    ],
  });
  for (const graph of [pooled(2, 2, 0), pooled(3, 2, 1), pooled(1, 2, 0), pooled(3, 3, 0)]) {
    assertEquals(inferShapes(withAveragePools(graph)), inferShapes(graph));
  }
  // 15 pixels give 8 maxima of 3 with a border and 7 means of 2; a window that moves by one pixel would be that pixel.
  for (const graph of [pooled(3, 2, 1, 15), pooled(3, 1, 1), everything]) {
    assertThrows(() => withAveragePools(graph), RangeError, "cannot take the place of max: they give ");
  }
});
