/**
 * `beaver`: linear layers on secret-shared weights by one matrix or convolution triple a layer (the paper's), in session form.
 *
 * Session: B = B_server + B_client masks the weights; D = W - B is opened once, since W does not change.
 * Query: A = A_server + A_client masks the input, the dealer shares C = A * B. Offline each party computes C_i + A_i * D. Online
 * X - A is opened, one exchange, and with E = X - A
 *   server: C_0 + A_0 D + E (B_0 + D),   client: C_1 + A_1 D + E B_1;   the sum is (E + A)(B + D) = X W.
 * One convolution per party and layer is online. See docs/beaver.md.
 */
import type { Material } from "../../dealer/material.ts";
import { add, subtract } from "../../ring/arithmetic.ts";
import type { RunnableConvolution } from "../../ring/pool.ts";
import { type RingTensor, words } from "../../ring/tensor.ts";
import { open } from "../open.ts";
import {
  type EvaluateLinear,
  type LinearGroup,
  type LinearProtocol,
  once,
  type Party,
  WORD_BYTES,
} from "../protocol.ts";
import { convolve, disposeAll, outputLength, outputsOf, prepareConvolutions, weightsOf } from "./layers.ts";

export const beaver: LinearProtocol = {
  name: "beaver",

  cost: (group) => ({
    exchanges: 1,
    bytesServer: group.inputs * WORD_BYTES,
    bytesClient: group.inputs * WORD_BYTES,
    dealtBytes: outputsOf(group) * WORD_BYTES,
  }),

  setUpCost: (group) => ({
    bytesServer: weightsOf(group) * WORD_BYTES,
    bytesClient: weightsOf(group) * WORD_BYTES,
  }),

  dealSession(group, dealing) {
    const b = group.layers.map((layer) => dealing.mask(weightsOf(layer)));
    const convolutions = prepareConvolutions(dealing.pool, group.layers, b);
    disposeAll(b);
    return {
      async deal(dealing) {
        using a = dealing.mask(group.inputs);
        for (const convolution of convolutions) {
          using product = convolve(convolution, a);
          await dealing.share(product);
        }
      },
      [Symbol.dispose]: () => disposeAll(convolutions),
    };
  },

  async setUp(group, party, material, weights) {
    const { ring, role } = party;
    const masks: RingTensor[] = [], differences: RingTensor[] = [];
    for (const [i, layer] of group.layers.entries()) {
      // The weights are shared as (W, 0): the masks B_i hide them, so no further sharing is needed.
      const b = await material.own(weightsOf(layer));
      const d = words(ring, b.length);
      if (role === "server") subtract(weights![i]!.view(0, b.length, 0), b, d);
      else ring.kernels.neg64(b.address, d.address, b.length);
      await open(party, d);
      if (role === "server") add(b, d);
      masks.push(b);
      differences.push(d);
    }
    const online = prepareConvolutions(party.pool, group.layers, masks);
    const offline = prepareConvolutions(party.pool, group.layers, differences);
    disposeAll([...masks, ...differences]);
    return {
      prepare: (party, material) => prepare(group, offline, online, party, material),
      [Symbol.dispose]: () => disposeAll([...online, ...offline]),
    };
  },
};

/** D in `offline`; B_0 + D or B_1 in `online`. */
async function prepare(
  group: LinearGroup,
  offline: readonly RunnableConvolution[],
  online: readonly RunnableConvolution[],
  party: Party,
  material: Material,
): Promise<EvaluateLinear> {
  const a = await material.own(group.inputs);
  const shares: RingTensor[] = [];
  for (const convolution of offline) {
    const share = words(party.ring, outputLength(convolution.spec));
    await material.share(share);
    using product = convolve(convolution, a);
    shares.push(add(share, product));
  }
  return once("beaver", async (x) => {
    using e = subtract(x.view(0, x.length, 0), a, words(party.ring, x.length));
    await open(party, e);
    a[Symbol.dispose]();
    return online.map((convolution, i) => {
      using product = convolve(convolution, e);
      return add(shares[i]!, product);
    });
  });
}
