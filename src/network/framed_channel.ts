/** The channel that protocols use, over frames of any transport. */

import { type AbortableChannel, reasonForPeers, type Traffic } from "./channel.ts";
import { FrameKind } from "./frame.ts";
import type { FrameLink } from "./frame_link.ts";

export class FramedChannel implements AbortableChannel {
  readonly #link: FrameLink;
  #exchanges = 0;

  constructor(link: FrameLink) {
    this.#link = link;
  }

  get peer(): string {
    return this.#link.peer;
  }

  /** Where the peer is, for logs. */
  get address(): string {
    return this.#link.address;
  }

  get sent(): Traffic {
    return this.#link.sent;
  }

  get received(): Traffic {
    return this.#link.received;
  }

  get exchanges(): number {
    return this.#exchanges;
  }

  get oneWayDelays(): number {
    return this.#link.delays;
  }

  send(tag: number, payload: Uint8Array, more = false): Promise<void> {
    if (!more) this.#exchanges++;
    return this.#link.send(FrameKind.data, tag, payload);
  }

  receive(tag: number, into: Uint8Array, more = false): Promise<void> {
    if (!more) this.#exchanges++;
    return this.#link.receive(FrameKind.data, tag, into);
  }

  receiveAfterPause(tag: number, into: Uint8Array): Promise<void> {
    this.#exchanges++;
    return this.#link.receive(FrameKind.data, tag, into, true);
  }

  async exchange(tag: number, payload: Uint8Array, into: Uint8Array): Promise<void> {
    this.#exchanges++;
    try {
      await Promise.all([
        this.#link.send(FrameKind.data, tag, payload),
        this.#link.receive(FrameKind.data, tag, into),
      ]);
    } catch (error) {
      // The other half may still read or fill memory that the caller gives to somebody else as soon as it hears of this.
      await this.#link.abort(...reasonForPeers(error));
      await this.#link.settled();
      throw error;
    }
  }

  abort(reason: string, mayPass?: boolean): Promise<void> {
    return this.#link.abort(reason, mayPass);
  }

  settled(): Promise<void> {
    return this.#link.settled();
  }

  close(): void {
    this.#link.close();
  }
}
