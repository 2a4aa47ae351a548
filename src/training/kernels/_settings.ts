/** What the kernels of activations are told in memory, and what they write there. */

/**
 * Bytes of the settings: clip, bound of the record, 1 / penalty range, exponent (an integer), the numbers of f, penalty range,
 * those of f', part of ReLU.
 */
export const SETTINGS = { clip: 0, bound: 4, inverseRange: 8, exponent: 12, value: 16, range: 60, slope: 64, reluPart: 104, end: 128 };
/** Exponents that are none. */
export const NO_PENALTY = 0, HINGE = 1;
/** Largest degree of a polynomial with code of its own; its numbers fill the room between `value` and `range`. */
export const MAX_DEGREE = 10;

/** Bytes of a record: f64 penalty sum, i32 bits of the largest |input|, i32 inputs out of bounds. */
export const RECORD = { penalty: 0, largest: 8, outside: 12, end: 16 };
