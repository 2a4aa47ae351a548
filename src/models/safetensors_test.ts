/** Round trips, and files that must be refused. */
import { assertEquals, assertThrows } from "@std/assert";
import { it } from "@std/testing/bdd";
import type { FloatTensor } from "./graph.ts";
import { readSafetensors, writeSafetensors } from "./safetensors.ts";

const weights = new Map<string, FloatTensor>([
  ["layer.weight", { shape: [2, 3], data: Float32Array.of(1, -2.5, 3, 4, 1e-40, -0) }],
  ["empty", { shape: [0, 7], data: new Float32Array(0) }],
  ["scalar", { shape: [], data: Float32Array.of(7) }],
  ["ümlaut", { shape: [1], data: Float32Array.of(0.1) }],
]);

/** A file of a header, given as JSON or text, and some bytes of data. */
function file(header: unknown, dataBytes: number): Uint8Array {
  const text = new TextEncoder().encode(typeof header === "string" ? header : JSON.stringify(header));
  const bytes = new Uint8Array(8 + text.length + dataBytes);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(text.length), true);
  bytes.set(text, 8);
  return bytes;
}

const tensor = (shape: unknown, begin: number, end: number, dtype = "F32") => ({
  dtype,
  shape,
  data_offsets: [begin, end],
});
const refuse = (bytes: Uint8Array, message: string) =>
  assertThrows(() => readSafetensors(bytes), SyntaxError, message);

it("readSafetensors() gives back what writeSafetensors() was given", () => {
  const read = readSafetensors(writeSafetensors(weights, { model: "resnet18", classes: "10" }));
  assertEquals(read.weights, weights);
  assertEquals(read.metadata, new Map([["model", "resnet18"], ["classes", "10"]]));
});

it("readSafetensors() reads from any place in a buffer", () => {
  const bytes = writeSafetensors(weights), shifted = new Uint8Array(bytes.length + 6).subarray(3, -3);
  shifted.set(bytes);
  assertEquals(readSafetensors(shifted).weights, weights);
});

it("writeSafetensors() writes the format's own example byte by byte and aligns the data", () => {
  const bytes = writeSafetensors(new Map([["a", { shape: [2], data: Float32Array.of(1, 2) }]]));
  const text = '{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}';
  assertEquals(new DataView(bytes.buffer).getBigUint64(0, true), 56n);
  assertEquals(new TextDecoder().decode(bytes.subarray(8, 64)), text.padEnd(56));
  assertEquals([...bytes.subarray(64)], [0, 0, 0x80, 0x3f, 0, 0, 0, 0x40]);
});

it("writeSafetensors() refuses a shape that does not fit the data", () => {
  const wrong = new Map([["w", { shape: [3], data: new Float32Array(2) }]]);
  assertThrows(() => writeSafetensors(wrong), RangeError, "tensor w: shape [3] needs 3 values, it holds 2");
});

it("readSafetensors() reads F16: the largest number, the smallest, minus zero, infinity, and odd lengths", () => {
  // 1, -2.5, 65504, 2^-24, -0, infinity by IEEE 754 binary16, and between them an F32.
  const halves = [0x3c00, 0xc100, 0x7bff, 0x0001, 0x8000, 0x7c00];
  const bytes = file(
    { h: tensor([3], 0, 6, "F16"), s: tensor([], 6, 10), t: tensor([3], 10, 16, "F16") },
    16,
  );
  const data = new DataView(bytes.buffer, bytes.length - 16);
  halves.forEach((half, i) => data.setUint16(i < 3 ? 2 * i : 2 * i + 4, half, true));
  data.setFloat32(6, 0.1, true);
  const read = readSafetensors(bytes).weights;
  assertEquals([...read.get("h")!.data], [1, -2.5, 65504]);
  assertEquals([...read.get("s")!.data], [Math.fround(0.1)]);
  assertEquals([...read.get("t")!.data], [2 ** -24, -0, Infinity]);
});

it("writeSafetensors() rounds to the nearest F16, to even where two are as near, and refuses what is too large", () => {
  const of = (...values: number[]) =>
    new Map([["w", { shape: [values.length], data: Float32Array.from(values) }]]);
  const read = (
    ...values: number[]
  ) => [...readSafetensors(writeSafetensors(of(...values), {}, "F16")).weights.get("w")!.data];
  assertEquals(writeSafetensors(of(1, 2, 3), {}, "F16").length, writeSafetensors(of(1, 2, 3)).length - 6);
  assertEquals(read(0.1, 2049, 2051, 1e-9, 65519), [0.0999755859375, 2048, 2052, 0, 65504]);
  assertEquals(read(0.0999755859375, -0, Infinity), [0.0999755859375, -0, Infinity]);
  assertThrows(() => read(1, 65520), RangeError, "tensor w: 65520 is too large for F16");
});

it("readSafetensors() names the tensor of a truncated file, at every length", () => {
  const whole = writeSafetensors(weights);
  for (let length = 0; length < whole.length; length++) {
    assertThrows(() => readSafetensors(whole.subarray(0, length)), SyntaxError);
  }
  refuse(whole.subarray(0, whole.length - 1), "tensor ümlaut ends at data byte 32, the file holds 31");
});

it("readSafetensors() refuses tensors that overlap, leave gaps or leave data over", () => {
  refuse(file({ a: tensor([2], 0, 8), b: tensor([2], 4, 12) }, 12), "tensor b overlaps");
  refuse(file({ a: tensor([1], 0, 4), b: tensor([1], 8, 12) }, 12), "4 unused bytes before tensor b");
  refuse(file({ a: tensor([1], 0, 4) }, 8), "4 bytes after the last tensor");
});

it("readSafetensors() refuses headers that lie", () => {
  refuse(file({ a: tensor([2], 0, 4, "BF16") }, 4), 'tensor a: dtype "BF16"');
  refuse(file({ a: tensor([2], 0, 4, "toString") }, 4), 'tensor a: dtype "toString"');
  refuse(file({ a: tensor([2], 0, 8, "F16") }, 8), "tensor a: shape [2] needs 4 bytes");
  refuse(file({ a: tensor([3], 0, 8) }, 8), "tensor a: shape [3] needs 12 bytes");
  refuse(file({ a: tensor([-2], 0, 8) }, 8), "tensor a: shape [-2]");
  refuse(file({ a: tensor([2 ** 40, 2 ** 40], 0, 8) }, 8), "tensor a: shape");
  refuse(file({ a: tensor("2", 0, 8) }, 8), "tensor a: shape");
  refuse(file({ a: tensor([2], 8, 0) }, 8), "tensor a:");
  refuse(file({ a: { dtype: "F32", shape: [2], data_offsets: [0] } }, 8), "tensor a: data_offsets [0]");
  refuse(file({ a: 5 }, 8), "tensor a: its header entry is not an object");
  refuse(file("[]", 0), "not a JSON object");
  refuse(file("{", 0), "not JSON");
  refuse(file('{"a\\u202e":1}', 0), "control characters");

  const long = new Uint8Array(16);
  new DataView(long.buffer).setBigUint64(0, 2n ** 63n, true);
  refuse(long, "header length");
});
