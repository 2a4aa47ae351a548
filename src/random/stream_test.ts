/** Streams against one plain call of AES in counter mode. */
import { assertEquals } from "@std/assert";
import { Seed, SEED_BYTES } from "./stream.ts";

const seed = Uint8Array.from({ length: SEED_BYTES }, (_, i) => 7 * i + 1);

/** `length` bytes of the stream `label`, beginning with its block `first`. */
async function reference(label: number, first: number, length: number): Promise<Uint8Array> {
  const key = await crypto.subtle.importKey("raw", seed, "AES-CTR", false, ["encrypt"]);
  const counter = new DataView(new ArrayBuffer(16));
  counter.setUint32(0, label);
  counter.setBigUint64(8, BigInt(first));
  const algorithm = { name: "AES-CTR", counter: counter.buffer, length: 64 };
  return new Uint8Array(await crypto.subtle.encrypt(algorithm, key, new Uint8Array(length)));
}

for (const length of [0, 5, 16, 2 ** 19, 2 ** 19 + 1, 5 * 2 ** 20 + 33]) {
  Deno.test(`a fill of ${length} bytes is AES in counter mode under the label, and the next fill begins at the next block`, async () => {
    const stream = (await Seed.of(seed)).stream(9), bytes = new Uint8Array(length), next = new Uint8Array(40);
    await stream.fill(bytes);
    await stream.fill(next);
    // A difference in millions of bytes should not be printed.
    assertEquals(bytes.toBase64() === (await reference(9, 0, length)).toBase64(), true);
    assertEquals(next, await reference(9, Math.ceil(length / 16), 40));
  });
}
