/**
 * The server and the client of a session from set-up to end: the client drives, one control message announces each query.
 * Control messages and figures travel outside the measured phases.
 */
import { type Channel, ProtocolError } from "../network/channel.ts";
import { REQUEST_TAG } from "../dealer/request.ts";
import { describeStep, type Plan } from "./plan.ts";
import { LOGITS_TAG, type PartySession, PLAN_TAG, type SessionOptions, stepOfTag } from "./party_session.ts";
import { openSession } from "./session.ts";

/** One query as the client saw it. */
export interface QueryFigures {
  /** The longer of the two parties' offline phases. */
  readonly offlineMs: number;
  /** Bytes from the dealer to both parties. */
  readonly offlineBytes: number;
  readonly onlineMs: number;
  /** Without sending, receiving and waiting. */
  readonly computeMs: { readonly server: number; readonly client: number };
  /** Messages and exchanges of the client. */
  readonly exchanges: number;
  /** One-way delays on the critical path, by logical time; overlapping messages count once. */
  readonly oneWayDelays: number;
  readonly bytesSent: { readonly server: number; readonly client: number };
  readonly logits: readonly number[];
}

/** A whole session as the client saw it. */
export interface SessionFigures {
  readonly setup: { readonly ms: number; readonly bytes: number };
  readonly queries: readonly QueryFigures[];
}

const CONTROL_TAG = 0xd0000004, FIGURES_TAG = 0xd0000005;
const END = 0, QUERY = 1;

/** Names a message of a session in errors. */
export function describeTag(plan: Plan): (tag: number) => string | undefined {
  const names = new Map<number, string>([
    [REQUEST_TAG, "the dealer's seeds"],
    [PLAN_TAG, "the comparison of plans"],
    [LOGITS_TAG, "the logits"],
    [CONTROL_TAG, "the announcement of a query"],
    [FIGURES_TAG, "the server's figures"],
  ]);
  return (tag) => {
    const step = stepOfTag(plan, tag);
    return step ? describeStep(step) : names.get(tag);
  };
}

/** Serves one client until it says that it is done. Returns the number of queries. */
export async function serve(options: Omit<SessionOptions, "role">): Promise<number> {
  const { peer, dealer } = options;
  const session = await openSession({ ...options, role: "server" });
  await sendNumbers(peer, CONTROL_TAG, [dealer.received.bytes]);
  let queries = 0;
  for (; await receiveNumber(peer, CONTROL_TAG) === QUERY; queries++) {
    const start = performance.now(), before = dealer.received.bytes;
    const query = await session.prepare();
    const offline = [performance.now() - start, dealer.received.bytes - before];
    await sendNumbers(peer, CONTROL_TAG, offline);
    const { time } = await query.run(null);
    await sendNumbers(peer, FIGURES_TAG, [time.milliseconds, time.computeMilliseconds]);
  }
  await session.end();
  return queries;
}

/** Classifies the images that `imageOf` gives for the queries 0...repetitions - 1, each with fresh correlations. */
export async function query(
  options: Omit<SessionOptions, "role" | "weights">,
  imageOf: (query: number) => ArrayLike<number>,
  repetitions: number,
  onQuery?: (figures: QueryFigures) => void,
): Promise<SessionFigures> {
  const { peer, dealer } = options;
  const start = performance.now();
  const session = await openSession({ ...options, role: "client", weights: null });
  const setupMs = performance.now() - start;
  const setupTraffic = peer.sent.bytes + peer.received.bytes + dealer.received.bytes;
  const serverDealt = await receiveNumber(peer, CONTROL_TAG);

  const queries: QueryFigures[] = [];
  for (let i = 0; i < repetitions; i++) {
    const figures = await oneQuery(session, peer, dealer, imageOf(i));
    queries.push(figures);
    onQuery?.(figures);
  }
  await sendNumbers(peer, CONTROL_TAG, [END]);
  await session.end();
  return { setup: { ms: setupMs, bytes: setupTraffic + serverDealt }, queries };
}

async function oneQuery(
  session: PartySession,
  peer: Channel,
  dealer: Channel,
  image: ArrayLike<number>,
): Promise<QueryFigures> {
  await sendNumbers(peer, CONTROL_TAG, [QUERY]);
  const start = performance.now(), before = dealer.received.bytes;
  const prepared = await session.prepare();
  const clientOfflineMs = performance.now() - start;
  const [serverOfflineMs, serverDealt] = await receiveNumbers(peer, CONTROL_TAG, 2);

  const sent = peer.sent.bytes, received = peer.received.bytes, exchanges = peer.exchanges;
  const delays = peer.oneWayDelays;
  const { logits, time } = await prepared.run(image);
  const traffic = {
    client: peer.sent.bytes - sent,
    server: peer.received.bytes - received,
    exchanges: peer.exchanges - exchanges,
    oneWayDelays: peer.oneWayDelays - delays,
  };

  const [, serverComputeMs] = await receiveNumbers(peer, FIGURES_TAG, 2);
  return {
    offlineMs: Math.max(clientOfflineMs, serverOfflineMs!),
    offlineBytes: serverDealt! + dealer.received.bytes - before,
    onlineMs: time.milliseconds,
    computeMs: { server: serverComputeMs!, client: time.computeMilliseconds },
    exchanges: traffic.exchanges,
    oneWayDelays: traffic.oneWayDelays,
    bytesSent: { server: traffic.server, client: traffic.client },
    logits: [...logits!],
  };
}

async function sendNumbers(channel: Channel, tag: number, numbers: readonly number[]): Promise<void> {
  await channel.send(tag, new Uint8Array(new Float64Array(numbers).buffer));
}

async function receiveNumbers(channel: Channel, tag: number, count: number): Promise<number[]> {
  const numbers = new Float64Array(count);
  await channel.receive(tag, new Uint8Array(numbers.buffer));
  if (numbers.some((n) => !Number.isFinite(n))) {
    throw new ProtocolError("the peer sent a figure that is no number");
  }
  return [...numbers];
}

const receiveNumber = async (channel: Channel, tag: number) => (await receiveNumbers(channel, tag, 1))[0]!;

/** The class with the largest logit. */
export const classOf = (logits: ArrayLike<number>): number =>
  Array.from(logits).reduce((best, logit, i, all) => logit > all[best]! ? i : best, 0);
