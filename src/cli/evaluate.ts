/** `deno task evaluate`: accuracy and range of a trained network, as two parties would compute it: without the clip. */
import { type Dataset, holdOut, normalise, sliceSplit, type Split } from "../data/dataset.ts";
import { type Model, readModelFolder } from "../data/model_folder.ts";
import { DATASET_NAMES, openDataset } from "../data/open_dataset.ts";
import { classOf } from "../inference/parties.ts";
import { foldBatchNorm } from "../models/fold.ts";
import { FITTED_RANGE } from "../polynomial/polynomial.ts";
import { plaintextLogits } from "../options/plaintext_logits.ts";
import { evaluateSplit } from "../training/evaluation.ts";
import { formatActivation } from "../training/activations.ts";
import { stateOf } from "../training/initial.ts";
import { rangeOf } from "../training/recipe.ts";
import type { EvaluateResult } from "../reproduction/command_results.ts";
import { runCommand, UsageError } from "../terminal/command.ts";
import { formatTable } from "../terminal/table.ts";
import { ENGINE_OPTIONS, engineChoice, openEngine } from "../options/training_engine.ts";
import { reportNotes } from "../terminal/report_notes.ts";
import { checkClassNames, checkFinished, checkUnseen, readDescription } from "../folders/training_folder.ts";

/** Images that the engine takes at a time. */
const BATCH = 128;

await runCommand({
  name: "evaluate",
  summary: "measure accuracy and range of activation inputs of a trained network",
  notes: "Two parties cannot clip what they do not see, so nothing is clipped unless --clip asks for it.",
  time: "seconds for ConvNet on the 10,000 test images of CIFAR-10",
  examples: ["evaluate --weights runs/convnet-pillar-cpu-seed1", "evaluate --weights DIR --clip --json"],
  options: {
    weights: { type: "path", value: "DIR", required: true, help: "folder that train has written" },
    dataset: { type: "string", choices: DATASET_NAMES, help: "images (default: those it was trained on)" },
    data: { type: "path", value: "DIR", help: "folder of the dataset" },
    limit: { type: "integer", min: 1, help: "at most so many images" },
    holdOut: { type: "boolean", help: "the last tenth of the training images instead of the test images" },
    clip: { type: "boolean", help: "clip inputs of activations to the range" },
    range: {
      type: "number",
      min: 0.1,
      max: 1000,
      help: `larger inputs are out of range (default: the clip of the training, or ${FITTED_RANGE})`,
    },
    ...ENGINE_OPTIONS,
    each: {
      type: "boolean",
      needs: ["json"],
      excludes: ["clip"],
      help: "with --json: of each image whether its class is right, by TensorFlow.js",
    },
    json: { type: "boolean", help: "print one JSON object on one line" },
  },
  async run({ weights: folder, json, clip: clipped, ...options }) {
    checkFinished(folder);
    const { model, graph, activation, weights, classNames, pixels } = await readModelFolder(folder);
    const trained = await readDescription(folder), name = options.dataset ?? trained?.run.dataset;
    if (name === undefined) {
      throw new UsageError(`${folder} does not say which dataset it was trained on; give --dataset`);
    }
    await checkUnseen(folder, {
      holdOut: options.holdOut,
      dataset: name,
      limit: trained?.run.limit ?? null,
    });
    const { data, limit, range = rangeOf(trained?.run ?? { clip: null }) } = options;
    const dataset = await openDataset(name, {
      folder: data,
      shape: graph.inputShape,
      pixels,
      classes: graph.classes,
      // Held out is the last tenth of those images that were trained on.
      limit: options.holdOut ? { train: trained?.run.limit ?? undefined } : { test: limit },
    });
    reportNotes(dataset);
    checkClassNames(folder, classNames, dataset);
    const { test } = options.holdOut ? holdOut(dataset) : dataset;
    const split = limit === undefined ? test : sliceSplit(test, 0, Math.min(limit, test.count));
    const choice = engineChoice(options);
    const engine = await openEngine(choice, graph, activation, BATCH, stateOf(weights));
    const clip = clipped ? range : null;
    const metrics = await evaluateSplit(engine, split, dataset, { batchSize: BATCH, range, clip });
    const result = {
      model,
      dataset: name,
      activation: formatActivation(activation),
      evaluatedOn: options.holdOut ? "held-out" : "test",
      ...metrics,
      range,
      clip,
      engine: engine.name,
      ...options.each ? { right: await rightOf({ graph, weights, activation }, split, dataset) } : {},
    } satisfies EvaluateResult;
    if (json) console.log(JSON.stringify(result));
    else {
      console.log(
        `${model} on ${metrics.images} images of ${name}, ${clipped ? `clip ${range}` : "no clip"}`,
      );
      console.log();
      console.log(formatTable([
        { figure: "accuracy", value: `${metrics.accuracy.toFixed(2)} %` },
        { figure: "cross entropy", value: metrics.crossEntropy },
        { figure: "inputs out of range", value: metrics.outOfRange },
        { figure: "of all inputs", value: `${metrics.outOfRangePercent.toPrecision(3)} %` },
        { figure: "images with any", value: `${metrics.imagesOutOfRangePercent.toFixed(2)} %` },
        { figure: "largest input", value: metrics.outOfRangeMax ?? "infinite" },
        { figure: "mean out of range", value: metrics.outOfRangeMean },
        { figure: "deviation of these", value: metrics.outOfRangeDeviation },
        { figure: "images not finite", value: metrics.nonFinite },
      ]));
    }
  },
});

/** Of each image whether the largest logit is that of its class. */
async function rightOf(
  { graph, weights, activation }: Pick<Model, "graph" | "weights" | "activation">,
  split: Split,
  dataset: Dataset,
): Promise<boolean[]> {
  const folded = foldBatchNorm(graph, weights);
  const images = Array.from(
    { length: split.count },
    (_, i) => normalise(sliceSplit(split, i, i + 1).images, dataset),
  );
  const logits = await plaintextLogits(folded.graph, folded.weights, activation, images);
  return logits.map((own, i) => classOf(own) === split.labels[i]);
}
