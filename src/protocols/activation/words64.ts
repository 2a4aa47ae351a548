/** What activation protocols on words of 64 bits share: their scale, the truncation of the input by each party, the wire they make. */
import type { Correlation } from "../../correlations/correlation.ts";
import type { Drawn } from "../../correlations/drawn.ts";
import type { Activation } from "../../models/graph.ts";
import { type Polynomial, QUARTIC } from "../../polynomial/polynomial.ts";
import type { RingTensor } from "../../ring/tensor.ts";
import { partOf } from "../../wires/halves.ts";
import { sharedWire } from "../../wires/wire.ts";
import {
  type ActivationProtocol,
  type ActivationStep,
  type Message,
  once,
  type Party,
  polynomialOf,
  stateless,
} from "../protocol.ts";

/** `length` inputs and outputs with `fractionBits` fraction bits. */
export interface ActivationSpec {
  readonly length: number;
  readonly fractionBits: number;
  /** Not read by a protocol that computes another function. */
  readonly polynomial: Polynomial;
}

/** From a party's shares of the inputs to its shares of the outputs; holds the dealt material, runs once. */
export type Evaluate = (x: RingTensor) => Promise<RingTensor>;

/** What a protocol deals, sends and does for one layer. */
export interface ElementWise {
  readonly query: readonly Correlation[];
  readonly messages: readonly Message[];
  /** Draws this party's half of the material. */
  hold(party: Party, drawn: Drawn): Promise<Evaluate>;
}

/** An exchange of as many bytes each way. */
export const exchange = (bytes: number): Message => ({ phase: "online", from: "both", bytes });

/** A wire of 64-bit words, shared anyhow. */
export const wire64 = (words: number, fractionBits: number) => sharedWire(words, 64, 64, fractionBits);

/** A protocol on 64-bit words, from what it makes of a layer; the inputs are truncated to the scale of the outputs first. */
export const onWords64 = (
  name: string,
  summary: string,
  make: (spec: ActivationSpec) => ElementWise & Pick<ActivationStep, "plain" | "carryBound">,
  computes?: Activation,
): ActivationProtocol => ({
  name,
  summary,
  scaling: { kind: "uniform" },
  takes: ["fractionBits"],
  usual: computes ?? QUARTIC,
  ...(computes ? { computes } : {}),

  plan(layer) {
    const { input, outputBits, function: f } = layer;
    if (input.width !== 64) {
      throw new RangeError(
        `${layer.name}: ${name} computes modulo 2^64, not on words of ${input.width} bits; use another activation protocol`,
      );
    }
    const wire = { ...input, width: 64 } as const;
    const { hold, ...made } = make({
      length: input.words,
      fractionBits: outputBits,
      polynomial: computes ? QUARTIC : polynomialOf(name, layer),
    });
    return {
      ...made,
      spec: { protocol: name, function: f, inputBits: input.fractionBits, outputBits },
      inputBits: outputBits,
      keptBits: outputBits,
      limit: Infinity,
      outputs: [wire64(input.words, outputBits)],
      session: [],
      setUp: stateless(async (party, drawn, [early]) => {
        const evaluate = await hold(party, drawn);
        const part = partOf(party.ring, party.role, wire, early, input.fractionBits - outputBits);
        return {
          early: [undefined],
          online: once(name, async ([late]) => {
            using x = part(late);
            return [await evaluate(x)];
          }),
        };
      }),
    };
  },
});
