/** `deno task publish`: a trained network as it ships, small; what is measured of it is measured after that. */
import { basename, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import {
  graphPath,
  MODEL_FILE,
  readModelFolder,
  weightsFile,
  writeModelFolder,
} from "../data/model_folder.ts";
import { isThere } from "../files/is_there.ts";
import { replaceFile } from "../files/replace_file.ts";
import { shellQuoted } from "../data/shell_quoted.ts";
import { ownFolder } from "../folders/own_folder.ts";
import { checkFinished, CHECKPOINT, readDescription, TRAINING_FILE } from "../folders/training_folder.ts";
import { runCommand } from "../terminal/command.ts";
import { firstDifference, PLAIN_FIELDS, type Run } from "../training/recipe.ts";

/** Weights that take more are rounded to half the bytes; smaller ones stay as training left them, bit for bit. */
const LARGEST_F32 = 500_000;

await runCommand({
  name: "publish",
  summary:
    "write a trained network as it ships: weights above 0.5 MB in half the bytes (F16), and how it was trained",
  notes:
    "accuracy_table measures every folder of results/models/ that has a training.json, so that a network that is published " +
    "there has its rows with the next run. A network that was trained with --hold-out is one to choose by, and does not ship.",
  time: "seconds",
  examples: ["publish --weights runs/convnet-relu-cpu-seed1"],
  options: {
    weights: { type: "path", value: "DIR", required: true, help: "folder that train has written" },
    out: {
      type: "path",
      value: "DIR",
      help: "folder to write (default: results/models/ and the name of the other)",
    },
    json: { type: "boolean", help: "print one JSON object on one line" },
  },
  async run({ weights: folder, out, json }) {
    checkFinished(folder);
    const trained = await readDescription(folder);
    if (trained === undefined) {
      throw new Error(`${folder} does not say how it was trained: ${TRAINING_FILE} is missing`);
    }
    if (trained.run.holdOut) {
      throw new Error(
        `${folder} was trained without the images that were held out; train it on all of them to ship it`,
      );
    }
    const to = out ?? fileURLToPath(new URL(`../../results/models/${basename(folder)}`, import.meta.url));
    await checkPlace(to, folder, trained.run);
    ownFolder(to);
    // Ranges are those of the weights before they are rounded.
    const { graph, weights, ranges: _, ...description } = await readModelFolder(folder);
    const numbers = [...weights.values()].reduce((sum, { data }) => sum + data.length, 0);
    const type = 4 * numbers > LARGEST_F32 ? "F16" : "F32";
    const own = graphPath(folder) === undefined ? {} : { graph };
    await writeModelFolder(to, description, weights, { type, ...own });
    replaceFile(`${to}/${TRAINING_FILE}`, await Deno.readFile(`${folder}/${TRAINING_FILE}`));

    const result = { folder: to, type, ...await weightsFile(to) };
    if (json) return void console.log(JSON.stringify(result));
    const { model } = description, { dataset, activation } = trained.run;
    console.log(
      `${model} written to ${to}: ${type}, ${(result.bytes / 1e6).toFixed(2)} MB, SHA-256 ${result.sha256}`,
    );
    if (activation === "relu") return;
    const audit = `deno task audit --weights ${shellQuoted(to)} --dataset ${dataset} --write`;
    console.log(`Next, the ranges that scales are taken from: ${audit}`);
  },
});

/** A published network is replaced by another training of the same settings alone. */
async function checkPlace(to: string, folder: string, run: Run): Promise<void> {
  if (resolve(to) === resolve(folder)) {
    throw new Error(
      `${folder} is published already; give the folder that train has written, or another --out`,
    );
  }
  const there = await readDescription(to);
  if (there === undefined && [MODEL_FILE, CHECKPOINT].some((file) => isThere(`${to}/${file}`))) {
    throw new Error(
      `${to} holds a network that publish has not written, or not to its end; remove it, or give another --out`,
    );
  }
  // Settings that were not there yet were not used.
  const difference = there && firstDifference({ ...PLAIN_FIELDS, ...there.run }, { ...PLAIN_FIELDS, ...run });
  if (difference !== undefined) {
    throw new Error(
      `${to} holds another network, trained with another ${difference.field}; give another --out`,
    );
  }
}
