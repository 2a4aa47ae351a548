import { assertEquals, assertRejects } from "@std/assert";
import { it } from "@std/testing/bdd";
import { readLabels } from "./label_list.ts";

const NAMES = { classes: 3, classNames: ["disc", "square", "7"] };

it("readLabels() takes numbers and names, and refuses what is no class or no line an image", async () => {
  const path = await Deno.makeTempFile();
  const refuses = async (text: string, images: number, sentence: string) => {
    await Deno.writeTextFile(path, text);
    await assertRejects(() => readLabels(path, images, NAMES), Error, `${path}${sentence}`);
  };
  try {
    await Deno.writeTextFile(path, "2\r\ndisc\n square \n7\n");
    // A name that is a number is a name.
    assertEquals(await readLabels(path, 4, NAMES), [2, 0, 1, 2]);
    assertEquals(await readLabels(path, 4, { ...NAMES, classes: 8 }), [2, 0, 1, 2]);
    await refuses("0\n1\n", 3, " has 2 labels for 3 images; it must have a line an image");
    await refuses("0\n\n1\n", 3, ', line 2: "" is no class');
    await refuses(
      "0\n3\n",
      2,
      ', line 2: "3" is no class; give a number from 0 to 2, or a name (disc, square, 7)',
    );
    await refuses("-1\n", 1, ', line 1: "-1" is no class');
  } finally {
    await Deno.remove(path);
  }
  await assertRejects(() => readLabels(path, 1, NAMES), Error, `cannot read the labels ${path}`);
});
