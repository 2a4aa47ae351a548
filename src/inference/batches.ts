/**
 * What a client asks about, as queries of a plan, and its answers. The list of images begins anew at its end: so the last query is filled up with
 * images that the plan has to hold anyway, and an image alone fills its query by itself. Who asks drops what is answered beyond the list.
 *
 * For mirror test-time augmentation an image and its mirror image are two of a batch, and its logits are the mean of theirs.
 */
import type { Shape } from "../models/graph.ts";
import { isUnreliable } from "./guard.ts";
import type { Plan } from "./plan.ts";

/** An image, or an image and its mirror image. */
export const viewsOf = (image: Float32Array, shape: Shape, mirror: boolean): readonly Float32Array[] =>
  mirror ? [image, mirrored(image, shape)] : [image];

/** Left and right exchanged; channels come last. */
function mirrored(image: Float32Array, [height, width, channels]: Shape): Float32Array {
  const turned = new Float32Array(image.length);
  for (let row = 0; row < height; row++) {
    for (let column = 0; column < width; column++) {
      const from = (row * width + column) * channels, to = (row * width + width - 1 - column) * channels;
      turned.set(image.subarray(from, from + channels), to);
    }
  }
  return turned;
}

/** The numbers of images one after another. */
export function joined(images: readonly Float32Array[]): Float32Array {
  if (images.length === 1) return images[0];
  const all = new Float32Array(images.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const image of images) {
    all.set(image, at);
    at += image.length;
  }
  return all;
}

/** The images of query `number`. */
export const batchOf = (
  images: readonly Float32Array[],
  { batch }: Plan,
  number: number,
): Float32Array =>
  joined(Array.from({ length: batch }, (_, i) => images[(number * batch + i) % images.length]));

/** What a client makes of the logits of one image, or of all of its views. */
export interface OpenedAnswer {
  readonly logits: ArrayLike<number>;
  /** Whether one of the views has logits beyond their public bound: then there is no class. */
  readonly unreliable: boolean;
}

/** The answers of a query about images of `views` views each. */
export const answersIn = (plan: Plan, logits: readonly number[], views: number): OpenedAnswer[] =>
  inGroups(inGroups(logits, plan.graph.classes), views).map((group) => ({
    logits: meanOf(group),
    unreliable: group.some((logits) => isUnreliable(plan, logits)),
  }));

/** The mean of lists, place by place. */
export const meanOf = (lists: readonly ArrayLike<number>[]): ArrayLike<number> =>
  lists.length === 1
    ? lists[0]
    : Array.from(lists[0], (_, k) => lists.reduce((sum, list) => sum + list[k], 0) / lists.length);

/** A list in pieces of `size`; one of that size, which may have millions of logits, is not copied. */
export const inGroups = <T>(list: readonly T[], size: number): (readonly T[])[] =>
  list.length === size
    ? [list]
    : Array.from({ length: list.length / size }, (_, i) => list.slice(i * size, (i + 1) * size));
