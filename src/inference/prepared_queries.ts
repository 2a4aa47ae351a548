/**
 * Queries that a party holds prepared ahead, in the order of their numbers. One that is taken is gone before its first message,
 * whatever becomes of it: its correlations cannot be used again. All of it is memory of one session; nothing is resumed.
 */
import { ProtocolError } from "../network/channel.ts";
import type { PreparedQuery, Session } from "./session.ts";

export class PreparedQueries {
  readonly #held: PreparedQuery[] = [];
  #next = 0;

  /** At most `most` are held at a time: each of them holds its dealt words in memory. */
  constructor(private readonly session: Pick<Session, "prepare">, private readonly most: number) {}

  /** Number of the query that is prepared next. */
  get next(): number {
    return this.#next;
  }

  get isEmpty(): boolean {
    return this.#held.length === 0;
  }

  /** The offline phase of query `number`. */
  async prepare(number: number): Promise<void> {
    if (number !== this.#next) {
      throw new ProtocolError(`query ${number} was to be prepared, but the next one is query ${this.#next}`);
    }
    if (this.#held.length >= this.most) {
      throw new ProtocolError(
        `query ${number} was to be prepared, but as many are held already as the server's --prepare allows: ${this.most}`,
      );
    }
    this.#next++;
    this.#held.push(await this.session.prepare());
  }

  /** Takes out query `number`, to run it. */
  take(number: number): PreparedQuery {
    const query = this.#held.shift();
    if (query?.number !== number) {
      throw new ProtocolError(
        `query ${number} was to begin, but the next prepared one is ${
          query === undefined ? "not there" : `query ${query.number}`
        }; each is used at most once, in order`,
      );
    }
    return query;
  }
}
