/**
 * How the three roles find each other: the client comes to the server, which draws a number for their session; both come to the dealer
 * with it, and each says when it is there. Nobody waits for one who will not come: who fails meanwhile is noticed by those who wait.
 */
import { describeTag } from "../inference/tags.ts";
import type { Plan } from "../inference/plan.ts";
import { ProtocolError, reasonForPeers } from "../network/channel.ts";
import type { FramedChannel } from "../network/framed_channel.ts";
import { IdleWatch } from "../network/idle_watch.ts";
import type { ConvolutionPool } from "../ring/pool.ts";
import { onExit } from "../terminal/command.ts";

/** Tags of the number of a session and of the empty message "both are there"; the protocols' tags end below. */
export const SESSION_TAG = 0xd0000011, MEETING_TAG = 0xd0000010;
const NOTHING = new Uint8Array(0);
/** 128 random bits: whoever knows them is of the session, or was told by one who is. */
const SESSION_BYTES = 16;

const MEETING_NAMES = new Map([
  [SESSION_TAG, "the number of the session"],
  [MEETING_TAG, "the meeting of all three roles"],
]);

/** Names the messages of a session, the meeting included, in errors. */
export function describeTags(plan: Plan): (tag: number) => string | undefined {
  const describe = describeTag(plan);
  return (tag) => MEETING_NAMES.get(tag) ?? describe(tag);
}

/** What a session may use: all of it goes when the session ends. */
export interface SessionScope {
  readonly pool: ConvolutionPool;
  /** Takes over a channel, which closes with the session. */
  hold(channel: FramedChannel): FramedChannel;
}

/**
 * Runs one session. However it ends, its channels close and its memory is free; if it fails, its peers hear of that what is written for
 * them, and nothing else of this process is touched.
 */
export async function withinSession<T>(
  pool: ConvolutionPool,
  work: (scope: SessionScope) => Promise<T>,
): Promise<T> {
  const channels: FramedChannel[] = [], region = pool.region();
  let isOver = false;
  const hold = (channel: FramedChannel) => {
    channels.push(channel);
    if (isOver) channel.close();
    return channel;
  };
  const forget = onExit(() => channels.forEach((channel) => channel.close()));
  try {
    return await work({ pool: region, hold });
  } catch (error) {
    await Promise.allSettled(channels.map((channel) => channel.abort(...reasonForPeers(error))));
    throw error;
  } finally {
    isOver = true;
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

/** A party that has come, and a promise of the other one of its session, which fails where it loses its place. */
interface Waiting {
  readonly party: FramedChannel;
  readonly other: PromiseWithResolvers<FramedChannel>;
  /** The other one, from the moment it came. */
  second?: FramedChannel;
}

/** Clients whose server is not there: for as long as two connections take, unless they have no number or one of their own making. */
const MOST_LONE_CLIENTS = 64;

/**
 * How long the number of a session may take. Who comes sends it at once; and where the first has said that both are there, that of the
 * second was sent before.
 */
const LATENESS_MS = 5000;

/**
 * The dealer's end: brings together the server and the client that name the same session. Of `most` places each session takes one when
 * its server comes, who draws the numbers: clients alone keep nobody out, and are few.
 */
export class Meetings {
  readonly #first = new Map<string, Waiting>();
  readonly #loneClients = new Set<Waiting>();
  #sessions = 0;

  constructor(private readonly most = Infinity) {}

  /**
   * One party's way into its session. Resolves to both for the one that came first, to null for the other one. Who goes away before both
   * are there takes its session along.
   */
  async join(party: FramedChannel): Promise<Parties | null> {
    if (party.peer !== "server" && party.peer !== "client") {
      throw new ProtocolError(`the dealer awaits servers and clients, there came a ${party.peer}`);
    }
    const own: Waiting = { party, other: Promise.withResolvers() };
    if (party.peer === "client") this.#enter(own);
    try {
      const number = new Uint8Array(SESSION_BYTES), named = party.receive(SESSION_TAG, number);
      await Promise.race([
        soon(named, `the ${party.peer} sent no number of a session within ${LATENESS_MS / 1000} s`),
        own.other.promise,
      ]);
      return await this.#meet(own, number);
    } finally {
      this.#loneClients.delete(own);
    }
  }

  /** One client too many takes the place of the one that has waited longest. */
  #enter(client: Waiting): void {
    const [longest] = this.#loneClients;
    if (this.#loneClients.size >= MOST_LONE_CLIENTS) {
      this.#loneClients.delete(longest);
      longest.other.reject(new ProtocolError("gave its place to a later client", { mayPass: true }));
    }
    this.#loneClients.add(client);
  }

  async #meet(own: Waiting, number: SessionNumber): Promise<Parties | null> {
    const { party } = own, key = number.toHex(), first = this.#first.get(key);
    if (first?.party.peer === party.peer) {
      throw new ProtocolError(`a ${party.peer} of this session is there already`);
    }
    if (party.peer === "server") this.#takePlace(first);
    if (first === undefined) return await this.#await(key, own, shortName(number));
    this.#first.delete(key);
    this.#loneClients.delete(first);
    first.second = party;
    first.other.resolve(party);
    return null;
  }

  #takePlace(client: Waiting | undefined): void {
    if (this.#sessions >= this.most) {
      const busy = new ProtocolError(`the dealer is busy with ${this.#sessions} sessions; try again later`, {
        mayPass: true,
      });
      client?.other.reject(busy);
      throw busy;
    }
    this.#sessions++;
  }

  async #await(key: string, first: Waiting, name: string): Promise<Parties> {
    this.#first.set(key, first);
    const { party, other } = first, leave = () => void this.#sessions--;
    try {
      // Said when the other one is there too, and awaited from now on: who goes meanwhile is noticed.
      const isReady = party.receive(MEETING_TAG, NOTHING);
      const second = await Promise.race([
        other.promise,
        isReady.then(() =>
          soon(other.promise, `the ${party.peer} says that both parties are there, but it is alone`)
        ),
      ]);
      await Promise.all([isReady, second.receive(MEETING_TAG, NOTHING)]);
      return party.peer === "server"
        ? { server: party, client: second, name, leave }
        : { server: second, client: party, name, leave };
    } catch (error) {
      if (this.#first.get(key) === first) this.#first.delete(key);
      if (party.peer === "server" || first.second !== undefined) leave();
      await first.second?.abort(...reasonForPeers(error));
      throw error;
    }
  }
}

/** `promise`, if it comes soon. */
async function soon<T>(promise: Promise<T>, otherwise: string): Promise<T> {
  const late = Promise.withResolvers<never>();
  const watch = new IdleWatch(
    LATENESS_MS,
    () => late.reject(new ProtocolError(otherwise, { mayPass: true })),
  );
  watch.start();
  try {
    return await Promise.race([promise, late.promise]);
  } finally {
    watch.close();
  }
}
