/** What a listener with and one without TLS have in common. */

import type { ByteStream } from "./byte_stream.ts";

export interface Connection {
  readonly stream: ByteStream;
  /** Where it comes from, for messages. */
  readonly address: string;
}

export interface ConnectionSource {
  readonly port: number;
  accept(): Promise<Connection>;
  close(): void;
}

export const LISTENER_CLOSED = "the listener is closed";

export function portInUse(host: string, port: number, cause: Error): Error {
  return new Error(`${addressText(host, port)} is in use by another program; choose another port`, { cause });
}

export function addressText(host: string, port: number): string {
  return host.includes(":") && !host.startsWith("[") ? `[${host}]:${port}` : `${host}:${port}`;
}
