/** Between a file and the tensor nothing changes where nothing is to be done, and nothing is decoded in part. */
import { assert, assertAlmostEquals, assertEquals, assertRejects } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { createCanvas } from "canvas";
import { cover } from "../src/data/cover.ts";
import { CIFAR } from "../src/data/dataset.ts";
import { decodeImage } from "../src/data/decode_image.ts";
import { readImage } from "../src/data/image_file.ts";
import { readImageFolder } from "../src/data/image_folder_dataset.ts";
import { evaluationBatches } from "../src/training/batches.ts";
import { GREY, GREY_ALPHA, joined, PALETTE, png, type PngOptions, RGB, RGBA } from "./support/png.ts";
import { Program } from "./support/program.ts";

const root = await Deno.makeTempDir();
globalThis.addEventListener("unload", () => Deno.removeSync(root, { recursive: true }));

const SHAPE = [32, 32, 3] as const, SIZE = 32 * 32 * 3;
/** No two neighbours alike, black and white among them. */
const PIXELS = Uint8Array.from(
  { length: SIZE },
  (_, i) => i % 7 === 0 ? 255 : i % 11 === 0 ? 0 : (i * 73) % 256,
);
const SQUARE = { width: 32, height: 32, colour: RGB, samples: PIXELS } as const;

async function written(name: string, bytes: Uint8Array): Promise<string> {
  await Deno.mkdir(`${root}/${name}`.replace(/\/[^/]*$/, ""), { recursive: true });
  await Deno.writeFile(`${root}/${name}`, bytes);
  return `${root}/${name}`;
}

const decoded = async (
  options: PngOptions,
) => [...(await decodeImage(await written("decoded.png", png(options)))).rgb];

describe("an image of the network's size", () => {
  it("reaches the tensor with the values of its file, as in evaluation after training", async () => {
    const path = await written("square.png", png(SQUARE)),
      { pixels, scaledFrom } = await readImage(path, SHAPE);
    assertEquals(scaledFrom, null);
    const split = { count: 1, images: PIXELS, labels: Uint16Array.of(0) };
    const [batch] = evaluationBatches(split, { ...CIFAR, classes: 10, shape: SHAPE }, 1);
    assertEquals(pixels, batch.images);
  });

  it("reaches a data set of an image folder with the values of its file", async () => {
    for (const split of ["train", "val"]) await written(`folder/${split}/a/1.png`, png(SQUARE));
    assertEquals((await readImageFolder(`${root}/folder`, SHAPE)).train.images, PIXELS);
  });

  it("keeps its values whatever its colour type and its chunks about colour", async () => {
    const two = { width: 2, height: 1 };
    assertEquals(await decoded({ ...two, colour: GREY, samples: [1, 200] }), [1, 1, 1, 200, 200, 200]);
    assertEquals(
      await decoded({ ...two, colour: GREY, bits: 1, samples: [0b01000000] }),
      [0, 0, 0, 255, 255, 255],
    );
    const palette = ["PLTE", [9, 8, 7, 6, 5, 4]] as const;
    assertEquals(
      await decoded({ ...two, colour: PALETTE, samples: [1, 0], parts: [palette] }),
      [6, 5, 4, 9, 8, 7],
    );
    // 16 bits: the upper eight.
    assertEquals(
      await decoded({ width: 1, height: 1, colour: RGB, bits: 16, samples: [1, 255, 2, 128, 3, 0] }),
      [1, 2, 3],
    );
    const rgb = [1, 2, 3, 250, 0, 77];
    for (const part of [["gAMA", [0, 0, 0x27, 0x10]], ["sRGB", [0]]] as const) {
      assertEquals(await decoded({ ...two, colour: RGB, samples: rgb, parts: [part] }), rgb);
    }
  });
});

describe("a transparent image", () => {
  it("is laid on white, and colours under full alpha are untouched", async () => {
    const samples = [10, 20, 30, 255, 10, 20, 30, 0, 0, 100, 255, 51];
    assertEquals(
      await decoded({ width: 3, height: 1, colour: RGBA, samples }),
      [10, 20, 30, 255, 255, 255, 204, 224, 255],
    );
    assertEquals(await decoded({ width: 1, height: 1, colour: GREY_ALPHA, samples: [0, 0] }), [
      255,
      255,
      255,
    ]);
    const masked = ["tRNS", [0, 10, 0, 20, 0, 30]] as const;
    assertEquals(
      await decoded({ width: 1, height: 1, colour: RGB, samples: [10, 20, 30], parts: [masked] }),
      [255, 255, 255],
    );
  });
});

describe("an image of another size", () => {
  const picture = (width: number, height: number, value: (x: number, y: number) => number) => ({
    width,
    height,
    rgb: Uint8Array.from(
      { length: width * height * 3 },
      (_, i) => value(Math.floor(i / 3) % width, Math.floor(i / 3 / width)),
    ),
  });
  const red = (rgb: Uint8Array) => [...rgb].filter((_, i) => i % 3 === 0);

  it("is only cropped where nothing is to be scaled, also by half a pixel", () => {
    assertEquals(red(cover(picture(4, 2, (x, y) => 10 * y + x), 2, 2)), [1, 2, 11, 12]);
    assertEquals(red(cover(picture(3, 2, (x) => x), 2, 2)), [0, 1, 0, 1]);
  });

  it("is scaled without skipping pixels, and its brightness is kept", () => {
    // Half the size: weights 1, 3, 3, 1 of 8 on four pixels, at the border 3, 3, 1 of 7.
    assertEquals(red(cover(picture(4, 4, (x) => [0, 70, 140, 210][x]), 2, 2)).slice(0, 2), [50, 160]);
    const stripes = cover(picture(640, 480, (x) => x % 2 * 255), 32, 32);
    for (const value of stripes) assertAlmostEquals(value, 127.5, 3);
    for (const value of cover(picture(5, 900, () => 93), 32, 32)) assertEquals(value, 93);
    // Twice the size: a quarter and three quarters of neighbours.
    assertEquals(red(cover(picture(2, 2, (x) => 100 * x), 4, 4)).slice(0, 4), [0, 25, 75, 100]);
  });

  it("is scaled by infer, client and explain, which say so", async () => {
    const path = await written(
      "large.png",
      png({ width: 40, height: 20, colour: GREY, samples: PIXELS.slice(0, 800) }),
    );
    await using infer = Program.start("infer", ["--model", "convnet", "--image", path, "--repetitions", "1"]);
    const { stdout } = await infer.succeeds();
    const note = `${path} has 40 x 20 pixels, scaled and cropped to 32 x 32 as in training`;
    assert(stdout.includes(note), stdout);
    await using explain = Program.start("explain", ["--model", "convnet", "--image", path]);
    assert((await explain.succeeds()).stdout.includes(note));
  });

  it("is turned as the camera says before it is measured", async () => {
    const canvas = createCanvas(64, 32), jpeg = new Uint8Array(canvas.toBuffer("image/jpeg", 90));
    const orientation6 = [0x01, 0x12, 0, 3, 0, 0, 0, 1, 0, 6, 0, 0];
    const exif = [..."Exif\0\0MM\0*\0\0\0\x08\0\x01"].map((c) => c.charCodeAt(0)).concat(orientation6, [
      0,
      0,
      0,
      0,
    ]);
    const turned = joined([
      jpeg.subarray(0, 2),
      Uint8Array.of(0xff, 0xe1, 0, exif.length + 2, ...exif),
      jpeg.subarray(2),
    ]);
    const { width, height } = await decodeImage(await written("turned.jpg", turned));
    assertEquals([width, height], [32, 64]);
  });
});

describe("a file that is no image, or only a part of one", () => {
  const canvas = createCanvas(64, 64), context = canvas.getContext("2d");
  for (let i = 0; i < 64; i++) {
    context.fillStyle = `rgb(${4 * i}, ${255 - 4 * i}, ${i % 7 * 30})`;
    context.fillRect(i, i % 5, 1, 64);
  }
  const jpeg = new Uint8Array(canvas.toBuffer("image/jpeg", 90));
  const webp = new Uint8Array(canvas.toBuffer("image/webp"));
  const whole = png(SQUARE);
  const changed = (bytes: Uint8Array, at: number, count = 1) =>
    bytes.map((byte, i) => i >= at && i < at + count ? byte ^ 0x55 : byte);
  /** A header that promises a large picture, without its pixels. */
  const bomb = png({ width: 20_000, height: 20_000, colour: RGB, samples: new Uint8Array(20_000) });
  const svg = new TextEncoder().encode(
    `<svg xmlns="http://www.w3.org/2000/svg" width="100000" height="100000"><rect width="9" height="9"/></svg>`,
  );

  it("is decoded where it is whole", async () => {
    for (const [name, bytes] of [["whole.jpg", jpeg], ["whole.webp", webp]] as const) {
      const { width, height, rgb } = await decodeImage(await written(name, bytes));
      assertEquals([width, height, rgb.length], [64, 64, 64 * 64 * 3]);
    }
  });

  for (
    const [what, bytes, sentence] of [
      ["an SVG", svg, "is not an image that can be decoded (PNG, JPEG or WebP)"],
      ["a GIF", new Uint8Array(canvas.toBuffer("image/gif")), "is not an image that can be decoded"],
      ["an AVIF", new Uint8Array(canvas.toBuffer("image/avif")), "is not an image that can be decoded"],
      ["no file at all", new Uint8Array(), "is not an image that can be decoded"],
      ["a bomb", bomb, "has 20000 x 20000 pixels, more than the 67108864 that are decoded"],
      [
        "a JPEG without its end",
        jpeg.subarray(0, jpeg.length - 200),
        "is damaged: Premature end of JPEG file",
      ],
      // JPEG has no checksums: what shows is that some bytes mean nothing.
      ["a JPEG with wrong bytes", changed(jpeg, jpeg.length - 500, 200), "is damaged: Corrupt JPEG data"],
      ["a PNG without its end", whole.subarray(0, whole.length - 20), "is damaged: its end is missing"],
      [
        "a PNG with a wrong byte",
        changed(whole, whole.length - 60),
        "is damaged: the checksum of its part IDAT",
      ],
      ["a PNG without pixels enough", png({ ...SQUARE, height: 33 }), "is damaged"],
      ["a WebP without its end", webp.subarray(0, webp.length - 100), "is damaged"],
    ] as const
  ) {
    it(`is refused in a sentence: ${what}`, async () => {
      // Under the name of a picture: what counts is what the file begins with.
      const path = await written("what.png", bytes);
      await assertRejects(() => decodeImage(path), Error, `${path} ${sentence}`);
    });
  }
});

it("the name of a file writes no line and steers no terminal", async () => {
  await written("names/x\u001b[31mred\nline.png", png(SQUARE));
  await using program = Program.start("infer", ["--images", `${root}/names`]);
  const { stdout } = await program.succeeds();
  assert(stdout.includes("x?[31mred?line.png") && !stdout.includes("\u001b"), stdout);
});
