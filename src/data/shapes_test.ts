import { assertEquals, assertNotEquals } from "@std/assert";
import { it } from "@std/testing/bdd";
import { digest } from "./_fake_cifar.ts";
import { SHAPE_NAMES, shapesDataset } from "./shapes.ts";

it("shapesDataset() draws the same images from the same seed", () => {
  const { train, test, classes, shape } = shapesDataset({ seed: 7, train: 20, test: 10 });
  assertEquals([classes, SHAPE_NAMES.length, shape], [10, 10, [32, 32, 3]]);
  assertEquals([train.count, train.images.length, test.labels.length], [20, 20 * 3072, 10]);
  assertEquals([...train.labels.subarray(0, 12)], [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1]);
  assertEquals(digest("md5", train.images), "96c4c101c93630a3e10dd756e4f31b9f");
});

it("shapesDataset() has an end, however many images are asked for", () => {
  assertEquals(shapesDataset({ train: 0, test: 1e9 }).test.count, 4000);
});

it("shapesDataset() draws an image from seed, split and index alone", () => {
  const large = shapesDataset({ seed: 1, train: 30, test: 30 }),
    small = shapesDataset({ seed: 1, train: 12, test: 1 });
  assertEquals(small.train.images, large.train.images.subarray(0, 12 * 3072));
  assertNotEquals(large.train.images, large.test.images);
  assertNotEquals(shapesDataset({ seed: 2, train: 12, test: 0 }).train.images, small.train.images);
  // Images of one class differ, and use the range of a byte.
  assertNotEquals(large.train.images.subarray(0, 3072), large.train.images.subarray(10 * 3072, 11 * 3072));
  assertEquals([Math.min(...large.train.images) < 10, Math.max(...large.train.images) > 245], [true, true]);
});
