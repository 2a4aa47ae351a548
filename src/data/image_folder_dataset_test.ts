import { assertAlmostEquals, assertEquals, assertRejects } from "@std/assert";
import { it } from "@std/testing/bdd";
import { createCanvas } from "canvas";
import { IMAGENET } from "./dataset.ts";
import { readImageFolder } from "./image_folder_dataset.ts";

const BLACK = "rgb(0, 0, 0)", RED = "rgb(200, 0, 0)", BLUE = "rgb(0, 0, 250)";

/** An image whose left and right quarter have the colour `sides`, the middle `colour`. */
async function writeImage(path: string, width: number, height: number, colour: string, sides = colour) {
  const canvas = createCanvas(width, height), context = canvas.getContext("2d");
  context.fillStyle = sides;
  context.fillRect(0, 0, width, height);
  context.fillStyle = colour;
  context.fillRect(width / 4, 0, width / 2, height);
  await Deno.mkdir(path.slice(0, path.lastIndexOf("/")), { recursive: true });
  const bytes = path.endsWith("png") ? canvas.toBuffer("image/png") : canvas.toBuffer("image/webp");
  await Deno.writeFile(path, new Uint8Array(bytes));
}

async function inFolder(work: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await work(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

it("readImageFolder() sorts classes by name, crops to the centre and shuffles the files", () =>
  inFolder(async (folder) => {
    for (let i = 0; i < 12; i++) {
      await writeImage(`${folder}/train/b_red/${i}.png`, 32, 32, RED);
      await writeImage(`${folder}/train/a_blue/${i}.webp`, 64, 32, BLUE, BLACK);
    }
    await writeImage(`${folder}/val/b_red/x.png`, 40, 80, RED);
    await Deno.writeTextFile(`${folder}/train/b_red/notes.txt`, "no image");
    const { train, test, classes, shape, name } = await readImageFolder(folder, [16, 16, 3]);
    assertEquals([name, classes, shape, train.count, test.count], ["folder", 2, [16, 16, 3], 24, 1]);
    assertEquals(train.labels.reduce((a, b) => a + b), 12);
    assertEquals(new Set(train.labels.subarray(0, 10)).size, 2);
    for (const [i, label] of train.labels.entries()) {
      // WebP is lossy, so blue is only about blue.
      const [r, g, b] = train.images.subarray(i * 768 + 3 * (8 * 16 + 8));
      const expected = label === 1 ? [200, 0, 0] : [0, 0, 250];
      for (const [c, value] of [r, g, b].entries()) assertAlmostEquals(value, expected[c], 12);
    }
    // The black sides of a wide image are cut off: its corners are blue.
    const blue = train.labels.indexOf(0) * 768;
    assertAlmostEquals(train.images[blue + 3 * (4 * 16 + 1) + 2], 250, 40);
    assertEquals([...test.images.subarray(0, 3)], [200, 0, 0]);
    assertEquals([...test.labels], [1]);

    const limited = await readImageFolder(folder, [16, 16, 3], { train: 5 });
    assertEquals(limited.train.images, train.images.subarray(0, 5 * 768));
  }));

it("readImageFolder() normalises images of 224 x 224 as ImageNet", () =>
  inFolder(async (folder) => {
    await writeImage(`${folder}/train/a/1.png`, 8, 8, RED);
    await writeImage(`${folder}/val/a/1.png`, 8, 8, RED);
    assertEquals((await readImageFolder(folder, [224, 224, 3])).mean, IMAGENET.mean);
  }));

it("readImageFolder() says in one sentence what is wrong", () =>
  inFolder(async (folder) => {
    const read = (side = 8) => readImageFolder(folder, [side, side, 3]);
    await assertRejects(read, Error, `${folder}/train is not there; an image folder has train/<class>/*.jpg`);
    await Deno.mkdir(`${folder}/train/a`, { recursive: true });
    await assertRejects(read, Error, `${folder}/train holds no images`);
    await writeImage(`${folder}/train/a/1.png`, 8, 8, RED);
    await assertRejects(read, Error, `${folder}/val is not there`);
    await writeImage(`${folder}/val/b/1.png`, 8, 8, RED);
    await assertRejects(read, Error, `${folder}/val/b is a class that the train folder lacks`);
    await Deno.rename(`${folder}/val/b`, `${folder}/val/a`);
    await assertRejects(
      () => read(30_000),
      Error,
      "take 2.5 GiB of memory, more than the 2 GiB that are allowed",
    );
    await Deno.writeTextFile(`${folder}/val/a/1.png`, "no image");
    await assertRejects(read, Error, `${folder}/val/a/1.png is not an image that can be decoded`);
  }));

it("readImageFolder() takes no hidden folder for a class and says what else it leaves out", () =>
  inFolder(async (root) => {
    const folder = `${root}/data`;
    for (const [i, name] of ["cat", "dog"].entries()) {
      await writeImage(`${folder}/train/${name}/1.png`, 16, 16, i === 0 ? RED : BLUE);
      await writeImage(`${folder}/val/${name}/1.png`, 16, 16, i === 0 ? RED : BLUE);
    }
    const plain = await readImageFolder(folder, [16, 16, 3]);
    assertEquals([plain.classNames, plain.notes], [["cat", "dog"], []]);

    // What Jupyter, macOS and people leave behind; all of it sorts before or between the classes.
    await Deno.mkdir(`${folder}/train/.ipynb_checkpoints`);
    await Deno.writeTextFile(`${folder}/train/cat/._1.png`, "Mac OS X");
    await Deno.writeTextFile(`${folder}/val/.DS_Store`, "");
    await Deno.writeTextFile(`${folder}/train/cat/notes.txt`, "");
    await Deno.writeTextFile(`${folder}/train/cat/2.gif`, "GIF89a");
    await writeImage(`${folder}/train/loose.png`, 16, 16, RED);
    await writeImage(`${folder}/train/dog/more/2.png`, 16, 16, BLUE);
    await Deno.symlink(`${root}/nowhere.png`, `${folder}/train/dog/gone.png`);
    const { train, test, classNames, notes } = await readImageFolder(folder, [16, 16, 3]);
    assertEquals([classNames, train, test], [plain.classNames, plain.train, plain.test]);
    assertEquals(notes, [
      `left out of ${folder}: 3 hidden (train/.ipynb_checkpoints, ...)`,
      `left out of ${folder}: 1 outside the folders of classes (train/loose.png)`,
      `left out of ${folder}: 2 not named .png, .jpg, .jpeg or .webp (train/cat/2.gif, ...)`,
      `left out of ${folder}: 1 that cannot be opened (train/dog/gone.png)`,
      `left out of ${folder}: 1 folders inside a class (train/dog/more)`,
    ]);
  }));

it("readImageFolder() follows links, and refuses an empty folder that would shift the labels", () =>
  inFolder(async (root) => {
    const folder = `${root}/data`;
    await writeImage(`${root}/elsewhere/1.png`, 16, 16, RED);
    for (const split of ["train", "val"]) {
      await writeImage(`${folder}/${split}/b/1.png`, 16, 16, BLUE);
      await Deno.symlink(`${root}/elsewhere`, `${folder}/${split}/c`);
    }
    const { classNames, train } = await readImageFolder(folder, [16, 16, 3]);
    assertEquals([classNames, train.count], [["b", "c"], 2]);
    await Deno.mkdir(`${folder}/train/a`);
    await assertRejects(
      () => readImageFolder(folder, [16, 16, 3]),
      Error,
      `${folder}/train/a holds no images, yet would count as a class; remove it, or put images there`,
    );
  }));

it("readImageFolder() says how many images were scaled, and which classes are not tested", () =>
  inFolder(async (folder) => {
    for (const name of ["a", "b"]) {
      await writeImage(`${folder}/train/${name}/1.png`, 16, 16, RED);
      await writeImage(`${folder}/train/${name}/2.png`, 20, 16, RED);
    }
    await writeImage(`${folder}/val/a/1.png`, 8, 8, RED);
    assertEquals((await readImageFolder(folder, [16, 16, 3])).notes, [
      `${folder}/val has no images of b`,
      "3 of 5 images were scaled and cropped to 16 x 16",
    ]);
  }));
