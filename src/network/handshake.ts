/**
 * The first messages of a connection between processes: who is there, over which network profile, and
 * whether both know the token of this pair of roles. The token itself never leaves: each end proves it by a
 * keyed hash over both greetings and their fresh nonces, so that a proof read on the way can be used nowhere
 * else. The end that connects greets and proves first: a stranger gets nothing from a listener on which
 * guesses could be tested (292,000 a second were). Where TLS shows a certificate, the role is in that.
 */

import { ProtocolError, reasonForPeers } from "./channel.ts";
import { FrameKind } from "./frame.ts";
import type { FrameLink } from "./frame_link.ts";
import type { NetworkProfile } from "./profiles.ts";
import { LinkShaper } from "./shaping.ts";

export type Side = "connecting" | "listening";

export interface HandshakeOptions {
  /** What this end is: `server`, `client`, `dealer`, ... */
  readonly role: string;
  /** The only role to be talked to; any by default. */
  readonly expectedPeer?: string;
  /** By role of the peer: a secret of the two, at least {@linkcode TOKEN_DIGITS} random hex digits; both ends have it or neither. */
  readonly tokens?: Readonly<Record<string, string>>;
  readonly profile: NetworkProfile;
}

/** 128 bits: nobody guesses as many, whatever a proof that was read on the way lets them test. */
export const TOKEN_DIGITS = 32;

const NONCE_BYTES = 32;
const ROLE_BYTES = 24;
const ROLE_PATTERN = new RegExp(`^[a-z0-9-]{1,${ROLE_BYTES}}$`);
const HELLO_BYTES = NONCE_BYTES + 16 + ROLE_BYTES;
const PROOF_BYTES = 32;

/**
 * Afterwards `link.peer` is the peer's role and the link is shaped; on disagreement both ends throw. `certified` is the role in the
 * certificate of a peer that had to show one.
 */
export async function handshake(
  link: FrameLink,
  side: Side,
  options: HandshakeOptions,
  certified?: string,
): Promise<void> {
  try {
    const ownHello = encodeHello(options), peerHello = new Uint8Array(HELLO_BYTES);
    const crossing = inTurn(link, side, FrameKind.hello);
    await crossing(ownHello, peerHello, () => {
      const peer = decodeHello(peerHello);
      if (!ROLE_PATTERN.test(peer.role)) throw new ProtocolError(`${link.peer} gave a role that is no name`);
      if (!(peer.rttMs >= 0 && peer.bitsPerSecond >= 0)) {
        throw new ProtocolError(`${link.peer} gave a network profile that is none`);
      }
      if (certified !== undefined && peer.role !== certified) {
        throw new ProtocolError(
          `${link.peer} calls itself ${peer.role} and has the certificate of a ${certified}`,
        );
      }
      link.peer = peer.role;
      checkPeer(options, peer);
    });
    await proveToken(link, side, options, ownHello, peerHello);
    const { profile } = options;
    if (profile.rttMs > 0 || profile.bitsPerSecond !== null) {
      link.shape(new LinkShaper(profile, await peerClockOffset(link, side)));
    }
  } catch (error) {
    await link.abort(...reasonForPeers(error));
    throw error;
  }
}

/** One message each way: the end that connects begins, and the other one answers when it has checked what came. */
const inTurn =
  (link: FrameLink, side: Side, kind: FrameKind) =>
  async (mine: Uint8Array, theirs: Uint8Array, check: () => void): Promise<void> => {
    if (side === "connecting") await link.send(kind, 0, mine);
    await link.receive(kind, 0, theirs);
    check();
    if (side === "listening") await link.send(kind, 0, mine);
  };

function checkPeer({ role, expectedPeer, profile }: HandshakeOptions, peer: Hello): void {
  if (expectedPeer !== undefined && peer.role !== expectedPeer) {
    throw new ProtocolError(`${role} expected a ${expectedPeer} at the other end, there is a ${peer.role}`);
  }
  if (peer.rttMs !== profile.rttMs || peer.bitsPerSecond !== (profile.bitsPerSecond ?? 0)) {
    throw new ProtocolError(
      `${role} runs on the network profile "${profile.name}" (${linkText(profile)}), ` +
        `${peer.role} on another one (${linkText(peer)})`,
    );
  }
}

interface Hello {
  readonly rttMs: number;
  readonly bitsPerSecond: number;
  readonly role: string;
}

function linkText(link: { rttMs: number; bitsPerSecond: number | null }): string {
  return `round trip ${link.rttMs} ms, ${link.bitsPerSecond || "unlimited"} bit/s`;
}

function encodeHello({ role, profile }: HandshakeOptions): Uint8Array<ArrayBuffer> {
  if (!ROLE_PATTERN.test(role)) throw new RangeError(`role "${role}" must match ${ROLE_PATTERN}`);
  const hello = new Uint8Array(HELLO_BYTES);
  crypto.getRandomValues(hello.subarray(0, NONCE_BYTES));
  const words = new DataView(hello.buffer, NONCE_BYTES);
  words.setFloat64(0, profile.rttMs, true);
  words.setFloat64(8, profile.bitsPerSecond ?? 0, true);
  new TextEncoder().encodeInto(role, hello.subarray(NONCE_BYTES + 16));
  return hello;
}

function decodeHello(hello: Uint8Array<ArrayBuffer>): Hello {
  const words = new DataView(hello.buffer, NONCE_BYTES);
  const role = new TextDecoder().decode(hello.subarray(NONCE_BYTES + 16)).replace(/\0+$/, "");
  return { rttMs: words.getFloat64(0, true), bitsPerSecond: words.getFloat64(8, true), role };
}

async function proveToken(
  link: FrameLink,
  side: Side,
  { role, tokens }: HandshakeOptions,
  ownHello: Uint8Array<ArrayBuffer>,
  peerHello: Uint8Array<ArrayBuffer>,
): Promise<void> {
  const [connecting, listening] = side === "connecting" ? [ownHello, peerHello] : [peerHello, ownHello];
  const refusal = () =>
    new ProtocolError(`${role} and ${link.peer} do not have the same token, connection refused`);
  // Who has tokens has one for everybody that may come: another role is not let in by the empty one.
  if (tokens !== undefined && !Object.hasOwn(tokens, link.peer)) throw refusal();
  const token = tokens?.[link.peer] ?? "";
  const secret = await crypto.subtle.digest(
    "SHA-256",
    new TextEncoder().encode(`token of two roles ${token}`),
  );
  const algorithm = { name: "HMAC", hash: "SHA-256" };
  const key = await crypto.subtle.importKey("raw", secret, algorithm, false, ["sign"]);
  // The prover's side is part of what is proved: a proof sent back to where it came from is worth nothing.
  const proofOf = async (prover: Side) => {
    const proved = new Uint8Array(1 + 2 * HELLO_BYTES);
    proved[0] = prover === "connecting" ? 1 : 2;
    proved.set(connecting, 1);
    proved.set(listening, 1 + HELLO_BYTES);
    return new Uint8Array(await crypto.subtle.sign("HMAC", key, proved));
  };
  const ownProof = await proofOf(side);
  const expected = await proofOf(side === "connecting" ? "listening" : "connecting");
  const peerProof = new Uint8Array(PROOF_BYTES);
  await inTurn(link, side, FrameKind.proof)(ownProof, peerProof, () => {
    // Constant time: how long it takes says nothing about where the first difference is.
    let difference = 0;
    for (let i = 0; i < PROOF_BYTES; i++) difference |= expected[i] ^ peerProof[i];
    if (difference !== 0) throw refusal();
  });
}

const CLOCK_ROUNDS = 200;
const CLOCK_BUDGET_MS = 100;

/**
 * This end's `performance.now()` minus the peer's. The connecting end asks for the time and believes the
 * fastest answer; its error is below half that round trip (10 us on loopback) and opposite at the two ends,
 * so a shaped round trip does not feel it. Clocks of one machine do not drift apart; those of two machines do.
 */
async function peerClockOffset(link: FrameLink, side: Side): Promise<number> {
  const reading = new Uint8Array(8);
  const view = new DataView(reading.buffer);
  if (side === "listening") {
    for (;;) {
      await link.receive(FrameKind.clock, 0, reading);
      const offsetMs = view.getFloat64(0, true);
      if (!Number.isNaN(offsetMs)) return offsetMs;
      view.setFloat64(0, performance.now(), true);
      await link.send(FrameKind.clock, 0, reading);
    }
  }
  let fastestMs = Infinity;
  let peerMinusOwnMs = 0;
  const startMs = performance.now();
  for (let round = 0; round < CLOCK_ROUNDS; round++) {
    const askedMs = performance.now();
    if (round > 0 && askedMs - startMs > CLOCK_BUDGET_MS) break;
    view.setFloat64(0, NaN, true); // a question
    await link.send(FrameKind.clock, 0, reading);
    await link.receive(FrameKind.clock, 0, reading);
    const roundTripMs = performance.now() - askedMs;
    if (roundTripMs < fastestMs) {
      fastestMs = roundTripMs;
      peerMinusOwnMs = view.getFloat64(0, true) - (askedMs + roundTripMs / 2);
    }
  }
  // The listening end's offset: its clock minus this one's.
  view.setFloat64(0, peerMinusOwnMs, true);
  await link.send(FrameKind.clock, 0, reading);
  return -peerMinusOwnMs;
}
