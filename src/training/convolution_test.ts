/** The kernels against a naive convolution in float64, on shapes of every network and on odd ones. */
import { assert, assertEquals, assertNotEquals, assertThrows } from "@std/assert";
import { it } from "@std/testing/bdd";
import { SeededRandom } from "../models/seeded_random.ts";
import {
  type Convolution,
  type ConvolutionKernels,
  type ConvolutionShape,
  hasFusedMultiplyAdd,
  instantiateConvolutionKernels,
  loadConvolutionModules,
  planConvolution,
  RESERVED_BYTES,
  sideOf,
} from "./convolution.ts";

const CANARY = 0x7fc0beef; // a NaN: anything computed from it shows

/** Memory whose free space is canaries, so that stray writes (and uses of stray reads) are seen. */
class Arena {
  readonly memory = new WebAssembly.Memory({ initial: 16, maximum: 65536 });
  readonly #blocks: { at: number; bytes: number }[] = [];
  #end = RESERVED_BYTES;

  alloc(bytes: number, slack = 64): number {
    const at = this.#end;
    this.#end = at + Math.ceil((bytes + slack) / 64) * 64;
    const missing = this.#end - this.memory.buffer.byteLength;
    if (missing > 0) this.memory.grow(Math.ceil(missing / 65536));
    new Uint32Array(this.memory.buffer, at, (this.#end - at) / 4).fill(CANARY);
    this.#blocks.push({ at, bytes });
    return at;
  }

  floats(at: number, words: number): Float32Array {
    return new Float32Array(this.memory.buffer, at, words);
  }

  /** Throws if anything was written between the blocks. */
  check(): void {
    for (const [i, { at, bytes }] of this.#blocks.entries()) {
      const end = this.#blocks[i + 1]?.at ?? this.#end;
      const words = new Uint32Array(this.memory.buffer, at + bytes, (end - at - bytes) / 4);
      assert(words.every((word) => word === CANARY), `something wrote behind block ${i}`);
    }
  }

  /** Forgets all blocks. */
  reset(): void {
    this.#blocks.length = 0;
    this.#end = RESERVED_BYTES;
  }
}

const arena = new Arena();
const modules = await loadConvolutionModules();
const kernels: ConvolutionKernels = instantiateConvolutionKernels(arena.memory, modules);

/** All operands of a convolution, dense and without border. */
interface Operands {
  readonly x: Float32Array;
  readonly weights: Float32Array;
  readonly bias: Float32Array;
  readonly dz: Float32Array;
}

interface Results {
  readonly z: ArrayLike<number>;
  readonly dx: ArrayLike<number>;
  readonly dw: ArrayLike<number>;
}

function randomOperands(s: ConvolutionShape, seed: string): Operands {
  const random = new SeededRandom(1, seed);
  const floats = (n: number) => Float32Array.from({ length: n }, () => random.uniform(-1, 1));
  return {
    x: floats(s.batch * s.height * s.width * s.inputs),
    weights: floats(s.kernel * s.kernel * s.inputs * s.outputs),
    bias: floats(s.outputs),
    dz: floats(s.batch * sideOf(s.height, s) * sideOf(s.width, s) * s.outputs),
  };
}

function naive(s: ConvolutionShape, { x, weights, bias, dz }: Operands): Results {
  const outHeight = sideOf(s.height, s), outWidth = sideOf(s.width, s);
  const z = new Float64Array(dz.length), dx = new Float64Array(x.length);
  const dw = new Float64Array(weights.length);
  for (let pixel = 0; pixel < s.batch * outHeight * outWidth; pixel++) {
    const image = Math.floor(pixel / (outHeight * outWidth));
    const row = Math.floor(pixel / outWidth) % outHeight, column = pixel % outWidth;
    for (let m = 0; m < s.outputs; m++) z[pixel * s.outputs + m] = bias[m];
    for (let tap = 0; tap < s.kernel * s.kernel; tap++) {
      const i = row * s.stride - s.padding + Math.floor(tap / s.kernel);
      const j = column * s.stride - s.padding + tap % s.kernel;
      if (i < 0 || j < 0 || i >= s.height || j >= s.width) continue;
      for (let k = 0; k < s.inputs; k++) {
        const at = ((image * s.height + i) * s.width + j) * s.inputs + k;
        for (let m = 0; m < s.outputs; m++) {
          const w = (tap * s.inputs + k) * s.outputs + m;
          z[pixel * s.outputs + m] += x[at] * weights[w];
          dx[at] += dz[pixel * s.outputs + m] * weights[w];
          dw[w] += x[at] * dz[pixel * s.outputs + m];
        }
      }
    }
  }
  return { z, dx, dw };
}

/** Copies images into a buffer with a zero border; returns its address. */
function bordered(
  images: Float32Array,
  height: number,
  width: number,
  channels: number,
  border: number,
): number {
  const row = (width + 2 * border) * channels, batch = images.length / (height * width * channels);
  const words = batch * (height + 2 * border) * row;
  const at = arena.alloc(words * 4), to = arena.floats(at, words).fill(0);
  for (let line = 0; line < batch * height; line++) {
    const image = Math.floor(line / height),
      from = images.subarray(line * width * channels, (line + 1) * width * channels);
    to.set(from, (image * (height + 2 * border) + border + line % height) * row + border * channels);
  }
  return at;
}

/** Runs all operations of a plan; checks that operands and everything between the buffers stay as they were. */
function run(plan: Convolution, s: ConvolutionShape, operands: Operands, withBias = true): Results {
  arena.reset();
  const outHeight = sideOf(s.height, s), outWidth = sideOf(s.width, s);
  const x = bordered(operands.x, s.height, s.width, s.inputs, plan.inputBorder);
  const dz = bordered(operands.dz, outHeight, outWidth, s.outputs, plan.gradientBorder);
  const weights = bordered(operands.weights, 1, 1, operands.weights.length, 0);
  const bias = bordered(operands.bias, 1, 1, s.outputs, 0);
  const inputsEnd = arena.alloc(0);
  const packed = arena.alloc(plan.packedBytes), scratch = arena.alloc(plan.scratchBytes);
  const z = arena.alloc(operands.dz.length * 4), dx = arena.alloc(operands.x.length * 4);
  const dw = arena.alloc(operands.weights.length * 4);
  const before = new Uint32Array(arena.memory.buffer, x, (inputsEnd - x) / 4).slice();

  plan.prepare(weights, packed);
  plan.forward(x, packed, withBias ? bias : 0, z, scratch);
  plan.inputGradient(dz, packed, dx, scratch);
  plan.weightGradient(x, dz, dw, scratch);

  arena.check();
  const after = new Uint32Array(arena.memory.buffer, x, before.length);
  assert(before.every((word, i) => word === after[i]), "an operand or a border was written");
  return {
    z: arena.floats(z, operands.dz.length).slice(),
    dx: arena.floats(dx, operands.x.length).slice(),
    dw: arena.floats(dw, operands.weights.length).slice(),
  };
}

/** Largest difference relative to the largest entry; NaN counts as infinite. */
function difference(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  assertEquals(actual.length, expected.length);
  let largest = 0, worst = 0;
  for (let i = 0; i < expected.length; i++) {
    largest = Math.max(largest, Math.abs(expected[i]));
    const error = Math.abs(actual[i] - expected[i]);
    worst = Math.max(worst, Number.isNaN(error) ? Infinity : error);
  }
  return worst === 0 ? 0 : worst / largest;
}

const shape = (
  batch: number,
  height: number,
  width: number,
  inputs: number,
  outputs: number,
  kernel: number,
  stride = 1,
  padding = 0,
): ConvolutionShape => ({ batch, height, width, inputs, outputs, kernel, stride, padding });

const name = (s: ConvolutionShape) =>
  `${s.batch}x${s.height}x${s.width}, ${s.inputs} to ${s.outputs}, kernel ${s.kernel}, stride ${s.stride}, padding ${s.padding}`;

function check(s: ConvolutionShape, method: "direct" | "winograd", limit: number): void {
  const operands = randomOperands(s, name(s)), expected = naive(s, operands);
  const plan = planConvolution(kernels, s, { winograd: method === "winograd" });
  assertEquals(plan.method, method, name(s));
  const actual = run(plan, s, operands);
  for (const key of ["z", "dx", "dw"] as const) {
    const error = difference(actual[key], expected[key]);
    assert(error <= limit, `${name(s)}: ${key} is off by ${error} of its largest entry`);
  }
}

const NETWORKS: readonly ConvolutionShape[] = [
  // ConvNet
  shape(3, 32, 32, 3, 6, 5),
  shape(7, 14, 14, 6, 16, 5),
  shape(2, 14, 14, 6, 16, 5),
  shape(7, 1, 1, 400, 120, 1),
  shape(5, 1, 1, 120, 10, 1),
  // ResNet-20 and others
  shape(1, 32, 32, 3, 16, 3, 1, 1),
  shape(1, 32, 32, 16, 16, 3, 1, 1),
  shape(1, 32, 32, 16, 32, 3, 2, 1),
  shape(2, 16, 16, 32, 64, 3, 2, 1),
  shape(2, 8, 8, 64, 64, 3, 1, 1),
  shape(2, 32, 32, 16, 32, 1, 2),
  shape(3, 1, 1, 64, 100, 1),
  shape(2, 4, 4, 64, 128, 3, 1, 1),
  shape(3, 2, 2, 64, 64, 3, 1, 1),
  // MiniONN, ResNet-50
  shape(1, 16, 16, 3, 64, 3, 1, 1),
  shape(2, 8, 8, 64, 16, 1),
  shape(1, 24, 24, 3, 64, 7, 2, 3),
  shape(1, 7, 7, 64, 256, 1),
];

it("planConvolution() by the direct method agrees with a naive convolution on layers of the networks", () => {
  for (const s of NETWORKS) check(s, "direct", 1e-5);
});

it("planConvolution() by the direct method agrees with a naive convolution on random shapes", () => {
  const random = new SeededRandom(1, "shapes");
  const pick = (values: readonly number[]) => values[Math.floor(random.uniform(0, values.length))];
  for (let round = 0; round < 100; round++) {
    const kernel = pick([1, 2, 3, 5, 7]);
    const s = {
      batch: pick([1, 2, 5, 7]),
      height: kernel + pick([0, 1, 2, 5, 6]),
      width: kernel + pick([0, 1, 3, 4, 7]),
      inputs: pick([1, 2, 3, 4, 5, 6, 7, 8, 10, 13]),
      outputs: pick([1, 2, 3, 4, 5, 6, 8, 9, 11, 12, 20]),
      kernel,
      stride: pick([1, 1, 2, 3]),
      padding: pick([0, 1, 2, 3]),
    };
    check(s, "direct", 1e-5);
  }
});

it("planConvolution() by Winograd's method agrees with a naive convolution", () => {
  const shapes = [
    shape(4, 32, 32, 16, 16, 3, 1, 1), // several blocks of tiles
    shape(3, 16, 16, 32, 32, 3, 1, 1),
    shape(5, 8, 8, 64, 64, 3, 1, 1),
    shape(3, 4, 4, 128, 64, 3, 1, 1),
    shape(1, 4, 12, 8, 20, 3, 1, 1),
    shape(2, 12, 8, 12, 8, 3, 1, 1),
    shape(3, 32, 32, 3, 6, 5),
    shape(2, 9, 12, 3, 6, 5, 1, 2),
    shape(1, 5, 8, 3, 6, 5),
  ];
  for (const s of shapes) check(s, "winograd", 5e-5);
});

it("forward() without a bias adds none", () => {
  const shapes = [shape(2, 8, 8, 8, 8, 3, 1, 1), shape(2, 8, 8, 3, 6, 5)];
  for (
    const [winograd, s] of [true, false].flatMap((winograd) => shapes.map((s) => [winograd, s] as const))
  ) {
    const operands = { ...randomOperands(s, "no bias") };
    const plan = planConvolution(kernels, s, { winograd });
    const { z } = run(plan, s, operands, false);
    operands.bias.fill(0);
    assert(difference(z, naive(s, operands).z) < 5e-5);
  }
});

it("planConvolution() chooses Winograd's method where it can", () => {
  const method = (...args: Parameters<typeof shape>) => planConvolution(kernels, shape(...args)).method;
  assertEquals(method(1, 8, 8, 16, 16, 3, 1, 1), "winograd");
  assertEquals(method(1, 32, 32, 3, 6, 5), "winograd");
  assertEquals(method(1, 31, 31, 3, 6, 5), "direct");
  assertEquals(method(1, 8, 8, 3, 16, 3, 1, 1), "direct");
  assertEquals(method(1, 8, 8, 16, 16, 3, 2, 1), "direct");
  assertEquals(method(1, 6, 8, 16, 16, 3, 1, 1), "direct");
  assertEquals(method(1, 8, 8, 16, 16, 5, 1, 2), "direct");
});

it("a convolution gives the same bits every time, whatever scratch held before", () => {
  for (const winograd of [false, true]) {
    const s = shape(3, 8, 8, 16, 24, 3, 1, 1), operands = randomOperands(s, "bits");
    const first = run(planConvolution(kernels, s, { winograd }), s, operands);
    assertEquals(run(planConvolution(kernels, s, { winograd }), s, operands), first);
    assertNotEquals(run(planConvolution(kernels, s, { winograd: !winograd }), s, operands), first);
  }
});

it("plans that differ in the batch share borders and prepared weights, and give an image the same bits", () => {
  for (
    const s of [shape(7, 6, 6, 6, 10, 3, 1, 1), shape(7, 14, 14, 6, 16, 5), shape(7, 8, 8, 16, 8, 3, 1, 1)]
  ) {
    const few = { ...s, batch: 2 },
      plan = planConvolution(kernels, s),
      fewPlan = planConvolution(kernels, few);
    assertEquals(fewPlan.inputBorder, plan.inputBorder);
    assertEquals(fewPlan.gradientBorder, plan.gradientBorder);
    assertEquals(fewPlan.packedBytes, plan.packedBytes);
    const operands = randomOperands(s, "images"), all = run(plan, s, operands);
    const lastTwo = (values: ArrayLike<number>) => Float32Array.from(values).subarray(5 * values.length / 7);
    const mixed: Convolution = { ...fewPlan, prepare: plan.prepare };
    const last = run(mixed, few, { ...operands, x: lastTwo(operands.x), dz: lastTwo(operands.dz) });
    assertEquals(last.z, lastTwo(all.z));
    assertEquals(last.dx, lastTwo(all.dx));
  }
});

it("planConvolution() refuses impossible shapes", () => {
  assertThrows(() => planConvolution(kernels, shape(1, 2, 2, 3, 3, 5)), RangeError, "does not fit");
  assertThrows(() => planConvolution(kernels, shape(0, 8, 8, 3, 3, 3)), RangeError, "batch");
  assertThrows(() => planConvolution(kernels, shape(1, 8, 8, 3, 3, 3, 1, -1)), RangeError, "padding");
});

it("hasFusedMultiplyAdd() answers what the kernels do", () => {
  const x = Math.fround(1 + 2 ** -12), s = shape(1, 1, 1, 2, 1, 1);
  const operands: Operands = {
    x: Float32Array.of(1, x),
    weights: Float32Array.of(-(1 + 2 ** -11), x),
    bias: new Float32Array(1),
    dz: new Float32Array(1),
  };
  const { z } = run(planConvolution(kernels, s), s, operands);
  assertEquals(z[0], hasFusedMultiplyAdd(kernels) ? 2 ** -24 : 0);
});
