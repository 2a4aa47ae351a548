/** A channel that keeps the time spent in it, to tell a party's own work from waiting for messages. */
import type { Channel, Traffic } from "../network/channel.ts";

export class TimedChannel implements Channel {
  /** Milliseconds in sends, receives and exchanges so far; where they overlap, time counts once. */
  milliseconds = 0;
  #pending = 0;
  #since = 0;

  constructor(private readonly inner: Channel) {}

  send = (tag: number, payload: Uint8Array, more?: boolean): Promise<void> =>
    this.#time(this.inner.send(tag, payload, more));
  receive = (tag: number, into: Uint8Array, more?: boolean): Promise<void> =>
    this.#time(this.inner.receive(tag, into, more));
  receiveAfterPause = (tag: number, into: Uint8Array): Promise<void> =>
    this.#time(this.inner.receiveAfterPause(tag, into));
  exchange = (tag: number, payload: Uint8Array, into: Uint8Array): Promise<void> =>
    this.#time(this.inner.exchange(tag, payload, into));

  get sent(): Traffic {
    return this.inner.sent;
  }
  get received(): Traffic {
    return this.inner.received;
  }
  get exchanges(): number {
    return this.inner.exchanges;
  }
  get oneWayDelays(): number {
    return this.inner.oneWayDelays;
  }
  close(): void {
    this.inner.close();
  }

  async #time(work: Promise<void>): Promise<void> {
    if (this.#pending++ === 0) this.#since = performance.now();
    try {
      await work;
    } finally {
      if (--this.#pending === 0) this.milliseconds += performance.now() - this.#since;
    }
  }
}
