/**
 * Element-wise arithmetic on tensors of 64-bit words: thin, checked names over the kernels. Every function writes
 * `out` (which may be an operand) and returns it. Adding values of different scales is an error here, not a wrong
 * result later.
 */
import type { RingTensor } from "./tensor.ts";

function same(name: string, out: RingTensor, ...operands: RingTensor[]): void {
  for (const operand of operands) {
    if (operand.length !== out.length) {
      throw new RangeError(`${name}: ${operand.length} words do not fit ${out.length}`);
    }
  }
}

function sameScale(name: string, out: RingTensor, ...operands: RingTensor[]): void {
  same(name, out, ...operands);
  for (const operand of operands) {
    if (operand.fractionBits !== out.fractionBits) {
      throw new RangeError(
        `${name}: values with ${operand.fractionBits} and ${out.fractionBits} fraction bits; shift one first`,
      );
    }
  }
}

/** out = a + b. */
export function add(a: RingTensor, b: RingTensor, out: RingTensor = a): RingTensor {
  sameScale("add", out, a, b);
  a.ring.kernels.add64(a.address, b.address, out.address, out.length);
  return out;
}

/** out = a - b. */
export function subtract(a: RingTensor, b: RingTensor, out: RingTensor = a): RingTensor {
  sameScale("subtract", out, a, b);
  a.ring.kernels.sub64(a.address, b.address, out.address, out.length);
  return out;
}

/** accumulator += a * b. */
export function multiplyAdd(accumulator: RingTensor, a: RingTensor, b: RingTensor): RingTensor {
  same("multiplyAdd", accumulator, a, b);
  a.ring.kernels.mulAdd64(accumulator.address, a.address, b.address, accumulator.length);
  return accumulator;
}

/** out = a + constant. */
export function addConstant(a: RingTensor, constant: bigint, out: RingTensor = a): RingTensor {
  same("addConstant", out, a);
  a.ring.kernels.addConstant64(a.address, constant, out.address, out.length);
  return out;
}

/** out = a * constant. */
export function multiplyConstant(a: RingTensor, constant: bigint, out: RingTensor = a): RingTensor {
  same("multiplyConstant", out, a);
  a.ring.kernels.mulConstant64(a.address, constant, out.address, out.length);
  return out;
}

/**
 * out = a scaled by 2^(out.fractionBits - a.fractionBits): an exact left shift, or the local truncation of a share (each
 * party shifts its own share right). For uniformly random shares of the integer v that truncation is off by a multiple
 * of 2^(64 - bits) with probability |v| / 2^64 and otherwise by at most one unit.
 */
export function rescale(a: RingTensor, out: RingTensor): RingTensor {
  same("rescale", out, a);
  const bits = out.fractionBits - a.fractionBits;
  if (bits >= 0) a.ring.kernels.shl64(a.address, bits, out.address, out.length);
  else a.ring.kernels.sar64(a.address, -bits, out.address, out.length);
  return out;
}

/** out = a xor b. */
export function xor(a: RingTensor, b: RingTensor, out: RingTensor = a): RingTensor {
  same("xor", out, a, b);
  a.ring.kernels.xor64(a.address, b.address, out.address, out.length);
  return out;
}

/** out = a and b. */
export function and(a: RingTensor, b: RingTensor, out: RingTensor): RingTensor {
  same("and", out, a, b);
  a.ring.kernels.and64(a.address, b.address, out.address, out.length);
  return out;
}

/** accumulator ^= a and b. */
export function andXor(accumulator: RingTensor, a: RingTensor, b: RingTensor): RingTensor {
  same("andXor", accumulator, a, b);
  a.ring.kernels.andXor64(accumulator.address, a.address, b.address, accumulator.length);
  return accumulator;
}

/** out = not a. */
export function not(a: RingTensor, out: RingTensor = a): RingTensor {
  same("not", out, a);
  a.ring.kernels.xorConstant64(a.address, -1n, out.address, out.length);
  return out;
}

/** Copies `a` to `out`. */
export function copy(a: RingTensor, out: RingTensor): RingTensor {
  same("copy", out, a);
  a.ring.bytes.copyWithin(out.address, a.address, a.address + a.byteLength);
  return out;
}
