/**
 * What a role may still do when others can talk to it: compute, and use its sockets. It has read its files by then, so the rights to
 * read, and whatever else its start needed, go back before the first byte of a peer is heard. Rights that are given back do not return:
 * with `--no-prompt`, nobody is asked.
 */
import type { ConvolutionPool } from "../ring/pool.ts";

/** `import` is granted for some hosts unless told otherwise, and needs no right to the network. */
const NAMES = ["read", "write", "env", "run", "ffi", "sys", "import"] as const;

export function confine(pool: ConvolutionPool): void {
  pool.awaitThreads();
  for (const name of NAMES) Deno.permissions.revokeSync({ name });
}
