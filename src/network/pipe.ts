/** One direction of an in-memory stream of bytes. What nobody waits for yet is copied and kept. */
export class Pipe {
  readonly #kept: Uint8Array[] = [];
  #reader: { into: Uint8Array; resolve: (count: number | null) => void } | undefined;
  #ended = false;

  /** At least one byte; `null` once the pipe has ended and everything kept is read. */
  read(into: Uint8Array): Promise<number | null> {
    const first = this.#kept[0];
    if (first !== undefined) {
      const count = Math.min(first.length, into.length);
      into.set(first.subarray(0, count));
      if (count === first.length) this.#kept.shift();
      else this.#kept[0] = first.subarray(count);
      return Promise.resolve(count);
    }
    if (this.#ended) return Promise.resolve(null);
    const { promise, resolve } = Promise.withResolvers<number | null>();
    this.#reader = { into, resolve };
    return promise;
  }

  write(bytes: Uint8Array): Promise<number> {
    if (this.#ended) return Promise.reject(new Error("the other end is closed"));
    const reader = this.#reader;
    if (reader !== undefined) {
      const count = Math.min(bytes.length, reader.into.length);
      reader.into.set(bytes.subarray(0, count));
      this.#reader = undefined;
      reader.resolve(count);
      return Promise.resolve(count);
    }
    this.#kept.push(bytes.slice());
    return Promise.resolve(bytes.length);
  }

  end(): void {
    this.#ended = true;
    this.#reader?.resolve(null);
    this.#reader = undefined;
  }
}
