/** The dealer's side: sessions side by side, each of the two parties that name it. */
import { type DealerOptions, runDealer } from "../inference/dealer.ts";
import { unlessDraining } from "../inference/draining.ts";
import type { FramedChannel } from "../network/framed_channel.ts";
import type { ChannelListener } from "../network/tcp.ts";
import { Meetings, type Parties, type SessionScope, withinSession } from "./meeting.ts";
import type { Log } from "./role_report.ts";
import { serveAll } from "./service.ts";

export type DealingOptions = Omit<DealerOptions, "server" | "client">;

const deal = (options: DealingOptions, { pool, hold }: SessionScope, { server, client }: Parties) =>
  runDealer({ ...options, pool, server: hold(server), client: hold(client) });

/** The session of the first two that come. */
export const dealOnce = (listener: ChannelListener, options: DealingOptions): Promise<void> =>
  withinSession(options.pool, async (scope) => {
    const parties = await firstMeeting(async () => scope.hold(await listener.accept()));
    listener.close();
    await deal(options, scope, parties);
  });

/** All sessions, at most `sessions` at a time, until SIGTERM. */
export async function dealAll(
  listener: ChannelListener,
  options: DealingOptions,
  { sessions: most, draining, log }: {
    readonly sessions: number;
    readonly draining: AbortController;
    readonly log: Log;
  },
): Promise<void> {
  const meetings = new Meetings(most);
  await serveAll(listener, draining, log, async (party) => {
    const parties = await unlessDraining(meetings.join(party), "dealer", draining.signal);
    if (parties === null) return;
    const { name, server, client, leave } = parties,
      session = `session ${name} of ${server.address} and ${client.address}`;
    log.info(session);
    try {
      await withinSession(
        options.pool,
        (scope) => deal({ ...options, draining: draining.signal }, scope, parties),
      );
      log.info(`session ${name} is over`);
    } catch (error) {
      // Both have heard of it.
      log.warn(`${session}: ${(error as Error).message}`);
    } finally {
      leave();
    }
  });
}

/** The first two that come, who must meet. */
async function firstMeeting(accept: () => Promise<FramedChannel>): Promise<Parties> {
  const meetings = new Meetings(), met = Promise.withResolvers<Parties>();
  const awaitBoth = async () => {
    for (let i = 0; i < 2; i++) {
      const party = await accept();
      meetings.join(party).then((parties) => parties && met.resolve(parties), met.reject);
    }
  };
  awaitBoth().catch(met.reject);
  return await met.promise;
}
