/** Time-outs that count how long a peer was silent, not how long this process computed. */
const TICKS = 8;

/**
 * Notices that a peer has made no progress for `timeoutMs`. It counts ticks of a coarse interval, not
 * time: a party that itself computed for a minute sees one late tick, reads what arrived meanwhile and
 * does not accuse its peer. A timer per message would cost 5 us, a fifth of a loopback round trip.
 */
export class IdleWatch {
  readonly #tickMs: number;
  readonly #onIdle: () => void;
  #timer: ReturnType<typeof setInterval> | undefined;
  #waiting = false;
  #idleTicks = 0;

  constructor(timeoutMs: number, onIdle: () => void) {
    if (!(timeoutMs > 0 && timeoutMs < 2 ** 31)) {
      throw new RangeError(`a time-out must be above 0 and below 2^31 ms, ${timeoutMs} came`);
    }
    this.#tickMs = timeoutMs / TICKS;
    this.#onIdle = onIdle;
  }

  start(): void {
    this.#waiting = true;
    this.#idleTicks = 0;
    this.#timer ??= setInterval(() => this.#tick(), this.#tickMs);
  }

  progress(): void {
    this.#idleTicks = 0;
  }

  stop(): void {
    this.#waiting = false;
  }

  close(): void {
    this.#waiting = false;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  #tick(): void {
    if (!this.#waiting) return this.close();
    // The first tick may follow `start` at once, so one more than TICKS makes at least the time-out.
    if (++this.#idleTicks <= TICKS) return;
    this.close();
    this.#onIdle();
  }
}
