/**
 * Where connections wait until they have said who they are. Whoever connects costs its listener nothing but a place among few: all
 * of them are heard side by side, each has a total time for TLS and handshake, and one more than there are places takes that of the
 * one who has waited longest, which a peer of ours, done in milliseconds, is not. What fails is a line of the log.
 */
import { Arrivals } from "./arrivals.ts";
import { type Caller, type ConnectionSource, LISTENER_CLOSED, type Opened } from "./connection_source.ts";
import type { FramedChannel } from "./framed_channel.ts";
import { IdleWatch } from "./idle_watch.ts";

/** Connections that have not said who they are: the more, the faster strangers must come to throw out a peer of ours. */
export const MOST_PENDING = 256;
/** Channels that nobody has asked for. */
const MOST_UNCLAIMED = 16;
/** Time for TLS and handshake in which this role was not computing: {@linkcode IdleWatch} counts ticks. */
const HANDSHAKE_MS = 5000;
/** Before another try, when the system refuses to accept: it may be out of file descriptors. */
const PAUSE_MS = 100;

export interface ChannelListener {
  readonly port: number;
  /** The next peer's channel, ready to use. */
  accept(): Promise<FramedChannel>;
  /** Ends pending and later calls of `accept`, and all handshakes; channels live on. */
  close(): void;
}

export interface ReceptionOptions {
  /** Opens the channel of a caller that TLS has let in. */
  readonly open: (opened: Opened, address: string) => Promise<FramedChannel>;
  /** Told of every connection that came to nothing: from where, and why. */
  readonly onDropped?: (address: string, reason: string) => void;
  readonly handshakeMs?: number;
}

export function admit(source: ConnectionSource, options: ReceptionOptions): ChannelListener {
  const { open, onDropped = () => {}, handshakeMs = HANDSHAKE_MS } = options;
  const ready = new Arrivals<FramedChannel>(), pending = new Map<Caller, (reason: string) => void>();
  let isOpen = true;

  const hear = async (caller: Caller) => {
    let why: string | undefined;
    const drop = (reason: string) => {
      why ??= reason;
      pending.delete(caller);
      caller.drop();
    };
    const watch = new IdleWatch(handshakeMs, () => drop(`no handshake within ${handshakeMs / 1000} s`));
    pending.set(caller, drop);
    watch.start();
    try {
      const channel = await open(await caller.opened, caller.address);
      if (ready.unclaimed < MOST_UNCLAIMED && why === undefined && ready.add(channel)) return;
      channel.close();
      if (isOpen) throw new Error("nobody waits for it");
    } catch (error) {
      caller.drop();
      if (isOpen) onDropped(caller.address, why ?? (error as Error).message);
    } finally {
      watch.close();
      pending.delete(caller);
    }
  };

  const hearAll = async () => {
    while (isOpen) {
      try {
        const caller = await source.next();
        if (pending.size >= MOST_PENDING) {
          pending.get(longestOfMost([...pending.keys()]))!("gave its place to a later one");
        }
        void hear(caller);
      } catch (error) {
        if (!isOpen) break;
        onDropped("a connection", `not accepted: ${(error as Error).message}`);
        await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
      }
    }
  };
  void hearAll();

  return {
    port: source.port,
    accept: () => ready.next(),
    close() {
      if (!isOpen) return;
      isOpen = false;
      source.close();
      for (const drop of pending.values()) drop(LISTENER_CLOSED);
      for (const channel of ready.end(new Error(LISTENER_CLOSED))) channel.close();
    },
  };
}

/** Of the machine that has the most callers here the one that has waited longest. */
function longestOfMost(callers: readonly Caller[]): Caller {
  const machines = Map.groupBy(callers, ({ address }) => address.slice(0, address.lastIndexOf(":")));
  return [...machines.values()].reduce((most, some) => some.length > most.length ? some : most)[0];
}
