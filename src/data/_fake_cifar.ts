/** A small set in the format of CIFAR, its archive, and a server for it: for tests. */
import { createHash } from "node:crypto";
import type { CifarSet } from "./cifar.ts";

export const RECORD_PIXELS = 3072;

/** A record: labels, then every pixel of a plane has the plane's value. */
export function record(labels: readonly number[], planes: readonly number[]): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(labels.length + RECORD_PIXELS);
  bytes.set(labels);
  for (const [p, value] of planes.entries()) {
    bytes.fill(value, labels.length + p * 1024, labels.length + (p + 1) * 1024);
  }
  return bytes;
}

export function join(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

/** Two training files of two images and a test file of one, labels in one byte. */
export const FILES: Readonly<Record<string, Uint8Array<ArrayBuffer>>> = {
  "one.bin": join([record([3], [10, 20, 30]), record([0], [40, 50, 60])]),
  "two.bin": join([record([1], [0, 0, 255]), record([2], [7, 8, 9])]),
  "test.bin": record([9], [1, 2, 3]),
};

export const digest = (kind: "md5" | "sha256", bytes: Uint8Array) =>
  createHash(kind).update(bytes).digest("hex");

/** Describes {@linkcode FILES} with the archive at `url`. */
export function fakeSet(url: string, archive: Uint8Array): CifarSet {
  const file = (name: string) => ({
    name,
    records: FILES[name].length / (1 + RECORD_PIXELS),
    sha256: digest("sha256", FILES[name]),
  });
  return {
    name: "cifar10",
    classes: 10,
    folder: "fake-batches-bin",
    url,
    md5: digest("md5", archive),
    labelBytes: 1,
    train: [file("one.bin"), file("two.bin")],
    test: [file("test.bin")],
  };
}

/** An archive, written by its own small implementation of the format. */
export function tar(files: Readonly<Record<string, Uint8Array>>): Uint8Array<ArrayBuffer> {
  const blocks: Uint8Array[] = [tarHeader("fake-batches-bin/", 0, "5")];
  for (const [name, bytes] of Object.entries(files)) {
    blocks.push(tarHeader(`fake-batches-bin/${name}`, bytes.length, "0"), bytes);
    blocks.push(new Uint8Array((512 - bytes.length % 512) % 512));
  }
  return join([...blocks, new Uint8Array(1024)]);
}

function tarHeader(name: string, size: number, type: string): Uint8Array {
  const text = name.padEnd(100, "\0") + "0000644\0" + "0000000\0".repeat(2) +
    size.toString(8).padStart(11, "0") + " " + "00000000000 " + " ".repeat(8) + type;
  const header = new Uint8Array(512);
  header.set(new TextEncoder().encode(text));
  const sum = header.reduce((a, b) => a + b, 0);
  header.set(new TextEncoder().encode(sum.toString(8).padStart(6, "0") + "\0 "), 148);
  return header;
}

export async function gzip(bytes: Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer>> {
  const packed = new Blob([bytes]).stream().pipeThrough(new CompressionStream("gzip"));
  return new Uint8Array(await new Response(packed).arrayBuffer());
}

/** A server on this machine; `ranges` are the range headers that were asked for, in order. */
export function serve(answer: (request: Request) => Response) {
  const ranges: (string | null)[] = [];
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, (request) => {
    ranges.push(request.headers.get("range"));
    return answer(request);
  });
  return {
    url: `http://127.0.0.1:${server.addr.port}/fake.tar.gz`,
    ranges,
    [Symbol.asyncDispose]: () => server.shutdown(),
  };
}

/** Answers with the part of `bytes` that the request asks for. */
export function ranged(bytes: Uint8Array<ArrayBuffer>, request: Request): Response {
  const start = Number(/^bytes=(\d+)-$/.exec(request.headers.get("range") ?? "")?.[1] ?? 0);
  if (start >= bytes.length) return new Response(null, { status: 416 });
  const headers = { "content-range": `bytes ${start}-${bytes.length - 1}/${bytes.length}` };
  return new Response(bytes.subarray(start), { status: 206, headers });
}
