/**
 * How a pool's main thread and its workers talk: a block of control words for each worker and one growing data block
 * for all. The main thread writes a request and counts `REQUEST` up; the worker answers by counting `REPLY` up to it. Both count
 * modulo 2^32, as the words do: a service comes there in weeks.
 */

/** Control words of one worker. */
export const CONTROL_WORDS = 64;
export const REQUEST = 0, REPLY = 1, OPERATION = 2, FAILED = 3, PARAMETERS = 4;

/** Largest size of the data block; address space only until it grows. */
export const MOST_DATA_BYTES = 2 ** 31 - 65536;

export const PREPARE = 1, RUN = 2, RELEASE = 3, EXIT = 4;

/** What `PREPARE` says of a layer, in this order; `columns` is the width of its images, `small` a flag. */
export const LAYER_FIELDS = [
  "width",
  "small",
  "inputBytes",
  "outputBytes",
  "weightBytes",
  "height",
  "columns",
  "inputs",
  "kernel",
  "stride",
  "padding",
  "outputs",
] as const;

export type LayerNumbers = Readonly<Record<typeof LAYER_FIELDS[number], number>>;

/** What a worker is given at its start. */
export interface PoolStart {
  readonly control: Int32Array<SharedArrayBuffer>;
  readonly data: SharedArrayBuffer;
}

/** Turns of a spinning wait, about 50 microseconds, before the thread goes to sleep (waking costs about 6). */
const SPINS = 5000;

/** The count after this one, as a control word holds it. */
export const countAfter = (count: number): number => (count + 1) | 0;

/** A process that was stopped for longer than its time-out loses a slice of it. */
const SLICE_MS = 1000;

/** Waits while word `index` is `value`; false after `timeoutMs`. */
export function waitWhile(
  words: Int32Array<SharedArrayBuffer>,
  index: number,
  value: number,
  timeoutMs = Infinity,
): boolean {
  for (let i = 0; i < SPINS; i++) {
    if (Atomics.load(words, index) !== value) return true;
  }
  for (let leftMs = timeoutMs; Atomics.load(words, index) === value; leftMs -= SLICE_MS) {
    if (leftMs <= 0) return false;
    Atomics.wait(words, index, value, Math.min(leftMs, SLICE_MS));
  }
  return true;
}

/** Waits until word `index` is `value`; false after `timeoutMs` without a change. */
export function waitForValue(
  words: Int32Array<SharedArrayBuffer>,
  index: number,
  value: number,
  timeoutMs = Infinity,
): boolean {
  for (let now = Atomics.load(words, index); now !== value; now = Atomics.load(words, index)) {
    if (!waitWhile(words, index, now, timeoutMs)) return false;
  }
  return true;
}
