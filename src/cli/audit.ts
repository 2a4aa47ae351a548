/** `deno task audit`: how much room a small ring has for a network, on calibration images. */
import { writeDescription } from "../data/model_folder.ts";
import { DATASET_NAMES } from "../data/open_dataset.ts";
import { audit, type AuditedScale } from "../inference/audit.ts";
import { foldBatchNorm } from "../models/fold.ts";
import { FITTED_RANGE } from "../polynomial/polynomial.ts";
import { DEFAULT_ACTIVATION, DEFAULT_LINEAR, WAVE_ACTIVATION } from "../protocols/registry.ts";
import { fastForward, seededImages, trainingImages } from "../options/audit_images.ts";
import { runCommand } from "../terminal/command.ts";
import {
  formatRangesOption,
  INFER_OPTIONS,
  NETWORK_OPTION,
  PLAN_OPTIONS,
} from "../options/inference_options.ts";
import { networkAndPlan, networkIn, plainNetwork, RANDOM_MODEL } from "../options/network_and_plan.ts";
import { isThere } from "../files/is_there.ts";
import { ownFolder } from "../folders/own_folder.ts";
import { formatTable } from "../terminal/table.ts";

const { classes, ringBits, polynomial, wave } = PLAN_OPTIONS,
  { weights, modelSeed, json } = INFER_OPTIONS;

await runCommand({
  name: "audit",
  summary:
    "measure the inputs of all activations in the clear and say whether the ring of lifted or trigonometric has room for them",
  notes:
    "The ring must keep one bit of room above the largest value seen at every layer. The ranges are public metadata of a network: " +
    "server, client and dealer all need them. Calibrate on training images, never on those of a test.",
  time: "seconds for 100 images of a small network, a minute for ResNet-50",
  examples: [
    "audit --model resnet18",
    "audit --model resnet18 --weights runs/resnet18 --dataset cifar10 --data data/cifar10 --write",
  ],
  options: {
    model: NETWORK_OPTION,
    classes,
    ringBits,
    polynomial,
    wave,
    weights,
    modelSeed,
    dataset: {
      type: "string",
      choices: DATASET_NAMES,
      help: "whose training images to calibrate on (default: random images from a seed)",
    },
    data: { type: "path", value: "DIR", needs: ["dataset"], help: "folder of the dataset" },
    images: { type: "integer", min: 1, max: 100_000, default: 100, help: "images to calibrate on" },
    write: {
      type: "boolean",
      needs: ["weights"],
      // Ranges of another function than the one that it was trained with.
      excludes: ["polynomial", "wave"],
      help: "store the ranges in the model folder",
    },
    force: { type: "boolean", help: "end well, and write, even if the ring has too little room" },
    json,
  },
  async run(options) {
    if (options.write) {
      if (!isThere(options.weights!)) {
        throw new Error(`${options.weights} is not a model folder: it is not there`);
      }
      ownFolder(options.weights!);
    }
    const { model, plan } = await networkAndPlan({
      ...options,
      ...await networkOf(options),
      elements: undefined,
      linear: DEFAULT_LINEAR.name,
      fractionBits: undefined,
      ranges: undefined,
      // Ranges that were stored before may leave too little room; they are about to be replaced.
      force: true,
    });
    const { graph, weights, activation } = plainNetwork(
      plan,
      foldBatchNorm(model.graph, model.weights).weights,
    );
    const images = options.dataset === undefined
      ? seededImages(graph, options.images)
      : await trainingImages(graph, options.images, {
        name: options.dataset,
        folder: options.data,
        pixels: model.pixels,
      });
    using engine = await fastForward(graph, weights, activation);
    const { ranges, layers, refused } = audit(graph, plan.options, engine.forward, images);
    const isAccepted = refused === null || options.force;
    if (options.write && isAccepted) writeDescription(model.folder!, { ...model, ranges });

    const { ringBits } = plan.wires.get(plan.input)!;
    if (options.json) console.log(JSON.stringify({ model: graph.name, ringBits, ranges, refused, layers }));
    else {
      console.log(formatTable(layers.map(rowOf)));
      console.log(
        "\nBeyond the ring: with the scales in force before this audit. What the ring holds, head-room and bits: with its ranges.\n" +
          `--ranges=${formatRangesOption(graph, ranges)}`,
      );
      if (isAccepted) {
        const by = refused === null ? "" : `, by force: ${refused}`;
        console.log(`\n${graph.name} fits ${ringBits} ring bits${by}`);
        if (options.write) console.log(`ranges written to ${model.folder}/model.json`);
      }
    }
    if (!isAccepted) throw new Error(refused);
  },
});

/** The network, and the protocol that computes what it was trained with, or what is asked for. */
async function networkOf(
  { weights, wave, ...asked }: {
    readonly weights: string | undefined;
    readonly wave: string | undefined;
    readonly model: string | undefined;
    readonly classes: number | undefined;
  },
) {
  const activation = wave === undefined ? undefined : WAVE_ACTIVATION.name;
  if (weights !== undefined) return await networkIn(weights, { ...asked, activation });
  return {
    model: asked.model ?? RANDOM_MODEL,
    graph: undefined,
    activation: activation ?? DEFAULT_ACTIVATION.name,
  };
}

function rowOf(layer: AuditedScale) {
  const share = (part: number) => part === 0 ? "0" : `${(100 * part).toPrecision(2)} %`;
  return {
    layer: layer.id,
    "largest |z|": Number(layer.largest.toPrecision(3)),
    [`beyond ${FITTED_RANGE}`]: layer.kind === "logits" ? "-" : share(layer.beyondInterval),
    "beyond the ring": share(layer.beyondRing),
    "integer bits": layer.integerBits,
    "ring holds": Number.isFinite(layer.ringLimit) ? layer.ringLimit : "-",
    "head-room": Number.isFinite(layer.ringLimit) ? `${layer.headRoomBits.toFixed(1)} bits` : "-",
    "fraction bits": layer.fractionBits,
    kept: layer.keptBits ?? "-",
  };
}
