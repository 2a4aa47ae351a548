/**
 * The opening at the end: the server sends its part of the logits, only the client learns them. Both parties first shift their part right to
 * the scale at which logits are opened and keep the bits of the ring that are left ("truncate and reduce", which cannot fail): bits
 * below would tell the client more about the weights and about carries than the result does; bits above the ring hold wrap-arounds
 * of masked words times weights, which nothing masks.
 */
import { RingTensor, type Width } from "../../ring/tensor.ts";
import { arithmetic } from "../../wires/width_kernels.ts";
import { partOf } from "../../wires/halves.ts";
import { readBits, sharedWire, type Wire } from "../../wires/wire.ts";
import { once, type ProtocolStep, stateless } from "../protocol.ts";

/** Opens `input` with `fractionBits`, at most its own. */
export function opening(input: Wire, fractionBits: number): ProtocolStep {
  const { words, width } = input, cut = input.fractionBits - fractionBits, bits = readBits(input) - cut;
  const above = width - readBits(input);
  const reduce = (x: RingTensor<Width>): RingTensor<Width> => {
    const reduced = new RingTensor(x.ring, width, words, fractionBits), on = arithmetic(x.ring, width);
    on.shiftLeft(x.address, above, reduced.address, words);
    on.shiftRight(reduced.address, above + cut, reduced.address, words);
    return reduced;
  };
  return {
    spec: { fractionBits, bits },
    outputs: [{ ...sharedWire(words, width, bits, fractionBits), factor: input.factor }],
    session: [],
    query: [],
    messages: [{ phase: "online", from: "server", bytes: words * width / 8 }],
    setUp: stateless(({ role, ring, peer, tag }, _, [early]) => {
      const part = partOf<Width>(ring, role, input, early);
      return Promise.resolve({
        early: [undefined],
        online: once("opening", async ([late]) => {
          using x = part(late);
          const mine = reduce(x);
          if (role === "server") {
            await peer.send(tag, mine.bytes);
            mine[Symbol.dispose]();
            return [undefined];
          }
          using theirs = new RingTensor(ring, width, words);
          await peer.receive(tag, theirs.bytes);
          const on = arithmetic(ring, width);
          on.add(mine.address, theirs.address, mine.address, words);
          on.shiftLeft(mine.address, width - bits, mine.address, words);
          on.shiftSigned(mine.address, width - bits, mine.address, words);
          return [mine];
        }),
      });
    }),
  };
}
