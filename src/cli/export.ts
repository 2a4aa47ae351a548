/** `deno task export`: a network as an ONNX file. */
import { readModelFolder } from "../data/model_folder.ts";
import { replaceFile } from "../files/replace_file.ts";
import { MODEL_NAMES } from "../models/zoo.ts";
import { exportOnnx } from "../onnx/export.ts";
import { runCommand } from "../terminal/command.ts";

await runCommand({
  name: "export",
  summary: "write a network as an ONNX file",
  notes:
    "The file takes one image as float32 [1, channels, height, width], normalised as in training, and gives the logits. Batch norm is " +
    "folded; polynomial and trigonometric activations are element-wise operations of ONNX.",
  time: "a second",
  examples: ["export --weights results/models/convnet-pillar-shapes --onnx convnet.onnx"],
  options: {
    weights: { type: "path", value: "DIR", required: true, help: "model folder" },
    model: { type: "string", choices: MODEL_NAMES, help: "network that the folder must hold" },
    onnx: { type: "path", value: "FILE", required: true, help: "file to write" },
  },
  async run({ weights: folder, model: wanted, onnx: file }) {
    const { graph, weights, activation } = await readModelFolder(folder);
    if (wanted !== undefined && wanted !== graph.name) {
      throw new Error(`${folder} holds ${graph.name}, not ${wanted}`);
    }
    const bytes = exportOnnx(graph, weights, activation), [height, width, channels] = graph.inputShape;
    replaceFile(file, bytes);
    console.log(
      `${graph.name} with ${activation.kind} in ${file}: image [1, ${channels}, ${height}, ${width}], ` +
        `${graph.classes} logits, ${(bytes.length / 1e6).toFixed(2)} MB`,
    );
  },
});
