/**
 * Kernels of the activation protocol `trigonometric`, one of each kind for 1, 2 and 3 harmonics. As in `lifted_kernels.ts` a value z comes masked
 * as E = z + s modulo 2^k. A period of the function has 2^turnBits units of z; the angle is E without its low t bits, waveBits =
 * turnBits - t bits of it, and the top bit of E says whether the mask wrapped. Dealt words have 48 bits, six bytes without gaps: [n] of
 * a pair a harmonic, then the words of the line for top bit 0 and 1. Results are shifted right by 48 - k bits.
 */
import type { TRIGONOMETRIC_HEADS } from "./kernels/_heads.ts";
import type { NamedKernels } from "./named_kernels.ts";

type Harmonics = 1 | 2 | 3;

/** The client's gate, from the reply, less `mask` unless that is 0. `out` may be `mask`. */
type ClientGate = (
  reply: number,
  words: number,
  turn: number,
  waveBits: number,
  k: number,
  mask: number,
  out: number,
  n: number,
) => void;

/**
 * The words for masks s, [n] words of which the low k bits count. Of a harmonic j = 1, 3, 5: b_j cos and b_j sin of j (s - (2^t - 1) / 2) in turns of
 * 2^turnBits, to the nearest integer. Of the line: constant - rho * 2^lineShift, rho_1 = (s - 2^(k-2) modulo 2^k) + 2^(k-2), and rho_0 less by 2^k
 * where s - 2^(k-2) has its top bit. `parameters` are the constant, an integer of 64 bits, and the b_j as doubles, below 2^47.
 */
type Masks = (
  s: number,
  n: number,
  k: number,
  turnBits: number,
  t: number,
  lineShift: number,
  parameters: number,
  out: number,
) => void;

/**
 * The server's gate knows all k bits of E and adds E * 2^lineShift (to the right where that is negative). `turn` is [2^waveBits] pairs
 * (cos, sin) of 32 bits.
 */
export type TrigonometricKernels =
  & NamedKernels<typeof TRIGONOMETRIC_HEADS>
  & {
    /** out = the reply: the angle of E, and above it the top bit. */
    trigonometricReply(e: number, out: number, n: number, k: number, t: number, waveBits: number): void;
  }
  & Record<`trigonometricGateClient${Harmonics}`, ClientGate>
  & Record<`trigonometricMasks${Harmonics}`, Masks>;
