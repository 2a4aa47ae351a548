import { assert, assertEquals, assertGreaterOrEqual, assertThrows } from "@std/assert";
import { it } from "@std/testing/bdd";
import { Convolution, type ConvolutionSpec, outputSize } from "./convolution.ts";
import { ConvolutionPool, Threads } from "./pool.ts";
import { countAfter, RUN, waitForValue, waitWhile } from "./pool_protocol.ts";
import { Ring } from "./ring.ts";
import { scratchOf } from "./scratch.ts";

const ring = await Ring.open();

function randomBlock(bytes: number): number {
  const address = ring.allocate(bytes);
  for (let at = 0; at < bytes; at += 65536) {
    crypto.getRandomValues(
      new Uint8Array(ring.bytes.buffer as ArrayBuffer, address + at, Math.min(65536, bytes - at)),
    );
  }
  return address;
}

/** Winograd with a ragged last slice, stride 2, a dense layer, one too narrow to split, one too small to be worth it. */
const SPECS: ConvolutionSpec[] = [
  { height: 16, width: 16, inputs: 128, kernel: 3, stride: 1, padding: 1, outputs: 116 },
  { height: 32, width: 32, inputs: 64, kernel: 3, stride: 2, padding: 1, outputs: 96 },
  { height: 1, width: 1, inputs: 4096, kernel: 1, stride: 1, padding: 0, outputs: 1000 },
  { height: 32, width: 32, inputs: 16, kernel: 3, stride: 1, padding: 1, outputs: 20 },
  { height: 4, width: 4, inputs: 16, kernel: 3, stride: 1, padding: 1, outputs: 64 },
];

for (const threads of [1, 2, 3]) {
  it(`ConvolutionPool of ${threads} threads equals a plain Convolution and ends with its disposal`, () => {
    using pool = new ConvolutionPool(ring, threads);
    for (const width of [64, 32] as const) {
      for (const spec of SPECS) {
        const bytes = width / 8;
        const out = outputSize(spec);
        const outputBytes = out.height * out.width * spec.outputs * bytes;
        const x = randomBlock(spec.height * spec.width * spec.inputs * bytes);
        const weights = randomBlock(spec.kernel ** 2 * spec.inputs * spec.outputs * bytes);
        const y = randomBlock(outputBytes);
        using plain = new Convolution(ring, width, spec, weights);
        plain.run(x, y);
        const expected = ring.bytes.slice(y, y + outputBytes);
        using pooled = pool.convolution(width, spec, weights);
        assertEquals(pooled.extraBits, plain.extraBits);
        for (let query = 0; query < 2; query++) {
          ring.bytes.fill(0, y, y + outputBytes);
          pooled.run(x, y);
          assertEquals(ring.bytes.subarray(y, y + outputBytes), expected);
        }
      }
    }
  });
}

it("ConvolutionPool refuses a number of threads that is not one", () => {
  assertThrows(() => new ConvolutionPool(ring, 0), RangeError, "at least 1 thread");
});

it("a wait ends when its time is over, and a process that was stopped loses a slice of it", () => {
  const words = new Int32Array(new SharedArrayBuffer(4)), begin = performance.now();
  assertEquals(waitWhile(words, 0, 0, 50), false);
  assertGreaterOrEqual(performance.now() - begin, 45);
  const real = Atomics.wait;
  let waits = 0;
  // The process is stopped in its first wait; the answer comes when it goes on.
  Atomics.wait = () => {
    if (++waits === 2) Atomics.store(words, 0, 1);
    return "timed-out";
  };
  try {
    assertEquals([waitWhile(words, 0, 0, 60_000), waits], [true, 2]);
  } finally {
    Atomics.wait = real;
  }
});

it("a region gives its memory back although a worker has failed", () => {
  using own = new ConvolutionPool(ring, 2);
  const spec = SPECS[0];
  // Working memory, which stays.
  scratchOf(ring).reserve(1 << 24);
  const region = own.region(), before = ring.bytesInUse, address = region.ring.allocate(1 << 16);
  assert(address > 0 && ring.bytesInUse > before);
  const weights = region.ring.allocate(spec.kernel ** 2 * spec.inputs * spec.outputs * 4);
  const convolution = region.convolution(32, spec, weights);
  const dispose = convolution[Symbol.dispose].bind(convolution);
  convolution[Symbol.dispose] = () => {
    throw new Error("a worker of the convolution pool has failed");
  };
  const other = region.convolution(32, spec, weights);
  let others = 0;
  const disposeOther = other[Symbol.dispose].bind(other);
  other[Symbol.dispose] = () => (others++, disposeOther());
  assertThrows(() => region[Symbol.dispose](), Error, "has failed");
  assertEquals([ring.bytesInUse, others], [before, 1]);
  dispose();
});

/** The outputs of a layer that is large enough for slices. */
function outputsOf(pool: ConvolutionPool | null, x: number, weights: number): Uint8Array {
  const spec = SPECS[0], bytes = 4 * outputSize(spec).height * outputSize(spec).width * spec.outputs;
  const y = ring.allocate(bytes);
  using convolution = pool?.convolution(32, spec, weights) ?? new Convolution(ring, 32, spec, weights);
  convolution.run(x, y);
  const outputs = ring.bytes.slice(y, y + bytes);
  ring.release(y, bytes);
  return outputs;
}
const operandsOf = ({ height, width, inputs, kernel, outputs }: ConvolutionSpec) =>
  [height * width * inputs, kernel ** 2 * inputs * outputs].map((words) => randomBlock(4 * words));

it("an operation of a worker that fails is reported once, and the next one is done", () => {
  const threads = new Threads(3), [first, second] = threads.workers, [x, weights] = operandsOf(SPECS[0]);
  using own = new ConvolutionPool(ring, threads);
  // There is no such layer.
  for (const worker of [first, second]) {
    worker.start(RUN, 12345);
    assertThrows(() => worker.finish(), Error, "has failed; see the error stream");
  }
  assertEquals(outputsOf(own, x, weights), outputsOf(null, x, weights));
});

it("layers do without threads once a worker is lost, and those that it has a slice of say so", () => {
  const threads = new Threads(3), [x, weights] = operandsOf(SPECS[0]);
  using own = new ConvolutionPool(ring, threads);
  const region = own.region(), sliced = region.convolution(32, SPECS[0], weights);
  threads.workers[1][Symbol.dispose]();
  assertThrows(() => sliced.run(x, x), Error, "a worker of the convolution pool is lost");
  region[Symbol.dispose]();
  assertEquals(outputsOf(own, x, weights), outputsOf(null, x, weights));
});

it("a request is answered by its own number, across the end of 31 bits too, and by no other", () => {
  const words = new Int32Array(new SharedArrayBuffer(4));
  let count = 2 ** 31 - 2;
  for (let i = 0; i < 3; i++) {
    // The answer to the request before this one, as a worker that is late gives it.
    Atomics.store(words, 0, count);
    count = countAfter(count);
    assertEquals(waitForValue(words, 0, count, 1), false, `request ${count}`);
    Atomics.store(words, 0, count);
    assertEquals(waitForValue(words, 0, count, 1), true, `request ${count}`);
  }
  assertEquals(count, -(2 ** 31) + 1);
});
