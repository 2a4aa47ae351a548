/**
 * A slower network in software, with no rights and no kernel support. The sender stamps each frame with
 * its departure on a virtual link that carries one frame at a time; the receiver, who has the bytes long
 * before, hands them over when they would have come: departure + bytes / bandwidth + half the round trip.
 * What it does not imitate: loss, jitter, slow start.
 */

import type { Lane } from "./lane.ts";
import type { NetworkProfile } from "./profiles.ts";

/** Both directions of one end's link. */
export class LinkShaper {
  readonly #oneWayMs: number;
  readonly #bytesPerMs: number;
  readonly #peerClockOffsetMs: number;
  #linkFreeMs = 0;

  /** `peerClockOffsetMs`: this end's `performance.now()` minus the peer's, read at the same moment. */
  constructor(profile: NetworkProfile, peerClockOffsetMs: number) {
    this.#oneWayMs = profile.rttMs / 2;
    this.#bytesPerMs = profile.bitsPerSecond === null ? Infinity : profile.bitsPerSecond / 8000;
    this.#peerClockOffsetMs = peerClockOffsetMs;
  }

  /** Whether frames are held back long enough for the sockets between the ends to fill up meanwhile. */
  get isLong(): boolean {
    return this.#oneWayMs > TIMER_MARGIN_MS + 1;
  }

  /** Puts a frame on the link; returns its departure on this end's clock. */
  depart(bytes: number): number {
    const departureMs = Math.max(performance.now(), this.#linkFreeMs);
    this.#linkFreeMs = departureMs + bytes / this.#bytesPerMs;
    return departureMs;
  }

  /** When a frame that departed at `departureMs` on the peer's clock has arrived, on this end's clock. */
  arrival(departureMs: number, bytes: number): number {
    return departureMs + this.#peerClockOffsetMs + bytes / this.#bytesPerMs + this.#oneWayMs;
  }
}

/** setTimeout is late by 1 to 2 ms, Atomics.wait by 0.07 ms, a spin by nothing. */
const TIMER_MARGIN_MS = 3;
const SLEEP_MARGIN_MS = 0.15;

let neverNotified: Int32Array | undefined;

/**
 * Waits until `performance.now()` reaches `deadlineMs`, to a few microseconds, or `over` is aborted. The last milliseconds block
 * the thread, but never while a write of this end is under way: the peer may need it to make progress.
 * (Yielding in a loop over setImmediate instead would starve the sockets.)
 */
export async function waitUntil(deadlineMs: number, writing: Lane, over?: AbortSignal): Promise<void> {
  let leftMs: number;
  while ((leftMs = deadlineMs - performance.now()) > 0 && !over?.aborted) {
    const isBusy = writing.busy;
    if (isBusy || leftMs > TIMER_MARGIN_MS + 1) {
      const { promise, resolve } = Promise.withResolvers<void>(), wake = () => resolve();
      const timer = setTimeout(wake, isBusy ? leftMs : leftMs - TIMER_MARGIN_MS);
      over?.addEventListener("abort", wake);
      await (isBusy ? Promise.race([writing.idle(), promise]) : promise);
      clearTimeout(timer);
      over?.removeEventListener("abort", wake);
    } else {
      if (leftMs > SLEEP_MARGIN_MS) {
        neverNotified ??= new Int32Array(new SharedArrayBuffer(4));
        Atomics.wait(neverNotified, 0, 0, leftMs - SLEEP_MARGIN_MS);
      }
      while (performance.now() < deadlineMs);
    }
  }
}
