/**
 * How the three roles find each other: the client comes to the server, which draws a number for their session; both come to the dealer
 * with it, and each says when it is there. Nobody waits for one who will not come: who fails meanwhile is noticed by those who wait.
 */
import { MEETING_TAG, SESSION_TAG } from "../inference/tags.ts";
import { ProtocolError, reasonForPeers } from "../network/channel.ts";
import type { FramedChannel } from "../network/framed_channel.ts";
import { IdleWatch } from "../network/idle_watch.ts";
import type { ConvolutionPool } from "../ring/pool.ts";
import { onExit } from "../terminal/command.ts";

const NOTHING = new Uint8Array(0);
/** 128 random bits: whoever knows them is of the session, or was told by one who is. */
const SESSION_BYTES = 16;

/** What a session may use: all of it goes when the session ends. */
export interface SessionScope {
  readonly pool: ConvolutionPool;
  /** Takes over a channel, which closes with the session. */
  hold(channel: FramedChannel): FramedChannel;
  /** Aborted when the session is over: nobody dials for it any longer. */
  readonly over: AbortSignal;
}

/**
 * Runs one session. However it ends, its channels close and its memory is free; if it fails, its peers hear of that what is written for
 * them, and nothing else of this process is touched.
 */
export async function withinSession<T>(
  pool: ConvolutionPool,
  work: (scope: SessionScope) => Promise<T>,
): Promise<T> {
  const channels: FramedChannel[] = [], region = pool.region(), over = new AbortController();
  const hold = (channel: FramedChannel) => {
    channels.push(channel);
    if (over.signal.aborted) channel.close();
    return channel;
  };
  const forget = onExit(() => channels.forEach((channel) => channel.close()));
  try {
    return await work({ pool: region, hold, over: over.signal });
  } catch (error) {
    await Promise.allSettled(channels.map((channel) => channel.abort(...reasonForPeers(error))));
    throw error;
  } finally {
    over.abort();
    forget();
    channels.forEach((channel) => channel.close());
    // Nothing reads or writes its memory any more, and whoever waited for that has gone on.
    await Promise.all(channels.map((channel) => channel.settled()));
    await new Promise((resolve) => setTimeout(resolve, 0));
    region[Symbol.dispose]();
  }
}

/** A session's number, as the server draws it and the client hears it. */
export type SessionNumber = Uint8Array<ArrayBuffer>;

export async function openMeeting(client: FramedChannel): Promise<SessionNumber> {
  const number = crypto.getRandomValues(new Uint8Array(SESSION_BYTES));
  await client.send(SESSION_TAG, number);
  return number;
}

export async function joinMeeting(server: FramedChannel): Promise<SessionNumber> {
  const number = new Uint8Array(SESSION_BYTES);
  await server.receive(SESSION_TAG, number);
  return number;
}

/** How a log names a session: enough to tell it from others, too little to join it. */
export const shortName = (number: SessionNumber): string => number.toHex().slice(0, 8);

/** A party's way to the dealer: its channel, once the peer has come there too. */
export async function meetAtDealer(
  peer: FramedChannel,
  number: SessionNumber,
  connectToDealer: () => Promise<FramedChannel>,
): Promise<FramedChannel> {
  const come = async () => {
    const dealer = await connectToDealer();
    await dealer.send(SESSION_TAG, number);
    await peer.send(MEETING_TAG, NOTHING);
    return dealer;
  };
  const [dealer] = await Promise.all([come(), peer.receive(MEETING_TAG, NOTHING)]);
  await dealer.send(MEETING_TAG, NOTHING);
  return dealer;
}

/** The two parties of a session at the dealer. */
export interface Parties {
  readonly server: FramedChannel;
  readonly client: FramedChannel;
  /** How a log names the session. */
  readonly name: string;
  /** To be called at the session's end, which leaves its place to another. */
  leave(): void;
}

/** A party that has come and is in no session yet. */
interface Waiting {
  readonly party: FramedChannel;
  /** The other one of its session. */
  readonly other: PromiseWithResolvers<FramedChannel>;
  /** Fails where it loses its place to a later one. */
  readonly gone: PromiseWithResolvers<never>;
  /** The other one, from the moment it came. */
  second?: FramedChannel;
}

/** Of a role, parties in no session yet: for as long as a few messages take, unless the number is of a client's own making. */
const MOST_WAITING = 64;

/**
 * How long the number of a session may take, and the word that both are there. Who comes sends the number at once; and where the first
 * has said that both are there, that of the second was sent before.
 */
const LATENESS_MS = 5000;

/**
 * The dealer's end: brings together the server and the client that name the same session. Of `most` places a session takes one when both
 * have said that they are there, and from then on both are heard. Before that nobody keeps anybody out: a client may bring numbers of its
 * own, or leave the server alone here.
 */
export class Meetings {
  readonly #first = new Map<string, Waiting>();
  readonly #waiting = { server: new Set<Waiting>(), client: new Set<Waiting>() };
  #sessions = 0;

  constructor(private readonly most = Infinity) {}

  /**
   * One party's way into its session. Resolves to both for the one that came first, to null for the other one. Who goes away before both
   * are there takes its session along.
   */
  async join(party: FramedChannel): Promise<Parties | null> {
    const { peer } = party;
    if (peer !== "server" && peer !== "client") {
      throw new ProtocolError(`the dealer awaits servers and clients, there came a ${peer}`);
    }
    const own: Waiting = { party, other: Promise.withResolvers(), gone: Promise.withResolvers() };
    const waiting = this.#waiting[peer];
    enter(waiting, own);
    try {
      const number = new Uint8Array(SESSION_BYTES), named = party.receive(SESSION_TAG, number);
      await Promise.race([soon(named, `the ${peer} sent no number of a session`), own.gone.promise]);
      return await this.#meet(own, number);
    } finally {
      waiting.delete(own);
    }
  }

  async #meet(own: Waiting, number: SessionNumber): Promise<Parties | null> {
    const { party } = own, key = number.toHex(), first = this.#first.get(key);
    if (first === undefined) return await this.#await(key, own, shortName(number));
    if (first.party.peer === party.peer) {
      throw new ProtocolError(`a ${party.peer} of this session is there already`);
    }
    this.#first.delete(key);
    first.second = party;
    first.other.resolve(party);
    return null;
  }

  async #await(key: string, own: Waiting, name: string): Promise<Parties> {
    this.#first.set(key, own);
    try {
      const second = await Promise.race([bothReady(own), own.gone.promise]);
      this.#takePlace();
      const [server, client] = own.party.peer === "server" ? [own.party, second] : [second, own.party];
      return { server, client, name, leave: () => void this.#sessions-- };
    } catch (error) {
      if (this.#first.get(key) === own) this.#first.delete(key);
      await own.second?.abort(...reasonForPeers(error));
      throw error;
    }
  }

  #takePlace(): void {
    if (this.#sessions >= this.most) {
      const busy = `the dealer is busy with ${this.#sessions} sessions; try again later`;
      throw new ProtocolError(busy, { mayPass: true });
    }
    this.#sessions++;
  }
}

/** The other one, when both have said that both are there. */
async function bothReady({ party, other }: Waiting): Promise<FramedChannel> {
  // Awaited from now on: who goes meanwhile is noticed.
  const isReady = party.receive(MEETING_TAG, NOTHING);
  const alone = `the ${party.peer} says that both parties are there, but it is alone`;
  const second = await Promise.race([other.promise, isReady.then(() => soon(other.promise, alone))]);
  const both = Promise.all([isReady, second.receive(MEETING_TAG, NOTHING)]);
  await soon(both, "both parties are there, but do not say so");
  return second;
}

/** One too many takes the place of the one that has waited longest. */
function enter(waiting: Set<Waiting>, own: Waiting): void {
  const [longest] = waiting;
  if (waiting.size >= MOST_WAITING) {
    waiting.delete(longest);
    longest.gone.reject(new ProtocolError("gave its place to a later one", { mayPass: true }));
  }
  waiting.add(own);
}

/** `promise`, if it comes soon. */
async function soon<T>(promise: Promise<T>, otherwise: string): Promise<T> {
  const late = Promise.withResolvers<never>();
  const watch = new IdleWatch(
    LATENESS_MS,
    () => late.reject(new ProtocolError(`${otherwise} within ${LATENESS_MS / 1000} s`, { mayPass: true })),
  );
  watch.start();
  try {
    return await Promise.race([promise, late.promise]);
  } finally {
    watch.close();
  }
}
