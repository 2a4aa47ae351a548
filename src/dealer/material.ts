/**
 * Correlated randomness of one step, seen from both sides.
 *
 * The client's part of everything is expanded from a 32-byte seed; the server expands what is its own from a seed of its
 * own and receives the rest as corrections. So the client, whose link is thin, downloads nothing per query but a seed.
 * {@linkcode Material} is what a party draws from, {@linkcode Dealing} what the dealer writes to: both sides call in the
 * same order, which is the whole agreement between them.
 */
import type { Channel } from "../network/channel.ts";
import type { Stream } from "../random/stream.ts";
import { add, subtract, xor } from "../ring/arithmetic.ts";
import type { ConvolutionPool } from "../ring/pool.ts";
import type { Ring } from "../ring/ring.ts";
import { RingTensor, type Width } from "../ring/tensor.ts";

/** One party's half of the material of one step. */
export interface Material {
  /** `n` random words known to this party and the dealer alone. */
  own(n: number, fractionBits?: number): Promise<RingTensor>;
  /** The same in 32-bit words. */
  own32(n: number, fractionBits?: number): Promise<RingTensor<32>>;
  /** Fills `into` with this party's share of the words that the dealer shares next. */
  share(into: RingTensor<Width>): Promise<void>;
}

/** The client's half: all of it from its stream. */
export class ClientMaterial implements Material {
  constructor(private readonly ring: Ring, private readonly stream: Stream) {}

  own(n: number, fractionBits = 0): Promise<RingTensor> {
    return Promise.resolve(draw(this.ring, this.stream, 64, n, fractionBits));
  }

  own32(n: number, fractionBits = 0): Promise<RingTensor<32>> {
    return Promise.resolve(draw(this.ring, this.stream, 32, n, fractionBits));
  }

  share(into: RingTensor<Width>): Promise<void> {
    this.stream.fill(into);
    return Promise.resolve();
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

  own(n: number, fractionBits = 0): Promise<RingTensor> {
    return Promise.resolve(draw(this.ring, this.stream, 64, n, fractionBits));
  }

  own32(n: number, fractionBits = 0): Promise<RingTensor<32>> {
    return Promise.resolve(draw(this.ring, this.stream, 32, n, fractionBits));
  }

  share(into: RingTensor<Width>): Promise<void> {
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
  ownOfServer(n: number): RingTensor {
    return draw(this.ring, this.serverStream, 64, n);
  }

  /** The words that the client draws next with {@linkcode Material.own}. */
  ownOfClient(n: number): RingTensor {
    return draw(this.ring, this.clientStream, 64, n);
  }

  /** The sum of both parties' own words: a mask that neither of them knows. */
  mask(n: number): RingTensor {
    const mask = this.ownOfServer(n);
    using client = this.ownOfClient(n);
    return add(mask, client);
  }

  /** The exclusive or of both parties' own words: 64 mask bits a word that neither of them knows. */
  maskBits(n: number): RingTensor {
    const mask = this.ownOfServer(n);
    using client = this.ownOfClient(n);
    return xor(mask, client);
  }

  /** Shares `values` additively; overwrites them. */
  async share(values: RingTensor): Promise<void> {
    using client = draw(this.ring, this.clientStream, 64, values.length, values.fractionBits);
    subtract(values, client);
    await this.server.send(this.tag, values.bytes);
  }

  /** The 32-bit words that the server draws next with {@linkcode Material.own32}. */
  ownOfServer32(n: number): RingTensor<32> {
    return draw(this.ring, this.serverStream, 32, n);
  }

  /** The 32-bit words that the client draws next with {@linkcode Material.own32}. */
  ownOfClient32(n: number): RingTensor<32> {
    return draw(this.ring, this.clientStream, 32, n);
  }

  /** The sum of both parties' own 32-bit words. */
  mask32(n: number): RingTensor<32> {
    const mask = this.ownOfServer32(n);
    using client = this.ownOfClient32(n);
    this.ring.kernels.add32(mask.address, client.address, mask.address, n);
    return mask;
  }

  /** Shares 32-bit words additively; overwrites them. */
  async share32(values: RingTensor<32>): Promise<void> {
    using client = draw(this.ring, this.clientStream, 32, values.length);
    this.ring.kernels.sub32(values.address, client.address, values.address, values.length);
    await this.server.send(this.tag, values.bytes);
  }

  /** Shares numbers of two limbs, low first, modulo 2^128; overwrites them. */
  async share128(values: RingTensor): Promise<void> {
    using client = draw(this.ring, this.clientStream, 64, values.length);
    this.ring.kernels.sub128(values.address, client.address, values.address, values.length / 2);
    await this.server.send(this.tag, values.bytes);
  }

  /** Shares the bits of `values` by exclusive or; overwrites them. */
  async shareBits(values: RingTensor): Promise<void> {
    using client = draw(this.ring, this.clientStream, 64, values.length, values.fractionBits);
    xor(values, client);
    await this.server.send(this.tag, values.bytes);
  }
}

function draw<W extends Width>(
  ring: Ring,
  stream: Stream,
  width: W,
  n: number,
  fractionBits = 0,
): RingTensor<W> {
  const tensor = new RingTensor(ring, width, n, fractionBits);
  stream.fill(tensor);
  return tensor;
}
