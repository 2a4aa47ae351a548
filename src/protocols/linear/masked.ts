/**
 * `masked`: linear layers with the weights in clear at the server (the usual machine-learning-as-a-service setting).
 *
 * Session: B, a random mask of the weights, is known to the server and the dealer; the server sends D = W - B to the client.
 * Query: the client's a is fresh; the dealer shares z = B * a. Offline the client computes D * a + z_client. Online it sends
 * x_client - a, one message one way, and the server computes W * (x_server + x_client - a) + z_server:
 *   W (x - a) + B a + (W - B) a = W x.
 * One convolution by the server, none by the client. B is used over and over, a never. See docs/masked.md.
 */
import type { Material } from "../../dealer/material.ts";
import { add, subtract } from "../../ring/arithmetic.ts";
import type { RunnableConvolution } from "../../ring/pool.ts";
import { type RingTensor, words } from "../../ring/tensor.ts";
import {
  type EvaluateLinear,
  type LinearGroup,
  type LinearProtocol,
  once,
  type Party,
  WORD_BYTES,
} from "../protocol.ts";
import { convolve, disposeAll, outputLength, outputsOf, prepareConvolutions, weightsOf } from "./layers.ts";

export const masked: LinearProtocol = {
  name: "masked",

  cost: (group) => ({
    exchanges: 1,
    bytesServer: 0,
    bytesClient: group.inputs * WORD_BYTES,
    dealtBytes: outputsOf(group) * WORD_BYTES,
  }),

  setUpCost: (group) => ({ bytesServer: weightsOf(group) * WORD_BYTES, bytesClient: 0 }),

  dealSession(group, dealing) {
    const b = group.layers.map((layer) => dealing.ownOfServer(weightsOf(layer)));
    const convolutions = prepareConvolutions(dealing.pool, group.layers, b);
    disposeAll(b);
    return {
      async deal(dealing, mask) {
        using a = mask.ownOfClient(group.inputs);
        for (const convolution of convolutions) {
          using product = convolve(convolution, a);
          await dealing.share(product);
        }
      },
      [Symbol.dispose]: () => disposeAll(convolutions),
    };
  },

  async setUp(group, party, material, weights) {
    const { ring, role, peer, tag } = party;
    const differences: RingTensor[] = [];
    for (const [i, layer] of group.layers.entries()) {
      if (role === "server") {
        using b = await material.own(weightsOf(layer));
        using d = subtract(weights![i]!.view(0, b.length, 0), b, words(ring, b.length));
        await peer.send(tag, d.bytes);
      } else {
        const d = words(ring, weightsOf(layer));
        await peer.receive(tag, d.bytes);
        differences.push(d);
      }
    }
    const convolutions = role === "server"
      ? prepareConvolutions(party.pool, group.layers, weights!, { small: true })
      : prepareConvolutions(party.pool, group.layers, differences);
    disposeAll(differences);
    return {
      prepare: (party, material, mask) =>
        role === "server"
          ? prepareServer(convolutions, party, material)
          : prepareClient(group, convolutions, party, material, mask),
      [Symbol.dispose]: () => disposeAll(convolutions),
    };
  },
};

/** W in the convolutions. */
async function prepareServer(
  convolutions: readonly RunnableConvolution[],
  party: Party,
  material: Material,
): Promise<EvaluateLinear> {
  const shares = await sharesOf(convolutions, party, material);
  return once("masked", async (x) => {
    using opened = words(party.ring, x.length);
    await party.peer.receive(party.tag, opened.bytes);
    add(opened, x.view(0, x.length, 0));
    return convolutions.map((convolution, i) => {
      using product = convolve(convolution, opened);
      return add(shares[i]!, product);
    });
  });
}

/** D in the convolutions, which run offline. */
async function prepareClient(
  group: LinearGroup,
  convolutions: readonly RunnableConvolution[],
  party: Party,
  material: Material,
  mask: Material,
): Promise<EvaluateLinear> {
  const a = await mask.own(group.inputs);
  const shares = await sharesOf(convolutions, party, material);
  for (const [i, convolution] of convolutions.entries()) {
    using product = convolve(convolution, a);
    add(shares[i]!, product);
  }
  return once("masked", async (x) => {
    using message = subtract(x.view(0, x.length, 0), a, words(party.ring, x.length));
    await party.peer.send(party.tag, message.bytes);
    a[Symbol.dispose]();
    return shares;
  });
}

/** This party's shares of B * a. */
async function sharesOf(
  convolutions: readonly RunnableConvolution[],
  party: Party,
  material: Material,
): Promise<RingTensor[]> {
  const shares = convolutions.map(({ spec }) => words(party.ring, outputLength(spec)));
  for (const share of shares) await material.share(share);
  return shares;
}
