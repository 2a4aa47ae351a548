/** One suite for every linear protocol at both widths, for one image and for several: exact products, costs as declared, nothing sent unmasked. */
import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { it } from "@std/testing/bdd";
import { dealtBytes, outputLength } from "../../correlations/correlation.ts";
import { Convolution, type ConvolutionSpec, inputLength } from "../../ring/convolution.ts";
import { encodeWords } from "../../ring/fixed_point.ts";
import { Ring } from "../../ring/ring.ts";
import { RingTensor, type Width } from "../../ring/tensor.ts";
import { readBits, sharedWire } from "../../wires/wire.ts";
import {
  type ChainOptions,
  CHI_SQUARE_LIMIT,
  chiSquare,
  countingBytes,
  expectedTraffic,
  runChain,
  zeroMasks,
} from "../_chain.ts";
import type { LinearProtocol } from "../protocol.ts";
import { LINEAR_PROTOCOLS } from "../registry.ts";
import { remask } from "../steps/remask.ts";
import { weightsOf } from "./layers.ts";

const ring = await Ring.open();
const layer = (
  height: number,
  inputs: number,
  kernel: number,
  stride: number,
  padding: number,
  outputs: number,
): ConvolutionSpec => ({
  height,
  width: height,
  inputs,
  kernel,
  stride,
  padding,
  outputs,
});

const GROUPS: Record<string, { inputs: number; specs: readonly ConvolutionSpec[] }> = {
  "a convolution": { inputs: 8 * 8 * 16, specs: [layer(8, 16, 3, 1, 1, 16)] },
  "a strided convolution and its shortcut on one opening": {
    inputs: 8 * 8 * 16,
    specs: [layer(8, 16, 3, 2, 1, 32), layer(8, 16, 1, 2, 0, 32)],
  },
  "a first layer": { inputs: 32 * 32 * 3, specs: [layer(32, 3, 3, 1, 1, 64)] },
  "a dense layer": { inputs: 70, specs: [layer(1, 70, 1, 1, 0, 10)] },
  "odd channels, a wide kernel, valid padding": { inputs: 12 * 12 * 7, specs: [layer(12, 7, 5, 1, 0, 5)] },
};

/** Rings with the fraction bits of inputs and weights. */
const RINGS = [
  { width: 64, ringBits: 64, inputBits: 16, weightBits: 16 },
  { width: 32, ringBits: 30, inputBits: 13, weightBits: 11 },
] as const;

const numbers = (length: number, scale: number, seed: number) =>
  Float64Array.from({ length }, (_, i) => scale * Math.sin(seed + 12.9898 * i * (i + 1)));

/** A group after the step that re-masks its input, if the protocol reads such values. */
function planned(
  protocol: LinearProtocol,
  group: string,
  { width, ringBits, inputBits, weightBits }: typeof RINGS[number],
  images = 1,
) {
  const { inputs, specs } = GROUPS[group];
  const input = sharedWire(images * inputs, width, ringBits, inputBits);
  const before = protocol.readsMasked ? [remask(input)] : [], read = before[0]?.outputs[0] ?? input;
  const layers = specs.map((spec, i) => ({ name: `layer ${i}`, spec, weightBits }));
  return { input, layers, chain: [...before, protocol.plan({ name: "test", input: read, layers })] };
}

const weightsFor = (spec: ConvolutionSpec, width: Width, weightBits: number, i: number) =>
  encodeWords(ring, width, numbers(weightsOf(spec), 0.3, i), weightBits, "weights");

async function run(
  protocol: LinearProtocol,
  group: string,
  words: typeof RINGS[number],
  options: ChainOptions & { readonly constant?: number; readonly images?: number } = {},
) {
  const { input, layers, chain } = planned(protocol, group, words, options.images);
  const x = options.constant === undefined
    ? numbers(input.words, 4, 1)
    : new Float64Array(input.words).fill(options.constant);
  const result = await runChain(ring, input, x, chain, {
    layers: () =>
      layers.map(({ spec }, i) => {
        const weights = weightsFor(spec, words.width, words.weightBits, i);
        if (options.constant !== undefined) weights.bytes.fill(1);
        return {
          weights,
          bias: encodeWords(ring, words.width, numbers(spec.outputs, 1, i), words.inputBits, "bias"),
        };
      }),
    ...options,
  });
  return { ...result, x, input, layers, chain };
}

for (const protocol of LINEAR_PROTOCOLS) {
  for (const words of RINGS) {
    const at = `${words.width}-bit words`;
    for (const group of Object.keys(GROUPS)) {
      it(`${protocol.name} computes ${group} exactly on ${at}, bias included, in every query of a session`, async () => {
        for (const [queries, images] of [[1, 1], [3, 1], [2, 3]]) {
          const { outputs, x, layers, chain } = await run(protocol, group, words, { queries, images });
          for (const [i, { spec }] of layers.entries()) {
            using weights = weightsFor(spec, words.width, words.weightBits, i);
            using convolution = new Convolution(ring, words.width, spec, weights.address);
            using input = encodeWords(ring, words.width, x, words.inputBits, "x");
            using bias = encodeWords(ring, words.width, numbers(spec.outputs, 1, i), words.inputBits, "bias");
            const from = inputLength(spec), to = outputLength(spec);
            using expected = new RingTensor(ring, words.width, images * to);
            for (let image = 0; image < images; image++) {
              // By itself, in memory of its own.
              using one = new RingTensor(ring, words.width, from),
                made = new RingTensor(ring, words.width, to);
              one.bytes.set(input.view(image * from, from).bytes);
              convolution.run(one.address, made.address);
              expected.view(image * to, to).bytes.set(made.bytes);
            }
            const wire = chain.at(-1)!.outputs[i],
              at = (t: RingTensor<Width>, i: number) => t.width === 64 ? t.int64[i] : BigInt(t.uint32[i]);
            assertEquals(
              [...outputs[i]],
              Array.from(
                { length: expected.length },
                (_, e) => BigInt.asIntN(readBits(wire), at(expected, e) + at(bias, e % spec.outputs)),
              ),
            );
          }
        }
      });

      it(`${protocol.name} on ${group} of ${at} sends and deals what its lists say`, async () => {
        for (const images of [1, 3]) {
          const { traffic, chain, dealtBytes: dealt } = await run(protocol, group, words, { images });
          for (const phase of ["session", "offline", "online"] as const) {
            assertEquals(traffic[phase], expectedTraffic(chain, phase), phase);
          }
          assertEquals(dealt, dealtBytes(chain.flatMap(({ query }) => query)));
        }
      });
    }

    it(`${protocol.name} on ${at} sends uniformly distributed bytes, and constant masks would be seen`, async () => {
      for (const role of ["server", "client"] as const) {
        const statistic = async (weak: boolean) => {
          const counts = new Float64Array(256), tap = countingBytes(counts, role)!;
          await run(protocol, "a first layer", words, {
            constant: 1.5,
            images: 2,
            isShared: false,
            tap,
            ...(weak ? { weaken: zeroMasks } : {}),
          });
          return chiSquare(counts);
        };
        assert(await statistic(false) < CHI_SQUARE_LIMIT, role);
        assert(await statistic(true) > 10 * CHI_SQUARE_LIMIT, role);
      }
    });
  }

  it(`${protocol.name} refuses to use the material of a query twice`, async () => {
    const { again } = await run(protocol, "a dense layer", RINGS[0]);
    await assertRejects(() => again("server"), Error, "used before");
  });
}

it("a linear protocol refuses words that are no whole images", () => {
  const { input, layers } = planned(LINEAR_PROTOCOLS[0], "a dense layer", RINGS[0]);
  const read = remask({ ...input, words: input.words + 1 }).outputs[0];
  for (const protocol of LINEAR_PROTOCOLS) {
    assertThrows(
      () => protocol.plan({ name: "net: fc", input: read, layers }),
      RangeError,
      "71 words are no images of 70",
    );
  }
});

it("a linear protocol that reads re-masked values refuses others with a sentence", () => {
  const { input, layers } = planned(LINEAR_PROTOCOLS[0], "a dense layer", RINGS[0]);
  for (const protocol of LINEAR_PROTOCOLS.filter(({ readsMasked }) => readsMasked)) {
    assertThrows(() => protocol.plan({ name: "net: fc", input, layers }), RangeError, "net: fc");
  }
});
