/**
 * The training engine on our own WebAssembly kernels: a static plan of the graph, the batch cut into a fixed number of
 * shards, workers that compute them and exchange gradients in shared memory. The number of shards decides the bits of a
 * result, the number of workers only the time.
 */
import type { Activation, Graph } from "../models/graph.ts";
import { inferShapes, sizeOf } from "../models/graph.ts";
import { waitWhile } from "../ring/pool_protocol.ts";
import { loadConvolutionModules } from "./convolution.ts";
import type {
  Batch,
  EngineState,
  EvaluationReport,
  StepReport,
  StepSettings,
  TrainingEngine,
} from "./engine.ts";
import { checkPenalty } from "./penalty.ts";
import { loadLayerModules } from "./wasm/layer_kernels.ts";
import {
  layoutParameters,
  type ParameterLayout,
  readState,
  stateFloats,
  writeState,
} from "./wasm/parameter_layout.ts";
import { EVALUATION_FIELDS, type ShardEvaluation } from "./wasm/shard_evaluation.ts";
import {
  allocateExchange,
  CLIP,
  EVALUATE,
  type Exchange,
  EXIT,
  fail,
  failureOf,
  LOAD,
  MEETINGS,
  openExchange,
  OPERATION,
  RANGE,
  REQUEST,
  type RequestSlot,
  SAVE,
  type ShardStart,
  SIZE,
  STEP,
  writeStepSettings,
} from "./wasm/shard_protocol.ts";
import { Worker } from "node:worker_threads";

const DEFAULT_SHARDS = 2;
/** Numbers of a step's report before the largest inputs. */
const STEP_FIELDS = 4;
const TIMEOUT_MS = 60_000;

export interface WasmEngineOptions {
  readonly batchSize: number;
  /** Threads; at most one a shard. Default: one a shard, as far as there are cores. */
  readonly workers?: number;
  /** Equal parts of a batch, each with its own batch-norm statistics. Default 2. */
  readonly shards?: number;
  readonly initial: EngineState;
}

/**
 * Opens an engine. A step that is asked for while another runs follows without a pause: its batch lies ready in the
 * second slot.
 *
 * @throws {RangeError} if the batch does not divide into shards, or the graph or the activation cannot be trained
 */
export async function createWasmEngine(
  graph: Graph,
  activation: Activation,
  { batchSize, shards = DEFAULT_SHARDS, workers, initial }: WasmEngineOptions,
): Promise<TrainingEngine> {
  checkCounts(batchSize, shards, workers);
  const threads = Math.min(shards, workers ?? navigator.hardwareConcurrency);
  const layout = layoutParameters(graph),
    activationCount = graph.nodes.filter(({ op }) => op === "activation").length;
  const buffers = allocateExchange({
    shards,
    images: batchSize * sizeOf(graph.inputShape),
    targets: batchSize * graph.classes,
    report: Math.max(STEP_FIELDS + activationCount, EVALUATION_FIELDS.length),
    gradients: layout.total,
    state: stateFloats(layout),
  });
  const exchange = openExchange(buffers);
  const [convolutions, layers] = await Promise.all([loadConvolutionModules(), loadLayerModules()]);
  const indices = Array.from({ length: shards }, (_, shard) => shard);
  const team = Array.from({ length: threads }, (_, i) => {
    const own = indices.filter((shard) => Math.floor(shard * threads / shards) === i);
    const workerData: ShardStart = {
      graph,
      activation,
      batch: batchSize / shards,
      shards,
      own,
      workers: threads,
      modules: { convolutions, layers },
      buffers,
    };
    const worker = new Worker(new URL("./wasm/shard_worker.ts", import.meta.url), { workerData });
    worker.on("error", (error) => fail(exchange, error));
    worker.unref(); // an engine that nobody closed must not keep the process alive
    return worker;
  });
  const engine = new WasmEngine(graph, batchSize, layout, exchange, team);
  await engine.start(initial);
  return engine;
}

function checkCounts(batchSize: number, shards: number, workers: number | undefined): void {
  for (const [name, value] of Object.entries({ batchSize, shards, workers: workers ?? 1 })) {
    if (!Number.isInteger(value) || value < 1) {
      throw new RangeError(`wasm engine: ${name} must be a positive integer, got ${value}`);
    }
  }
  if (batchSize % shards !== 0) {
    throw new RangeError(
      `wasm engine: a batch of ${batchSize} does not divide into ${shards} equal shards; choose a multiple of ${shards}`,
    );
  }
}

class WasmEngine implements TrainingEngine {
  readonly name = "wasm";
  readonly #activations: number;
  #requests = 0;
  #waiting = 0;
  #answered = 0;
  /** Ends when the last request in line has been answered. */
  #line: Promise<unknown> = Promise.resolve();
  #isClosed = false;

  constructor(
    readonly graph: Graph,
    readonly batchSize: number,
    readonly layout: ParameterLayout,
    readonly exchange: Exchange,
    readonly workers: readonly Worker[],
  ) {
    const shapes = inferShapes(graph);
    this.#activations = graph.nodes.filter(({ op }) => op === "activation")
      .reduce((sum, { id }) => sum + sizeOf(shapes.get(id)!), 0);
  }

  /** Loads the first state; rejects if a worker cannot start. */
  async start(state: EngineState): Promise<void> {
    try {
      writeState(this.layout, state, this.exchange.state);
      await this.#ask((slot) => void (slot.request[OPERATION] = LOAD));
    } catch (error) {
      this.close();
      throw error;
    }
  }

  async step(batch: Batch, settings: StepSettings): Promise<StepReport> {
    if (batch.size !== this.batchSize) {
      throw new RangeError(
        `wasm engine: a step takes batches of ${this.batchSize} images, got ${batch.size}`,
      );
    }
    if (settings.penalty) checkPenalty(settings.penalty);
    const { reports } = await this.#ask((slot) => {
      this.#writeBatch(batch, slot);
      slot.request[OPERATION] = STEP;
      writeStepSettings(settings, slot.request);
    });
    const sum = (field: number) => reports.reduce((total, report) => total + report[field], 0);
    const layers = this.graph.nodes.filter(({ op }) => op === "activation");
    return {
      crossEntropy: sum(0) / batch.size,
      penalty: sum(1),
      correct: sum(2),
      outOfRange: sum(3),
      largestInput: layers.map((_, i) => Math.max(...reports.map((report) => report[STEP_FIELDS + i]))),
    };
  }

  async evaluate(batch: Batch, range: number, clip: number | null = null): Promise<EvaluationReport> {
    const { reports } = await this.#evaluate(batch, range, clip ?? Infinity);
    const values = (field: keyof ShardEvaluation) => {
      const at = EVALUATION_FIELDS.indexOf(field);
      return reports.map((report) => report[at]);
    };
    const sum = (field: keyof ShardEvaluation) => values(field).reduce((total, value) => total + value, 0);
    const nonFinite = sum("nonFinite"), finite = Math.max(1, sum("finite")), mean = sum("sum") / finite;
    return {
      images: batch.size,
      correct: sum("correct"),
      crossEntropy: sum("crossEntropy") / Math.max(1, batch.size - nonFinite),
      activations: batch.size * this.#activations,
      outOfRange: sum("outOfRange"),
      imagesOutOfRange: sum("imagesOutOfRange"),
      largestInput: Math.max(...values("largestInput")),
      outOfRangeMean: mean,
      outOfRangeDeviation: Math.sqrt(Math.max(0, sum("squares") / finite - mean * mean)),
      nonFinite,
    };
  }

  async infer(batch: Batch): Promise<Float32Array> {
    // Nothing is out of an infinite range, which spares the measure of what is.
    const { logits } = await this.#evaluate(batch, Infinity, Infinity);
    return logits.slice(0, batch.size * this.graph.classes);
  }

  async #evaluate(batch: Batch, range: number, clip: number): Promise<RequestSlot> {
    if (!(batch.size >= 1 && batch.size <= this.batchSize)) {
      throw new RangeError(
        `wasm engine: evaluates 1 to ${this.batchSize} images at a time, got ${batch.size}`,
      );
    }
    return await this.#ask((slot) => {
      this.#writeBatch(batch, slot);
      slot.request[OPERATION] = EVALUATE;
      slot.request[RANGE] = range;
      slot.request[CLIP] = clip;
    });
  }

  save(): EngineState {
    this.#askNow(SAVE);
    return readState(this.layout, this.exchange.state);
  }

  load(state: EngineState): void {
    this.#checkIdle();
    writeState(this.layout, state, this.exchange.state);
    this.#askNow(LOAD);
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    if (this.#requests > this.#answered) {
      fail(this.exchange, new Error("the engine was closed during a request"));
    }
    this.#post((slot) => void (slot.request[OPERATION] = EXIT));
    for (const worker of this.workers) worker.terminate();
  }

  #writeBatch({ images, targets, size }: Batch, slot: RequestSlot): void {
    slot.request[SIZE] = size;
    slot.images.set(images);
    slot.targets.set(targets);
  }

  /**
   * Hands a request to the workers, at once if a slot is free; resolves when it has been answered. What has not been
   * delivered when the engine is closed is rejected, whether or not the workers were done.
   */
  async #ask(fill: (slot: RequestSlot) => void): Promise<RequestSlot> {
    this.#checkOpen();
    const isFree = this.#requests - this.#answered < this.exchange.slots.length;
    const answer = isFree
      ? this.#answer(this.#post(fill))
      : this.#line.catch(() => {}).then(() => this.#ask(fill));
    this.#line = answer;
    const slot = await answer;
    this.#checkOpen();
    return slot;
  }

  #post(fill: (slot: RequestSlot) => void): number {
    const { control, slots } = this.exchange, request = ++this.#requests;
    fill(slots[request % slots.length]);
    Atomics.store(control, REQUEST, request);
    Atomics.notify(control, REQUEST);
    return request;
  }

  async #answer(request: number): Promise<RequestSlot> {
    const { control, slots } = this.exchange;
    // What waits for shared memory keeps no process alive: the workers do, as long as anybody waits.
    if (this.#waiting++ === 0) { for (const worker of this.workers) worker.ref(); }
    try {
      for (;;) {
        const meetings = Atomics.load(control, MEETINGS), failure = failureOf(this.exchange);
        if (failure) throw failure;
        if (meetings >= request) return slots[request % slots.length];
        const wait = Atomics.waitAsync(control, MEETINGS, meetings);
        if (wait.async) await wait.value;
      }
    } finally {
      // A later request can be seen answered first: on a busy machine its answer may be there before anybody waits for it.
      this.#answered = Math.max(this.#answered, request);
      if (--this.#waiting === 0) { for (const worker of this.workers) worker.unref(); }
    }
  }

  #checkOpen(): void {
    if (this.#isClosed) throw new Error("the wasm engine is closed");
  }

  #checkIdle(): void {
    this.#checkOpen();
    if (this.#requests > this.#answered) throw new Error("the wasm engine is busy: await its steps first");
  }

  /** A request answered before this returns. */
  #askNow(operation: number): void {
    this.#checkIdle();
    const request = this.#post((slot) => void (slot.request[OPERATION] = operation));
    if (!waitWhile(this.exchange.control, MEETINGS, request - 1, TIMEOUT_MS)) {
      throw new Error(`the workers of the wasm engine have not answered for ${TIMEOUT_MS / 1000} s`);
    }
    this.#answered = request;
    const failure = failureOf(this.exchange);
    if (failure) throw failure;
  }
}
