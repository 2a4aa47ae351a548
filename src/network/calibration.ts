/** What a channel really delivers, measured from both ends and written beside the configured values. */

import type { Channel } from "./channel.ts";

export interface Calibration {
  /** Round trip of a 64-byte message. */
  readonly rttMs: { readonly median: number; readonly q1: number; readonly q3: number; readonly p99: number };
  /** Round trips measured. */
  readonly pings: number;
  /** One way, from initiator to responder, payload alone. */
  readonly bitsPerSecond: number;
}

export interface CalibrationOptions {
  /** About how long the round trips and the bulk transfer may take each. Default 1000 ms. */
  readonly budgetMs?: number;
}

/** No protocol step may use this tag. */
const CALIBRATION_TAG = 0xffff_ffff;

const PING_BYTES = 64;
const WARM_UP_PINGS = 100;
const FEWEST_PINGS = 5;
const MOST_PINGS = 2000;
const CHUNK_BYTES = 1024 * 1024;
const MOST_CHUNKS = 64;

/** The responder does what the initiator's next ping announces. */
const Command = { echo: 0, takeChunks: 1, end: 2 } as const;

/** Call it at both ends, one as each side; both get the same figures. Options count at the initiator. */
export async function calibrate(
  channel: Channel,
  side: "initiator" | "responder",
  { budgetMs = 1000 }: CalibrationOptions = {},
): Promise<Calibration> {
  return side === "initiator" ? await measure(channel, budgetMs) : await respond(channel);
}

async function measure(channel: Channel, budgetMs: number): Promise<Calibration> {
  const ping = new Uint8Array(PING_BYTES);
  const words = new DataView(ping.buffer);
  const roundTrip = async () => {
    const startMs = performance.now();
    await channel.send(CALIBRATION_TAG, ping);
    await channel.receive(CALIBRATION_TAG, ping);
    return performance.now() - startMs;
  };

  words.setUint32(0, Command.echo, true);
  const startMs = performance.now();
  const elapsedMs = () => performance.now() - startMs;
  for (let i = 0; i < WARM_UP_PINGS && elapsedMs() < budgetMs / 10; i++) await roundTrip();
  const rtts: number[] = [];
  while (rtts.length < FEWEST_PINGS || (rtts.length < MOST_PINGS && elapsedMs() < budgetMs)) {
    rtts.push(await roundTrip());
  }
  rtts.sort((a, b) => a - b);
  const rttMs = {
    median: quantile(rtts, 0.5),
    q1: quantile(rtts, 0.25),
    q3: quantile(rtts, 0.75),
    p99: quantile(rtts, 0.99),
  };

  // Transfers grow until one is long enough to be timed; what is left of the budget bounds the next.
  const chunk = new Uint8Array(CHUNK_BYTES).fill(1);
  let bitsPerSecond: number;
  for (let chunks = 1;; chunks *= 4) {
    words.setUint32(0, Command.takeChunks, true);
    words.setUint32(4, chunks, true);
    const sentMs = performance.now();
    await channel.send(CALIBRATION_TAG, ping);
    for (let i = 0; i < chunks; i++) await channel.send(CALIBRATION_TAG, chunk);
    await channel.receive(CALIBRATION_TAG, ping);
    const transferMs = performance.now() - sentMs - rttMs.median;
    bitsPerSecond = chunks * CHUNK_BYTES * 8 / (transferMs / 1000);
    if (chunks >= MOST_CHUNKS || transferMs * 4 > budgetMs) break;
  }

  words.setUint32(0, Command.end, true);
  const figures = [rttMs.median, rttMs.q1, rttMs.q3, rttMs.p99, rtts.length, bitsPerSecond];
  figures.forEach((figure, i) => words.setFloat64(8 + 8 * i, figure, true));
  await channel.send(CALIBRATION_TAG, ping);
  return { rttMs, pings: rtts.length, bitsPerSecond };
}

async function respond(channel: Channel): Promise<Calibration> {
  const ping = new Uint8Array(PING_BYTES);
  const words = new DataView(ping.buffer);
  const chunk = new Uint8Array(CHUNK_BYTES);
  for (;;) {
    await channel.receive(CALIBRATION_TAG, ping);
    const command = words.getUint32(0, true);
    if (command === Command.end) break;
    if (command === Command.takeChunks) {
      const chunks = words.getUint32(4, true);
      for (let i = 0; i < chunks; i++) await channel.receive(CALIBRATION_TAG, chunk);
    }
    await channel.send(CALIBRATION_TAG, ping);
  }
  const figure = (i: number) => words.getFloat64(8 + 8 * i, true);
  return {
    rttMs: { median: figure(0), q1: figure(1), q3: figure(2), p99: figure(3) },
    pings: figure(4),
    bitsPerSecond: figure(5),
  };
}

/** Linear interpolation between the neighbours in ascending `sorted`. */
function quantile(sorted: readonly number[], q: number): number {
  const position = q * (sorted.length - 1);
  const below = Math.floor(position);
  const above = Math.min(below + 1, sorted.length - 1);
  return sorted[below] + (position - below) * (sorted[above] - sorted[below]);
}
