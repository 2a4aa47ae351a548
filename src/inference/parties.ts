/**
 * The server and the client of a session from set-up to end. The client drives: one control message asks for a query to be
 * prepared, another for the next prepared one to run; both name its number, the server answers with the same one, and each side
 * ends the session if they differ. Control messages and figures travel outside the measured phases.
 */
import { fromDealer } from "../correlations/source.ts";
import { type Channel, ProtocolError } from "../network/channel.ts";
import { unlessDraining } from "./draining.ts";
import { PreparedQueries } from "./prepared_queries.ts";
import { openSession, type PreparedQuery, type SessionOptions } from "./session.ts";
import { CONTROL_TAG, FIGURES_TAG } from "./tags.ts";

/** One query as the client saw it. */
export interface QueryFigures {
  /** The longer of the two parties' offline phases. */
  readonly offlineMs: number;
  /** Bytes from the dealer to both parties. */
  readonly offlineBytes: number;
  /** Bytes between the parties before the image is known. */
  readonly offlinePartyBytes: number;
  /** Ring memory that the prepared query holds until it runs. */
  readonly heldBytes: { readonly server: number; readonly client: number };
  readonly onlineMs: number;
  /** Without sending, receiving and waiting. */
  readonly computeMs: { readonly server: number; readonly client: number };
  /** Messages and exchanges of the client. */
  readonly exchanges: number;
  /** One-way delays on the critical path, by logical time; overlapping messages count once. */
  readonly oneWayDelays: number;
  readonly bytesSent: { readonly server: number; readonly client: number };
  /** Those of every image of the query, one after another. */
  readonly logits: readonly number[];
}

/** A whole session as the client saw it. */
export interface SessionFigures {
  readonly setup: { readonly ms: number; readonly bytes: number };
  readonly queries: readonly QueryFigures[];
}

/** First number of a control message of the client; the second is that of the query. */
export const END = 0, PREPARE = 1, RUN = 2;

/** A role's links and its plan; correlations come from the dealer. */
export type RoleOptions = Omit<SessionOptions, "role" | "source"> & { readonly dealer: Channel };

export interface ServeOptions {
  /** The most queries that the client may have prepared ahead. Default 1. */
  readonly prepare?: number;
  /** Once aborted, no further query begins; one that runs goes on to its end. */
  readonly draining?: AbortSignal;
  readonly onQuery?: () => void;
}

/** Serves one client until it says that it is done. Returns the number of queries. */
export async function serve(options: RoleOptions, serving: ServeOptions = {}): Promise<number> {
  const { prepare = 1, draining, onQuery } = serving, { peer, dealer, pool: { ring } } = options;
  const session = await openSession({
    ...options,
    role: "server",
    source: fromDealer(ring, "server", dealer),
  });
  await sendFigures(peer, CONTROL_TAG, [dealer.received.bytes]);
  const stock = new PreparedQueries(session, prepare);
  for (let queries = 0;;) {
    const [code, number] = await nextCommand(peer, draining);
    if (code === PREPARE) {
      const start = performance.now(), dealt = dealer.received.bytes, held = ring.bytesInUse;
      await stock.prepare(number);
      const figures = [performance.now() - start, dealer.received.bytes - dealt, ring.bytesInUse - held];
      await sendFigures(peer, CONTROL_TAG, [number, ...figures]);
    } else if (code === RUN) {
      const query = stock.take(number);
      await sendFigures(peer, CONTROL_TAG, [number]);
      const { time } = await query.run(null);
      queries++;
      onQuery?.();
      await sendFigures(peer, FIGURES_TAG, [number, time.milliseconds, time.computeMilliseconds]);
    } else if (code === END) {
      await session.end();
      return queries;
    } else throw new ProtocolError(`the client asked for ${code}, which is nothing that a server does`);
  }
}

/** What the client wants next; it may take any time to say. */
async function nextCommand(peer: Channel, draining: AbortSignal | undefined): Promise<[number, number]> {
  const numbers = new Float64Array(2);
  const next = peer.receiveAfterPause(CONTROL_TAG, new Uint8Array(numbers.buffer));
  await unlessDraining(next, "server", draining);
  return checked(numbers) as [number, number];
}

export interface QueryOptions {
  /** Queries that are prepared ahead at a time, before the first of them runs. */
  readonly prepare?: number;
  readonly onSetup?: (setup: SessionFigures["setup"]) => void;
  readonly onQuery?: (figures: QueryFigures) => void;
}

/** Classifies what `imagesOf` gives for the queries 0...repetitions - 1, one image or a batch, each query with fresh correlations. */
export async function query(
  options: Omit<RoleOptions, "weights">,
  imagesOf: (query: number) => ArrayLike<number>,
  repetitions: number,
  { prepare = 1, onSetup, onQuery }: QueryOptions = {},
): Promise<SessionFigures> {
  const { peer, dealer, pool: { ring } } = options;
  const start = performance.now();
  const source = fromDealer(ring, "client", dealer);
  const session = await openSession({ ...options, role: "client", weights: null, source });
  const setupMs = performance.now() - start;
  const setupTraffic = peer.sent.bytes + peer.received.bytes + dealer.received.bytes;
  const [serverDealt] = await receiveFigures(peer, CONTROL_TAG, 1);
  const setup = { ms: setupMs, bytes: setupTraffic + serverDealt };
  onSetup?.(setup);

  const stock = new PreparedQueries(session, prepare), offline: OfflineFigures[] = [];
  const queries: QueryFigures[] = [];
  for (let number = 0; number < repetitions; number++) {
    if (stock.isEmpty) {
      // The next ones, as soon as those that were prepared are used up.
      while (stock.next < Math.min(number + prepare, repetitions)) {
        offline.push(await prepareOne(options, stock));
      }
    }
    const figures = { ...offline[number], ...await runOne(stock.take(number), peer, imagesOf(number)) };
    queries.push(figures);
    onQuery?.(figures);
  }
  await sendFigures(peer, CONTROL_TAG, [END, repetitions]);
  await session.end();
  return { setup, queries };
}

type OfflineFigures = Pick<QueryFigures, "offlineMs" | "offlineBytes" | "offlinePartyBytes" | "heldBytes">;

/** The offline phase of the next query, at both parties at once. */
async function prepareOne(
  { peer, dealer, pool: { ring } }: Pick<RoleOptions, "peer" | "dealer" | "pool">,
  stock: PreparedQueries,
): Promise<OfflineFigures> {
  const number = stock.next;
  await sendFigures(peer, CONTROL_TAG, [PREPARE, number]);
  const start = performance.now(), dealt = dealer.received.bytes, held = ring.bytesInUse;
  const before = peer.sent.bytes + peer.received.bytes;
  await stock.prepare(number);
  const offlineMs = performance.now() - start, heldByClient = ring.bytesInUse - held;
  const offlinePartyBytes = peer.sent.bytes + peer.received.bytes - before;
  const [confirmed, serverMs, serverDealt, heldByServer] = await receiveFigures(peer, CONTROL_TAG, 4);
  checkNumber(confirmed, number, "prepared");
  return {
    offlineMs: Math.max(offlineMs, serverMs),
    offlineBytes: serverDealt + dealer.received.bytes - dealt,
    offlinePartyBytes,
    heldBytes: { server: heldByServer, client: heldByClient },
  };
}

/** The online phase of a prepared query. That it is the next one is agreed before the image is known. */
async function runOne(
  prepared: PreparedQuery,
  peer: Channel,
  images: ArrayLike<number>,
): Promise<Omit<QueryFigures, keyof OfflineFigures>> {
  await sendFigures(peer, CONTROL_TAG, [RUN, prepared.number]);
  checkNumber((await receiveFigures(peer, CONTROL_TAG, 1))[0], prepared.number, "began");

  const sent = peer.sent.bytes, received = peer.received.bytes, exchanges = peer.exchanges;
  const delays = peer.oneWayDelays;
  const { logits, time } = await prepared.run(images);
  const traffic = {
    exchanges: peer.exchanges - exchanges,
    oneWayDelays: peer.oneWayDelays - delays,
    bytesSent: { server: peer.received.bytes - received, client: peer.sent.bytes - sent },
  };

  const [confirmed, , serverComputeMs] = await receiveFigures(peer, FIGURES_TAG, 3);
  checkNumber(confirmed, prepared.number, "ran");
  return {
    onlineMs: time.milliseconds,
    computeMs: { server: serverComputeMs, client: time.computeMilliseconds },
    ...traffic,
    logits: [...logits!],
  };
}

function checkNumber(confirmed: number, number: number, did: string): void {
  if (confirmed !== number) {
    throw new ProtocolError(
      `the server says that it ${did} query ${confirmed}, but the client means query ${number}`,
    );
  }
}

async function sendFigures(channel: Channel, tag: number, numbers: readonly number[]): Promise<void> {
  await channel.send(tag, new Uint8Array(new Float64Array(numbers).buffer));
}

async function receiveFigures(channel: Channel, tag: number, count: number): Promise<number[]> {
  const numbers = new Float64Array(count);
  await channel.receive(tag, new Uint8Array(numbers.buffer));
  return checked(numbers);
}

function checked(numbers: Float64Array): number[] {
  if (numbers.every(Number.isFinite)) return [...numbers];
  throw new ProtocolError("the peer sent a figure that is no number");
}

/** The class with the largest logit. */
export const classOf = (logits: ArrayLike<number>): number =>
  Array.from(logits).reduce((best, logit, i, all) => logit > all[best] ? i : best, 0);
