/** A worker of the wasm engine: computes one or more shards, one after another, in a memory of its own. */
import { waitWhile } from "../../ring/pool_protocol.ts";
import type { StepSettings } from "../engine.ts";
import { Shard } from "./shard.ts";
import { EVALUATION_FIELDS } from "./shard_evaluation.ts";
import {
  CLIP,
  EVALUATE,
  type Exchange,
  EXIT,
  fail,
  FAILED,
  finiteOrNull,
  LOAD,
  meet,
  openExchange,
  OPERATION,
  RANGE,
  readStepSettings,
  REQUEST,
  type RequestSlot,
  SAVE,
  type ShardStart,
  SIZE,
  STEP,
} from "./shard_protocol.ts";
import { workerData } from "node:worker_threads";

function serve(start: ShardStart, exchange: Exchange): void {
  const { graph, activation, batch, shards, own, workers, modules } = start;
  const { control, state, slots } = exchange;
  const shard = new Shard(graph, activation, batch, modules);
  let isPrepared = false;
  const prepare = () => {
    if (!isPrepared) shard.prepare();
    isPrepared = true;
  };

  for (let seen = 0;; seen++) {
    waitWhile(control, REQUEST, seen);
    if (Atomics.load(control, FAILED)) return;
    const slot = slots[(seen + 1) % slots.length], { request } = slot;
    switch (request[OPERATION]) {
      case STEP: {
        const settings = readStepSettings(request);
        prepare();
        for (const s of own) train(shard, slot, s, start, settings);
        if (!meet(exchange, workers)) return;
        shard.gradients.set(slot.gradients[0]);
        for (const gradients of slot.gradients.slice(1)) {
          shard.received.set(gradients);
          shard.addReceived();
        }
        shard.update(shards, settings);
        isPrepared = false;
        break;
      }
      case EVALUATE:
        prepare();
        for (const s of own) evaluate(shard, slot, s, start);
        if (!meet(exchange, workers)) return;
        break;
      case SAVE:
        if (own[0] === 0) state.set(shard.state);
        if (!meet(exchange, workers)) return;
        break;
      case LOAD:
        shard.state.set(state);
        isPrepared = false;
        if (!meet(exchange, workers)) return;
        break;
      case EXIT:
        return;
    }
  }
}

/** Images, targets and logits of a shard, of a batch cut as evenly as it can be. */
function part(
  { request, images, targets, logits }: RequestSlot,
  index: number,
  { batch, shards }: ShardStart,
) {
  const size = request[SIZE];
  const first = Math.floor(index * size / shards), end = Math.floor((index + 1) * size / shards);
  const cut = (values: Float32Array) => {
    const length = values.length / (batch * shards);
    return values.subarray(first * length, end * length);
  };
  return [cut(images), cut(targets), cut(logits)] as const;
}

function train(
  shard: Shard,
  slot: RequestSlot,
  index: number,
  start: ShardStart,
  settings: StepSettings,
): void {
  const [images, targets] = part(slot, index, start);
  const report = shard.train(images, targets, start.batch * start.shards, settings);
  const { crossEntropy, penalty, correct, outOfRange, largestInput } = report;
  slot.reports[index].set([crossEntropy, penalty, correct, outOfRange, ...largestInput]);
  slot.gradients[index].set(shard.gradients);
}

function evaluate(shard: Shard, slot: RequestSlot, index: number, start: ShardStart): void {
  const [images, targets, logits] = part(slot, index, start);
  const report = shard.evaluate(images, targets, slot.request[RANGE], finiteOrNull(slot.request[CLIP]));
  slot.reports[index].set(EVALUATION_FIELDS.map((field) => report[field]));
  logits.set(shard.logits.subarray(0, logits.length));
}

const start = workerData as ShardStart, exchange = openExchange(start.buffers);
try {
  serve(start, exchange);
} catch (error) {
  fail(exchange, error);
}
