/**
 * Pooling forward and backward. Tensors as in layers.gen.ts: address, bytes from row to row and from image to image.
 * Channels are taken by fours; where they are no multiple of 4 the last vector overlaps the one before (same values
 * twice), and fewer than 4 channels are taken one by one.
 */
import { layerHead } from "./_heads.ts";

const SOURCE = `
// @ts-ignore: decorator
@inline
function nextChannel(c: i32, channels: i32): i32 {
  return c + 8 <= channels || c + 4 == channels ? c + 4 : channels - 4;
}

/** y = mean over kernel x kernel windows of x, no padding. */
export function averagePool(${layerHead("averagePool")}): void {
  const pixel = <usize>channels * 4, factor = <f32>1 / <f32>(kernel * kernel), factors = f32x4.splat(factor);
  for (let n = 0; n < images; n++) {
    for (let row = 0; row < height; row++) {
      let corner = xBase + <usize>n * xImage + <usize>(row * stride) * xRow;
      let out = yBase + <usize>n * yImage + <usize>row * yRow;
      for (let column = 0; column < width; column++) {
        if (channels < 4) {
          for (let c: usize = 0; c < pixel; c += 4) {
            let sum: f32 = 0;
            for (let i = 0; i < kernel; i++) {
              let at = corner + c + <usize>i * xRow;
              for (let j = 0; j < kernel; j++, at += pixel) sum += load<f32>(at);
            }
            store<f32>(out + c, sum * factor);
          }
        } else if (kernel == 2) {
          for (let c = 0; c < channels; c = nextChannel(c, channels)) {
            const at = corner + <usize>c * 4, below = at + xRow;
            const sum = f32x4.add(
              f32x4.add(v128.load(at), v128.load(at + pixel)), f32x4.add(v128.load(below), v128.load(below + pixel))
            );
            v128.store(out + <usize>c * 4, f32x4.mul(sum, factors));
          }
        } else {
          for (let c = 0; c < channels; c = nextChannel(c, channels)) {
            let sum = f32x4.splat(0);
            for (let i = 0; i < kernel; i++) {
              let at = corner + <usize>c * 4 + <usize>i * xRow;
              for (let j = 0; j < kernel; j++, at += pixel) sum = f32x4.add(sum, v128.load(at));
            }
            v128.store(out + <usize>c * 4, f32x4.mul(sum, factors));
          }
        }
        corner += pixel * <usize>stride;
        out += pixel;
      }
    }
  }
}

/**
 * Spreads dy over windows that do not overlap (stride = kernel) and that cover dx but for a rest at the right and the
 * bottom, which is zero beforehand.
 */
export function averagePoolGradient(${layerHead("averagePoolGradient")}): void {
  const pixel = <usize>channels * 4, factor = <f32>1 / <f32>(kernel * kernel), factors = f32x4.splat(factor);
  for (let n = 0; n < images; n++) {
    for (let row = 0; row < height; row++) {
      let from = dyBase + <usize>n * dyImage + <usize>row * dyRow;
      let corner = dxBase + <usize>n * dxImage + <usize>(row * kernel) * dxRow;
      for (let column = 0; column < width; column++) {
        if (channels < 4) {
          for (let c: usize = 0; c < pixel; c += 4) {
            const value = load<f32>(from + c) * factor;
            for (let i = 0; i < kernel; i++) {
              let at = corner + c + <usize>i * dxRow;
              for (let j = 0; j < kernel; j++, at += pixel) store<f32>(at, value);
            }
          }
        } else {
          for (let c = 0; c < channels; c = nextChannel(c, channels)) {
            const value = f32x4.mul(v128.load(from + <usize>c * 4), factors);
            for (let i = 0; i < kernel; i++) {
              let at = corner + <usize>c * 4 + <usize>i * dxRow;
              for (let j = 0; j < kernel; j++, at += pixel) v128.store(at, value);
            }
          }
        }
        corner += pixel * <usize>kernel;
        from += pixel;
      }
    }
  }
}

/** Adds dy / kernel^2 to every element of its window: any stride; dx is zero beforehand. */
export function averagePoolScatter(${layerHead("averagePoolScatter")}): void {
  const pixel = <usize>channels * 4, factor = <f32>1 / <f32>(kernel * kernel);
  for (let n = 0; n < images; n++) {
    for (let row = 0; row < height; row++) {
      let from = dyBase + <usize>n * dyImage + <usize>row * dyRow;
      for (let column = 0; column < width; column++, from += pixel) {
        for (let c: usize = 0; c < pixel; c += 4) {
          const value = load<f32>(from + c) * factor;
          for (let i = 0; i < kernel; i++) {
            let at = dxBase + <usize>n * dxImage + <usize>(row * stride + i) * dxRow + <usize>(column * stride) * pixel + c;
            for (let j = 0; j < kernel; j++, at += pixel) store<f32>(at, load<f32>(at) + value);
          }
        }
      }
    }
  }
}

/** Address of the first largest element of a window, channel at byte c; padding never wins. NaN wins. */
function largestOf(
  image: usize, xRow: usize, xHeight: i32, xWidth: i32, pixel: usize, c: usize, top: i32, left: i32, kernel: i32
): usize {
  let best: usize = 0, value: f32 = 0;
  for (let i = max(0, top); i < min(xHeight, top + kernel); i++) {
    for (let j = max(0, left); j < min(xWidth, left + kernel); j++) {
      const at = image + <usize>i * xRow + <usize>j * pixel + c, candidate = load<f32>(at);
      if (best == 0 || candidate > value || candidate != candidate) {
        best = at;
        value = candidate;
      }
    }
  }
  return best;
}

/** y = largest element of each window of x. */
export function maxPool(${layerHead("maxPool")}): void {
  const pixel = <usize>channels * 4;
  for (let n = 0; n < images; n++) {
    const image = xBase + <usize>n * xImage;
    for (let row = 0; row < height; row++) {
      let out = yBase + <usize>n * yImage + <usize>row * yRow;
      for (let column = 0; column < width; column++, out += pixel) {
        const top = row * stride - padding, left = column * stride - padding;
        for (let c: usize = 0; c < pixel; c += 4) {
          store<f32>(out + c, load<f32>(largestOf(image, xRow, xHeight, xWidth, pixel, c, top, left, kernel)));
        }
      }
    }
  }
}

/** Adds dy to the element that was the largest of its window; dx is zero beforehand. */
export function maxPoolGradient(${layerHead("maxPoolGradient")}): void {
  const pixel = <usize>channels * 4;
  for (let n = 0; n < images; n++) {
    const image = xBase + <usize>n * xImage, target = dxBase + <usize>n * dxImage;
    for (let row = 0; row < height; row++) {
      let from = dyBase + <usize>n * dyImage + <usize>row * dyRow;
      for (let column = 0; column < width; column++, from += pixel) {
        const top = row * stride - padding, left = column * stride - padding;
        for (let c: usize = 0; c < pixel; c += 4) {
          const offset = largestOf(image, xRow, xHeight, xWidth, pixel, c, top, left, kernel) - image;
          const i = offset / xRow, at = target + i * dxRow + (offset - i * xRow);
          store<f32>(at, load<f32>(at) + load<f32>(from + c));
        }
      }
    }
  }
}

/** Zeroes the rows of a tensor, border left alone. */
export function clear(x: usize, xRow: usize, xImage: usize, images: i32, rows: i32, floats: i32): void {
  for (let n = 0; n < images; n++) {
    for (let row = 0; row < rows; row++) {
      memory.fill(x + <usize>n * xImage + <usize>row * xRow, 0, <usize>floats * 4);
    }
  }
}`;

export default (): string => SOURCE;
