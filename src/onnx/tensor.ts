/** Tensors of ONNX files: weights in float32, float16 or bfloat16 become float32, shapes and axes numbers. */
import { create } from "@bufbuild/protobuf";
import {
  type TensorProto,
  TensorProto_DataLocation as DataLocation,
  TensorProto_DataType as DataType,
  TensorProtoSchema,
} from "onnx-buf";

/** Weights as floats; whole numbers, of which every float64 holds those that count things, as numbers; others by their type alone. */
export type OnnxTensor =
  & { readonly shape: readonly number[] }
  & (
    | { readonly kind: "floats"; readonly data: Float32Array }
    | { readonly kind: "integers"; readonly data: readonly number[] }
    | { readonly kind: "other"; readonly type: string }
  );

/** The types that become float32, as ONNX numbers them. */
export const FLOATS: readonly number[] = [
  DataType.FLOAT,
  DataType.FLOAT16,
  DataType.DOUBLE,
  DataType.BFLOAT16,
];

/** The bytes of a file beside the ONNX file, by the name that it has there. */
export type ExternalData = (file: string) => Uint8Array;

interface Format {
  readonly kind: "floats" | "integers";
  readonly bytes: number;
  read(view: DataView, at: number): number;
}

/** How the types that are supported lie in raw data, little-endian. */
const FORMATS: ReadonlyMap<DataType, Format> = new Map<DataType, Format>([
  [DataType.FLOAT, { kind: "floats", bytes: 4, read: (view, at) => view.getFloat32(at, true) }],
  [DataType.DOUBLE, { kind: "floats", bytes: 8, read: (view, at) => view.getFloat64(at, true) }],
  [DataType.FLOAT16, { kind: "floats", bytes: 2, read: (view, at) => view.getFloat16(at, true) }],
  [DataType.BFLOAT16, { kind: "floats", bytes: 2, read: (view, at) => bfloat16(view.getUint16(at, true)) }],
  [DataType.INT64, { kind: "integers", bytes: 8, read: (view, at) => Number(view.getBigInt64(at, true)) }],
  [DataType.INT32, { kind: "integers", bytes: 4, read: (view, at) => view.getInt32(at, true) }],
]);

const word = new DataView(new ArrayBuffer(4));

/** The upper half of a float32. */
function bfloat16(bits: number): number {
  word.setUint32(0, bits << 16);
  return word.getFloat32(0);
}

function float16(bits: number): number {
  word.setUint16(0, bits);
  return word.getFloat16(0);
}

/** Names of a file stand in messages, where none may steer a terminal. */
export function printable(text: string): string {
  if (!/\p{C}/u.test(text)) return text;
  throw new SyntaxError(`a name in the file has control characters: "${text.replace(/\p{C}/gu, "?")}"`);
}

/** @throws {SyntaxError} that names the tensor whose data do not have its shape */
export function decodeTensor(tensor: TensorProto, external: ExternalData): OnnxTensor {
  const name = printable(tensor.name) || "without a name";
  const refuse = (what: string): never => {
    throw new SyntaxError(`tensor ${name}: ${what}`);
  };
  const shape = tensor.dims.map(Number), size = shape.reduce((product, n) => product * n, 1);
  if (!shape.every((n) => n >= 0) || !Number.isSafeInteger(size)) {
    return refuse(`shape [${shape}] is not a list of sizes`);
  }
  const format = FORMATS.get(tensor.dataType);
  if (format === undefined) {
    return { kind: "other", shape, type: DataType[tensor.dataType] ?? "an unknown type" };
  }
  const values = typedValues(tensor) ?? rawValues(rawBytes(tensor, external), format);
  if (values === null || values.length !== size) {
    return refuse(`shape [${shape}] needs ${size} values, it holds ${values?.length ?? "a part of one"}`);
  }
  return format.kind === "floats"
    ? { kind: "floats", shape, data: Float32Array.from(values) }
    : { kind: "integers", shape, data: Array.from(values) };
}

/** What small tensors have in fields of their own; half floats lie there as the bits of integers. */
function typedValues(
  { dataType, floatData, doubleData, int32Data, int64Data }: TensorProto,
): number[] | null {
  if (floatData.length > 0) return floatData;
  if (doubleData.length > 0) return doubleData;
  if (int64Data.length > 0) return int64Data.map(Number);
  if (int32Data.length === 0) return null;
  if (dataType === DataType.FLOAT16) return int32Data.map(float16);
  return dataType === DataType.BFLOAT16 ? int32Data.map(bfloat16) : int32Data;
}

function rawValues(raw: Uint8Array, { bytes, read }: Format): number[] | null {
  if (raw.length % bytes !== 0) return null;
  const view = new DataView(raw.buffer, raw.byteOffset, raw.byteLength);
  return Array.from({ length: raw.length / bytes }, (_, i) => read(view, i * bytes));
}

function rawBytes(tensor: TensorProto, external: ExternalData): Uint8Array {
  if (tensor.dataLocation !== DataLocation.EXTERNAL) return tensor.rawData;
  const fields = new Map(tensor.externalData.map(({ key, value }) => [key, value]));
  const file = external(printable(fields.get("location") ?? "")), offset = Number(fields.get("offset") ?? 0);
  return file.subarray(offset, offset + Number(fields.get("length") ?? file.length - offset));
}

/** The same tensor, its data no longer in a file of their own. */
export function withOwnData(tensor: TensorProto, external: ExternalData): TensorProto {
  if (tensor.dataLocation !== DataLocation.EXTERNAL) return tensor;
  const { name, dims, dataType } = tensor;
  return create(TensorProtoSchema, { name, dims, dataType, rawData: rawBytes(tensor, external).slice() });
}

/** @throws {RangeError} for another kind of tensor than floats and integers */
export function encodeTensor(name: string, tensor: OnnxTensor): TensorProto {
  const dims = tensor.shape.map(BigInt);
  switch (tensor.kind) {
    case "floats": {
      const rawData = new Uint8Array(Float32Array.from(tensor.data).buffer);
      return create(TensorProtoSchema, { name, dims, dataType: DataType.FLOAT, rawData });
    }
    case "integers":
      return create(TensorProtoSchema, {
        name,
        dims,
        dataType: DataType.INT64,
        int64Data: tensor.data.map(BigInt),
      });
    case "other":
      throw new RangeError(`tensor ${name} of type ${tensor.type} is not written`);
  }
}
