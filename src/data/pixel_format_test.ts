import { assertAlmostEquals, assertEquals } from "@std/assert";
import { it } from "@std/testing/bdd";
import { normalise } from "./dataset.ts";
import { arrange, inFormat, ownFormat } from "./pixel_format.ts";

const RGB = Uint8Array.of(10, 20, 30, 255, 255, 255, 200, 0, 0, 0, 200, 0, 0, 0, 200, 1, 1, 1);

it("arrange() turns channels, and weighs them as PIL does", () => {
  const format = ownFormat([2, 3, 3]);
  assertEquals(arrange(RGB, format), RGB);
  assertEquals([...arrange(RGB, { ...format, channels: "BGR" })].slice(0, 9), [
    30,
    20,
    10,
    255,
    255,
    255,
    0,
    0,
    200,
  ]);
  // PIL 9.4: Image.fromarray(rgb).convert("L").
  const grey = { channels: "grey", mean: [0.5], deviation: [0.25] } as const;
  assertEquals([...arrange(RGB, grey)], [18, 255, 60, 117, 23, 1]);
  const [first] = normalise(arrange(RGB, grey), grey);
  assertAlmostEquals(first, (18 / 255 - 0.5) / 0.25, 1e-6);
});

it("inFormat() changes both splits of a data set, its shape and what it is normalised by", () => {
  const split = { count: 1, images: RGB, labels: Uint16Array.of(0) };
  const dataset = {
    name: "x",
    classes: 2,
    shape: [2, 3, 3],
    ...ownFormat([2, 3, 3]),
    train: split,
    test: split,
  } as const;
  const grey = inFormat(dataset, { channels: "grey", mean: [0.5], deviation: [0.25] });
  assertEquals([grey.shape, grey.mean, grey.deviation], [[2, 3, 1], [0.5], [0.25]]);
  assertEquals([grey.train.images.length, grey.test.images.length], [6, 6]);
});
