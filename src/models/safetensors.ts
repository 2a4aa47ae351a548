/**
 * Reads and writes weights as safetensors: 8 bytes with the length of a JSON header, the header, then the
 * data. F32 and, in half the bytes, F16; row-major, little-endian. Numbers are float32 once they are read. A file is untrusted:
 * everything it says is checked before use.
 */
import type { FloatTensor, Weights } from "./graph.ts";

const PREFIX_BYTES = 8;
const ALIGNMENT = 8;
const MAX_HEADER_BYTES = 2 ** 24;
const METADATA = "__metadata__";

/** How a file stores its numbers. */
export type NumberType = "F32" | "F16";

const NUMBER_BYTES: Readonly<Record<NumberType, number>> = { F32: 4, F16: 2 };

/** Weights and the free text fields of a file. */
export interface SafetensorsFile {
  readonly weights: Map<string, FloatTensor>;
  readonly metadata: ReadonlyMap<string, string>;
}

interface Entry {
  readonly name: string;
  readonly type: NumberType;
  readonly shape: readonly number[];
  readonly begin: number;
  readonly end: number;
}

/**
 * Writes weights as the bytes of a safetensors file, tensors in the order given.
 *
 * @param metadata text fields for the file's `__metadata__`, for example the name of the model
 * @param type F16 rounds to 11 significant bits
 * @throws {RangeError} if a number is too large for the type
 */
export function writeSafetensors(
  weights: Weights,
  metadata: Readonly<Record<string, string>> = {},
  type: NumberType = "F32",
): Uint8Array {
  const numberBytes = NUMBER_BYTES[type];
  const header: [string, unknown][] = Object.keys(metadata).length > 0 ? [[METADATA, metadata]] : [];
  let offset = 0;
  for (const [name, { shape, data }] of weights) {
    if (name === METADATA) throw new RangeError(`a tensor cannot be named ${METADATA}`);
    if (sizeOf(shape) !== data.length) {
      throw new RangeError(
        `tensor ${name}: shape [${shape}] needs ${sizeOf(shape)} values, it holds ${data.length}`,
      );
    }
    const end = offset + numberBytes * data.length;
    header.push([name, { dtype: type, shape, data_offsets: [offset, end] }]);
    offset = end;
  }
  let text = JSON.stringify(Object.fromEntries(header));
  const encoder = new TextEncoder();
  text += " ".repeat((ALIGNMENT - encoder.encode(text).length % ALIGNMENT) % ALIGNMENT);
  const headerBytes = encoder.encode(text);
  const bytes = new Uint8Array(PREFIX_BYTES + headerBytes.length + offset);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(headerBytes.length), true);
  bytes.set(headerBytes, PREFIX_BYTES);
  let at = PREFIX_BYTES + headerBytes.length;
  for (const [name, { data }] of weights) {
    const stored = type === "F32" ? data : halfPrecision(name, data);
    bytes.set(new Uint8Array(stored.buffer, stored.byteOffset, stored.byteLength), at);
    at += stored.byteLength;
  }
  return bytes;
}

function halfPrecision(name: string, data: Float32Array): Float16Array {
  const rounded = Float16Array.from(data),
    at = rounded.findIndex((v, i) => !Number.isFinite(v) && Number.isFinite(data[i]));
  if (at >= 0) throw new RangeError(`tensor ${name}: ${data[at]} is too large for F16, which ends at 65504`);
  return rounded;
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
  for (const { name, type, shape, begin, end } of entries) {
    // A copy: the data of a tensor need not be aligned in the file.
    const { buffer } = bytes.slice(dataStart + begin, dataStart + end);
    const data = type === "F32" ? new Float32Array(buffer) : Float32Array.from(new Float16Array(buffer));
    weights.set(name, { shape, data });
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
  } catch {
    throw new SyntaxError("safetensors: the header is not JSON");
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
  if (/\p{C}/u.test(name)) throw new SyntaxError("safetensors: a name has control characters");
  const refuse = (what: string): never => {
    throw new SyntaxError(`safetensors: tensor ${name}: ${what}`);
  };
  if (!isRecord(value)) return refuse("its header entry is not an object");
  const { dtype, shape, data_offsets: offsets } = value;
  if (!isNumberType(dtype)) {
    return refuse(
      `dtype ${JSON.stringify(dtype) ?? "(left out)"} is not supported, only "F32" and "F16" are`,
    );
  }
  if (!isSizes(shape)) return refuse(`shape ${JSON.stringify(shape) ?? "(left out)"} is not a list of sizes`);
  if (!isSizes(offsets) || offsets.length !== 2) {
    return refuse(`data_offsets ${JSON.stringify(offsets) ?? "(left out)"} are not a pair of byte offsets`);
  }
  const [begin, end] = offsets, wanted = NUMBER_BYTES[dtype] * sizeOf(shape);
  if (begin > end || end - begin !== wanted) {
    return refuse(`shape [${shape}] needs ${wanted} bytes, data_offsets [${offsets}] span ${end - begin}`);
  }
  return { name, type: dtype, shape, begin, end };
}

const isNumberType = (value: unknown): value is NumberType =>
  typeof value === "string" && Object.hasOwn(NUMBER_BYTES, value);

const sizeOf = (shape: readonly number[]) => shape.reduce((product, size) => product * size, 1);

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

const isSizes = (value: unknown): value is number[] =>
  Array.isArray(value) && value.every((size) => Number.isSafeInteger(size) && size >= 0);
