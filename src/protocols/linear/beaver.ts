/**
 * `beaver`: linear layers on secret-shared weights by one matrix or convolution triple a layer (the paper's), in session form.
 *
 * Session: B = B_server + B_client masks the weights; Delta = W - B is opened once, since W does not change.
 * Query: A = A_server + A_client masks the input, the dealer shares C = A * B. Offline each party computes C_i + A_i * Delta. Online
 * X - A is opened, one exchange, and with E = X - A
 *   server: C_0 + A_0 Delta + E (B_0 + Delta),   client: C_1 + A_1 Delta + E B_1;   the sum is (E + A)(B + Delta) = X W.
 * One convolution per party and layer is online. See docs/beaver.md.
 */
import { own } from "../../correlations/correlation.ts";
import type { RunnableConvolution } from "../../ring/pool.ts";
import { RingTensor, type Width } from "../../ring/tensor.ts";
import { arithmetic } from "../../wires/width_kernels.ts";
import { partOf } from "../../wires/halves.ts";
import { type LinearProtocol, once, type Party } from "../protocol.ts";
import { accumulate, convolve, disposeAll, earlyShares, plannedGroup } from "./layers.ts";

export const beaver: LinearProtocol = {
  name: "beaver",
  summary: "weights shared between the parties, convolution triples: the paper's",
  readsMasked: false,

  plan(group) {
    const { input, layers } = group, { width, words } = input, a = own("A", "both", words, width);
    const { products, ...planned } = plannedGroup(group, "both", a, true);
    const { session: b, outputs, messages } = planned;
    return {
      ...planned,
      query: [a, ...products],
      messages: [...messages, { phase: "online", from: "both", bytes: words * width / 8 }],
      async setUp(party, drawn, encoded) {
        const offline: RunnableConvolution[] = [], online: RunnableConvolution[] = [];
        for (const [i, { spec }] of layers.entries()) {
          // The weights are shared as (W, 0): the masks B_i hide them, so no further sharing is needed.
          using mask = drawn.own(b[i]);
          using d = await open(party, encoded?.[i]?.weights, mask);
          if (party.role === "server") accumulate(mask, d);
          offline.push(party.pool.convolution(width, spec, d.address));
          online.push(party.pool.convolution(width, spec, mask.address));
        }
        return {
          async prepare({ role, ring, peer, tag }, drawn, [early]) {
            const mask = drawn.own(a);
            const shares = await earlyShares(drawn, products, outputs, encoded, offline, mask);
            const part = partOf(ring, role, input, early);
            return {
              early: shares,
              online: once("beaver", async ([late]) => {
                using x = part(late);
                using e = await open({ ring, peer, tag }, x, mask);
                mask[Symbol.dispose]();
                return online.map((convolution, i) => convolve(convolution, e, outputs[i]));
              }),
            };
          },
          [Symbol.dispose]() {
            disposeAll([...online, ...offline, ...encoded?.map(({ bias }) => bias) ?? []]);
          },
        };
      },
    };
  },
};

/** Opens the sum of what the parties have less their masks; a party without a part has zero. */
async function open(
  { ring, peer, tag }: Pick<Party, "ring" | "peer" | "tag">,
  mine: RingTensor<Width> | undefined,
  mask: RingTensor<Width>,
): Promise<RingTensor<Width>> {
  const { width, length } = mask, on = arithmetic(ring, width);
  const opened = new RingTensor(ring, width, length);
  using masked = new RingTensor(ring, width, length);
  if (!mine) masked.bytes.fill(0);
  on.subtract((mine ?? masked).address, mask.address, masked.address, length);
  await peer.exchange(tag, masked.bytes, opened.bytes);
  on.add(opened.address, masked.address, opened.address, length);
  return opened;
}
