import { assert, assertEquals } from "@std/assert";
import { it } from "@std/testing/bdd";
import { Convolution, type ConvolutionSpec, extraBits, outputSize } from "./convolution.ts";
import { Ring } from "./ring.ts";
import type { Width } from "./tensor.ts";

const ring = await Ring.open();

/** A repeatable generator (xorshift32). */
let state = 0x2545f491;
function random(): number {
  state ^= state << 13;
  state ^= state >>> 17;
  state ^= state << 5;
  return state >>> 0;
}

type Words = BigUint64Array | Uint32Array;

function words(width: Width, address: number, n: number): Words {
  return width === 64
    ? new BigUint64Array(ring.bytes.buffer, address, n)
    : new Uint32Array(ring.bytes.buffer, address, n);
}

function fillRandom(target: Words): void {
  const halves = new Uint32Array(target.buffer, target.byteOffset, target.byteLength / 4);
  for (let i = 0; i < halves.length; i++) halves[i] = random();
}

function fillSmall(target: Words, largest: number): void {
  for (let i = 0; i < target.length; i++) {
    const value = random() % 8 === 0
      ? (random() & 1 ? largest : -largest)
      : random() % (2 * largest + 1) - largest;
    if (target instanceof BigUint64Array) target[i] = BigInt.asUintN(64, BigInt(value));
    else target[i] = value;
  }
}

/** One output of the convolution in exact integers. */
function reference(
  spec: ConvolutionSpec,
  x: Words,
  w: Words,
  row: number,
  column: number,
  output: number,
): bigint {
  let sum = 0n;
  for (let i = 0; i < spec.kernel; i++) {
    const sourceRow = row * spec.stride + i - spec.padding;
    if (sourceRow < 0 || sourceRow >= spec.height) continue;
    for (let j = 0; j < spec.kernel; j++) {
      const sourceColumn = column * spec.stride + j - spec.padding;
      if (sourceColumn < 0 || sourceColumn >= spec.width) continue;
      for (let c = 0; c < spec.inputs; c++) {
        sum += BigInt(x[(sourceRow * spec.width + sourceColumn) * spec.inputs + c]) *
          BigInt(w[((i * spec.kernel + j) * spec.inputs + c) * spec.outputs + output]);
      }
    }
  }
  return sum;
}

interface Case {
  readonly spec: ConvolutionSpec;
  /** Largest |weight| of the small class. */
  readonly largest?: number;
}

function check(width: Width, { spec, largest }: Case, samples = 60): void {
  const label = `${width} bits, ${JSON.stringify(spec)}, ${largest ? `|w| <= ${largest}` : "full words"}`;
  const out = outputSize(spec);
  const bytes = width / 8;
  const inputWords = spec.height * spec.width * spec.inputs,
    outputWords = out.height * out.width * spec.outputs;
  const weightWords = spec.kernel ** 2 * spec.inputs * spec.outputs;
  const xAddress = ring.allocate(inputWords * bytes), yAddress = ring.allocate((outputWords + 1) * bytes);
  const wAddress = ring.allocate(weightWords * bytes);
  const x = words(width, xAddress, inputWords), y = words(width, yAddress, outputWords + 1);
  const w = words(width, wAddress, weightWords);
  fillRandom(x);
  fillRandom(y);
  largest ? fillSmall(w, largest) : fillRandom(w);
  const guard = y[outputWords];
  const kept = w.slice();
  const inUse = ring.bytesInUse;
  {
    using convolution = new Convolution(ring, width, spec, wAddress, { small: largest !== undefined });
    fillRandom(w); // the weights may be freed after the constructor
    assertEquals(convolution.extraBits, extraBits(spec));
    convolution.run(xAddress, yAddress);
    convolution.run(xAddress, yAddress); // a second run must not depend on what the first left in scratch memory
  }
  assert(ring.bytesInUse - inUse >= 0);
  const total = outputWords <= samples ? outputWords : samples;
  for (let s = 0; s < total; s++) {
    const at = outputWords <= samples ? s : s === 0 ? 0 : s === 1 ? outputWords - 1 : random() % outputWords;
    const output = at % spec.outputs, pixel = Math.floor(at / spec.outputs);
    const want = reference(spec, x, kept, Math.floor(pixel / out.width), pixel % out.width, output);
    assertEquals(
      BigInt(y[at]),
      BigInt.asUintN(width, want << BigInt(extraBits(spec))),
      `${label}, word ${at}`,
    );
  }
  assertEquals(y[outputWords], guard, `${label}: wrote past the end`);
  ring.release(xAddress, inputWords * bytes);
  ring.release(yAddress, (outputWords + 1) * bytes);
  ring.release(wAddress, weightWords * bytes);
}

const spec = (
  height: number,
  width: number,
  inputs: number,
  kernel: number,
  stride: number,
  padding: number,
  outputs: number,
): ConvolutionSpec => ({ height, width, inputs, kernel, stride, padding, outputs });

const SHAPES: Record<string, ConvolutionSpec[]> = {
  "3x3 stride 1": [
    spec(32, 32, 16, 3, 1, 1, 16),
    spec(16, 16, 32, 3, 1, 1, 32),
    spec(16, 16, 64, 3, 1, 1, 64),
    spec(8, 8, 64, 3, 1, 1, 64),
    spec(4, 4, 64, 3, 1, 1, 128),
    spec(2, 2, 64, 3, 1, 1, 64),
    spec(7, 7, 64, 3, 1, 1, 48),
    spec(14, 14, 32, 3, 1, 1, 32),
    spec(5, 9, 24, 3, 1, 0, 40),
    spec(6, 7, 10, 3, 1, 2, 11),
    spec(9, 6, 100, 3, 1, 1, 9),
    spec(13, 13, 8, 3, 1, 1, 8),
  ],
  "3x3 stride 2": [
    spec(32, 32, 16, 3, 2, 1, 32),
    spec(8, 8, 64, 3, 2, 1, 128),
    spec(7, 9, 6, 3, 2, 1, 10),
    spec(4, 4, 128, 3, 2, 1, 64),
    spec(16, 16, 32, 3, 2, 1, 32),
    spec(24, 20, 36, 3, 2, 1, 20),
    spec(15, 17, 32, 3, 2, 0, 27),
    spec(14, 14, 48, 3, 2, 1, 64),
    spec(3, 3, 32, 3, 2, 0, 16),
  ],
  "1x1": [
    spec(8, 8, 64, 1, 1, 0, 64),
    spec(16, 16, 16, 1, 2, 0, 32),
    spec(7, 7, 100, 1, 1, 0, 20),
    spec(5, 5, 3, 1, 1, 0, 1),
    spec(3, 3, 64, 1, 2, 0, 16),
  ],
  "first layers": [
    spec(32, 32, 3, 3, 1, 1, 64),
    spec(32, 32, 3, 3, 1, 1, 16),
    spec(30, 30, 3, 7, 2, 3, 64),
    spec(28, 28, 1, 5, 1, 2, 16),
    spec(28, 28, 1, 5, 1, 0, 6),
    spec(12, 12, 6, 5, 1, 0, 16),
    spec(9, 9, 4, 5, 2, 1, 7),
  ],
  dense: [
    spec(1, 1, 512, 1, 1, 0, 10),
    spec(1, 1, 64, 1, 1, 0, 10),
    spec(1, 1, 1000, 1, 1, 0, 120),
    spec(1, 1, 7, 1, 1, 0, 3),
    spec(1, 1, 256, 1, 1, 0, 1000),
    spec(1, 1, 1024, 1, 1, 0, 512),
  ],
};

for (const width of [64, 32] as const) {
  for (const [name, specs] of Object.entries(SHAPES)) {
    it(`Convolution, ${name}, ${width} bits, equals BigInt convolution`, () => {
      for (const spec of specs) {
        check(width, { spec });
        check(width, { spec, largest: 650 });
      }
    });
  }
}

it("Convolution keeps small weights exact at the limits of 16-bit storage", () => {
  // Largest |w| whose Winograd transform fits (668 for F(4x4), 3640 for F(2x2)), the next one, and the direct limits.
  for (const width of [64, 32] as const) {
    for (const largest of [127, 128, 668, 669, 3640, 3641, 32767, 32768, 2 ** 31 - 1]) {
      check(width, { spec: spec(8, 8, 32, 3, 1, 1, 32), largest }, 20);
      check(width, { spec: spec(4, 4, 64, 3, 1, 1, 64), largest }, 20);
      check(width, { spec: spec(8, 8, 32, 1, 1, 0, 32), largest }, 20);
      check(width, { spec: spec(1, 1, 128, 1, 1, 0, 16), largest }, 20);
    }
  }
});

it("extraBits is 2 where Winograd applies", () => {
  assertEquals(extraBits(spec(32, 32, 64, 3, 1, 1, 64)), 2);
  assertEquals(extraBits(spec(4, 4, 512, 3, 1, 1, 512)), 2);
  assertEquals(extraBits(spec(2, 2, 512, 3, 1, 1, 512)), 0);
  assertEquals(extraBits(spec(32, 32, 3, 3, 1, 1, 64)), 0);
  assertEquals(extraBits(spec(32, 32, 64, 3, 2, 1, 64)), 0);
  assertEquals(extraBits(spec(32, 32, 64, 1, 1, 0, 64)), 0);
});
