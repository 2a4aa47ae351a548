/** Whether a shipped network comes out again, to the last bit, when its training is repeated from its training.json. */
import { weightsFile } from "../mod.ts";
import type { TrainResult } from "../src/reproduction/command_results.ts";
import { type Cell, defineExperiment, runJson, type Size } from "../src/reproduction/experiment.ts";
import { kindOf, samplesOf, type ShippedModel } from "./_models.ts";
import { TRAINING_MB, TRAINING_RIGHTS } from "./_train.ts";

interface RetrainingCell extends Cell {
  readonly shipped: ShippedModel;
}

/** ConvNet, whose training takes four minutes of two quiet cores for 60 epochs. */
const MODEL = "convnet", SECONDS_PER_EPOCH = 4.5;

/** One network of each kind of activation. Its weights are as training left them: only larger ones are rounded to ship. */
function cells(size: Size): RetrainingCell[] {
  if (size !== "full") return [];
  return samplesOf(MODEL, ({ activation }) => kindOf(activation)).map((shipped) => ({
    id: shipped.name,
    shipped,
    seconds: shipped.epochs * SECONDS_PER_EPOCH,
    memoryMB: TRAINING_MB,
  }));
}

/** Whether the machines of a training rounded a product and a sum once, each answer once: earlier folders say it for all epochs. */
export async function roundingOf(folder: string): Promise<string> {
  const { fma, origins = [{ fma }] } = JSON.parse(await Deno.readTextFile(`${folder}/training.json`));
  return [...new Set((origins as { fma?: boolean }[]).map((origin) => origin.fma))].join();
}

export const retraining = defineExperiment<RetrainingCell>({
  key: "retraining",
  title: "Shipped networks trained again",
  explanation:
    "A shipped ConvNet of each kind of activation is trained again with every setting of its training.json. The bits of a training depend " +
    "on nothing else: neither on the number of workers nor on the machine, as long as it rounds a product and a sum as the first one did " +
    "(fma). At full size and with CIFAR-10 alone.",
  columns: {
    weights: "folder of the shipped network",
    activation: "its activation",
    epochs: "epochs of training",
    training_seed: "seed of the training",
    sha256: "of the shipped weights",
    retrained_sha256: "of those that came out now",
    rounds_alike: "whether this machine rounds a product and a sum as that of the first training did",
    is_same: "whether they are the same",
    train_seconds: "time of the second training",
  },
  cells,
  async run({ shipped }) {
    const { folder, activation, epochs, trainingSeed } = shipped;
    const out = await Deno.makeTempDir({ dir: "runs", prefix: "retraining-" });
    try {
      const { seconds } = await runJson([
        ...TRAINING_RIGHTS,
        "src/cli/train.ts",
        ...["--repeat", folder, "--out", `${out}/run`, "--results", out, "--evaluate", "last", "--json"],
      ], { timeoutSeconds: 4 * 3600 }) as TrainResult;
      const [first, second] = [await weightsFile(folder), await weightsFile(`${out}/run`)];
      return [{
        weights: folder,
        activation,
        epochs,
        training_seed: trainingSeed,
        sha256: first.sha256,
        retrained_sha256: second.sha256,
        rounds_alike: await roundingOf(folder) === await roundingOf(`${out}/run`),
        is_same: first.sha256 === second.sha256,
        train_seconds: seconds,
      }];
    } finally {
      await Deno.remove(out, { recursive: true });
    }
  },
  figures: () => [],
  table: (rows) =>
    rows.map((row) => ({
      network: row["weights"],
      activation: row["activation"],
      epochs: row["epochs"],
      "shipped SHA-256": row["sha256"].slice(0, 16),
      "trained again": row["retrained_sha256"].slice(0, 16),
      same: row["is_same"],
    })),
});
