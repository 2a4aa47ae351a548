/** Streams against a plain ChaCha20, and that against the vectors of RFC 8439. */
import { assertEquals, assertThrows } from "@std/assert";
import { it } from "@std/testing/bdd";
import type { Key } from "../ring/kernels.ts";
import { Ring } from "../ring/ring.ts";
import { RingTensor } from "../ring/tensor.ts";
import { freshSeed, Seed, SEED_BYTES } from "./stream.ts";

const ring = await Ring.open();
const seed = Uint8Array.from({ length: SEED_BYTES }, (_, i) => i);

/** One block, word by word as the RFC's section 2.3 has it; `input` is [12 ... 15] of the state. */
function chachaBlock(key: Uint8Array, input: readonly number[]): Uint8Array {
  const state = new Uint32Array([
    0x61707865,
    0x3320646e,
    0x79622d32,
    0x6b206574,
    ...new Uint32Array(key.slice().buffer),
    ...input,
  ]);
  const x = state.slice();
  const step = (a: number, b: number, d: number, bits: number) => {
    x[a] += x[b];
    x[d] ^= x[a];
    x[d] = x[d] << bits | x[d] >>> (32 - bits);
  };
  const quarter = (a: number, b: number, c: number, d: number) => {
    step(a, b, d, 16);
    step(c, d, b, 12);
    step(a, b, d, 8);
    step(c, d, b, 7);
  };
  for (let round = 0; round < 10; round++) {
    for (let i = 0; i < 4; i++) quarter(i, 4 + i, 8 + i, 12 + i);
    for (let i = 0; i < 4; i++) quarter(i, 4 + (i + 1) % 4, 8 + (i + 2) % 4, 12 + (i + 3) % 4);
  }
  return new Uint8Array(x.map((word, i) => word + state[i]).buffer);
}

/** `length` bytes of the stream `label`, beginning with its block `first`. */
function reference(label: number, first: number, length: number): Uint8Array {
  const bytes = new Uint8Array(Math.ceil(length / 64) * 64);
  for (let at = 0; at < bytes.length; at += 64) {
    bytes.set(chachaBlock(seed, [first + at / 64, 0, label, 0]), at);
  }
  return bytes.subarray(0, length);
}

it("the plain ChaCha20 gives the block of RFC 8439, section 2.3.2", () => {
  assertEquals(
    chachaBlock(seed, [1, 0x09000000, 0x4a000000, 0]).toHex(),
    "10f1e7e4d13b5915500fdd1fa32071c4c7d1f4c733c068030422aa9ac3d46c4e" +
      "d2826446079faa0914c2d705d98b02a2b5129cd1de164eb9cbd083e8a2503c4e",
  );
});

for (const words of [0, 1, 16, 63, 64, 65, 127, 128, 129, 2 ** 16 + 33]) {
  it(`a fill of ${words} words is the key stream of the label, and the next fill begins at the next block`, () => {
    const stream = new Seed(seed).stream(9);
    // Words behind the tensor must stay: a view may end where another one begins.
    using all = new RingTensor(ring, 32, words + 8), next = new RingTensor(ring, 32, 10);
    all.uint32.fill(7);
    stream.fill(all.view(0, words));
    stream.fill(next);
    // A difference in many bytes should not be printed.
    assertEquals(all.view(0, words).bytes.toBase64() === reference(9, 0, 4 * words).toBase64(), true);
    assertEquals([...all.uint32.subarray(words)], Array(8).fill(7));
    assertEquals(next.bytes.slice(), reference(9, Math.ceil(words / 16), 40));
  });
}

for (const before of [2, 6, 10]) {
  it(`block numbers carry into their upper word, lane by lane, after ${before}`, () => {
    using blocks = new RingTensor(ring, 32, 16 * 16);
    const key = new Uint32Array(seed.slice().buffer), first = 2 ** 32 - before;
    ring.kernels.chacha20(
      blocks.address,
      blocks.byteLength,
      BigInt(first),
      5n,
      ...[...key] as unknown as Key,
    );
    for (let i = 0; i < 16; i++) {
      const number = first + i, words = [number >>> 0, Math.floor(number / 2 ** 32), 5, 0];
      assertEquals(blocks.bytes.slice(64 * i, 64 * i + 64), chachaBlock(seed, words));
    }
  });
}

it("streams of other labels and of other seeds differ; a seed has its size", () => {
  const draw = (bytes: Uint8Array, label: number) => {
    using words = new RingTensor(ring, 64, 32);
    new Seed(bytes).stream(label).fill(words);
    return words.bytes.toBase64();
  };
  const other = freshSeed();
  assertEquals(new Set([draw(seed, 0), draw(seed, 1), draw(other, 0), draw(other, 1)]).size, 4);
  assertEquals(draw(other, 1), draw(other, 1));
  assertThrows(() => new Seed(new Uint8Array(16)), RangeError, "a seed has 32 bytes, not 16");
});
