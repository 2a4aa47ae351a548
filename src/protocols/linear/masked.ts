/**
 * `masked`: linear layers with the weights in clear at the server (the usual machine-learning-as-a-service setting), on re-masked values:
 * the server holds x - a, the client a, a fresh mask.
 *
 * Session: B, a random mask of the weights, is known to the server and the dealer; the server sends Delta = W - B to the client.
 * Query: the dealer shares z = B * a. Offline the client computes Delta * a + z_client, and is done. Online the server computes
 * W * (x - a) + z_server, and nothing travels:
 *   W (x - a) + B a + (W - B) a = W x.
 * One convolution by the server, none by the client. B is used over and over, a never. See docs/masked.md.
 */
import type { RunnableConvolution } from "../../ring/pool.ts";
import { RingTensor } from "../../ring/tensor.ts";
import { arithmetic } from "../../wires/width_kernels.ts";
import { partOf } from "../../wires/halves.ts";
import { type LinearProtocol, once } from "../protocol.ts";
import { convolve, disposeAll, earlyShares, plannedGroup } from "./layers.ts";

export const masked: LinearProtocol = {
  name: "masked",
  summary:
    "weights in clear at the server: one convolution online, no message but the re-masking of its input",
  readsMasked: true,

  plan(group) {
    const { name, input, layers } = group, { width, mask } = input;
    if (mask === null) throw new RangeError(`${name}: masked reads re-masked values`);
    const { products, ...planned } = plannedGroup(group, "server", mask, false);
    const { session: b, outputs } = planned;
    return {
      ...planned,
      query: products,
      async setUp(party, drawn, encoded) {
        const convolutions: RunnableConvolution[] = [], packedHere: RunnableConvolution[] = [];
        for (const [i, layer] of layers.entries()) {
          const weights = encoded?.[i]?.weights;
          using d = weights
            ? difference(weights, drawn.own(b[i]))
            : new RingTensor(party.ring, width, b[i].words);
          if (weights) await party.peer.send(party.tag, d.bytes);
          else await party.peer.receive(party.tag, d.bytes);
          let convolution = encoded?.[i]?.packed?.(layer.spec);
          if (convolution === undefined) {
            const small = weights !== undefined;
            convolution = party.pool.convolution(width, layer.spec, (weights ?? d).address, { small });
            packedHere.push(convolution);
          }
          convolutions.push(convolution);
        }
        return {
          async prepare({ ring, role }, drawn, [early]) {
            // Delta = W - B in the client's convolutions, which run here; W in the server's.
            const isClient = role === "client", local = isClient ? convolutions : [];
            const shares = await earlyShares(drawn, products, outputs, encoded, local, early);
            if (isClient) return { early: shares };
            const part = partOf(ring, role, input, early);
            const online = once("masked", ([late]) => {
              using masked = part(late); // x - a
              return Promise.resolve(
                convolutions.map((convolution, i) => convolve(convolution, masked, outputs[i])),
              );
            });
            return { early: shares, online };
          },
          [Symbol.dispose]: () => disposeAll([...packedHere, ...encoded?.map(({ bias }) => bias) ?? []]),
        };
      },
    };
  },
};

/** W - B, in place of B. */
function difference(w: RingTensor<32 | 64>, b: RingTensor<32 | 64>): RingTensor<32 | 64> {
  arithmetic(b.ring, b.width).subtract(w.address, b.address, b.address, b.length);
  return b;
}
