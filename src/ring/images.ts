/** Words of several images of one shape, one after another: what knows the shape takes them image by image, all else sees one vector. */
import { inputLength } from "./convolution.ts";
import type { RunnableConvolution } from "./pool.ts";
import type { RingTensor, Width } from "./tensor.ts";

/** Images of `imageWords` words each in `words`. Throws a RangeError where they do not come out even. */
export function imagesIn(words: number, imageWords: number): number {
  if (words % imageWords === 0) return words / imageWords;
  throw new RangeError(`${words} words are no images of ${imageWords}`);
}

/**
 * Calls `run` with the addresses of each of `images` in `x` and `y`. From the first to the last: a kernel may write up to a tile past the
 * end of what it makes, where the next image comes to lie.
 */
export function eachImage(
  images: number,
  x: RingTensor<Width>,
  y: RingTensor<Width>,
  run: (x: number, y: number) => void,
): void {
  const from = x.byteLength / images, to = y.byteLength / images;
  for (let i = 0; i < images; i++) run(x.address + i * from, y.address + i * to);
}

/** Convolves every image of `x` by itself. */
export function convolveImages(
  convolution: RunnableConvolution,
  x: RingTensor<Width>,
  y: RingTensor<Width>,
): void {
  const images = imagesIn(x.length, inputLength(convolution.spec));
  eachImage(images, x, y, (from, to) => convolution.run(from, to));
}
