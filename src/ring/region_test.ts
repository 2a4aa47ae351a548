import { assert, assertEquals, assertNotEquals, assertThrows } from "@std/assert";
import { it } from "@std/testing/bdd";
import { Convolution } from "./convolution.ts";
import { ConvolutionPool } from "./pool.ts";
import { Ring } from "./ring.ts";
import { scratchOf } from "./scratch.ts";
import { words } from "./tensor.ts";

const SPEC = { height: 8, width: 8, inputs: 16, kernel: 3, stride: 1, padding: 1, outputs: 64 };

it("a region gives back what its work has left, and nothing twice", async () => {
  const ring = await Ring.open();
  using kept = words(ring, 10);
  const before = ring.bytesInUse, region = ring.region();
  const first = words(region, 1000);
  words(region, 500)[Symbol.dispose]();
  assertEquals(ring.bytesInUse - before, region.bytesInUse);
  region[Symbol.dispose]();
  assertEquals([ring.bytesInUse, region.bytesInUse], [before, 0]);
  // Whoever disposes late gives no block back that is another's by now.
  using others = words(ring, 1000);
  assertEquals(others.address, first.address);
  first[Symbol.dispose]();
  using more = words(ring, 1000);
  assertNotEquals(more.address, others.address);
  assertThrows(() => words(region, 1), Error, "has ended");
  assertEquals(kept.length, 10);
});

for (const threads of [1, 2]) {
  it(`the convolutions of a region go back with it, with ${threads} threads`, async () => {
    const ring = await Ring.open();
    using pool = new ConvolutionPool(ring, threads);
    scratchOf(ring).reserve(1 << 22);
    using weights = words(ring, 9 * 16 * 64);
    const input = words(ring, 8 * 8 * 16),
      output = words(ring, 8 * 8 * 64),
      expected = words(ring, 8 * 8 * 64);
    weights.int64.forEach((_, i, all) => all[i] = BigInt(i % 7));
    input.int64.forEach((_, i, all) => all[i] = BigInt(i % 5));
    using plain = new Convolution(ring, 64, SPEC, weights.address);
    plain.run(input.address, expected.address);
    for (let i = 0; i < 3; i++) {
      const region = pool.region(), used = ring.bytesInUse;
      region.convolution(64, SPEC, weights.address).run(input.address, output.address);
      assertEquals(output.int64, expected.int64);
      region[Symbol.dispose]();
      assertEquals(ring.bytesInUse, used);
    }
  });
}

/** A small network's layer whose working memory is a gigabyte: windows of 75 words around a million pixels. */
const WIDE = { height: 1024, width: 1024, inputs: 3, kernel: 5, stride: 1, padding: 2, outputs: 32 };

it("what fails for lack of memory leaves none taken, and no scratch memory that is another's", async () => {
  const ring = await Ring.open(), scratch = scratchOf(ring);
  assertThrows(() => ring.allocate(2 * ring.bytes.length), RangeError, "0 MiB in use of 4096 MiB");
  assertEquals(ring.bytesInUse, 0);
  scratch.reserve(1 << 20);
  const hog = ring.bytes.length - (1 << 30), address = ring.allocate(hog);
  for (let turn = 0; turn < 2; turn++) {
    assertThrows(() => scratch.reserve(1 << 30), RangeError, "ring memory is full");
    assert(ring.bytesInUse < hog + 1024);
  }
  using weights = words(ring, WIDE.kernel ** 2 * WIDE.inputs * WIDE.outputs);
  for (const threads of [1, 2]) {
    using pool = new ConvolutionPool(ring, threads);
    const before = ring.bytesInUse;
    assertThrows(() => pool.convolution(64, WIDE, weights.address), RangeError, "ring memory is full");
    assertEquals(ring.bytesInUse, before, `${threads} threads`);
  }
  ring.release(address, hog);
  scratch.reserve(1 << 20);
  using other = words(ring, 1 << 17);
  assertNotEquals(other.address, scratch.address);
});
