import { assertEquals } from "@std/assert";
import { it } from "@std/testing/bdd";
import { layersOf } from "./layers.ts";

it("layersOf() pools what is flattened as every other engine does: one place of many channels", () => {
  const { list } = layersOf({
    ...{ name: "flat", classes: 4, inputShape: [2, 2, 1] },
    nodes: [
      { op: "input", id: "image" },
      { op: "flatten", id: "flat", input: "image" },
      { op: "maxPool", id: "pool", input: "flat", kernel: 3, stride: 1, padding: 1 },
    ],
  });
  const pool = list.find(({ kind }) => kind === "maxPool");
  assertEquals(pool && "windows" in pool && pool.windows, {
    ...{ height: 1, width: 1, channels: 4, kernel: 3, stride: 1, padding: 1 },
  });
});
