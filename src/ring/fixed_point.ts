/** Fixed point: the real number x with f fraction bits is the integer round(x * 2^f) modulo 2^64, or modulo 2^k in words of 32 bits. */
import type { Ring } from "./ring.ts";
import { RingTensor, type Width, words } from "./tensor.ts";

/** Integers that doubles hold exactly; a value that needs more is out of range of every protocol here anyway. */
const LIMIT = 2 ** 53;

/**
 * Encodes `values` with `fractionBits` bits. A value that is not finite or needs more than 53 bits is a RangeError that
 * names `what` and the place.
 */
export function encode(
  ring: Ring,
  values: ArrayLike<number>,
  fractionBits: number,
  what: string,
): RingTensor {
  const out = words(ring, values.length, fractionBits);
  // Two 32-bit stores a word: several times faster than BigInt conversions, and exact below 2^53.
  const halves = new Int32Array(ring.bytes.buffer, out.address, 2 * values.length);
  const scale = 2 ** fractionBits;
  for (let i = 0; i < values.length; i++) {
    const integer = Math.round(values[i] * scale);
    if (!(Math.abs(integer) < LIMIT)) {
      out[Symbol.dispose]();
      throw misfit(what, i, integer, `fixed point with ${fractionBits} fraction bits`, LIMIT / scale);
    }
    halves[2 * i] = integer;
    halves[2 * i + 1] = Math.floor(integer / 2 ** 32);
  }
  return out;
}

/** Says where, and never what: it may be a weight or a pixel. */
const misfit = (what: string, element: number, integer: number, where: string, most: number) =>
  new RangeError(
    Number.isNaN(integer)
      ? `${what}: element ${element} is no number`
      : `${what}: element ${element} does not fit ${where} (at most ${most} in size)`,
  );

/** The same in 32-bit words, modulo 2^ringBits: integers of at most ringBits - 1 bits and a sign. */
function encode32(
  ring: Ring,
  values: ArrayLike<number>,
  fractionBits: number,
  what: string,
  ringBits = 32,
): RingTensor<32> {
  const out = new RingTensor(ring, 32, values.length, fractionBits),
    integers = out.uint32,
    scale = 2 ** fractionBits,
    limit = 2 ** (ringBits - 1);
  for (let i = 0; i < values.length; i++) {
    const integer = Math.round(values[i] * scale);
    if (!(Math.abs(integer) < limit)) {
      out[Symbol.dispose]();
      const where = `${ringBits}-bit words with ${fractionBits} fraction bits`;
      throw misfit(what, i, integer, where, limit / scale);
    }
    integers[i] = integer;
  }
  return out;
}

/** Encodes in words of `width` bits that count modulo 2^ringBits; see {@linkcode encode}. */
export const encodeWords = <W extends Width>(
  ring: Ring,
  width: W,
  values: ArrayLike<number>,
  fractionBits: number,
  what: string,
  ringBits: number = width,
): RingTensor<W> =>
  (width === 64
    ? encode(ring, values, fractionBits, what)
    : encode32(ring, values, fractionBits, what, ringBits)) as RingTensor<Width> as RingTensor<W>;

/** Decodes words as signed fixed point. */
export function decode(tensor: RingTensor<Width>): Float64Array {
  const { ring, address, length, width } = tensor, scale = 2 ** -tensor.fractionBits;
  const halves = new Int32Array(ring.bytes.buffer, address, length * width / 32);
  if (width === 32) return Float64Array.from(halves, (v) => v * scale);
  return Float64Array.from(
    { length },
    (_, i) => (halves[2 * i + 1] * 2 ** 32 + (halves[2 * i] >>> 0)) * scale,
  );
}
