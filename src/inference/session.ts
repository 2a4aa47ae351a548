/** Opens the session that a plan asks for. */
import { LiftedSession } from "./lifted_session.ts";
import { comparePlans, type PartySession, type SessionOptions } from "./party_session.ts";
import { digestOf } from "./plan.ts";
import { Session64 } from "./session64.ts";

/** Set-up of a party: compares plans, then masks and opens weights, once for all queries. */
export async function openSession(options: SessionOptions): Promise<PartySession> {
  const { plan, peer } = options, digest = await digestOf(plan);
  await comparePlans(peer, digest);
  return plan.lifted === null
    ? await Session64.open(options, digest)
    : await LiftedSession.open(options, plan.lifted, digest);
}
