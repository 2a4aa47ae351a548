/**
 * The fixed header before every payload. It is decoded and compared with what the receiver expects
 * before one payload byte is read, so a length on the wire never decides how much memory is used.
 *
 * | offset | field | |
 * |---|---|---|
 * | 0 | magic | u32, "PINF" |
 * | 4 | version | u16 |
 * | 6 | kind | u16 |
 * | 8 | tag | u32, the protocol step |
 * | 12 | sequence | u32, frames of this direction so far, modulo 2^32 |
 * | 16 | length | u64, bytes of payload |
 * | 24 | departure | f64, ms on the sender's clock, read by shaped links only |
 * | 32 | delays | u32, logical time of the sender in one-way delays |
 * | 36 | zero | u32 |
 */

export const HEADER_BYTES = 40;
/** Changes with the header, the handshake or the meaning of either. */
const FRAME_VERSION = 3;
/** An abort frame carries one sentence of at most this many bytes. */
export const ABORT_REASON_BYTES = 512;

const MAGIC = 0x464e4950; // "PINF", little-endian

/** Only data frames reach protocols; the others belong to the handshake, to `abort`, and to pauses. */
export const FrameKind = { data: 1, abort: 2, hello: 3, proof: 4, clock: 5, alive: 6 } as const;
export type FrameKind = typeof FrameKind[keyof typeof FrameKind];

export interface FrameHeader {
  /** A number, not a {@linkcode FrameKind}: what a peer sends may be neither. */
  readonly kind: number;
  readonly tag: number;
  readonly sequence: number;
  readonly length: number;
  readonly departureMs: number;
  readonly delays: number;
}

export function encodeHeader(header: FrameHeader, into: DataView): void {
  into.setUint32(0, MAGIC, true);
  into.setUint16(4, FRAME_VERSION, true);
  into.setUint16(6, header.kind, true);
  into.setUint32(8, header.tag, true);
  into.setUint32(12, header.sequence, true);
  into.setUint32(16, header.length % 2 ** 32, true);
  into.setUint32(20, Math.floor(header.length / 2 ** 32), true);
  into.setFloat64(24, header.departureMs, true);
  into.setUint32(32, header.delays, true);
  into.setUint32(36, 0, true);
}

/** The header, or a sentence that says why these bytes are none. */
export function decodeHeader(from: DataView): FrameHeader | string {
  if (from.getUint32(0, true) !== MAGIC) {
    // They may belong to a payload, and this sentence travels to the third role and into logs: it quotes none of them.
    return "what came starts no message of this protocol";
  }
  const version = from.getUint16(4, true);
  if (version !== FRAME_VERSION) {
    return `the message has format version ${version}, this program speaks version ${FRAME_VERSION}`;
  }
  return {
    kind: from.getUint16(6, true),
    tag: from.getUint32(8, true),
    sequence: from.getUint32(12, true),
    // Exact below 2^53; larger lengths only ever appear in the error that refuses them.
    length: from.getUint32(20, true) * 2 ** 32 + from.getUint32(16, true),
    departureMs: from.getFloat64(24, true),
    delays: from.getUint32(32, true),
  };
}
