/**
 * Training by TensorFlow.js through its public interface alone: the way to a graphics card, and the second opinion on the fast
 * engine for networks that are too large for `reference_engine.ts`. The forward pass is written in its operations and
 * TensorFlow.js derives the gradients, but for three of which it is told: those of convolutions (where a backend lacks
 * the kernel), of the activation and of the penalty (whose intermediate values would fill the memory). Kept out of `mod.ts`, as it loads
 * TensorFlow.js.
 */
import * as tf from "@tensorflow/tfjs";
import type { FloatTensor, Weights } from "../models/graph.ts";
import { openTensorflow, TENSORFLOW_BACKENDS, type TensorflowBackend } from "../models/tensorflow_backend.ts";
import type { Batch, CreateEngine, StepReport, StepSettings } from "./engine.ts";
import { checkBatch, checkShards, checkState } from "./engine_checks.ts";
import { evaluationReport } from "./_measure.ts";
import { checkPenalty } from "./penalty.ts";
import { activationOf } from "./tensorflow/functions.ts";
import { differentiate, inferenceTensors, shardsOf, stepReport, type Variables } from "./tensorflow/step.ts";
import { update } from "./tensorflow/update.ts";
import { cappedScales } from "./update_rules.ts";

/**
 * Uploads a network for training. Backends are those of {@linkcode openTensorflow}, `wasm` if none is named. An engine
 * makes its backend the current one before it works, so engines may take turns; but work of two engines on
 * different backends must not overlap in time. `workers` has no meaning here: one thread, or one card.
 *
 * @throws {RangeError} for a state that does not fit, a batch that `shards` does not divide, an unknown backend
 */
export const createTensorflowEngine: CreateEngine = async (
  graph,
  activation,
  { batchSize, shards = 2, backend = "wasm", initial },
) => {
  if (!isBackend(backend)) {
    throw new RangeError(
      `unknown backend "${backend}" of engine tfjs; known: ${TENSORFLOW_BACKENDS.join(", ")}`,
    );
  }
  checkShards(batchSize, shards);
  checkState(graph, initial);
  const activate = activationOf(activation), capped = cappedScales(graph);
  await openTensorflow(backend);
  const weights = variables(initial.weights), momentum = variables(initial.momentum);

  // One step after another: the next one disposes of the tensors that the last one still downloads.
  let line: Promise<unknown> = Promise.resolve();
  const take = async (batch: Batch, settings: StepSettings): Promise<StepReport> => {
    await openTensorflow(backend);
    const measured = tf.tidy(() => {
      const parts = shardsOf(graph, batch, shards).map((shard) =>
        tf.tidy(() => differentiate(graph, weights, activate, shard, batchSize, settings))
      );
      update(weights, momentum, parts, activation, capped, settings);
      return [tf.concat(parts.map(({ logits }) => logits)), ...parts.map(({ numbers }) => numbers)];
    });
    const [logits, ...numbers] = await download(measured);
    await prefetch(weights, momentum);
    return stepReport(batch, logits, numbers);
  };

  return {
    name: `tfjs-${backend}`,
    graph,

    async step(batch, settings) {
      checkBatch(graph, batch, batchSize);
      if (settings.penalty) checkPenalty(settings.penalty);
      const step = line.then(() => take(batch, settings));
      line = step.catch(() => {});
      return await step;
    },

    async evaluate(batch, range, clip = null) {
      checkBatch(graph, batch, batch.size);
      await openTensorflow(backend);
      const tensors = inferenceTensors(graph, weights, activate, batch, clip);
      const [logits, ...inputs] = await download(tensors);
      return evaluationReport(batch, logits, inputs, range);
    },

    async infer(batch) {
      checkBatch(graph, batch, batch.size);
      await openTensorflow(backend);
      const [logits, ...inputs] = inferenceTensors(graph, weights, activate, batch, null);
      tf.dispose(inputs);
      return (await download([logits]))[0];
    },

    save: () => ({ weights: copies(weights), momentum: copies(momentum) }),

    load(state) {
      checkState(graph, state);
      assign(weights, state.weights);
      assign(momentum, state.momentum);
    },

    close: () => tf.dispose([...weights.values(), ...momentum.values()]),
  };
};

const isBackend = (name: string): name is TensorflowBackend =>
  (TENSORFLOW_BACKENDS as readonly string[]).includes(name);

// --- Between JavaScript and the backend ---

/** Brings tensors to JavaScript and frees them. Not synchronous, because a graphics card cannot be. */
async function download(tensors: readonly tf.Tensor[]): Promise<Float32Array[]> {
  const values = await Promise.all(tensors.map((tensor) => tensor.data<"float32">()));
  tf.dispose([...tensors]);
  return values;
}

/** Variables that start as copies of tensors. */
const variables = (tensors: Weights): Variables =>
  new Map([...tensors].map(([name, tensor]) => [name, tf.tidy(() => tf.variable(upload(tensor)))]));

const assign = (variables: Variables, tensors: Weights): void =>
  tensors.forEach((tensor, name) => tf.tidy(() => variables.get(name)!.assign(upload(tensor))));

/** The backend may keep what it is given, hence the copy; the same on the way back. */
const upload = ({ data, shape }: FloatTensor): tf.Tensor => tf.tensor(data.slice(), [...shape]);

const copies = (variables: Variables): Weights =>
  new Map(
    [...variables].map(([name, v]) => [name, { shape: v.shape, data: v.dataSync<"float32">().slice() }]),
  );

/** Lets `copies` read variables: a graphics card answers later, and TensorFlow.js remembers its answer. */
async function prefetch(...all: readonly Variables[]): Promise<void> {
  if (tf.getBackend() !== "webgpu") return;
  await Promise.all(all.flatMap((variables) => [...variables.values()].map((v) => v.data())));
}
