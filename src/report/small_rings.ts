/** What rows say of protocols whose linear layers lie in a ring of few bits: their truncation cannot fail, and they need audited ranges. */
import type { Row } from "./csv.ts";

/** Protocols on small rings, whose scales follow from the ranges that an audit has measured. */
export const SMALL_RING_PROTOCOLS: readonly string[] = ["lifted", "trigonometric"];

export const isOnSmallRing = (protocol: string): boolean => SMALL_RING_PROTOCOLS.includes(protocol);

/** Whether the audit refuses the network of a row of `accuracy_table`, and its protocol takes the scales from there. */
export const isRefusedByAudit = (row: Row): boolean =>
  isOnSmallRing(row["protocol"]) && row["audited"] !== "true";
