/** What a listener with and one without TLS have in common. */

import type { ByteStream } from "./byte_stream.ts";

/** Somebody who has connected and of whom nothing else is known. */
export interface Caller {
  /** Where it comes from, for messages. */
  readonly address: string;
  /** Resolves when TLS, if there is any, has agreed. */
  readonly opened: Promise<Opened>;
  /** Closes the connection, whatever state it is in. */
  drop(): void;
}

export interface Opened {
  readonly stream: ByteStream;
  /** The role in the certificate of a peer that has shown one. */
  readonly certified?: string;
}

export interface ConnectionSource {
  readonly port: number;
  /** The next one to connect; fails when the source is closed. */
  next(): Promise<Caller>;
  close(): void;
}

export const LISTENER_CLOSED = "the listener is closed";

export function portInUse(host: string, port: number, cause: Error): Error {
  return new Error(`${addressText(host, port)} is in use by another program; choose another port`, { cause });
}

export function addressText(host: string, port: number): string {
  return host.includes(":") && !host.startsWith("[") ? `[${host}]:${port}` : `${host}:${port}`;
}
