import { assertEquals, assertRejects } from "@std/assert";
import { it } from "@std/testing/bdd";
import { createCanvas } from "canvas";
import { normalisationOf, normalise } from "./dataset.ts";
import { writeImageList } from "./image_list.ts";
import { readNamedImages } from "./named_images.ts";

const SHAPE = [4, 4, 3] as const;

async function drawn(path: string, side: number, grey: number): Promise<void> {
  const canvas = createCanvas(side, side), context = canvas.getContext("2d");
  context.fillStyle = `rgb(${grey}, ${grey}, ${grey})`;
  context.fillRect(0, 0, side, side);
  await Deno.writeFile(path, canvas.toBuffer("image/png"));
}

it("readNamedImages() takes the images of a folder by name, and says what it left out or scaled", async () => {
  const folder = await Deno.makeTempDir();
  try {
    await Deno.writeTextFile(`${folder}/labels.txt`, "");
    await Deno.writeTextFile(`${folder}/.hidden.png`, "");
    await assertRejects(() => readNamedImages(folder, SHAPE), Error, `${folder} holds no images`);
    await drawn(`${folder}/b.png`, 4, 20);
    await drawn(`${folder}/a.PNG`, 8, 200);
    const { images, names, notes } = await readNamedImages(folder, SHAPE);
    assertEquals(names, ["a.PNG", "b.png"]);
    const grey = (value: number) => normalise(new Uint8Array(48).fill(value), normalisationOf(SHAPE));
    assertEquals(images, [grey(200), grey(20)]);
    assertEquals(notes, [
      `left out of ${folder}: 1 not named .png, .jpg, .jpeg or .webp`,
      "1 of 2 images were scaled and cropped to 4 x 4",
    ]);
    // What is beyond the limit is not decoded, so it may be damaged.
    await Deno.writeTextFile(`${folder}/b.png`, "no picture");
    const first = await readNamedImages(folder, SHAPE, { limit: 1 });
    assertEquals([first.names, first.available], [["a.PNG"], 2]);
    assertEquals(first.notes[1], "1 of 1 images were scaled and cropped to 4 x 4");
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

it("readNamedImages() takes the images of one file by number", async () => {
  const file = await Deno.makeTempFile();
  try {
    const images = [1, 2].map((value) => new Float32Array(48).fill(value));
    await writeImageList(file, images);
    assertEquals(await readNamedImages(file, SHAPE), {
      images,
      names: ["0", "1"],
      available: 2,
      notes: [],
    });
  } finally {
    await Deno.remove(file);
  }
  await assertRejects(() => readNamedImages(file, SHAPE), Error, `cannot read the images ${file}`);
});
