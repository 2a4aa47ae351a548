/**
 * Runs one step with dealer, server and client in this process, for tests and micro-benchmarks: real material, real messages, an
 * in-memory link.
 */
import { ClientMaterial, Dealing, type Material, ServerMaterial } from "../dealer/material.ts";
import type { Channel } from "../network/channel.ts";
import { memoryPair } from "../network/memory_pair.ts";
import { freshSeed, Seed } from "../random/stream.ts";
import { subtract } from "../ring/arithmetic.ts";
import { ConvolutionPool } from "../ring/pool.ts";
import type { Ring } from "../ring/ring.ts";
import { type RingTensor, words } from "../ring/tensor.ts";
import type { Party, Role } from "./protocol.ts";

/** Three parties and their links. */
export interface InProcess {
  readonly ring: Ring;
  readonly pool: ConvolutionPool;
  readonly server: Party;
  readonly client: Party;
  readonly dealerToServer: Channel;
  readonly serverToDealer: Channel;
}

export function inProcess(ring: Ring): InProcess {
  const pool = new ConvolutionPool(ring, 1);
  const [serverPeer, clientPeer] = memoryPair();
  const [dealerToServer, serverToDealer] = memoryPair();
  const party = (role: Role, peer: Channel): Party => ({ role, ring, pool, peer, tag: 1 });
  return {
    ring,
    pool,
    server: party("server", serverPeer),
    client: party("client", clientPeer),
    dealerToServer,
    serverToDealer,
  };
}

/** Both halves of the material of a step, under fresh seeds, and the dealer's side of it. */
export function freshMaterial(
  { ring, pool, dealerToServer, serverToDealer }: InProcess,
): { server: Material; client: Material; dealing: Dealing } {
  const server = new Seed(freshSeed()), client = new Seed(freshSeed());
  return {
    server: new ServerMaterial(ring, server.stream(1), serverToDealer, 1),
    client: new ClientMaterial(ring, client.stream(1)),
    dealing: new Dealing(pool, server.stream(1), client.stream(1), dealerToServer, 1),
  };
}

/** Uniformly random additive shares of `value`. */
export function shareOf(value: RingTensor): { server: RingTensor; client: RingTensor } {
  const server = words(value.ring, value.length, value.fractionBits),
    client = words(value.ring, value.length, value.fractionBits);
  const bytes = client.bytes;
  for (let start = 0; start < bytes.length; start += 65536) {
    crypto.getRandomValues(bytes.subarray(start, start + 65536));
  }
  return { server: subtract(value, client, server), client };
}

/** Both parties at once. */
export const both = <T>(work: (role: Role) => Promise<T>): Promise<[T, T]> =>
  Promise.all([work("server"), work("client")]);
