import { assertEquals, assertRejects } from "@std/assert";
import { it } from "@std/testing/bdd";
import { readImageList, writeImageList } from "./image_list.ts";

it("readImageList() gives what writeImageList() wrote, in little-endian order", async () => {
  const path = await Deno.makeTempFile();
  try {
    const images = [[1, -2, 0.5], [3, 4, 5]].map((values) => Float32Array.from(values));
    await writeImageList(path, images);
    assertEquals([...(await Deno.readFile(path)).subarray(0, 4)], [0, 0, 0x80, 0x3f]);
    assertEquals(await readImageList(path, [1, 1, 3]), images);
  } finally {
    await Deno.remove(path);
  }
});

it("readImageList() names a file that is missing, empty or cut off", async () => {
  const path = await Deno.makeTempFile();
  try {
    for (const size of [0, 23]) {
      await Deno.writeFile(path, new Uint8Array(size));
      await assertRejects(
        () => readImageList(path, [1, 2, 3]),
        Error,
        `${path} has ${size} bytes, not a multiple of 24: it must hold float32 images of 1x2x3`,
      );
    }
  } finally {
    await Deno.remove(path);
  }
  await assertRejects(() => readImageList(path, [1, 2, 3]), Error, `cannot read the images ${path}`);
});
