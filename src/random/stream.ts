/**
 * Pseudo-random streams: AES-128 in counter mode under a seed from the system's CSPRNG. A seed opens many streams, one
 * for every label (a step of the plan); parties that hold the same seed draw the same words in the same order.
 */

export const SEED_BYTES = 16;
const BLOCK = 16;
// One WebCrypto call encrypts at most this much, and so many calls are under way at once: each runs on a thread of its own, and
// buffers of this size are used again where larger ones are fresh pages every time.
const CHUNK = 1 << 19;
const IN_FLIGHT = 4;
const ZEROS = new Uint8Array(CHUNK);

/** A fresh secret seed. */
export const freshSeed = (): Uint8Array<ArrayBuffer> => crypto.getRandomValues(new Uint8Array(SEED_BYTES));

/** A secret seed, ready to open streams. */
export class Seed {
  private constructor(private readonly key: CryptoKey) {}

  static async of(bytes: Uint8Array<ArrayBuffer>): Promise<Seed> {
    if (bytes.length !== SEED_BYTES) {
      throw new RangeError(`a seed has ${SEED_BYTES} bytes, not ${bytes.length}`);
    }
    return new Seed(await crypto.subtle.importKey("raw", bytes, "AES-CTR", false, ["encrypt"]));
  }

  /** The stream with this label, from its beginning. */
  stream(label: number): Stream {
    return new Stream(this.key, label);
  }
}

/** One stream: each {@linkcode fill} continues where the last one ended. */
export class Stream {
  readonly #counter = new Uint8Array(BLOCK);
  // Counter block: label (32 bits) | zero (32) | block number (64): streams of different labels never meet.
  #block = 0n;

  constructor(private readonly key: CryptoKey, label: number) {
    new DataView(this.#counter.buffer).setUint32(0, label);
  }

  /** Overwrites `target` with the next bytes; a partly used last block is skipped. */
  async fill(target: Uint8Array): Promise<void> {
    for (let start = 0; start < target.length; start += IN_FLIGHT * CHUNK) {
      const group = target.subarray(start, start + IN_FLIGHT * CHUNK), pieces: Promise<void>[] = [];
      for (let at = 0; at < group.length; at += CHUNK) {
        pieces.push(this.#fillChunk(group.subarray(at, at + CHUNK)));
      }
      await Promise.all(pieces);
    }
  }

  /** Takes its block numbers before the first wait, so calls may overlap. */
  async #fillChunk(target: Uint8Array): Promise<void> {
    const counter = this.#counter.slice();
    new DataView(counter.buffer).setBigUint64(8, this.#block);
    this.#block += BigInt(Math.ceil(target.length / BLOCK));
    const bytes = await crypto.subtle.encrypt(
      { name: "AES-CTR", counter, length: 64 },
      this.key,
      ZEROS.subarray(0, target.length),
    );
    target.set(new Uint8Array(bytes));
  }
}
