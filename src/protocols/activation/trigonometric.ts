/**
 * `trigonometric`: half a line and a wave, f(x) = x/2 + a0 + sum over odd j of b_j cos(2 pi j x / P), by the opening of `lifted` and its wrap
 * bit, in words of 48 bits: an activation that grows like a line wherever its input is.
 *
 * Messages and masks are those of {@link ./short_opening.ts}: E = z + s modulo 2^k. The period P is a power of two, so P 2^f_z divides 2^k and the
 * wave does not feel whether E wrapped: with theta(x) = 2 pi x / P,
 *   b_j cos(j theta(z)) = cos(j theta(E)) [b_j cos(j theta(s))] + sin(j theta(E)) [b_j sin(j theta(s))],
 * two dealt words a harmonic. Of theta(E) the upper bits are opened, to its middle of what is left out: that error is uniform, without bias,
 * and independent of z.
 *
 * The line needs z itself. With b the top bit of E, rho_1 = (s - 2^(k-2) modulo 2^k) + 2^(k-2) and rho_0 = rho_1 - 2^k where s - 2^(k-2) has its top
 * bit: z = E - rho_b, an identity over the integers (docs/lifted.md). Only the server needs E for it, and it knows all of its bits; so the
 * client is told no more than the angle and b.
 *
 * Truncate and reduce as in `lifted`: m + k = 48, so the shift cannot fail. See docs/trigonometric.md.
 */
import { dealt } from "../../correlations/correlation.ts";
import {
  fittedWave,
  MOST_HARMONICS,
  type Trigonometric,
  trigonometricAt,
} from "../../models/trigonometric.ts";
import { unitOfPeriod } from "../../models/unit.ts";
import { RingTensor, words } from "../../ring/tensor.ts";
import type { ActivationLayer, ActivationProtocol } from "../protocol.ts";
import { type Gate, shortInput, shortOpening, type ShortSpec } from "./short_opening.ts";

/** Scales and widths of one activation layer; public. */
interface TrigonometricSpec extends ShortSpec {
  readonly function: Omit<Trigonometric, "kind">;
  /** Bits of the opened angle: a part of a turn. */
  readonly waveBits: number;
}

/** Bits of a dealt word: m + k. */
const WORD_BITS = 48;
/** The angle is opened to a turn over 2^10, a bit more than ConvNet needs; docs/trigonometric.md, "W". */
export const DEFAULT_ANGLE_BITS = 10;
/** Fraction bits of cosines and sines in the public table; the rest of the word is the amplitudes'. */
const TABLE_BITS = 16;
/** Two more than the output has at 30 ring bits, so that two rounded amplitudes cost a quarter of its unit; with fewer it would have 3. */
const FEWEST_AMPLITUDE_BITS = 6;

export const trigonometric: ActivationProtocol = {
  name: "trigonometric",
  summary:
    "our own: a line and a wave in place of a polynomial, by the opening of lifted, with fewer dealt words",
  // The reply does not grow with the range, so only the ring bounds it.
  scaling: { kind: "ring", mostIntegerBits: Infinity, fewestIntegerBits },
  takes: ["ringBits", "angleBits"],
  readsEarly: true,
  usual: fittedWave(8, 1, 1),
  unitOf: (f) => f.kind === "trigonometric" ? unitOfPeriod(f) : 1,

  plan(layer) {
    const spec = planned(layer);
    return {
      spec: { protocol: "trigonometric", ...spec },
      ...shortOpening("trigonometric", spec, layer.remask, gateOf(spec)),
      keptBits: spec.inputBits - droppedBits(spec),
      plain: (z) => {
        const f = functionOf(spec), unit = 2 ** spec.outputBits, scale = 2 ** -spec.inputBits;
        return z.map((v) => Math.round(trigonometricAt(f, v * scale) * unit));
      },
      carryBound: () => angleError(spec, slopes(spec, 1)) + wordError(spec) + 2 * 2 ** -spec.outputBits,
      errorBound: (x) => {
        const curvature = slopes(spec, 2) / 2 * halfStep(spec) ** 2;
        return angleError(spec, Math.abs(slopeOfWave(spec, x))) + curvature + wordError(spec) +
          2 ** -spec.outputBits;
      },
    };
  },
};

/** Integer bits that a range must have for the ring to hold whole periods. */
function fewestIntegerBits(f: { readonly kind: string }): number {
  return f.kind === "trigonometric" ? Math.max(0, Math.log2((f as Trigonometric).period) - 2) : 0;
}

const functionOf = ({ function: f }: TrigonometricSpec): Trigonometric => ({ kind: "trigonometric", ...f });

/** Bits of a period in units of z. */
const turnBits = ({ function: { period }, inputBits }: TrigonometricSpec): number =>
  Math.log2(period) + inputBits;
/** t: bits of the angle that are not opened. */
const droppedBits = (spec: TrigonometricSpec): number => turnBits(spec) - spec.waveBits;
/** m: bits that truncate and reduce drops. */
const shiftBits = ({ ringBits }: ShortSpec): number => WORD_BITS - ringBits;
/** Fraction bits of the dealt words of the line, and of amplitude times table. */
const wordBits = (spec: ShortSpec): number => spec.outputBits + shiftBits(spec);
const amplitudeBits = (spec: ShortSpec): number => wordBits(spec) - TABLE_BITS;
/** Bits by which z is shifted left to stand for z/2 in such a word; to the right if negative. */
const lineShift = (spec: ShortSpec): number => wordBits(spec) - 1 - spec.inputBits;

/** Throws a RangeError where the layer breaks a bound of the proof. */
function planned(layer: ActivationLayer): TrigonometricSpec {
  const { name, outputBits, function: f, angleBits = DEFAULT_ANGLE_BITS } = layer,
    input = shortInput("trigonometric", layer);
  if (f.kind !== "trigonometric") {
    throw new RangeError(
      `${name}: trigonometric computes a line and a wave, not ${f.kind}; use another activation protocol`,
    );
  }
  const { period, offset, amplitudes } = f, { ringBits, inputBits } = input;
  const fail = (reason: string) => {
    throw new RangeError(`${name}: trigonometric with ${ringBits} ring bits ${reason}`);
  };
  if (!Number.isInteger(Math.log2(period))) {
    fail(
      `needs the same period in all layers: one is ${period} in the unit that makes another's a power of two`,
    );
  }
  if (amplitudes.length < 1 || amplitudes.length > MOST_HARMONICS) {
    fail(`computes 1 to ${MOST_HARMONICS} harmonics, not ${amplitudes.length}`);
  }
  if (!Number.isInteger(angleBits) || angleBits < 4 || angleBits > 14) {
    fail(`opens 4 to 14 bits of an angle, not ${angleBits}`);
  }
  const spec = { ...input, function: { period, offset, amplitudes }, outputBits, waveBits: 0 };
  const turn = turnBits(spec);
  if (turn < 2) fail(`cannot tell angles from ${inputBits} fraction bits; use a wider ring`);
  if (turn > ringBits) {
    fail(`holds no whole period of ${period} with ${inputBits} fraction bits; audit the network`);
  }
  if (amplitudeBits(spec) < FEWEST_AMPLITUDE_BITS) {
    fail(`leaves ${amplitudeBits(spec)} bits to the amplitudes, fewer than ${FEWEST_AMPLITUDE_BITS}`);
  }
  return { ...spec, waveBits: Math.min(angleBits, turn) };
}

/** What is opened, what is dealt and what both make of it. */
function gateOf(spec: TrigonometricSpec): Gate {
  const { length, ringBits, waveBits, function: { offset, amplitudes } } = spec;
  const harmonics = amplitudes.length as 1 | 2 | 3;
  return {
    dropped: 0,
    replyBits: waveBits + 1,
    reply(kept, out) {
      const { trigonometricReply } = kept.ring.kernels;
      trigonometricReply(kept.address, out.address, out.length, ringBits, droppedBits(spec), waveBits);
    },

    /** For each element two words a harmonic, then the line's for top bits 0 and 1, with a unit of the output more: see `lifted`. */
    dealt: (s) =>
      dealt("wave, line", length * (2 * harmonics + 2), 48, [s], {
        fill(ring, [masks], out) {
          using parameters = words(ring, 1 + harmonics);
          parameters.int64[0] = BigInt(Math.round(offset * 2 ** wordBits(spec))) +
            (1n << BigInt(shiftBits(spec)));
          const reals = new Float64Array(ring.bytes.buffer, parameters.address, 1 + harmonics);
          reals.set(amplitudes.map((b) => b * 2 ** amplitudeBits(spec)), 1);
          ring.kernels[`trigonometricMasks${harmonics}`](
            masks.address,
            length,
            ringBits,
            turnBits(spec),
            droppedBits(spec),
            lineShift(spec),
            parameters.address,
            out.address,
          );
        },
      }),

    /** The wave and the line, then truncate and reduce: a party's part of y from what it knows of e, less `mask` if given. */
    evaluate(role, opened, dealt, mask, out) {
      const { ring, length: n } = out;
      using turn = new RingTensor(ring, 32, 2 << waveBits);
      turn.uint32.set(turnTable(waveBits));
      if (role === "server") {
        ring.kernels[`trigonometricGateServer${harmonics}`]({
          e: opened.address,
          words: dealt.address,
          turn: turn.address,
          waveBits,
          k: ringBits,
          t: droppedBits(spec),
          lineShift: lineShift(spec),
          out: out.address,
          n,
        })();
      } else {
        ring.kernels[`trigonometricGateClient${harmonics}`](
          opened.address,
          dealt.address,
          turn.address,
          waveBits,
          ringBits,
          mask?.address ?? 0,
          out.address,
          n,
        );
      }
    },
  };
}

const tables = new Map<number, Uint32Array>();

/**
 * Cosine and sine of every part of a turn, in turn. Both parties multiply shares by them, so the integers must be the same on every machine: a
 * cosine that is off by the last bit of a double changes one only where it lies within 2^-36 of a half, and none of them does.
 */
function turnTable(waveBits: number): Uint32Array {
  let table = tables.get(waveBits);
  if (!table) {
    const at = (i: number) => 2 * Math.PI * (i >> 1) / 2 ** waveBits;
    const value = (i: number) => (i % 2 ? Math.sin(at(i)) : Math.cos(at(i))) * 2 ** TABLE_BITS;
    table = Uint32Array.from({ length: 2 << waveBits }, (_, i) => Math.round(value(i)) >>> 0);
    tables.set(waveBits, table);
  }
  return table;
}

/** Half of the step in which the angle is opened, as a real number: the largest error of the wave's argument. */
const halfStep = (spec: TrigonometricSpec): number => 2 ** (droppedBits(spec) - 1 - spec.inputBits);
const angleError = (spec: TrigonometricSpec, slope: number): number => slope * halfStep(spec);

/** A bound of a derivative of the wave. */
const slopes = ({ function: { period, amplitudes } }: TrigonometricSpec, order: number): number =>
  amplitudes.reduce((sum, b, h) => sum + Math.abs(b) * (2 * Math.PI * (2 * h + 1) / period) ** order, 0);

const slopeOfWave = ({ function: { period, amplitudes } }: TrigonometricSpec, x: number): number =>
  amplitudes.reduce((sum, b, h) => {
    const frequency = 2 * Math.PI * (2 * h + 1) / period;
    return sum - b * frequency * Math.sin(frequency * x);
  }, 0);

/** What the table and the dealt words round off: half a unit of each factor, and the line's last bit. */
function wordError(spec: TrigonometricSpec): number {
  const { function: { amplitudes } } = spec,
    table = 2 ** -(TABLE_BITS + 1),
    word = 2 ** -(amplitudeBits(spec) + 1);
  return amplitudes.reduce((sum, b) => sum + 2 * (Math.abs(b) * table + word), 2 ** -wordBits(spec));
}
