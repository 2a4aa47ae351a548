/**
 * Correlated randomness of one step, seen from both sides.
 *
 * The client's part of everything is expanded from a 16-byte seed; the server expands what is its own from a seed of its
 * own and receives the rest as corrections. So the client, whose link is thin, downloads nothing per query but a seed.
 * {@linkcode Material} is what a party draws from, {@linkcode Dealing} what the dealer writes to: both sides call in the
 * same order, which is the whole agreement between them.
 */
import type { Channel } from "../network/channel.ts";
import type { Stream } from "../random/stream.ts";
import { add, subtract, xor } from "../ring/arithmetic.ts";
import type { ConvolutionPool } from "../ring/pool.ts";
import type { Ring } from "../ring/ring.ts";
import { type RingTensor, words } from "../ring/tensor.ts";

/** One party's half of the material of one step. */
export interface Material {
  /** `n` random words known to this party and the dealer alone. */
  own(n: number, fractionBits?: number): Promise<RingTensor>;
  /** Fills `into` with this party's share of the words that the dealer shares next. */
  share(into: RingTensor): Promise<void>;
}

/** The client's half: all of it from its stream. */
export class ClientMaterial implements Material {
  constructor(private readonly ring: Ring, private readonly stream: Stream) {}

  async own(n: number, fractionBits = 0): Promise<RingTensor> {
    const tensor = words(this.ring, n, fractionBits);
    await this.stream.fill(tensor.bytes);
    return tensor;
  }

  share(into: RingTensor): Promise<void> {
    return this.stream.fill(into.bytes);
  }
}

/** The server's half: own words from its stream, shares from the dealer's channel. */
export class ServerMaterial implements Material {
  constructor(
    private readonly ring: Ring,
    private readonly stream: Stream,
    private readonly dealer: Channel,
    private readonly tag: number,
  ) {}

  async own(n: number, fractionBits = 0): Promise<RingTensor> {
    const tensor = words(this.ring, n, fractionBits);
    await this.stream.fill(tensor.bytes);
    return tensor;
  }

  share(into: RingTensor): Promise<void> {
    return this.dealer.receive(this.tag, into.bytes);
  }
}

/** The dealer's side of the material of one step. */
export class Dealing {
  constructor(
    readonly pool: ConvolutionPool,
    private readonly serverStream: Stream,
    private readonly clientStream: Stream,
    private readonly server: Channel,
    private readonly tag: number,
  ) {}

  get ring(): Ring {
    return this.pool.ring;
  }

  /** The words that the server draws next with {@linkcode Material.own}. */
  ownOfServer(n: number): Promise<RingTensor> {
    return draw(this.ring, this.serverStream, n);
  }

  /** The words that the client draws next with {@linkcode Material.own}. */
  ownOfClient(n: number): Promise<RingTensor> {
    return draw(this.ring, this.clientStream, n);
  }

  /** The sum of both parties' own words: a mask that neither of them knows. */
  async mask(n: number): Promise<RingTensor> {
    const mask = await this.ownOfServer(n);
    using client = await this.ownOfClient(n);
    return add(mask, client);
  }

  /** The exclusive or of both parties' own words: 64 mask bits a word that neither of them knows. */
  async maskBits(n: number): Promise<RingTensor> {
    const mask = await this.ownOfServer(n);
    using client = await this.ownOfClient(n);
    return xor(mask, client);
  }

  /** Shares `values` additively; overwrites them. */
  async share(values: RingTensor): Promise<void> {
    using client = await draw(this.ring, this.clientStream, values.length, values.fractionBits);
    subtract(values, client);
    await this.server.send(this.tag, values.bytes);
  }

  /** Shares the bits of `values` by exclusive or; overwrites them. */
  async shareBits(values: RingTensor): Promise<void> {
    using client = await draw(this.ring, this.clientStream, values.length, values.fractionBits);
    xor(values, client);
    await this.server.send(this.tag, values.bytes);
  }
}

async function draw(ring: Ring, stream: Stream, n: number, fractionBits = 0): Promise<RingTensor> {
  const tensor = words(ring, n, fractionBits);
  await stream.fill(tensor.bytes);
  return tensor;
}
