/** The client's side: one session of queries. */
import type { Plan } from "../inference/plan.ts";
import { query, type QueryOptions, type SessionFigures } from "../inference/parties.ts";
import type { FramedChannel } from "../network/framed_channel.ts";
import type { ConvolutionPool } from "../ring/pool.ts";
import { joinMeeting, meetAtDealer, withinSession } from "./meeting.ts";

export interface AskingOptions extends QueryOptions {
  readonly pool: ConvolutionPool;
  readonly plan: Plan;
  readonly connectToServer: () => Promise<FramedChannel>;
  /** Gives up when `over` is aborted: a session that has failed leaves no dial behind. */
  readonly connectToDealer: (over: AbortSignal) => Promise<FramedChannel>;
}

/** Asks about what `imagesOf` gives for each query, in a session of their own; what is answered before it breaks off is told by `onQuery`. */
export const ask = (
  options: AskingOptions,
  imagesOf: (query: number) => ArrayLike<number>,
  queries: number,
): Promise<SessionFigures> =>
  withinSession(options.pool, async ({ pool, hold, over }) => {
    const { plan, connectToServer, connectToDealer } = options, peer = hold(await connectToServer());
    const dealer = await meetAtDealer(
      peer,
      await joinMeeting(peer),
      async () => hold(await connectToDealer(over)),
    );
    return await query({ pool, peer, dealer, plan }, imagesOf, queries, options);
  });
