import { assertEquals, assertRejects } from "@std/assert";
import { it } from "@std/testing/bdd";
import { digest, ranged, serve } from "./_fake_cifar.ts";
import { download } from "./download.ts";

const FILE = Uint8Array.from({ length: 100_000 }, (_, i) => (i * i) >> 3);
const MD5 = digest("md5", FILE);

async function inFolder(work: (path: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await work(`${folder}/file`);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

const names = async (path: string) =>
  (await Array.fromAsync(Deno.readDir(path.slice(0, path.lastIndexOf("/"))))).map(({ name }) => name);

it("download() fetches a file, reports progress and does not fetch it again", () =>
  inFolder(async (path) => {
    await using server = serve((request) => ranged(FILE, request));
    let last: unknown;
    await download(server.url, path, MD5, (done, total) => last = [done, total]);
    assertEquals(last, [FILE.length, FILE.length]);
    assertEquals(await Deno.readFile(path), FILE);
    await download(server.url, path, MD5);
    assertEquals(server.ranges, ["bytes=0-"]);
    assertEquals(await names(path), ["file"]);
  }));

it("download() goes on from a part and counts from there", () =>
  inFolder(async (path) => {
    await using server = serve((request) => ranged(FILE, request));
    await Deno.writeFile(`${path}.part`, FILE.subarray(0, 60_000));
    let first: number | undefined;
    await download(server.url, path, MD5, (done) => first ??= done);
    assertEquals(server.ranges, ["bytes=60000-"]);
    assertEquals(first! > 60_000, true);
    assertEquals(await Deno.readFile(path), FILE);
  }));

it("download() takes a part that is already whole, and starts anew where the server knows no ranges", () =>
  inFolder(async (path) => {
    await using server = serve((request) => ranged(FILE, request));
    await Deno.writeFile(`${path}.part`, FILE);
    await download(server.url, path, MD5);
    assertEquals(await Deno.readFile(path), FILE);

    await using plain = serve(() => new Response(FILE));
    await Deno.writeFile(`${path}.part`, FILE.subarray(0, 60_000));
    await Deno.remove(path);
    await download(plain.url, path, MD5);
    assertEquals(await Deno.readFile(path), FILE);
  }));

it("download() gives up a server that falls silent, and says what a full disk says", () =>
  inFolder(async (path) => {
    await using silent = serve(() =>
      new Response(new ReadableStream({ start: (stream) => stream.enqueue(FILE.subarray(0, 1000)) }))
    );
    await assertRejects(
      () => download(silent.url, path, MD5, () => {}, 1000),
      Error,
      "stopped after 1000 bytes: nothing came for 1 s; run the same command again",
    );
    if (Deno.build.os !== "linux") return;
    await using server = serve((request) => ranged(FILE, request));
    await Deno.remove(`${path}.part`);
    await Deno.symlink("/dev/full", `${path}.part`);
    await assertRejects(() => download(server.url, path, MD5), Error, "No space left on device");
  }));

it("download() removes a file with a wrong checksum and says so", () =>
  inFolder(async (path) => {
    await using server = serve((request) => ranged(FILE.map((byte) => byte ^ 1), request));
    await assertRejects(() => download(server.url, path, MD5), Error, `instead of ${MD5} and was removed`);
    assertEquals(await names(path), []);
  }));

it("download() keeps what came before an early end, and the next call completes it", () =>
  inFolder(async (path) => {
    const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const torn = listener.accept().then(async (connection) => {
      await connection.read(new Uint8Array(4096));
      const head = `HTTP/1.1 200 OK\r\ncontent-length: ${FILE.length}\r\n\r\n`;
      await ReadableStream.from([new TextEncoder().encode(head), FILE.subarray(0, 30_000)]).pipeTo(
        connection.writable,
      );
      listener.close();
    });
    const url = `http://127.0.0.1:${listener.addr.port}/file`;
    await assertRejects(() => download(url, path, MD5), Error, `${url} stopped after 30000 of 100000 bytes`);
    await torn;
    assertEquals((await Deno.stat(`${path}.part`)).size, 30_000);

    await using server = serve((request) => ranged(FILE, request));
    await download(server.url, path, MD5);
    assertEquals(server.ranges, ["bytes=30000-"]);
    assertEquals(await Deno.readFile(path), FILE);
  }));

it("download() names the answer of the server, or that there is none", () =>
  inFolder(async (path) => {
    await using server = serve(() => new Response("no", { status: 404, statusText: "Not Found" }));
    await assertRejects(() => download(server.url, path, MD5), Error, "fake.tar.gz answered 404 Not Found");
    const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 }),
      closed = `http://127.0.0.1:${listener.addr.port}/`;
    listener.close();
    await assertRejects(() => download(closed, path, MD5), Error, `cannot reach ${closed}: client error`);
    assertEquals(await names(path), []);
  }));
