/** Numbers as messages: packed without gaps where a ring has fewer bits than the words that hold it. */
import type { Channel } from "../network/channel.ts";
import { RingTensor, type Width } from "../ring/tensor.ts";

/** Numbers in a block of a packed message; the last block is filled up with zeros. */
export const PACKING = 128;

/** Bytes of `length` numbers of `bits` bits, packed. */
export const packedBytes = (length: number, bits: number): number =>
  Math.ceil(length / PACKING) * PACKING / 8 * bits;

/** Bytes of a message of numbers of `bits` bits out of words of `width`. */
export const messageBytes = (length: number, bits: number, width: Width): number =>
  bits === width ? length * width / 8 : packedBytes(length, bits);

/** Sends the low `bits` bits of every word. */
export async function sendNumbers(
  channel: Channel,
  tag: number,
  values: RingTensor<Width>,
  bits: number,
  more = false,
): Promise<void> {
  if (bits === values.width) return await channel.send(tag, values.bytes, more);
  using packed = room(values, bits);
  values.ring.kernels.pack32(values.address, values.length, bits, packed.address);
  await channel.send(tag, packed.bytes, more);
}

/** Receives what {@linkcode sendNumbers} sent; the bits above are cleared. */
export async function receiveNumbers(
  channel: Channel,
  tag: number,
  into: RingTensor<Width>,
  bits: number,
  more = false,
): Promise<void> {
  if (bits === into.width) return await channel.receive(tag, into.bytes, more);
  using packed = room(into, bits);
  await channel.receive(tag, packed.bytes, more);
  into.ring.kernels.unpack32(packed.address, into.length, bits, into.address);
}

const room = ({ ring, length }: RingTensor<Width>, bits: number) =>
  new RingTensor(ring, 32, packedBytes(length, bits) / 4);
