/**
 * Reads and writes weights as safetensors: 8 bytes with the length of a JSON header, the header, then the
 * data. Only F32, row-major, little-endian. A file is untrusted: everything it says is checked before use.
 */
import type { FloatTensor, Weights } from "./graph.ts";

const PREFIX_BYTES = 8;
const ALIGNMENT = 8;
const MAX_HEADER_BYTES = 2 ** 24;
const METADATA = "__metadata__";

/** Weights and the free text fields of a file. */
export interface SafetensorsFile {
  readonly weights: Map<string, FloatTensor>;
  readonly metadata: ReadonlyMap<string, string>;
}

interface Entry {
  readonly name: string;
  readonly shape: readonly number[];
  readonly begin: number;
  readonly end: number;
}

/**
 * Writes weights as the bytes of a safetensors file, tensors in the order given.
 *
 * @param metadata text fields for the file's `__metadata__`, for example the name of the model
 */
export function writeSafetensors(
  weights: Weights,
  metadata: Readonly<Record<string, string>> = {},
): Uint8Array {
  const header: [string, unknown][] = Object.keys(metadata).length > 0 ? [[METADATA, metadata]] : [];
  let offset = 0;
  for (const [name, { shape, data }] of weights) {
    if (name === METADATA) throw new RangeError(`a tensor cannot be named ${METADATA}`);
    if (sizeOf(shape) !== data.length) {
      throw new RangeError(
        `tensor ${name}: shape [${shape}] needs ${sizeOf(shape)} values, it holds ${data.length}`,
      );
    }
    header.push([name, { dtype: "F32", shape, data_offsets: [offset, offset + 4 * data.length] }]);
    offset += 4 * data.length;
  }
  let text = JSON.stringify(Object.fromEntries(header));
  const encoder = new TextEncoder();
  text += " ".repeat((ALIGNMENT - encoder.encode(text).length % ALIGNMENT) % ALIGNMENT);
  const headerBytes = encoder.encode(text);
  const bytes = new Uint8Array(PREFIX_BYTES + headerBytes.length + offset);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(headerBytes.length), true);
  bytes.set(headerBytes, PREFIX_BYTES);
  let at = PREFIX_BYTES + headerBytes.length;
  for (const { data } of weights.values()) {
    bytes.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), at);
    at += data.byteLength;
  }
  return bytes;
}

/**
 * Reads the tensors of a safetensors file.
 *
 * @throws {SyntaxError} if the file is not valid; the message names the tensor where there is one
 */
export function readSafetensors(bytes: Uint8Array): SafetensorsFile {
  const { entries, metadata, dataStart } = readHeader(bytes);
  const dataBytes = bytes.length - dataStart;
  let covered = 0;
  for (const { name, begin, end } of [...entries].sort((a, b) => a.begin - b.begin || a.end - b.end)) {
    if (begin < covered) throw new SyntaxError(`safetensors: tensor ${name} overlaps the tensor before it`);
    if (begin > covered) {
      throw new SyntaxError(`safetensors: ${begin - covered} unused bytes before tensor ${name}`);
    }
    if (end > dataBytes) {
      throw new SyntaxError(
        `safetensors: tensor ${name} ends at data byte ${end}, the file holds ${dataBytes}: is it truncated?`,
      );
    }
    covered = end;
  }
  if (covered !== dataBytes) {
    throw new SyntaxError(`safetensors: ${dataBytes - covered} bytes after the last tensor belong to none`);
  }
  const weights = new Map<string, FloatTensor>();
  for (const { name, shape, begin, end } of entries) {
    // A copy: the data of a tensor need not be aligned in the file.
    weights.set(name, {
      shape,
      data: new Float32Array(bytes.slice(dataStart + begin, dataStart + end).buffer),
    });
  }
  return { weights, metadata };
}

function readHeader(
  bytes: Uint8Array,
): { entries: Entry[]; metadata: Map<string, string>; dataStart: number } {
  if (bytes.length < PREFIX_BYTES) {
    throw new SyntaxError(
      `safetensors: ${bytes.length} bytes are no safetensors file: the header length takes 8`,
    );
  }
  const length = new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true);
  if (length > BigInt(Math.min(MAX_HEADER_BYTES, bytes.length - PREFIX_BYTES))) {
    throw new SyntaxError(
      `safetensors: header length ${length} exceeds the file (${bytes.length} bytes) or ${MAX_HEADER_BYTES}`,
    );
  }
  const dataStart = PREFIX_BYTES + Number(length);
  let header: unknown;
  try {
    header = JSON.parse(
      new TextDecoder("utf-8", { fatal: true }).decode(bytes.subarray(PREFIX_BYTES, dataStart)),
    );
  } catch (error) {
    throw new SyntaxError(`safetensors: the header is not JSON: ${(error as Error).message}`);
  }
  if (!isRecord(header)) throw new SyntaxError("safetensors: the header is not a JSON object");
  const entries: Entry[] = [], metadata = new Map<string, string>();
  for (const [name, value] of Object.entries(header)) {
    if (name === METADATA) {
      for (const [key, text] of Object.entries(isRecord(value) ? value : {})) metadata.set(key, String(text));
    } else entries.push(readEntry(name, value));
  }
  return { entries, metadata, dataStart };
}

function readEntry(name: string, value: unknown): Entry {
  const refuse = (what: string): never => {
    throw new SyntaxError(`safetensors: tensor ${name}: ${what}`);
  };
  if (!isRecord(value)) return refuse("its header entry is not an object");
  const { dtype, shape, data_offsets: offsets } = value;
  if (dtype !== "F32") {
    return refuse(`dtype ${JSON.stringify(dtype) ?? "(left out)"} is not supported, only "F32" is`);
  }
  if (!isSizes(shape)) return refuse(`shape ${JSON.stringify(shape) ?? "(left out)"} is not a list of sizes`);
  if (!isSizes(offsets) || offsets.length !== 2) {
    return refuse(`data_offsets ${JSON.stringify(offsets) ?? "(left out)"} are not a pair of byte offsets`);
  }
  const [begin, end] = offsets;
  if (begin > end || end - begin !== 4 * sizeOf(shape)) {
    return refuse(
      `shape [${shape}] needs ${4 * sizeOf(shape)} bytes, data_offsets [${offsets}] span ${end - begin}`,
    );
  }
  return { name, shape, begin, end };
}

const sizeOf = (shape: readonly number[]) => shape.reduce((product, size) => product * size, 1);

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

const isSizes = (value: unknown): value is number[] =>
  Array.isArray(value) && value.every((size) => Number.isSafeInteger(size) && size >= 0);
