/** A role that serves many: every channel of its listener is taken care of side by side, until SIGTERM lets the work end. */
import { reasonForPeers } from "../network/channel.ts";
import type { FramedChannel } from "../network/framed_channel.ts";
import type { ChannelListener } from "../network/tcp.ts";
import { onTerminate } from "../terminal/command.ts";
import type { Log } from "./role_report.ts";

/**
 * `take` has the channel until its promise ends; what fails is told to the peer, is a line of the log, and touches no other. Resolves
 * when SIGTERM, by `draining`, has ended the last.
 */
export async function serveAll(
  listener: ChannelListener,
  draining: AbortController,
  log: Log,
  take: (channel: FramedChannel) => Promise<void>,
): Promise<void> {
  onTerminate(() => {
    log.info("ending: nothing new begins, what runs goes on");
    listener.close();
    draining.abort();
  });
  const taken = new Set<Promise<void>>();
  for (;;) {
    let channel: FramedChannel;
    try {
      channel = await listener.accept();
    } catch {
      break; // the listener is closed
    }
    const work = take(channel).catch(async (error: Error) => {
      log.warn(`${channel.peer} at ${channel.address}: ${error.message}`);
      await channel.abort(...reasonForPeers(error));
    }).finally(() => taken.delete(work));
    taken.add(work);
  }
  await Promise.all(taken);
}
