import { assertEquals, assertRejects } from "@std/assert";
import { it } from "@std/testing/bdd";
import { FILES, join, tar } from "./_fake_cifar.ts";
import { readTar } from "./tar.ts";

/** A stream in pieces of a size that fits neither blocks nor files. */
const pieces = (bytes: Uint8Array, size = 777) =>
  ReadableStream.from(
    Array.from(
      { length: Math.ceil(bytes.length / size) },
      (_, i) => bytes.subarray(i * size, (i + 1) * size),
    ),
  );
const all = (bytes: Uint8Array) => Array.fromAsync(readTar(pieces(bytes)));

it("readTar() yields the files and passes over folders", async () => {
  const files = { ...FILES, "empty": new Uint8Array(), "block": new Uint8Array(512).fill(7) };
  const read = await all(tar(files));
  assertEquals(read.map(({ name, bytes }) => [name.split("/")[1], bytes]), Object.entries(files));
});

it("readTar() reads an archive made by the tar of the system", async () => {
  const folder = await Deno.makeTempDir();
  try {
    for (const [name, bytes] of Object.entries(FILES)) await Deno.writeFile(`${folder}/${name}`, bytes);
    const args = ["-cf", `${folder}/x.tar`, "-C", folder, ...Object.keys(FILES)];
    if (!(await new Deno.Command("tar", { args }).output()).success) throw new Error("tar failed");
    const read = await all(await Deno.readFile(`${folder}/x.tar`));
    assertEquals(Object.fromEntries(read.map(({ name, bytes }) => [name, bytes])), FILES);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

it("readTar() refuses what is no archive or ends too early", async () => {
  const whole = tar(FILES);
  await assertRejects(() => all(join([new Uint8Array(512).fill(65)])), Error, "it is not a tar archive");
  await assertRejects(
    () => all(whole.subarray(0, 2000)),
    Error,
    "it ends in the middle of fake-batches-bin/one.bin",
  );
});
