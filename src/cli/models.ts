/** `deno task models`: the networks and what they cost. */
import { countModel } from "../models/counts.ts";
import { buildModel, MODEL_NAMES } from "../models/zoo.ts";
import { runCommand } from "../terminal/command.ts";
import { formatTable } from "../terminal/table.ts";

await runCommand({
  name: "models",
  summary: "list the networks with their parameters, layers, activations and multiply-accumulates",
  examples: ["models", "models --model resnet32 --classes 100 --json"],
  options: {
    model: { type: "string", choices: MODEL_NAMES, help: "this network only" },
    classes: {
      type: "integer",
      min: 2,
      max: 100_000,
      help: "number of classes (default: 10; ResNet-50: 1000)",
    },
    json: { type: "boolean", help: "print one JSON array on one line" },
  },
  run({ model, classes, json }) {
    const rows = (model === undefined ? MODEL_NAMES : [model]).map((name) => {
      const graph = buildModel(name, classes), counts = countModel(graph);
      const { params, conv, shortcutConv, dense, activationLayers, activations, macs } = counts;
      return {
        model: name,
        classes: graph.classes,
        params,
        conv,
        shortcutConv,
        dense,
        activationLayers,
        activations,
        macs,
      };
    });
    const thousands = (value: unknown) => Number(value).toLocaleString("en");
    console.log(
      json ? JSON.stringify(rows) : formatTable(rows, [
        "model",
        "classes",
        { key: "params", title: "parameters", format: thousands, align: "right" },
        { key: "conv", title: "convolutions" },
        { key: "shortcutConv", title: "on shortcuts" },
        "dense",
        { key: "activationLayers", title: "activation layers" },
        { key: "activations", format: thousands, align: "right" },
        { key: "macs", title: "multiply-accumulates", format: thousands, align: "right" },
      ]),
    );
  },
});
