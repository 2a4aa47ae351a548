/**
 * ONNX files as plain data: what a converter of networks needs of them, and nothing of protobuf. A file is untrusted: what it says
 * is checked where it is used. The format itself is read and written by `onnx-buf`, compiled from ONNX's own definitions.
 */
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import {
  type AttributeProto,
  AttributeProto_AttributeType as AttributeType,
  AttributeProtoSchema,
  GraphProtoSchema,
  type ModelProto,
  ModelProtoSchema,
  NodeProtoSchema,
  OperatorSetIdProtoSchema,
  type TensorProto,
  TensorProto_DataType as DataType,
  TensorShapeProto_DimensionSchema,
  TensorShapeProtoSchema,
  TypeProto_TensorSchema,
  TypeProtoSchema,
  type ValueInfoProto,
  ValueInfoProtoSchema,
} from "onnx-buf";
import {
  decodeTensor,
  encodeTensor,
  type ExternalData,
  FLOATS,
  type OnnxTensor,
  printable,
  withOwnData,
} from "./tensor.ts";

export type OnnxAttribute = number | string | readonly number[] | OnnxTensor;

/** One operation. Inputs that are left out have the name "". */
export interface OnnxNode {
  readonly name: string;
  readonly op: string;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly attributes: ReadonlyMap<string, OnnxAttribute>;
}

/** A value that goes in or comes out; a dimension that the file leaves open is null. */
export interface OnnxValue {
  readonly name: string;
  readonly shape: readonly (number | null)[];
}

export interface OnnxModel {
  readonly inputs: readonly OnnxValue[];
  readonly outputs: readonly OnnxValue[];
  /** In an order in which each reads what earlier ones make. */
  readonly nodes: readonly OnnxNode[];
  /** Weights and constants by name. */
  readonly tensors: ReadonlyMap<string, OnnxTensor>;
}

/** Of the operators that {@linkcode encodeModel} is given, in their form of this version; every runtime of the last years has it. */
const OPERATOR_SET = 13n, FORMAT_VERSION = 7n;

/**
 * Reads a file.
 *
 * @param external opens a file that lies beside it and holds data of its tensors
 * @throws {SyntaxError} if it is no ONNX file or holds what this reader cannot read
 */
export function decodeModel(bytes: Uint8Array, external: ExternalData): OnnxModel {
  const { graph } = parse(bytes);
  if (graph === undefined || graph.node.length === 0) {
    throw new SyntaxError("not an ONNX file: it has no graph");
  }
  if (graph.sparseInitializer.length > 0) throw new SyntaxError("sparse weights are not supported");
  const tensors = new Map(graph.initializer.map((tensor) => [tensor.name, decodeTensor(tensor, external)]));
  return {
    // Files of old versions name their weights among the inputs.
    inputs: graph.input.map(valueOf).filter(({ name }) => !tensors.has(name)),
    outputs: graph.output.map(valueOf),
    nodes: graph.node.map(({ name, opType, domain, input, output, attribute }) => ({
      name: printable(name),
      op: printable(domain === "" || domain === "ai.onnx" ? opType : `${domain}.${opType}`),
      inputs: input.map(printable),
      outputs: output.map(printable),
      attributes: new Map(
        attribute.map((attribute) => [printable(attribute.name), attributeOf(attribute, external)]),
      ),
    })),
    tensors,
  };
}

function parse(bytes: Uint8Array): ModelProto {
  try {
    return fromBinary(ModelProtoSchema, bytes);
  } catch {
    throw new SyntaxError("not an ONNX file");
  }
}

function valueOf({ name, type }: ValueInfoProto): OnnxValue {
  if (type?.value.case !== "tensorType") throw new SyntaxError(`${printable(name)} is no tensor`);
  const dimensions = type.value.value.shape?.dim ?? [];
  return {
    name: printable(name),
    shape: dimensions.map(({ value }) =>
      value.case === "dimValue" && value.value > 0n ? Number(value.value) : null
    ),
  };
}

/** Kinds that no supported operation has are left as texts, which every reader of a number or a list refuses. */
function attributeOf(attribute: AttributeProto, external: ExternalData): OnnxAttribute {
  switch (attribute.type) {
    case AttributeType.FLOAT:
      return attribute.f;
    case AttributeType.INT:
      return Number(attribute.i);
    case AttributeType.STRING:
      return printable(new TextDecoder().decode(attribute.s));
    case AttributeType.TENSOR:
      return attribute.t ? decodeTensor(attribute.t, external) : "no tensor";
    case AttributeType.FLOATS:
      return attribute.floats;
    case AttributeType.INTS:
      return attribute.ints.map(Number);
    default:
      return `an attribute of kind ${AttributeType[attribute.type]}`;
  }
}

/** The bytes of a file that holds `model`. Attributes are written as integers, lists of them, or texts. */
export function encodeModel(
  name: string,
  { inputs, outputs, nodes, tensors }: OnnxModel,
): Uint8Array<ArrayBuffer> {
  const graph = create(GraphProtoSchema, {
    name,
    input: inputs.map(valueInfo),
    output: outputs.map(valueInfo),
    initializer: [...tensors].map(([name, tensor]) => encodeTensor(name, tensor)),
    node: nodes.map(({ name, op, inputs, outputs, attributes }) =>
      create(NodeProtoSchema, {
        name,
        opType: op,
        input: [...inputs],
        output: [...outputs],
        attribute: [...attributes].map(([name, value]) => attributeProto(name, value)),
      })
    ),
  });
  const opsetImport = [create(OperatorSetIdProtoSchema, { version: OPERATOR_SET })];
  return toBinary(
    ModelProtoSchema,
    create(ModelProtoSchema, {
      irVersion: FORMAT_VERSION,
      opsetImport,
      producerName: "private-inference",
      graph,
    }),
  );
}

/**
 * The same file for a runtime that is to show the value `output` of one image: everything in it, half floats widened to float32, which
 * runtimes on a CPU lack.
 */
export function encodeForValue(
  bytes: Uint8Array,
  external: ExternalData,
  output: string,
): Uint8Array<ArrayBuffer> {
  const model = parse(bytes),
    graph = model.graph!,
    widened = (type: number) => FLOATS.includes(type) ? DataType.FLOAT : type;
  // Integers keep their type, which the operations around them share.
  const inlined = (tensor: TensorProto) => {
    const decoded = decodeTensor(tensor, external);
    return decoded.kind === "floats" ? encodeTensor(tensor.name, decoded) : withOwnData(tensor, external);
  };
  graph.initializer = graph.initializer.map(inlined);
  for (const { opType, attribute } of graph.node) {
    for (const one of attribute) {
      if (one.t) one.t = inlined(one.t);
      if (opType === "Cast" && one.name === "to") one.i = BigInt(widened(Number(one.i)));
    }
  }
  const stored = new Set(graph.initializer.map(({ name }) => name));
  for (const { name, type } of graph.input) {
    if (type?.value.case !== "tensorType" || stored.has(name)) continue;
    const tensor = type.value.value, [batch] = tensor.shape?.dim ?? [];
    tensor.elemType = widened(tensor.elemType);
    if (batch) batch.value = { case: "dimValue", value: 1n };
  }
  // What the file says of values in between would contradict the types that they have now.
  graph.valueInfo = [];
  const type = create(TypeProto_TensorSchema, { elemType: DataType.FLOAT });
  graph.output = [
    create(ValueInfoProtoSchema, {
      name: output,
      type: create(TypeProtoSchema, { value: { case: "tensorType", value: type } }),
    }),
  ];
  return toBinary(ModelProtoSchema, model);
}

function attributeProto(name: string, value: OnnxAttribute): AttributeProto {
  if (typeof value === "number") {
    return create(AttributeProtoSchema, { name, type: AttributeType.INT, i: BigInt(value) });
  }
  if (!Array.isArray(value)) {
    throw new RangeError(`attribute ${name} is neither an integer nor a list of them`);
  }
  return create(AttributeProtoSchema, { name, type: AttributeType.INTS, ints: value.map(BigInt) });
}

function valueInfo({ name, shape }: OnnxValue): ValueInfoProto {
  const dim = shape.map((size) =>
    create(
      TensorShapeProto_DimensionSchema,
      size === null ? {} : { value: { case: "dimValue", value: BigInt(size) } },
    )
  );
  const tensor = create(TypeProto_TensorSchema, {
    elemType: DataType.FLOAT,
    shape: create(TensorShapeProtoSchema, { dim }),
  });
  return create(ValueInfoProtoSchema, {
    name,
    type: create(TypeProtoSchema, { value: { case: "tensorType", value: tensor } }),
  });
}
