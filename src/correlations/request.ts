/**
 * What the parties ask of the dealer and how it answers: both ask for the same thing, each receives a fresh seed, and the
 * dealer then streams the server's corrections step by step; TCP holds it back while the server does not read.
 *
 * Every request carries the digest of the plan. A dealer with another plan would hand out words that one party takes for its
 * secret mask and the other for a correction: that must never begin.
 */
import { type Channel, ProtocolError } from "../network/channel.ts";
import { freshSeed, SEED_BYTES } from "../random/stream.ts";

/** Tag of requests and seeds; steps use their labels, which are smaller. */
export const REQUEST_TAG = 0xd0000001;

export type Request =
  /** The correlations of the weights, once. */
  | { readonly kind: "session" }
  /** The correlations of one query, at most once. */
  | { readonly kind: "query"; readonly number: number }
  /** Nothing more. */
  | { readonly kind: "end" };

const KINDS = ["session", "query", "end"] as const;
const DIGEST_BYTES = 32;
export const REQUEST_BYTES = 8 + DIGEST_BYTES;

/** Asks for material of the plan with this digest; resolves to this party's seed, or null for `end`. */
export async function requestSeed(
  dealer: Channel,
  request: Request,
  digest: Uint8Array,
): Promise<Uint8Array<ArrayBuffer> | null> {
  const message = new DataView(new ArrayBuffer(REQUEST_BYTES)), bytes = new Uint8Array(message.buffer);
  message.setUint32(0, KINDS.indexOf(request.kind), true);
  message.setUint32(4, request.kind === "query" ? request.number : 0, true);
  bytes.set(digest, 8);
  await dealer.send(REQUEST_TAG, bytes);
  if (request.kind === "end") return null;
  const seed = new Uint8Array(SEED_BYTES);
  await dealer.receive(REQUEST_TAG, seed);
  return seed;
}

/** The dealer's end: waits for the next request of a party and checks that it has the dealer's plan. */
export async function awaitRequest(party: Channel, digest: Uint8Array): Promise<Request> {
  const message = new DataView(new ArrayBuffer(REQUEST_BYTES)), bytes = new Uint8Array(message.buffer);
  await party.receiveAfterPause(REQUEST_TAG, bytes);
  if (digest.some((byte, i) => byte !== bytes[8 + i])) {
    throw new ProtocolError(
      "the dealer was started with a plan that is not that of the parties; use the same version, model, classes, activation, linear " +
        "protocol, polynomial or wave, fraction bits, ring bits, angle bits, batch and ranges everywhere",
    );
  }
  const kind = KINDS[message.getUint32(0, true)];
  if (kind === undefined) throw new ProtocolError("the dealer was asked for something it does not know");
  return kind === "query" ? { kind, number: message.getUint32(4, true) } : { kind };
}

/** Sends a fresh seed to a party and keeps a copy. */
export async function handOutSeed(party: Channel): Promise<Uint8Array<ArrayBuffer>> {
  const seed = freshSeed();
  await party.send(REQUEST_TAG, seed);
  return seed;
}
