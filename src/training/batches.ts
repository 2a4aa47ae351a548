/**
 * Batches as an engine takes them: order, augmentation, normalisation, targets. Every random choice is a
 * function of (seed, epoch, index of the image or number of the batch) alone, so it depends neither on the
 * number of workers nor on an interruption.
 *
 * The generators fill two sets of buffers in turn: a batch is valid until the next but one is drawn.
 */
import type { Dataset, Split } from "../data/dataset.ts";
import type { Shape } from "../models/graph.ts";
import { SeededRandom } from "../models/seeded_random.ts";
import type { Batch } from "./engine.ts";

/** What is done to a training image. */
export interface Augmentation {
  /** Zero padding in pixels on every side before a random crop to the old size; 0: no crop. */
  readonly crop: number;
  /** Whether every other image, at random, is mirrored left to right; or every image in every other epoch. */
  readonly flip: boolean | "alternating";
}

/** How training batches are made. */
export interface BatchOptions {
  readonly batchSize: number;
  readonly seed: number;
  readonly epoch: number;
  readonly augment: Augmentation;
  /** Parameter of MixUp's beta distribution: a batch is mixed with itself moved on by one image. */
  readonly mixup?: number | undefined;
  /** Parameter of CutMix's beta distribution. Where both are given, each is used for every other batch, at random. */
  readonly cutmix?: number | undefined;
  /** Side in pixels of the square of each image that is cut out. */
  readonly cutout?: number | undefined;
}

type Task = Pick<Dataset, "classes" | "shape" | "mean" | "deviation">;

/** @throws {RangeError} if the split has fewer images than a batch */
export function checkEnoughImages({ count }: Split, batchSize: number): void {
  if (count >= batchSize) return;
  throw new RangeError(
    `a batch of ${batchSize} needs as many images, the training split has ${count}; use a smaller batch`,
  );
}

/**
 * One epoch in a random order. The images that are left over after the last whole batch are dropped; they are
 * others in each epoch.
 *
 * @throws {RangeError} if the split has fewer images than a batch
 */
export function* trainingBatches(split: Split, task: Task, options: BatchOptions): Generator<Batch> {
  const { batchSize, seed, epoch, augment, cutout } = options;
  checkEnoughImages(split, batchSize);
  const order = shuffledOrder(split.count, seed, epoch);
  const random = imageRandom(seed, `augment:${epoch}`),
    firstMirror = imageRandom(seed, "flip"),
    hole = imageRandom(seed, `cutout:${epoch}`),
    write = imageWriter(split, task),
    buffers = twoBuffers(batchSize, task);
  for (let number = 0; (number + 1) * batchSize <= split.count; number++) {
    const batch = buffers[number % 2];
    for (let i = 0; i < batchSize; i++) {
      const index = order[number * batchSize + i];
      write(batch, i, index, placementOf(random(index), augment, (firstMirror(index) + epoch) % 2 === 1));
      if (cutout !== undefined) {
        greyOut(batch.images, i, task.shape, squareAt(hole(index), cutout, task.shape));
      }
    }
    mix(batch, task.shape, options, number);
    yield batch;
  }
}

/** All images in their order, as they are. The last batch is smaller where the batch size does not divide. */
export function* evaluationBatches(split: Split, task: Task, batchSize: number): Generator<Batch> {
  const write = imageWriter(split, task), buffers = twoBuffers(batchSize, task);
  for (let start = 0, turn = 0; start < split.count; start += batchSize, turn ^= 1) {
    const size = Math.min(batchSize, split.count - start), batch = firstOf(buffers[turn], size);
    for (let i = 0; i < size; i++) write(batch, i, start + i, UNCHANGED);
    yield batch;
  }
}

/** Numbers 0 ... count - 1 in the order of an epoch (Fisher-Yates). */
export function shuffledOrder(count: number, seed: number, epoch: number): Uint32Array {
  const order = Uint32Array.from({ length: count }, (_, i) => i);
  const random = new SeededRandom(seed, `order:${epoch}`);
  for (let i = count - 1; i > 0; i--) {
    const j = Math.floor(random.uniform(0, i + 1)), kept = order[i];
    order[i] = order[j];
    order[j] = kept;
  }
  return order;
}

/** Where an image comes to lie: moved by whole pixels, then mirrored. */
interface Placement {
  readonly right: number;
  readonly down: number;
  readonly mirrored: boolean;
}

const UNCHANGED: Placement = { right: 0, down: 0, mirrored: false };

/** @param isTurn whether the image is mirrored in this epoch where epochs alternate */
function placementOf(word: number, { crop, flip }: Augmentation, isTurn: boolean): Placement {
  // Three fields of one random word; 12 bits make the offsets uniform to within a part in 400.
  const offset = (bits: number) => Math.floor((bits & 0xfff) * (2 * crop + 1) / 4096) - crop;
  const mirrored = flip === "alternating" ? isTurn : flip && word >>> 31 === 1;
  return { right: offset(word), down: offset(word >>> 12), mirrored };
}

/** A random word of each image: a mixing of counters (the finaliser of MurmurHash3, twice). */
function imageRandom(seed: number, purpose: string): (index: number) => number {
  const random = new SeededRandom(seed, purpose), a = random.nextUint32(), b = random.nextUint32();
  return (index) => finalise(finalise(index ^ a) ^ b);
}

function finalise(h: number): number {
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}

type WriteImage = (batch: Batch, position: number, index: number, placement: Placement) => void;

/** Writes image `index` of the split and its target to a position of a batch; pixels pass through a table. */
function imageWriter({ images, labels }: Split, { shape, classes, mean, deviation }: Task): WriteImage {
  const [height, width, channels] = shape, size = height * width * channels, row = width * channels;
  const tables = mean.map((m, c) =>
    Float32Array.from({ length: 256 }, (_, v) => (v / 255 - m) / deviation[c])
  );
  const black = Float32Array.from({ length: size }, (_, i) => tables[i % channels][0]);
  return ({ images: out, targets }, position, index, { right, down, mirrored }) => {
    if (right !== 0 || down !== 0) out.set(black, position * size);
    // The part of the moved image that lies inside, in pixels of the result before it is mirrored.
    const top = Math.max(0, down), bottom = height + Math.min(0, down);
    const left = Math.max(0, right), columns = width - Math.abs(right);
    const start = mirrored ? width - 1 - left : left, step = mirrored ? -channels : channels;
    for (let c = 0; c < channels; c++) {
      const table = tables[c];
      for (let y = top; y < bottom; y++) {
        let from = index * size + (y - down) * row + (left - right) * channels + c;
        let to = position * size + y * row + start * channels + c;
        for (let x = 0; x < columns; x++, from += channels, to += step) out[to] = table[images[from]];
      }
    }
    targets.fill(0, position * classes, (position + 1) * classes);
    targets[position * classes + labels[index]] = 1;
  };
}

/** MixUp ("mixup: Beyond Empirical Risk Minimization") or CutMix of each image with the next of its batch. */
function mix(batch: Batch, shape: Shape, { mixup, cutmix, seed, epoch }: BatchOptions, number: number): void {
  if (mixup === undefined && cutmix === undefined) return;
  const random = new SeededRandom(seed, `mix:${epoch}:${number}`);
  const cut = mixup === undefined || (cutmix !== undefined && random.uniform(0, 1) < 0.5);
  const share = betaSample((cut ? cutmix : mixup)!, random);
  if (!cut) {
    blendNext(batch.images, batch.size, share);
    blendNext(batch.targets, batch.size, share);
    return;
  }
  const box = randomBox(shape, 1 - share, random), [height, width] = shape;
  copyBoxOfNext(batch, shape, box);
  blendNext(
    batch.targets,
    batch.size,
    1 - (box.bottom - box.top) * (box.right - box.left) / (height * width),
  );
}

/** Each of `count` equal rows becomes share * itself + (1 - share) * the next; the first follows the last. */
function blendNext(values: Float32Array, count: number, share: number): void {
  const size = values.length / count, first = values.slice(0, size), last = values.length - size;
  for (let i = 0; i < last; i++) values[i] = share * values[i] + (1 - share) * values[i + size];
  for (let i = 0; i < size; i++) values[last + i] = share * values[last + i] + (1 - share) * first[i];
}

interface Box {
  readonly top: number;
  readonly bottom: number;
  readonly left: number;
  readonly right: number;
}

/** A square around a random pixel, cut off at the image's border: two fields of one random word are its centre. */
function squareAt(word: number, side: number, [height, width]: Shape): Box {
  const top = Math.floor((word & 0xffff) * height / 0x10000) - (side >> 1),
    left = Math.floor((word >>> 16) * width / 0x10000) - (side >> 1);
  return {
    top: Math.max(0, top),
    bottom: Math.min(height, top + side),
    left: Math.max(0, left),
    right: Math.min(width, left + side),
  };
}

/** Cutout ("Improved Regularization of Convolutional Neural Networks with Cutout"): a box of image `i` becomes 0, the mean of a data set's pixels (black where a network takes them as they are). */
function greyOut(
  images: Float32Array,
  i: number,
  [height, width, channels]: Shape,
  { top, bottom, left, right }: Box,
): void {
  for (let y = top; y < bottom; y++) {
    const row = ((i * height + y) * width) * channels;
    images.fill(0, row + left * channels, row + right * channels);
  }
}

/** A box of about `area` of the image around a random centre, cut off at the image's border. */
function randomBox([height, width]: Shape, area: number, random: SeededRandom): Box {
  const half = Math.sqrt(area) / 2;
  const y = Math.floor(random.uniform(0, height)), x = Math.floor(random.uniform(0, width));
  return {
    top: Math.max(0, Math.floor(y - half * height)),
    bottom: Math.min(height, Math.floor(y + half * height)),
    left: Math.max(0, Math.floor(x - half * width)),
    right: Math.min(width, Math.floor(x + half * width)),
  };
}

function copyBoxOfNext(
  { images, size: count }: Batch,
  shape: Shape,
  { top, bottom, left, right }: Box,
): void {
  const [height, width, channels] = shape, size = height * width * channels, first = images.slice(0, size);
  for (let i = 0; i < count; i++) {
    const next = i + 1 < count ? images.subarray((i + 1) * size, (i + 2) * size) : first;
    for (let y = top; y < bottom; y++) {
      const from = (y * width + left) * channels, to = (y * width + right) * channels;
      images.set(next.subarray(from, to), i * size + from);
    }
  }
}

/** A sample of the symmetric beta distribution (Jöhnk's method, quick for parameters up to about 2). */
function betaSample(parameter: number, random: SeededRandom): number {
  while (true) {
    const a = random.uniform(0, 1) ** (1 / parameter), b = random.uniform(0, 1) ** (1 / parameter);
    if (a + b > 0 && a + b <= 1) return a / (a + b);
  }
}

function twoBuffers(batchSize: number, { shape: [height, width, channels], classes }: Task): [Batch, Batch] {
  const make = (): Batch => ({
    size: batchSize,
    images: new Float32Array(batchSize * height * width * channels),
    targets: new Float32Array(batchSize * classes),
  });
  return [make(), make()];
}

/** The first `size` rows of a batch, without a copy. */
function firstOf(batch: Batch, size: number): Batch {
  const rows = (values: Float32Array) => values.subarray(0, values.length / batch.size * size);
  return { size, images: rows(batch.images), targets: rows(batch.targets) };
}
