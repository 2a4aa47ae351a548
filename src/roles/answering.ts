/** The server's side: clients side by side, each in a session of its own. */
import { unlessDraining } from "../inference/draining.ts";
import type { Plan } from "../inference/plan.ts";
import { serve, type ServeOptions } from "../inference/parties.ts";
import type { ServerWeights } from "../inference/server_weights.ts";
import { ProtocolError } from "../network/channel.ts";
import type { FramedChannel } from "../network/framed_channel.ts";
import type { ChannelListener } from "../network/tcp.ts";
import type { ConvolutionPool } from "../ring/pool.ts";
import { meetAtDealer, openMeeting, shortName, withinSession } from "./meeting.ts";
import type { Log } from "./role_report.ts";
import { serveAll } from "./service.ts";

export interface AnsweringOptions extends ServeOptions {
  readonly pool: ConvolutionPool;
  readonly plan: Plan;
  readonly weights: ServerWeights;
  /** Gives up when `over` is aborted: clients that hang up leave no dials behind. */
  readonly connectToDealer: (over: AbortSignal) => Promise<FramedChannel>;
}

/** One client's session; resolves to the number of its queries. */
export const answer = (
  options: AnsweringOptions,
  client: FramedChannel,
  onBegun: (name: string) => void = () => {},
): Promise<number> =>
  withinSession(options.pool, async ({ pool, hold, over }) => {
    const { plan, weights, connectToDealer } = options, peer = hold(client), number = await openMeeting(peer);
    onBegun(shortName(number));
    const meeting = meetAtDealer(peer, number, async () => hold(await connectToDealer(over)));
    const dealer = await unlessDraining(meeting, "server", options.draining);
    return await serve({ pool, peer, dealer, plan, weights }, options);
  });

/** All clients, at most `clients` at a time, until SIGTERM. */
export async function answerAll(
  listener: ChannelListener,
  options: AnsweringOptions,
  { clients: most, draining, log }: {
    readonly clients: number;
    readonly draining: AbortController;
    readonly log: Log;
  },
): Promise<void> {
  let clients = 0;
  await serveAll(listener, draining, log, async (client) => {
    if (clients >= most) {
      throw new ProtocolError(`the server is busy with ${clients} clients; try again later`, {
        mayPass: true,
      });
    }
    clients++;
    let session = "session";
    try {
      const queries = await answer({ ...options, draining: draining.signal }, client, (begun) => {
        session += ` ${begun}`;
        log.info(`${session} with ${client.address}`);
      });
      log.info(`${session} is over, ${queries} queries answered`);
    } catch (error) {
      // The client has heard of it.
      log.warn(`${session} with ${client.address}: ${(error as Error).message}`);
    } finally {
      clients--;
    }
  });
}
