/**
 * Reproducible random numbers for weights and test images: xoshiro128**. Not for anything secret, which
 * takes its randomness from the system.
 */
export class SeededRandom {
  readonly #state = new Uint32Array(4);
  #spare: number | undefined;

  /** A stream of its own for each pair of seed and label. */
  constructor(seed: number, label: string) {
    if (!Number.isSafeInteger(seed)) {
      throw new RangeError(`a seed must be an integer below 2^53, got ${seed}`);
    }
    // FNV-1a over seed and label, spread over the state by splitmix32.
    let hash = 0x811c9dc5;
    for (const char of `${seed}:${label}`) hash = Math.imul(hash ^ char.codePointAt(0)!, 0x01000193);
    hash ^= Math.imul(seed | 0, 0x9e3779b9) ^ Math.imul(Math.floor(seed / 2 ** 32), 0x85ebca6b);
    for (let i = 0; i < 4; i++) {
      hash = (hash + 0x9e3779b9) | 0;
      let z = hash;
      z = Math.imul(z ^ (z >>> 16), 0x21f0aaad);
      z = Math.imul(z ^ (z >>> 15), 0x735a2d97);
      this.#state[i] = z ^ (z >>> 15);
    }
  }

  /** Uniform in 0 ... 2^32 - 1. */
  nextUint32(): number {
    const s = this.#state, s1 = s[1];
    const times5 = Math.imul(s1, 5), result = Math.imul((times5 << 7) | (times5 >>> 25), 9) >>> 0;
    s[2] ^= s[0];
    s[3] ^= s1;
    s[1] = s1 ^ s[2];
    s[0] ^= s[3];
    s[2] ^= s1 << 9;
    s[3] = (s[3] << 11) | (s[3] >>> 21);
    return result;
  }

  /** Uniform in [low, high). */
  uniform(low: number, high: number): number {
    return low + (high - low) * (this.nextUint32() / 2 ** 32);
  }

  /** Standard normal, by the polar method. */
  normal(): number {
    if (this.#spare !== undefined) {
      const value = this.#spare;
      this.#spare = undefined;
      return value;
    }
    let u, v, s;
    do {
      u = this.uniform(-1, 1);
      v = this.uniform(-1, 1);
      s = u * u + v * v;
    } while (s >= 1 || s === 0);
    const factor = Math.sqrt(-2 * Math.log(s) / s);
    this.#spare = v * factor;
    return u * factor;
  }
}
