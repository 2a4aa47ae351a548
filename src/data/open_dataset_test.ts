import { assertEquals, assertRejects } from "@std/assert";
import { it } from "@std/testing/bdd";
import { holdOut } from "./dataset.ts";
import { openDataset } from "./open_dataset.ts";

it("openDataset() opens shapes; a smaller set is the start of a larger one", async () => {
  const five = await openDataset("shapes", { limit: { train: 5, test: 2 } });
  const ten = await openDataset("shapes", { limit: { train: 10, test: 2 } });
  assertEquals([five.train.count, five.test.count], [5, 2]);
  assertEquals(five.train.images, ten.train.images.subarray(0, 5 * 3072));
  const other = await openDataset("shapes", { seed: 2, limit: { train: 5, test: 2 } });
  assertEquals(other.train.images.every((value, i) => value === five.train.images[i]), false);
});

it("openDataset() says in one sentence what cannot be opened", async () => {
  const refused = (message: string, ...args: Parameters<typeof openDataset>) =>
    assertRejects(() => openDataset(...args), Error, message);
  const limit = { train: 1, test: 1 };
  await refused('unknown dataset "mnist"; known datasets: cifar10, cifar100, shapes, folder', "mnist");
  await refused("an image folder needs its place: --data DIR", "folder");
  await refused("shapes has images of 32 x 32 x 3, not of 224 x 224 x 3", "shapes", {
    limit,
    shape: [224, 224, 3],
  });
  await refused("shapes has 10 classes, not 100", "shapes", { limit, classes: 100 });
  await refused("deno task data --get cifar100 --data /nowhere", "cifar100", { folder: "/nowhere" });
});

it("holdOut() puts the last training images in place of the test images", async () => {
  const dataset = await openDataset("shapes", { limit: { train: 20, test: 3 } }), held = holdOut(dataset);
  assertEquals([held.train.count, held.test.count], [18, 2]);
  assertEquals([...held.test.labels], [8, 9]);
  assertEquals(held.test.images, dataset.train.images.subarray(18 * 3072));
});
