/** Max pooling on shares equals max pooling, for one image and for several, for odd and even maps, with and without a border. */
import { assertEquals } from "@std/assert";
import { it } from "@std/testing/bdd";
import { Ring } from "../../ring/ring.ts";
import { expectedTraffic, runChain } from "../_chain.ts";
import { outputAlong } from "../../ring/convolution.ts";
import { wire64 } from "../activation/words64.ts";
import type { Windows } from "../../wires/halves.ts";
import { maxPool } from "./max_pool.ts";

const ring = await Ring.open();

/** Windows of [height, width, channels], what lies beyond the border not counted. */
function plainMaximum(
  x: Float64Array,
  { height, width, channels, kernel, stride, padding }: Windows,
): number[] {
  const along = (size: number) => outputAlong(size, kernel, stride, padding),
    result: number[] = [];
  for (let i = 0; i < along(height); i++) {
    for (let j = 0; j < along(width); j++) {
      for (let c = 0; c < channels; c++) {
        let maximum = -Infinity;
        for (let u = 0; u < kernel; u++) {
          for (let v = 0; v < kernel; v++) {
            const row = i * stride + u - padding, column = j * stride + v - padding;
            if (row < 0 || column < 0 || row >= height || column >= width) continue;
            maximum = Math.max(maximum, x[(row * width + column) * channels + c]);
          }
        }
        result.push(maximum);
      }
    }
  }
  return result;
}

for (
  const spec of [
    { height: 15, width: 15, channels: 8, kernel: 3, stride: 2, padding: 1 },
    { height: 16, width: 16, channels: 8, kernel: 3, stride: 2, padding: 1 },
    { height: 4, width: 6, channels: 1, kernel: 2, stride: 2, padding: 0 },
    { height: 112, width: 112, channels: 4, kernel: 3, stride: 2, padding: 1 },
  ]
) {
  const { height, width, channels, kernel, stride, padding } = spec;
  it(`maxPool of ${kernel}x${kernel} / ${stride}, border ${padding}, on ${height}x${width}x${channels} is exact and costs what it says`, async () => {
    const size = height * width * channels;
    for (const images of size < 10_000 ? [1, 3] : [1]) {
      const numbers = Float64Array.from(
        { length: images * size },
        (_, i) => Math.round(3e4 * Math.sin(i * 12.9898)) / 2 ** 14,
      );
      const input = wire64(numbers.length, 16), chain = [maxPool("pool", input, spec, 16)];
      const { outputs, traffic } = await runChain(ring, input, numbers, chain);
      const maxima = Array.from(
        { length: images },
        (_, i) => plainMaximum(numbers.slice(i * size, (i + 1) * size), spec),
      );
      assertEquals([...outputs[0]].map((v) => Number(v) / 2 ** 16), maxima.flat());
      assertEquals(traffic.online, expectedTraffic(chain, "online"));
    }
  });
}
