/**
 * `masked`: linear layers with the weights in clear at the server (the usual machine-learning-as-a-service setting).
 *
 * Session: B, a random mask of the weights, is known to the server and the dealer; the server sends D = W - B to the client.
 * Query: the client's a is fresh; the dealer shares z = B * a. Offline the client computes D * a + z_client. Online it sends
 * x_client - a, one message one way, and the server computes W * (x_server + x_client - a) + z_server:
 *   W (x - a) + B a + (W - B) a = W x.
 * One convolution by the server, none by the client. B is used over and over, a never. See docs/masked.md.
 */
import { add, subtract } from "../../ring/arithmetic.ts";
import { type RingTensor, words } from "../../ring/tensor.ts";
import { type LinearProtocol, once, WORD_BYTES } from "../protocol.ts";
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

  async dealSession(group, dealing) {
    const b = [];
    for (const layer of group.layers) b.push(await dealing.ownOfServer(weightsOf(layer)));
    const convolutions = prepareConvolutions(dealing.ring, group.layers, b);
    disposeAll(b);
    return async (dealing) => {
      using a = await dealing.ownOfClient(group.inputs);
      for (const convolution of convolutions) {
        using product = convolve(dealing.ring, convolution, a);
        await dealing.share(product);
      }
    };
  },

  async setUp(group, party, material, weights) {
    const { ring, role, peer, tag } = party;
    const differences = [];
    for (const [i, layer] of group.layers.entries()) {
      if (role === "server") {
        using b = await material.own(weightsOf(layer), weights![i]!.fractionBits);
        using d = subtract(weights![i]!, b, words(ring, b.length, b.fractionBits));
        await peer.send(tag, d.bytes);
      } else {
        const d = words(ring, weightsOf(layer));
        await peer.receive(tag, d.bytes);
        differences.push(d);
      }
    }
    const convolutions = prepareConvolutions(ring, group.layers, role === "server" ? weights! : differences, {
      small: role === "server",
    });
    disposeAll(differences);

    return async (party, material) => {
      const a = role === "client" ? await material.own(group.inputs) : null;
      const shares: RingTensor[] = [];
      for (const convolution of convolutions) {
        const share = words(ring, outputLength(convolution.spec));
        await material.share(share);
        if (a) {
          using product = convolve(ring, convolution, a);
          add(share, product);
        }
        shares.push(share);
      }
      return once("masked", async (x) => {
        if (a) {
          using message = subtract(x.view(0, x.length, 0), a, words(ring, x.length));
          await party.peer.send(party.tag, message.bytes);
          a[Symbol.dispose]();
          return shares;
        }
        using opened = words(ring, x.length);
        await party.peer.receive(party.tag, opened.bytes);
        add(opened, x.view(0, x.length, 0));
        return convolutions.map((convolution, i) => {
          using product = convolve(ring, convolution, opened);
          return add(shares[i]!, product);
        });
      });
    };
  },
};
