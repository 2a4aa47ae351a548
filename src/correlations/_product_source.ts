/**
 * A source of correlations without a dealer's fast paths, for tests: every correlation is made from its declared products alone, each factor of one
 * party's own words, in plain integers. Both parties and the seeds live in one process; it protects nothing.
 */
import { freshSeed, Seed } from "../random/stream.ts";
import { extraBits, inputLength, outputSize } from "../ring/convolution.ts";
import { imagesIn } from "../ring/images.ts";
import type { Ring } from "../ring/ring.ts";
import type { RingTensor, Width } from "../ring/tensor.ts";
import {
  type Bits,
  type Correlation,
  type DealtConvolution,
  lengthOf,
  type Own,
  type Role,
  type StepCorrelations,
  tensorFor,
} from "./correlation.ts";
import type { Seeds } from "./dealing.ts";
import { StepDraw } from "./drawn.ts";
import type { Draw, Refuses, Source } from "./source.ts";

/** What this source cannot make. */
export const refusesUndeclared: Refuses = (correlation) =>
  correlation.kind === "dealt" && !correlation.products
    ? "it is no sum of products of what one party knows"
    : null;

type OwnWords = Record<Role, ReadonlyMap<Own, readonly bigint[]>>;

/** The server's corrections of a plan's queries, step by step, as a dealer would send them. */
export class Products {
  readonly #session = new Map<Own, Record<Role, readonly bigint[]>>();

  constructor(
    private readonly ring: Ring,
    private readonly steps: readonly StepCorrelations[],
    session: Seeds,
  ) {
    for (const { label, session: list } of steps) {
      const words = drawAll(ring, list, label, session);
      for (const own of list) {
        this.#session.set(own, { server: words.server.get(own) ?? [], client: words.client.get(own) ?? [] });
      }
    }
  }

  /** By step, in the order of its list. */
  query(seeds: Seeds): Map<StepCorrelations, Uint8Array[]> {
    const own: OwnWords = { server: new Map(), client: new Map() },
      corrections = new Map<StepCorrelations, Uint8Array[]>();
    for (const step of this.steps) {
      const drawn = drawAll(this.ring, step.query, step.label, seeds);
      for (const role of ["server", "client"] as const) {
        drawn[role].forEach((words, key) => (own[role] as Map<Own, readonly bigint[]>).set(key, words));
      }
      corrections.set(
        step,
        step.query.filter((c) => c.kind !== "own").map((c) => this.#correction(c, own, drawn.shares.get(c)!)),
      );
    }
    return corrections;
  }

  #correction(correlation: Exclude<Correlation, Own>, own: OwnWords, share: readonly bigint[]): Uint8Array {
    const numbers = correlation.kind === "dealt"
      ? sumsOf(correlation, own)
      : this.#convolve(correlation, own);
    const { bits } = correlation, isXor = correlation.kind === "dealt" && correlation.group === "xor";
    return bytesOf(numbers.map((v, i) => isXor ? v ^ share[i] : v - share[i]), bits);
  }

  /** (B_S + B_C) * (A_S + A_C): four products, by linearity the one of the sums. */
  #convolve({ weights, input, spec, bits }: DealtConvolution, own: OwnWords): bigint[] {
    const sum = (words: Record<Role, readonly bigint[] | undefined>) =>
      Array.from(
        { length: Math.max(words.server?.length ?? 0, words.client?.length ?? 0) },
        (_, i) => (words.server?.[i] ?? 0n) + (words.client?.[i] ?? 0n),
      );
    const b = sum(this.#session.get(weights)!),
      { height, width, inputs, kernel, stride, padding, outputs } = spec;
    const a = sum({ server: own.server.get(input), client: own.client.get(input) });
    const out = outputSize(spec), result: bigint[] = [], length = inputLength(spec);
    for (let image = 0; image < imagesIn(input.words, length); image++) {
      for (let i = 0; i < out.height; i++) {
        for (let j = 0; j < out.width; j++) {
          for (let o = 0; o < outputs; o++) {
            let total = 0n;
            for (let u = 0; u < kernel; u++) {
              for (let v = 0; v < kernel; v++) {
                const row = i * stride + u - padding, column = j * stride + v - padding;
                if (row < 0 || column < 0 || row >= height || column >= width) continue;
                for (let c = 0; c < inputs; c++) {
                  total += a[image * length + (row * width + column) * inputs + c] *
                    b[((u * kernel + v) * inputs + c) * outputs + o];
                }
              }
            }
            result.push(BigInt.asIntN(bits, total << BigInt(extraBits(spec))));
          }
        }
      }
    }
    return result;
  }
}

function sumsOf(correlation: Correlation & { readonly kind: "dealt" }, own: OwnWords): bigint[] {
  const isXor = correlation.group === "xor",
    word = (role: Role) => (key: Own, index: number) => own[role].get(key)![index];
  return Array.from(
    { length: correlation.words },
    (_, element) =>
      correlation.products!(element).reduce((sum, { coefficient, server, client }) => {
        const s = server(word("server")), c = client(word("client"));
        return isXor ? sum ^ (coefficient & s & c) : sum + coefficient * s * c;
      }, 0n),
  );
}

/** Everything that both parties draw from the streams of a step: own words by party, and the client's shares. */
function drawAll(ring: Ring, list: readonly Correlation[], label: number, seeds: Seeds) {
  const words = { server: new Map<Own, bigint[]>(), client: new Map<Own, bigint[]>() };
  const shares = new Map<Correlation, bigint[]>();
  const streams = { server: seeds.server.stream(label), client: seeds.client.stream(label) };
  for (const correlation of list) {
    for (const role of ["server", "client"] as const) {
      const isMine = correlation.kind === "own"
        ? correlation.of === "both" || correlation.of === role
        : role === "client";
      if (!isMine) continue;
      using tensor = tensorFor(ring, lengthOf(correlation), correlation.bits);
      streams[role].fill(tensor);
      if (correlation.kind === "own") words[role].set(correlation, integersOf(tensor, correlation.bits));
      else shares.set(correlation, integersOf(tensor, correlation.bits));
    }
  }
  return { ...words, shares };
}

function integersOf(tensor: RingTensor<Width>, bits: Bits): bigint[] {
  if (bits === 32) return Array.from(tensor.uint32, BigInt);
  const halves = Array.from(tensor.int64, (v) => BigInt.asUintN(64, v));
  return bits === 64
    ? halves
    : halves.filter((_, i) => i % 2 === 0).map((low, i) => low + (halves[2 * i + 1] << 64n));
}

/** Little-endian. */
function bytesOf(numbers: readonly bigint[], bits: Bits): Uint8Array {
  const bytes = new Uint8Array(numbers.length * bits / 8), view = new DataView(bytes.buffer);
  numbers.forEach((v, i) => {
    for (let word = 0; word < bits / 32; word++) {
      view.setUint32((i * bits + word * 32) / 8, Number(BigInt.asUintN(32, v >> BigInt(32 * word))), true);
    }
  });
  return bytes;
}

/** Sources of both parties of one session. */
export function productSources(ring: Ring, steps: readonly StepCorrelations[]): Record<Role, Source> {
  const fresh = (): Seeds => ({ server: new Seed(freshSeed()), client: new Seed(freshSeed()) });
  const session = fresh(), products = new Products(ring, steps, session);
  const queries: { seeds: Seeds; corrections: Map<StepCorrelations, Uint8Array[]> }[] = [];
  const queryOf = (number: number) => {
    if (queries.length === number) {
      const seeds = fresh();
      queries.push({ seeds, corrections: products.query(seeds) });
    }
    return queries[number];
  };
  const draw = (
    role: Role,
    seeds: Seeds,
    list: "session" | "query",
    corrections?: Map<StepCorrelations, Uint8Array[]>,
  ): Draw =>
  (step) => {
    let next = 0;
    const receive = (bytes: Uint8Array) => Promise.resolve(bytes.set(corrections!.get(step)![next++]));
    return new StepDraw(
      ring,
      role,
      step[list],
      seeds[role].stream(step.label),
      role === "server" ? receive : null,
    );
  };
  const source = (role: Role): Source => ({
    session: () => Promise.resolve(draw(role, session, "session")),
    query(number) {
      const { seeds, corrections } = queryOf(number);
      return Promise.resolve(draw(role, seeds, "query", corrections));
    },
    end: () => Promise.resolve(),
  });
  return { server: source("server"), client: source("client") };
}
