/**
 * How the engine and its workers talk, all through shared memory. The engine numbers its requests; request n lies in
 * slot n mod 2, so that a batch can be handed over while the one before is being computed. A worker that has its answer
 * ready arrives at the meeting of that request; the last one to arrive lets all go on.
 */
import type { Activation, Graph } from "../../models/graph.ts";
import { waitWhile } from "../../ring/pool_protocol.ts";
import type { StepSettings } from "../engine.ts";

/** Control words: number of the last request; workers at the current meeting; meetings so far; failure. */
export const REQUEST = 0, ARRIVED = 1, MEETINGS = 2, FAILED = 3;
const CONTROL_WORDS = 4;
const MESSAGE_BYTES = 1024;

/** What a request asks for. */
export const STEP = 1, EVALUATE = 2, SAVE = 3, LOAD = 4, EXIT = 5;

/** Operation, images in the batch, then the settings of a step or the range and the clip of an evaluation. */
export const OPERATION = 0, SIZE = 1, SETTINGS = 2, RANGE = 2, CLIP = 3;
const REQUEST_DOUBLES = 24;

export interface RequestSlot {
  readonly request: Float64Array<SharedArrayBuffer>;
  readonly images: Float32Array<SharedArrayBuffer>;
  readonly targets: Float32Array<SharedArrayBuffer>;
  /** Of an evaluation, in the places of the targets. */
  readonly logits: Float32Array<SharedArrayBuffer>;
  /** By shard: the report of a step or an evaluation. */
  readonly reports: readonly Float64Array<SharedArrayBuffer>[];
  /** By shard: its gradients. */
  readonly gradients: readonly Float32Array<SharedArrayBuffer>[];
}

/** Memory that the engine and its workers share. */
export interface Exchange {
  readonly control: Int32Array<SharedArrayBuffer>;
  readonly message: Uint8Array<SharedArrayBuffer>;
  readonly state: Float32Array<SharedArrayBuffer>;
  readonly slots: readonly RequestSlot[];
}

/** Sizes of an exchange. */
export interface ExchangeSizes {
  readonly shards: number;
  readonly images: number;
  readonly targets: number;
  readonly report: number;
  readonly gradients: number;
  readonly state: number;
}

/** The memory of an exchange. It is handed to workers as buffers: Deno goes through posted views element by element. */
export interface ExchangeBuffers {
  readonly control: SharedArrayBuffer;
  readonly message: SharedArrayBuffer;
  readonly state: SharedArrayBuffer;
  readonly slots: readonly {
    readonly request: SharedArrayBuffer;
    readonly images: SharedArrayBuffer;
    readonly targets: SharedArrayBuffer;
    readonly logits: SharedArrayBuffer;
    readonly reports: readonly SharedArrayBuffer[];
    readonly gradients: readonly SharedArrayBuffer[];
  }[];
}

export function allocateExchange(sizes: ExchangeSizes): ExchangeBuffers {
  const words = (n: number) => new SharedArrayBuffer(4 * n),
    doubles = (n: number) => new SharedArrayBuffer(8 * n);
  const shards = Array.from({ length: sizes.shards });
  return {
    control: words(CONTROL_WORDS),
    message: new SharedArrayBuffer(MESSAGE_BYTES),
    state: words(sizes.state),
    slots: [0, 1].map(() => ({
      request: doubles(REQUEST_DOUBLES),
      images: words(sizes.images),
      targets: words(sizes.targets),
      logits: words(sizes.targets),
      reports: shards.map(() => doubles(sizes.report)),
      gradients: shards.map(() => words(sizes.gradients)),
    })),
  };
}

export function openExchange({ control, message, state, slots }: ExchangeBuffers): Exchange {
  return {
    control: new Int32Array(control),
    message: new Uint8Array(message),
    state: new Float32Array(state),
    slots: slots.map(({ request, images, targets, logits, reports, gradients }) => ({
      request: new Float64Array(request),
      images: new Float32Array(images),
      targets: new Float32Array(targets),
      logits: new Float32Array(logits),
      reports: reports.map((buffer) => new Float64Array(buffer)),
      gradients: gradients.map((buffer) => new Float32Array(buffer)),
    })),
  };
}

/** Compiled kernels: of convolutions and of layers. */
export interface ShardModules {
  readonly convolutions: readonly WebAssembly.Module[];
  readonly layers: readonly WebAssembly.Module[];
}

/** What a worker is given at its start. */
export interface ShardStart {
  readonly graph: Graph;
  readonly activation: Activation;
  /** Images of a shard, number of shards, and those that are this worker's. */
  readonly batch: number;
  readonly shards: number;
  readonly own: readonly number[];
  readonly workers: number;
  readonly modules: ShardModules;
  readonly buffers: ExchangeBuffers;
}

export const finiteOrNull = (value: number): number | null => value === Infinity ? null : value;

/** How a value lies in a request, which is of doubles. */
interface Code<T> {
  write(value: T): number;
  read(double: number): T;
}

const NUMBER: Code<number> = { write: (value) => value, read: (double) => double };
const FLAG: Code<boolean> = { write: Number, read: (double) => double === 1 };
/** null is Infinity. */
const LIMIT: Code<number | null> = { write: (value) => value ?? Infinity, read: finiteOrNull };
const REDUCTIONS = ["sum", "mean", "hinge"] as const;
const REDUCTION: Code<typeof REDUCTIONS[number]> = {
  write: (value) => REDUCTIONS.indexOf(value),
  read: (double) => REDUCTIONS[double],
};

type Codes<T> = { readonly [field in keyof T]: Code<T[field]> };
type Penalty = NonNullable<StepSettings["penalty"]>;

const SETTING_CODES: Codes<Omit<StepSettings, "penalty">> = {
  learningRate: NUMBER,
  momentum: NUMBER,
  nesterov: FLAG,
  weightDecay: NUMBER,
  decayNorms: FLAG,
  decayBiases: FLAG,
  muon: LIMIT,
  scaleCap: LIMIT,
  clip: LIMIT,
  reluPart: NUMBER,
  crossEntropyWeight: NUMBER,
  labelSmoothing: NUMBER,
  gradientNorm: LIMIT,
};
const PENALTY_CODES: Codes<Penalty> = {
  coefficient: NUMBER,
  exponent: NUMBER,
  range: NUMBER,
  reduction: REDUCTION,
};
const PENALTY = SETTINGS + Object.keys(SETTING_CODES).length;

const write = <T extends object>(codes: Codes<T>, values: T, request: Float64Array, at: number): void =>
  (Object.keys(codes) as (keyof T)[]).forEach((field, i) =>
    request[at + i] = codes[field].write(values[field])
  );

const read = <T extends object>(codes: Codes<T>, request: Float64Array, at: number): T =>
  Object.fromEntries(
    (Object.keys(codes) as (keyof T)[]).map((field, i) => [field, codes[field].read(request[at + i])]),
  ) as T;

/** Writes settings from double `SETTINGS` of a request on. */
export function writeStepSettings(settings: StepSettings, request: Float64Array): void {
  write(SETTING_CODES, settings, request, SETTINGS);
  request[PENALTY] = FLAG.write(settings.penalty !== null);
  if (settings.penalty) write(PENALTY_CODES, settings.penalty, request, PENALTY + 1);
}

export const readStepSettings = (request: Float64Array): StepSettings => ({
  ...read<Omit<StepSettings, "penalty">>(SETTING_CODES, request, SETTINGS),
  penalty: FLAG.read(request[PENALTY]) ? read<Penalty>(PENALTY_CODES, request, PENALTY + 1) : null,
});

/** Waits until all workers have arrived; false if one has failed. */
export function meet({ control }: Exchange, workers: number): boolean {
  const meeting = Atomics.load(control, MEETINGS);
  if (Atomics.add(control, ARRIVED, 1) === workers - 1) {
    Atomics.store(control, ARRIVED, 0);
    Atomics.add(control, MEETINGS, 1);
    Atomics.notify(control, MEETINGS);
  } else waitWhile(control, MEETINGS, meeting);
  return Atomics.load(control, FAILED) === 0;
}

/** Says why a worker cannot go on, and wakes everyone who waits. */
export function fail({ control, message }: Exchange, error: unknown): void {
  if (Atomics.compareExchange(control, FAILED, 0, 1) !== 0) return; // the first failure is the cause
  const text = new TextEncoder().encode(error instanceof Error ? error.message : String(error));
  message.set(text.subarray(0, MESSAGE_BYTES - 1));
  Atomics.store(control, FAILED, 2);
  Atomics.add(control, MEETINGS, 1);
  Atomics.notify(control, MEETINGS);
}

export function failureOf({ control, message }: Exchange): Error | undefined {
  if (Atomics.load(control, FAILED) === 0) return undefined;
  const bytes = message.slice(0, message.indexOf(0));
  return new Error(`a training worker has failed: ${new TextDecoder().decode(bytes)}`);
}
