/** A party's half of the correlations of one step, drawn one after another in the order of the step's list. */
import type { Stream } from "../random/stream.ts";
import type { Ring } from "../ring/ring.ts";
import type { Width } from "../ring/tensor.ts";
import {
  type Bits,
  type Correlation,
  type Dealt,
  type DealtConvolution,
  lengthOf,
  type Own,
  type Role,
  tensorFor,
  type TensorOf,
} from "./correlation.ts";

/** What a party draws from: each correlation once, in order; any other call is an error of the protocol's code. */
export interface Drawn {
  /** This party's own numbers, in `into` if given. */
  own<B extends Width>(own: Own<B>, into?: TensorOf<B>): TensorOf<B>;
  /** This party's share of dealt numbers, in `into` if given. */
  share<B extends Bits>(dealt: Shared<B>, into?: TensorOf<B>): Promise<TensorOf<B>>;
}

/** What is shared between the parties. */
export type Shared<B extends Bits> = Dealt<B> | DealtConvolution<B & Width>;

/** Fills memory with the server's correction of the numbers that are dealt next; null at the client, whose share is of its stream. */
export type ReceiveCorrection = ((bytes: Uint8Array) => Promise<void>) | null;

export class StepDraw implements Drawn {
  #next = 0;

  constructor(
    private readonly ring: Ring,
    private readonly role: Role,
    private readonly list: readonly Correlation[],
    private readonly stream: Stream,
    private readonly receive: ReceiveCorrection,
  ) {}

  own<B extends Width>(own: Own<B>, into?: TensorOf<B>): TensorOf<B> {
    this.#take(own);
    const tensor = into ?? tensorFor(this.ring, own.words, own.bits);
    this.stream.fill(tensor);
    return tensor;
  }

  async share<B extends Bits>(dealt: Shared<B>, into?: TensorOf<B>): Promise<TensorOf<B>> {
    this.#take(dealt as Correlation);
    const tensor = into ?? tensorFor(this.ring, lengthOf(dealt as Correlation), dealt.bits as B);
    if (this.receive) await this.receive(tensor.bytes);
    else this.stream.fill(tensor);
    return tensor;
  }

  /** Throws unless everything that is this party's was drawn: else words of the next query would be taken for those of this one. */
  finish(): void {
    const left = this.list.slice(this.#next).find((c) => this.#isMine(c));
    if (left) throw new Error(`the ${this.role} did not draw ${left.name}`);
  }

  #isMine(correlation: Correlation): boolean {
    return correlation.kind !== "own" || correlation.of === "both" || correlation.of === this.role;
  }

  #take(wanted: Correlation): void {
    while (this.#next < this.list.length && !this.#isMine(this.list[this.#next])) this.#next++;
    const next = this.list[this.#next];
    if (next !== wanted) {
      throw new Error(
        `the ${this.role} drew ${wanted.name}, but ${next?.name ?? "nothing"} is next in the list`,
      );
    }
    this.#next++;
  }
}
