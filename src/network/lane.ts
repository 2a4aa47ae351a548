/** Runs asynchronous steps one after the other; a step starts at once when none is under way. */
export class Lane {
  #last: Promise<void> | undefined;

  get busy(): boolean {
    return this.#last !== undefined;
  }

  /** Resolves when every step handed over so far has ended, well or not. */
  idle(): Promise<void> {
    return this.#last ?? Promise.resolve();
  }

  run(step: () => Promise<void>): Promise<void> {
    const turn = this.#last === undefined ? step() : this.#last.then(step);
    const end = () => {
      if (this.#last === settled) this.#last = undefined;
    };
    const settled: Promise<void> = turn.then(end, end);
    this.#last = settled;
    return turn;
  }
}
