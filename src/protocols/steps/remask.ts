/**
 * Re-masking: a step of its own that turns any sharing of x into (server: x - a, client: a), a fresh mask of the client. One
 * message, x_client - a; the image is shared in the same way, since all of it is the client's. Linear layers with the weights in
 * clear read such values. Where the client knows its part before the image, the message travels then.
 *
 * The server sees x_client under a, which is uniform, own to the client, and used for this value alone.
 */
import { own } from "../../correlations/correlation.ts";
import { RingTensor, type Width } from "../../ring/tensor.ts";
import { arithmetic } from "../../wires/width_kernels.ts";
import { partOf } from "../../wires/halves.ts";
import { messageBytes, receiveNumbers, sendNumbers } from "../../wires/packing.ts";
import { type Half, readBits, type Wire } from "../../wires/wire.ts";
import { once, type Party, type ProtocolStep, stateless } from "../protocol.ts";

export function remask(input: Wire): ProtocolStep {
  const { words, width, fractionBits, clientLate } = input, bits = readBits(input);
  const mask = own("a", "client", words, width);
  return {
    spec: {},
    outputs: [{ ...input, clientLate: false, mask }],
    session: [],
    query: [mask],
    messages: [{
      phase: clientLate ? "online" : "offline",
      from: "client",
      bytes: messageBytes(words, bits, width),
      remasks: true,
    }],
    setUp: stateless(async (party, drawn, [early]) => {
      const { role, ring } = party;
      if (role === "client") {
        const a = drawn.own(mask).withFractionBits(fractionBits),
          part = partOf<Width>(ring, role, input, early);
        if (!clientLate) {
          await send(party, part(undefined), a, bits);
          return { early: [a] };
        }
        a.retain();
        return {
          early: [a],
          online: once("re-masking", async ([late]) => {
            await send(party, part(late), a, bits);
            a[Symbol.dispose]();
            return [undefined];
          }),
        };
      }
      /** The message, which is late if the client's part is, and this party's own half of that phase. */
      const masked = async (half: Half) => {
        const sum = new RingTensor(ring, width, words, fractionBits);
        await receiveNumbers(party.peer, party.tag, sum, bits);
        if (half) arithmetic(ring, width).add(sum.address, half.address, sum.address, words);
        return sum;
      };
      return clientLate
        ? { early: [early?.retain()], online: once("re-masking", async ([late]) => [await masked(late)]) }
        : {
          early: [await masked(early)],
          online: once("re-masking", ([late]) => Promise.resolve([late?.retain()])),
        };
    }),
  };
}

/** x_client - a; the part is consumed. */
async function send(
  { ring, peer, tag }: Party,
  part: RingTensor<Width>,
  a: RingTensor<Width>,
  bits: number,
): Promise<void> {
  using x = part;
  using masked = new RingTensor(ring, x.width, x.length);
  arithmetic(ring, x.width).subtract(x.address, a.address, masked.address, x.length);
  await sendNumbers(peer, tag, masked, bits);
}
