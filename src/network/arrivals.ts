/** Things in the order in which they came, for callers that ask before or after. */
export class Arrivals<T> {
  readonly #unclaimed: T[] = [];
  readonly #waiting: PromiseWithResolvers<T>[] = [];
  #end: Error | undefined;

  /** How many nobody has asked for. */
  get unclaimed(): number {
    return this.#unclaimed.length;
  }

  /** Whether it was taken: not after the end. */
  add(arrival: T): boolean {
    if (this.#end !== undefined) return false;
    const caller = this.#waiting.shift();
    if (caller === undefined) this.#unclaimed.push(arrival);
    else caller.resolve(arrival);
    return true;
  }

  next(): Promise<T> {
    if (this.#end !== undefined) return Promise.reject(this.#end);
    const arrival = this.#unclaimed.shift();
    if (arrival !== undefined) return Promise.resolve(arrival);
    const caller = Promise.withResolvers<T>();
    this.#waiting.push(caller);
    return caller.promise;
  }

  /** Ends pending and later calls of `next` with `error`; returns what nobody has asked for. */
  end(error: Error): T[] {
    this.#end ??= error;
    for (const caller of this.#waiting.splice(0)) caller.reject(this.#end);
    return this.#unclaimed.splice(0);
  }
}
