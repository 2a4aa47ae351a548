/** The part of `Deno.Conn` that frames need. `close` makes pending reads and writes fail. */
export interface ByteStream {
  /** Reads at least one byte; `null` at the end of the stream. */
  read(into: Uint8Array): Promise<number | null>;
  /** Writes at least one byte and returns how many. */
  write(bytes: Uint8Array): Promise<number>;
  close(): void;
}
