import { assert, assertAlmostEquals, assertEquals, assertNotEquals, assertThrows } from "@std/assert";
import { it } from "@std/testing/bdd";
import type { Split } from "../data/dataset.ts";
import { type BatchOptions, evaluationBatches, shuffledOrder, trainingBatches } from "./batches.ts";

/** Pixels pass through normalisation as value / 255 - 0 in channel 0, and (value / 255 - 0.5) / 0.25 in channel 1. */
const TASK = { classes: 3, shape: [4, 5, 2], mean: [0, 0.5], deviation: [1, 0.25] } as const;
const SIZE = 4 * 5 * 2;

/** Image i has the value 10 i + its pixel's number in channel 0, and 255 in channel 1; its class is i % 3. */
function split(count: number): Split {
  const images = new Uint8Array(count * SIZE), labels = new Uint16Array(count);
  for (let i = 0; i < count; i++) {
    labels[i] = i % 3;
    for (let p = 0; p < 20; p++) images.set([10 * i + p, 255], i * SIZE + 2 * p);
  }
  return { count, images, labels };
}

const PLAIN: BatchOptions = { batchSize: 4, seed: 1, epoch: 0, augment: { crop: 0, flip: false } };

/** Batches with values of their own, as numbers of channel 0 and 1 times 255. */
const copies = (batches: Iterable<{ size: number; images: Float32Array; targets: Float32Array }>) =>
  Array.from(
    batches,
    ({ size, images, targets }) => ({ size, images: images.slice(), targets: targets.slice() }),
  );
const bytesOf = (images: Float32Array, channel: number) =>
  Array.from({ length: images.length / 2 }, (_, p) => Math.round(images[2 * p + channel] * 255));

it("evaluationBatches() normalises all images in order and keeps the incomplete batch", () => {
  const batches = copies(evaluationBatches(split(7), TASK, 4));
  assertEquals(batches.map(({ size, images, targets }) => [size, images.length, targets.length]), [
    [4, 4 * SIZE, 12],
    [3, 3 * SIZE, 9],
  ]);
  const second = batches[1];
  assertEquals(bytesOf(second.images, 0).slice(0, 3), [40, 41, 42]);
  assertEquals(second.images[1], 2); // (1 - 0.5) / 0.25
  assertEquals([...second.targets], [0, 1, 0, 0, 0, 1, 1, 0, 0]);
});

it("trainingBatches() yields every image once in a random order and drops the incomplete batch", () => {
  const batches = copies(trainingBatches(split(11), TASK, PLAIN));
  assertEquals(batches.length, 2);
  const order = shuffledOrder(11, 1, 0);
  const seen = batches.flatMap(({ images }) =>
    Array.from({ length: 4 }, (_, i) => Math.round(images[i * SIZE] * 25.5))
  );
  assertEquals(seen, [...order.subarray(0, 8)]);
  assertEquals(batches[0].targets.indexOf(1), order[0] % 3);
  assertThrows(() => trainingBatches(split(3), TASK, PLAIN).next(), RangeError, "the training split has 3");
});

it("shuffledOrder() is a permutation that depends on seed and epoch alone", () => {
  const order = shuffledOrder(1000, 5, 2);
  assertEquals([...order].sort((a, b) => a - b), Array.from({ length: 1000 }, (_, i) => i));
  assertEquals(shuffledOrder(1000, 5, 2), order);
  assertNotEquals(shuffledOrder(1000, 5, 3), order);
  assertNotEquals(shuffledOrder(1000, 6, 2), order);
  assertEquals([...shuffledOrder(8, 1, 0)], [6, 0, 7, 5, 4, 1, 2, 3]);
});

/** The image as it must be, moved by (right, down), then mirrored: by definition, pixel by pixel. */
function moved(index: number, right: number, down: number, mirrored: boolean): number[] {
  const out = [];
  for (let y = 0; y < 4; y++) {
    for (let x = 0; x < 5; x++) {
      const sy = y - down, sx = (mirrored ? 4 - x : x) - right;
      const inside = sy >= 0 && sy < 4 && sx >= 0 && sx < 5;
      out.push(inside ? 10 * index + 5 * sy + sx : 0);
    }
  }
  return out;
}

it("trainingBatches() moves images by up to the padding over black and mirrors half of them", () => {
  const augment = { crop: 2, flip: true }, seen = new Map<string, number>();
  for (let epoch = 0; epoch < 200; epoch++) {
    const order = shuffledOrder(8, 3, epoch);
    const [batch] = trainingBatches(split(8), TASK, { batchSize: 8, seed: 3, epoch, augment });
    for (let i = 0; i < 8; i++) {
      const image = batch.images.subarray(i * SIZE, (i + 1) * SIZE), found = bytesOf(image, 0).join();
      let placement = "none";
      for (let right = -2; right <= 2; right++) {
        for (let down = -2; down <= 2; down++) {
          for (const mirrored of [false, true]) {
            if (found === moved(order[i], right, down, mirrored).join()) {
              placement = `${right},${down},${mirrored}`;
            }
          }
        }
      }
      seen.set(placement, (seen.get(placement) ?? 0) + 1);
      // Padding is black before normalisation: (0 - 0.5) / 0.25.
      assertEquals(new Set(image.filter((_, p) => p % 2 === 1)).size <= 2, true);
      for (const value of image.filter((_, p) => p % 2 === 1)) {
        assertEquals(value === 2 || value === -2, true);
      }
    }
  }
  // All 50 placements come up, about 32 times each.
  assertEquals([seen.has("none"), seen.size], [false, 50]);
  for (const times of seen.values()) assertEquals(times > 10 && times < 64, true);
});

it("trainingBatches() mirrors each image in every other epoch where they alternate, half of them in the first", () => {
  const augment = { crop: 0, flip: "alternating" } as const, count = 20;
  const mirrored = (epoch: number) => {
    const order = shuffledOrder(count, 3, epoch), flags = new Array<boolean>(count);
    const [batch] = trainingBatches(split(count), TASK, { batchSize: count, seed: 3, epoch, augment });
    for (let i = 0; i < count; i++) {
      const found = bytesOf(batch.images.subarray(i * SIZE, (i + 1) * SIZE), 0).join();
      const isAsItIs = found === moved(order[i], 0, 0, false).join();
      assertEquals(isAsItIs || found === moved(order[i], 0, 0, true).join(), true);
      flags[order[i]] = !isAsItIs;
    }
    return flags;
  };
  const first = mirrored(0);
  assertEquals([mirrored(1), mirrored(2)], [first.map((flag) => !flag), first]);
  const number = first.filter((flag) => flag).length;
  assertEquals(number > 4 && number < 16, true, `${number} of ${count}`);
});

it("trainingBatches() augments an image by seed, epoch and index, whatever the batch size", () => {
  const options = { ...PLAIN, augment: { crop: 2, flip: true } };
  const all = (batchSize: number, epoch: number) =>
    copies(trainingBatches(split(8), TASK, { ...options, batchSize, epoch })).flatMap((
      { images },
    ) => [...images]);
  assertEquals(all(2, 0), all(8, 0));
  assertEquals(all(4, 7), all(4, 7));
  assertNotEquals(all(4, 0), all(4, 1));
});

it("trainingBatches() greys one square of each image, another in every epoch, and nothing else", () => {
  const size = 9 * 7 * 2, side = 3, task = { ...TASK, shape: [9, 7, 2] as const };
  const images = { count: 64, images: new Uint8Array(64 * size).fill(200), labels: new Uint16Array(64) };
  const squares = new Set<string>();
  for (let epoch = 0; epoch < 4; epoch++) {
    const [batch] = trainingBatches(images, task, {
      ...PLAIN,
      ...{ batchSize: 64, epoch, augment: { crop: 0, flip: false }, cutout: side },
    });
    for (let i = 0; i < 64; i++) {
      const grey = Array.from({ length: size }, (_, at) => at).filter((at) =>
        batch.images[i * size + at] === 0
      );
      const rows = grey.map((at) => Math.floor(at / 14)), columns = grey.map((at) => at % 14 >> 1);
      const [top, left] = [Math.min(...rows), Math.min(...columns)];
      const [bottom, right] = [Math.max(...rows), Math.max(...columns)];
      assert(bottom - top < side && right - left < side, "larger than asked for");
      assertEquals(grey.length, (bottom - top + 1) * (right - left + 1) * 2, "no whole box");
      const isCut = top === 0 || left === 0 || bottom === 8 || right === 6;
      assert(isCut || grey.length === side * side * 2, "smaller away from the border");
      squares.add(`${top} ${left}`);
    }
  }
  assert(squares.size > 40, `${squares.size} places`);
});

it("a batch is valid until the next but one is drawn", () => {
  for (const batches of [trainingBatches(split(12), TASK, PLAIN), evaluationBatches(split(12), TASK, 4)]) {
    const first = batches.next().value!, copy = first.images.slice();
    batches.next();
    assertEquals(first.images, copy);
    assertEquals(batches.next().value!.images.buffer, first.images.buffer);
  }
});

/** The share of a mixed batch, read from the targets of images of one class each. */
const labelled = (count: number): Split => ({
  ...split(count),
  labels: Uint16Array.from({ length: count }, (_, i) => i),
});

it("trainingBatches() mixes each image and target with the next by MixUp", () => {
  const task = { ...TASK, classes: 4 }, shares: number[] = [];
  for (let epoch = 0; epoch < 100; epoch++) {
    const options = { ...PLAIN, epoch }, [plain] = trainingBatches(labelled(4), task, options);
    const [mixed] = trainingBatches(labelled(4), task, { ...options, mixup: 0.2 });
    const share = mixed.targets[plain.targets.indexOf(1)];
    shares.push(share);
    for (let i = 0; i < 4; i++) {
      for (const [values, result] of [[plain.images, mixed.images], [plain.targets, mixed.targets]]) {
        const size = values.length / 4, next = (i + 1) % 4;
        for (let p = 0; p < size; p++) {
          const expected = share * values[i * size + p] + (1 - share) * values[next * size + p];
          assertAlmostEquals(result[i * size + p], expected, 1e-5);
        }
      }
      assertAlmostEquals(mixed.targets.subarray(4 * i, 4 * i + 4).reduce((a, b) => a + b), 1, 1e-6);
    }
  }
  // Beta(0.2, 0.2): mean 1/2, deviation sqrt(1 / (4 * 1.4)) = 0.42.
  const mean = shares.reduce((a, b) => a + b) / 100;
  assertAlmostEquals(mean, 0.5, 0.15);
  assertAlmostEquals(Math.sqrt(shares.reduce((a, b) => a + (b - mean) ** 2, 0) / 100), 0.42, 0.06);
});

it("trainingBatches() replaces a box by the next image's by CutMix, and targets by its area", () => {
  const task = { ...TASK, classes: 4 }, areas = new Set<number>();
  for (let epoch = 0; epoch < 50; epoch++) {
    const options = { ...PLAIN, epoch }, [plain] = trainingBatches(labelled(4), task, options);
    const [cut] = trainingBatches(labelled(4), task, { ...options, cutmix: 1 });
    const inBox = Array.from({ length: 20 }, (_, p) => cut.images[2 * p] !== plain.images[2 * p]);
    const area = inBox.filter(Boolean).length / 20;
    areas.add(area);
    for (let i = 0; i < 4; i++) {
      const next = (i + 1) % 4;
      for (let p = 0; p < 20; p++) {
        assertEquals(cut.images[i * SIZE + 2 * p], plain.images[(inBox[p] ? next : i) * SIZE + 2 * p]);
      }
      const classOf = (k: number) => plain.targets.subarray(4 * k, 4 * k + 4).indexOf(1);
      assertAlmostEquals(cut.targets[4 * i + classOf(i)], 1 - area, 1e-6);
      assertAlmostEquals(cut.targets[4 * i + classOf(next)], area, 1e-6);
    }
  }
  assertEquals(areas.size > 4, true);
});

it("trainingBatches() uses MixUp or CutMix, each for about half of the batches, if both are given", () => {
  const task = { ...TASK, classes: 4 };
  let whole = 0;
  for (let epoch = 0; epoch < 200; epoch++) {
    const options = { ...PLAIN, epoch }, [plain] = trainingBatches(labelled(4), task, options);
    const before = new Set(plain.images);
    const [mixed] = trainingBatches(labelled(4), task, { ...options, mixup: 1, cutmix: 1 });
    if (mixed.images.every((value) => before.has(value))) whole++;
  }
  assertEquals(whole > 70 && whole < 130, true);
});
