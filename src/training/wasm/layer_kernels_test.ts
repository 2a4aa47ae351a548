import { assert, assertEquals } from "@std/assert";
import { it } from "@std/testing/bdd";
import { instantiateLayerKernels, loadLayerModules } from "./layer_kernels.ts";
import { extent, type Tensor } from "./tensor.ts";

const MOST = 4096, TABLES = 0, SETTINGS = 256, RECORD = 512, SUMS = 768, X = 1024, ONES = X + 4 * MOST;
const RESULT = ONES + 4 * MOST;

/** Value and derivative of the sigmoid, as its kernels compute them. */
async function sigmoidKernels(x: Float32Array): Promise<{ value: Float32Array; derivative: Float32Array }> {
  const memory = new WebAssembly.Memory({ initial: 16, maximum: 65536 }), { buffer } = memory;
  const kernels = instantiateLayerKernels(memory, await loadLayerModules());
  const row = 4 * x.length,
    tensor = (at: number): Tensor => (
      { base: at, at, row, image: row, shape: [1, 1, x.length], border: 0 }
    );
  const [z, y, g, dy] = [X, RESULT, RESULT, ONES].map(tensor) as [Tensor, Tensor, Tensor, Tensor];
  const common = { ...extent(1, z), tables: TABLES, period: 4, settings: SETTINGS };
  new Float32Array(buffer, TABLES, 12).set([1, 1, 1, 1]); // batch norm: times 1, plus 0, around 0
  new Float32Array(buffer, SETTINGS, 2).set([Infinity, 5]); // no clip, no penalty
  new Float32Array(buffer, X, x.length).set(x);
  new Float32Array(buffer, ONES, x.length).fill(1);
  const result = new Float32Array(buffer, RESULT, x.length);
  kernels.forward({ z, s: undefined, y }, 0, { ...common, record: RECORD }, "Sigmoid");
  const value = result.slice();
  const absent = { ey: undefined, s: undefined };
  kernels.backward({ ...absent, dy, z, g }, 0, { ...common, sums: SUMS, factor: 0 }, "Sigmoid");
  return { value, derivative: result.slice() };
}

it("the sigmoid's kernels are exact to a few parts in 10^7 on [-87, 87], and its derivative too", async () => {
  const x = Float32Array.from({ length: MOST }, (_, i) => 87 * (2 * i / (MOST - 1) - 1));
  const { value, derivative } = await sigmoidKernels(x);
  x.forEach((x, i) => {
    const t = Math.exp(-Math.abs(x)), expected = (x < 0 ? t : 1) / (1 + t), slope = t / (1 + t) ** 2;
    assert(Math.abs(value[i] - expected) <= 4e-7 * expected, `${x}: ${value[i]}, not ${expected}`);
    assert(Math.abs(derivative[i] - slope) <= 4e-7 * slope, `${x}: slope ${derivative[i]}, not ${slope}`);
  });
});

it("the sigmoid's kernels stay finite where e^x does not, and pass NaN on", async () => {
  const { value, derivative } = await sigmoidKernels(
    Float32Array.of(-Infinity, -1e30, -200, 200, 1e30, Infinity, NaN),
  );
  assertEquals([...value.subarray(3)], [1, 1, 1, NaN]);
  const tails = [...value.subarray(0, 3), ...derivative.subarray(0, 6)];
  assert(tails.every((v) => v >= 0 && v < 1e-37), `${tails}`);
});
