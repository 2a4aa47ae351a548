/** The files in tests/onnx were written by PyTorch and by ONNX's own library (tests/onnx/make.py), not by our export. */
import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { assert, assertEquals, assertThrows } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { ModelProtoSchema, TensorProto_DataType } from "onnx-buf";
import { evaluateLogits } from "../models/float_engine.ts";
import { SeededRandom } from "../models/seeded_random.ts";
import { seededImage } from "../models/weights.ts";
import {
  decodeModel,
  encodeForValue,
  encodeModel,
  type OnnxAttribute,
  type OnnxModel,
  type OnnxNode,
} from "./format.ts";
import { importOnnx } from "./import.ts";
import { imageToOnnx } from "./layout.ts";
import { askOnnxRuntime } from "./runtime.ts";
import type { OnnxTensor } from "./tensor.ts";

const RELU = { kind: "relu" } as const;
const nothing = (): never => {
  throw new Error("no file lies beside this one");
};
const foreign = (name: string) => Deno.readFile(new URL(`../../tests/onnx/${name}.onnx`, import.meta.url));

async function errorOf(bytes: Uint8Array, name: string, external = nothing as (file: string) => Uint8Array) {
  const { graph, weights, input, logits } = importOnnx(decodeModel(bytes, external), name);
  const image = Float32Array.from(seededImage(graph, 5));
  const expected = evaluateLogits(graph, weights, RELU, image);
  const { outputs: [found] } = await askOnnxRuntime(
    "web",
    encodeForValue(bytes, external, logits),
    input.layout === "NCHW" ? imageToOnnx(image, graph.inputShape) : image,
    { shape: input.shape, repetitions: 1, warmUp: 0 },
  );
  assertEquals(found.length, expected.length);
  const largest = Math.max(...expected.map(Math.abs));
  return Math.max(...expected.map((logit, k) => Math.abs(logit - found[k]))) / largest;
}

describe("importOnnx() reads what ONNX Runtime computes", () => {
  for (const name of ["digits", "residual", "residual_folded", "keras"]) {
    it(`of ${name}`, async () => {
      const error = await errorOf(await foreign(name), name);
      assert(error <= 1e-5, `${error} of the largest logit`);
    });
  }

  it("in whatever operations means, flattenings and what is left out are written", async () => {
    const model = decodeModel(await foreign("residual_folded"), nothing);
    const pooling = model.nodes.find(({ op }) => op === "GlobalAveragePool")!;
    const flatten = model.nodes.find(({ op }) => op === "Flatten")!, logits = model.outputs[0].name;
    const node = (op: string, inputs: readonly string[], output: string, attributes = {}): OnnxNode => ({
      ...{ name: op, op, inputs, outputs: [output], attributes: new Map(Object.entries(attributes)) },
    });
    const [image] = pooling.inputs, [flat] = flatten.outputs;
    const ways: Readonly<Record<string, readonly OnnxNode[]>> = {
      "ReduceMean, Squeeze": [
        node("ReduceMean", [image], "means", { axes: [2, 3], keepdims: 1 }),
        node("Squeeze", ["means", "the axes"], flat),
      ],
      "ReduceMean that flattens": [node("ReduceMean", [image], flat, { axes: [-1, -2], keepdims: 0 })],
      "AveragePool, Dropout, Reshape": [
        node("AveragePool", [image], "means", { kernel_shape: [8, 8], strides: [8, 8] }),
        node("Dropout", ["means"], "kept"),
        node("Reshape", ["kept", "the shape"], flat),
      ],
    };
    const axes: OnnxTensor = { kind: "integers", shape: [2], data: [2, 3] };
    const shape: OnnxTensor = { kind: "integers", shape: [2], data: [1, -1] };
    const tensors = new Map([...model.tensors, ["the axes", axes], ["the shape", shape]]);
    for (const [way, instead] of Object.entries(ways)) {
      // Our export writes no attributes that are no integers; those of Gemm are 1.
      const nodes = model.nodes.flatMap((node) => {
        if (node === pooling || node === flatten) return node === pooling ? instead : [];
        return [{
          ...node,
          attributes: new Map([...node.attributes].filter(([name]) => !/^(alpha|beta)$/.test(name))),
        }];
      });
      const last = node("LogSoftmax", [logits], "scores", { axis: 1 });
      const outputs = [{ ...model.outputs[0], name: "scores" }];
      const error = await errorOf(
        encodeModel("net", { ...model, tensors, nodes: [...nodes, last], outputs }),
        way,
      );
      assert(error <= 1e-5, `${way}: ${error} of the largest logit`);
    }
  });

  it("also where all of it is in half floats, and where weights lie in a file of their own", async () => {
    for (const name of ["half", "external"]) {
      const error = await errorOf(await foreign(name), name, (file) => {
        assertEquals(file, "external.weights");
        return Deno.readFileSync(new URL("../../tests/onnx/external.weights", import.meta.url));
      });
      assert(error <= 1e-5, `${name}: ${error} of the largest logit`);
    }
  });
});

it("a state dict of PyTorch is the same network by the mapping of docs/onnx.md", async () => {
  // What PyTorch does not fold has the names and the layout of its state dict in the file.
  for (
    const [name, flattened, eps] of [["digits", [4, 4, 11], 1e-3], ["residual", [1, 1, 24], 1e-5]] as const
  ) {
    const model = decodeModel(await foreign(name), nothing), { graph, weights } = importOnnx(model, name);
    const state = (id: string) => {
      const tensor = model.tensors.get(id)!;
      assert(tensor.kind === "floats");
      return Array.from(tensor.data);
    };
    const mapped = new Map<string, number[]>();
    for (const node of graph.nodes) {
      if (node.op === "conv" || node.op === "dense") {
        const from = state(`${node.id}.weight`),
          { outputs } = node,
          kernel = node.op === "conv" ? node.kernel : 1;
        const inputs = from.length / outputs / kernel ** 2;
        const [height, width, channels] =
          inputs === flattened[0] * flattened[1] * flattened[2] && node.op === "dense"
            ? flattened
            : [1, 1, inputs];
        const to: number[] = [];
        for (let window = 0; window < kernel ** 2; window++) {
          for (let pixel = 0; pixel < height * width; pixel++) {
            for (let c = 0; c < channels; c++) {
              const input = c * height * width + pixel;
              for (let o = 0; o < outputs; o++) to.push(from[(o * inputs + input) * kernel ** 2 + window]);
            }
          }
        }
        mapped.set(`${node.id}.weight`, to);
        if (node.bias) mapped.set(`${node.id}.bias`, state(`${node.id}.bias`));
      } else if (node.op === "batchNorm") {
        const variance = state(`${node.id}.running_var`);
        const scale = state(`${node.id}.weight`).map((w, c) =>
          Math.fround(w * Math.sqrt((variance[c] + 1e-5) / (variance[c] + eps)))
        );
        mapped.set(`${node.id}.scale`, scale).set(`${node.id}.offset`, state(`${node.id}.bias`));
        mapped.set(`${node.id}.mean`, state(`${node.id}.running_mean`)).set(`${node.id}.variance`, variance);
      }
    }
    assertEquals(mapped, new Map([...weights].map(([id, { data }]) => [id, Array.from(data)])), name);
  }
});

it("importOnnx() reads files of old versions, which name their weights among the inputs", async () => {
  const model = file(DENSE), kernel = { name: "kernel", shape: [3, 2, 3, 3] };
  const { text: _, ...tensors } = Object.fromEntries(model.tensors);
  const old = encodeModel("old", {
    ...model,
    inputs: [...model.inputs, kernel],
    tensors: new Map(Object.entries(tensors as Record<string, OnnxTensor>)),
  });
  const error = await errorOf(old, "old");
  assert(error <= 1e-5, `${error} of the largest logit`);
});

describe("importOnnx() keeps", () => {
  it("the names of PyTorch, the sizes, and what it left out", async () => {
    const { graph, input, notes } = importOnnx(decodeModel(await foreign("digits"), nothing), "digits");
    assertEquals(
      graph.nodes.map(({ id, op }) => `${id} ${op}`).join(", "),
      "input input, conv1 conv, act1 activation, pool1 maxPool, conv2 conv, bn2 batchNorm, act2 activation, pool2 maxPool, " +
        "flatten1 flatten, fc1 dense, act3 activation, fc2 dense",
    );
    assertEquals([graph.inputShape, graph.classes, input.shape], [[28, 28, 1], 10, [1, 1, 28, 28]]);
    assertEquals(notes, ["the final Softmax was dropped: logits have the same order"]);
    const { graph: residual } = importOnnx(decodeModel(await foreign("residual"), nothing), "residual");
    const ids = residual.nodes.map(({ id }) => id);
    for (const id of ["layer2.conv1", "layer2.down.0", "layer2.down.1", "layer2.add1"]) {
      assert(ids.includes(id), `${ids}`);
    }
  });
});

/** A file of one convolution from two channels to three, and what is done with its result. */
function file(
  nodes: readonly (readonly [string, string, Record<string, OnnxAttribute>?])[],
  attributes = {},
): OnnxModel {
  const floats = (...shape: number[]): OnnxTensor => ({
    kind: "floats",
    shape,
    data: new Float32Array(shape.reduce((product, n) => product * n, 1)).fill(0.5),
  });
  const integers = (...data: number[]): OnnxTensor => ({ kind: "integers", shape: [data.length], data });
  const all = [["Conv", "image kernel", attributes] as const, ...nodes];
  return {
    inputs: [{ name: "image", shape: [1, 2, 6, 6] }],
    outputs: [{ name: `v${all.length}`, shape: [1, 2] }],
    nodes: all.map(([op, inputs, attributes = {}], i): OnnxNode => ({
      name: `the ${op}`,
      op,
      inputs: inputs.split(" "),
      outputs: [`v${i + 1}`],
      attributes: new Map(Object.entries(attributes)),
    })),
    tensors: new Map<string, OnnxTensor>([
      ["kernel", floats(3, 2, 3, 3)],
      ["flat_kernel", floats(3, 3, 1, 3)],
      ["channels", floats(3, 1, 1)],
      ["matrix", floats(48, 2)],
      ["numbers", floats(3)],
      ["axes", integers(1)],
      ["around", integers(0, 0, 1, 1, 0, 0, 1, 1)],
      ["below", integers(0, 0, 0, 0, 0, 0, 1, 1)],
      ["text", { kind: "other", shape: [1], type: "STRING" }],
      ["4x12", integers(4, 12)],
      ["zero", integers(0)],
      ["one", integers(1)],
      ["open", integers(-1)],
    ]) as Map<string, OnnxTensor>,
  };
}

const DENSE = [["Flatten", "v1"], ["Gemm", "v2 matrix"]] as const;

it("importOnnx() sees a flattening whose shape is put together, and a softmax behind which nothing is done", async () => {
  const same = (nodes: Parameters<typeof file>[0], what: string) =>
    assertEquals(importOnnx(file(nodes), "net").graph, importOnnx(file(DENSE), "net").graph, what);
  const behind = (...sizes: Parameters<typeof file>[0]) => {
    const last = `v${sizes.length + 1}`;
    return [
      ...sizes,
      ["Concat", `${last} open`, { axis: 0 }],
      ["Reshape", `v1 v${sizes.length + 2}`],
      ["Gemm", `v${sizes.length + 3} matrix`],
    ] as const;
  };
  same(behind(["Shape", "v1"], ["Slice", "v2 zero one"]), "Slice");
  same(
    behind(["Shape", "v1"], ["Slice", "v2", { starts: [0], ends: [1], axes: [0] }]),
    "Slice until version 9",
  );
  same(behind(["Shape", "v1", { start: 0, end: 1 }]), "Shape from version 15 on");
  same(behind(["Shape", "v1", { end: -3 }]), "Shape, counted from its end");
  same([...DENSE, ["Softmax", "v3", { axis: 1 }], ["Cast", "v4", { to: 1 }], ["Identity", "v5"]], "Softmax");
  // Integers of 32 bits keep their type in what a runtime is asked.
  const narrow = behind(["Shape", "v1"], ["Cast", "v2", { to: 6 }], ["Slice", "v3 zero one"]);
  const { tensors, ...rest } = file([
    ...narrow.slice(0, -2),
    ["Cast", "v5", { to: 7 }],
    ["Reshape", "v1 v6"],
    ["Gemm", "v7 matrix"],
  ]);
  const written = new Map([...tensors].filter(([, { kind }]) => kind !== "other"));
  const bytes = encodeModel("net", { ...rest, tensors: written });
  const model = fromBinary(ModelProtoSchema, bytes);
  for (const node of model.graph!.node) node.name = "";
  for (const tensor of model.graph!.initializer) {
    if (tensor.name !== "open") continue;
    tensor.dataType = TensorProto_DataType.INT32;
    tensor.int32Data = [-1];
    tensor.int64Data = [];
  }
  const error = await errorOf(toBinary(ModelProtoSchema, model), "net");
  assert(error <= 1e-5, `${error} of the largest logit`);
});

describe("importOnnx() refuses", () => {
  const refused = (model: OnnxModel, message: string) => {
    assertThrows(() => importOnnx(model, "net"), RangeError, message);
  };
  it("nothing of the file that the others are made from", () => {
    assertEquals(importOnnx(file(DENSE), "net").graph.classes, 2);
  });
  it("what has no counterpart, by the name of its node", () => {
    refused(
      file([["Sigmoid", "v1"]]),
      "node the Sigmoid (Sigmoid): this operation has no counterpart here; those that have are Conv, ",
    );
    refused(file([["toString", "v1"]]), "node the toString (toString): this operation has no counterpart");
    refused(
      file(DENSE, { group: 2 }),
      "node the Conv (Conv): convolutions in 2 groups have no protocol here",
    );
    refused(file(DENSE, { strides: [1, 2] }), "stride 1 x 2 is not the same in both directions");
    refused(file(DENSE, { dilations: [2, 2] }), "dilated kernels have no counterpart here");
    refused(file(DENSE, { pads: [0, 0, 1, 1] }), "padding 0, 0, 1, 1 differs between sides");
    refused(
      file([["AveragePool", "v1", { kernel_shape: [2, 2], pads: [1, 1, 1, 1] }]]),
      "averages over a border have no protocol here",
    );
    refused(
      file([["MaxPool", "v1", { kernel_shape: [3, 3], strides: [2, 2], ceil_mode: 1 }]]),
      "windows that stick out",
    );
    refused(file([["Conv", "v1 flat_kernel"]]), "kernel 1 x 3 is not the same in both directions");
    refused(file([["Conv", "v1 kernel"]]), "its filters read 2 channels, its input has 3");
    refused(
      file([["Conv", "v1 text"]]),
      "input 1 is stored as STRING; weights are FLOAT, FLOAT16, BFLOAT16 or DOUBLE",
    );
    refused(file([["Conv", "v1 around"]]), "input 1 is stored as integers");
    refused(file([["Conv", "v1 v1"]]), "input 1 is not stored in the file");
  });
  it("what stands at the wrong place", () => {
    const norm = "numbers numbers numbers numbers";
    refused(
      file([["Relu", "v1"], ["BatchNormalization", `v2 ${norm}`]]),
      "batch norm must follow a convolution or dense layer",
    );
    refused(
      file([["BatchNormalization", `v1 ${norm}`], ["Add", "v2 v1"]]),
      "whose result nothing else reads",
    );
    refused(
      file([["Relu", "v1"], ["Add", "v2 channels"]]),
      "a constant can be added to the channels of a convolution",
    );
    refused(
      file([["Pad", "v1 around"], ["MaxPool", "v2", { kernel_shape: [2, 2] }]]),
      "it reads what was padded with zeros",
    );
    refused(file([["Pad", "v1 below"]]), "padding [0,0,0,0,0,0,1,1] is not alike on all sides");
    refused(file([["Gemm", "v1 matrix"]]), "it reads a value that is not flattened");
    refused(
      file([["Flatten", "v1"], ["Conv", "v2 kernel"]]),
      "it reads a value that lies as flat where ONNX has channels first",
    );
    refused(
      file([["Flatten", "v1"], ["MatMul", "v2 numbers"]]),
      "its matrix has the shape [3], its input 48 numbers",
    );
    refused(file([["Reshape", "v1 4x12"]]), "a reshaping of [1,3,4,4] to [4,12] is no flattening");
    refused(file([["Squeeze", "v1 axes"]]), "is no flattening; flatten from axis 1 in its place");
    refused(file([["Transpose", "v1", { perm: [0, 3, 2, 1] }]]), "a transposition by 0,3,2,1");
    refused(file([["Transpose", "v1"]]), "a transposition by 3,2,1,0");
    refused(
      file([["Transpose", "v1", { perm: [0, 2, 3, 1] }], ["BatchNormalization", `v2 ${norm}`]]),
      "it would normalise rows, since its input has channels last",
    );
    refused(
      file([["GlobalAveragePool", "v1"], ["Softmax", "v2", { axis: -1 }]]),
      "node the Softmax (Softmax): its axis is not that of the classes",
    );
    refused(
      file([["Flatten", "v1"]]),
      "the output v2 is a flattening of 4 x 4 x 3 numbers with the channels slowest",
    );
    refused(file([]), "the output v1 has the shape 4 x 4 x 3, which are no logits");
  });
  it("files for several images, of open size, with several inputs or outputs", () => {
    const shaped = (...shape: (number | null)[]) => ({ ...file(DENSE), inputs: [{ name: "image", shape }] });
    refused(
      shaped(8, 2, 6, 6),
      "input image of shape [8, 2, 6, 6]: the file takes several images at a time; export it for one",
    );
    refused(
      shaped(1, 2, null, 6),
      "input image of shape [1, 2, ?, 6]: the file leaves the size of the image open",
    );
    refused(shaped(), "input image of shape []: the file does not say its size");
    refused(shaped(1, 6, 6), "an image has three dimensions beside the batch");
    const two = [{ name: "a", shape: [1] }, { name: "b", shape: [1] }];
    refused(
      { ...file(DENSE), outputs: two },
      "the file must have one input, the image, and one output, the logits; it has image, a, b",
    );
  });
});

it("decodeModel() refuses what is no ONNX file, and tensors whose data do not fit", () => {
  for (
    const bytes of [
      new Uint8Array(),
      new Uint8Array([255, 1, 2]),
      new TextEncoder().encode("hello, this is a text"),
    ]
  ) {
    assertThrows(() => decodeModel(bytes, nothing), SyntaxError, "not an ONNX file");
  }
  const numbers: OnnxTensor = { kind: "floats", shape: [3], data: new Float32Array(3) };
  const encode = (tensor: OnnxTensor) =>
    encodeModel("net", { ...file(DENSE), tensors: new Map([["numbers", tensor]]) });
  assertEquals(decodeModel(encode(numbers), nothing).tensors.get("numbers"), numbers);
  assertThrows(
    () => decodeModel(encode({ ...numbers, shape: [7] }), nothing),
    SyntaxError,
    "tensor numbers: shape [7] needs 7 values, it holds 3",
  );
});

it("decodeModel() refuses names that could steer a terminal", () => {
  const model = file(DENSE), [node] = model.nodes, tricky = "a\x1b[2Jb", tensors = new Map();
  const damaged = [
    { nodes: [{ ...node, name: tricky }] },
    { nodes: [{ ...node, op: tricky }] },
    { nodes: [{ ...node, inputs: [tricky] }] },
    { nodes: [{ ...node, outputs: [tricky] }] },
    { nodes: [{ ...node, attributes: new Map([[tricky, 1]]) }] },
    { inputs: [{ ...model.inputs[0], name: tricky }] },
    { tensors: new Map([[tricky, { kind: "floats", shape: [1], data: new Float32Array(1) } as const]]) },
  ];
  for (const change of damaged) {
    const bytes = encodeModel("net", { ...model, tensors, ...change });
    assertThrows(() => decodeModel(bytes, nothing), SyntaxError, 'control characters: "a?[2Jb"');
  }
});

it("importOnnx() answers damaged files with a sentence or a network whose weights fit", async () => {
  const random = new SeededRandom(1, "damage");
  for (const name of ["digits", "keras", "residual_folded"]) {
    const whole = await foreign(name);
    for (let i = 0; i < 200; i++) {
      const bytes = whole.slice(0, i % 10 === 0 ? random.nextUint32() % whole.length : whole.length);
      // Most of a file is weights; what says how they are used stands at the start and at the end.
      for (let n = 0; n <= i % 4; n++) {
        const at = random.nextUint32() % Math.min(bytes.length, 1500);
        bytes[i % 2 === 0 ? at : bytes.length - 1 - at] = random.nextUint32();
      }
      try {
        importOnnx(decodeModel(bytes, nothing), "damaged");
      } catch (error) {
        const isSaid = error instanceof RangeError || error instanceof SyntaxError;
        assert(
          isSaid && !/Invalid (typed )?array|call stack/.test(error.message),
          `${name}, case ${i}: ${error}`,
        );
      }
    }
  }
});
