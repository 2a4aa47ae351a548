/** How a client goes on after a session that broke off: by another session, of which nothing was used before. */
import { ProtocolError } from "../network/channel.ts";
import type { Log } from "./role_report.ts";

/** Before the sessions that are tried one after another without an answer between them; each waits for a peer as long as its time-out. */
const PAUSES_MS = [1000, 2000, 4000, 8000, 16_000];

/** Begins sessions until one ends well. Errors of which another session would die too, and those of this role itself, are final. */
export async function withReconnections(
  session: () => Promise<unknown>,
  answers: () => number,
  log: Log,
  pausesMs: readonly number[] = PAUSES_MS,
): Promise<void> {
  for (let failures = 0, before = answers();; before = answers()) {
    try {
      await session();
      return;
    } catch (error) {
      if (answers() > before) failures = 0;
      const pauseMs = pausesMs[failures++];
      if (!(error instanceof ProtocolError && error.mayPass) || pauseMs === undefined) throw error;
      log.warn(`${error.message}; a new session in ${pauseMs / 1000} s`);
      await new Promise((resolve) => setTimeout(resolve, pauseMs));
    }
  }
}
