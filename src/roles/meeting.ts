/**
 * How the three roles find each other: the client comes to the server, both come to the dealer, and each says when it is
 * there. Nobody waits for one who will not come: who fails meanwhile is noticed by those who wait.
 */
import { describeTag } from "../inference/tags.ts";
import type { Plan } from "../inference/plan.ts";
import { ProtocolError } from "../network/channel.ts";
import type { FramedChannel } from "../network/framed_channel.ts";
import { onExit } from "../terminal/command.ts";

/** Tag of the empty message "I am there"; the protocols' tags end below. */
const MEETING_TAG = 0xd0000010;
/** What a peer hears of an error that is not written for it. */
export const SHOWN_ELSEWHERE = "stopped by an error of its own, which it alone shows";
const NOTHING = new Uint8Array(0);

/** Names the messages of a session, the meeting included, in errors. */
export function describeTags(plan: Plan): (tag: number) => string | undefined {
  const describe = describeTag(plan);
  return (tag) => tag === MEETING_TAG ? "the meeting of all three roles" : describe(tag);
}

/**
 * Keeps the channels that `work` holds: all close when the command ends, and if `work` fails, every peer hears of it. Of a
 * role that `holdsSecrets` peers hear what is written for them, the errors of the protocol: another one may name a pixel or a
 * weight.
 */
export async function withPeers<T>(
  work: (hold: (channel: FramedChannel) => FramedChannel) => Promise<T>,
  holdsSecrets = true,
): Promise<T> {
  const channels: FramedChannel[] = [];
  onExit(() => channels.forEach((channel) => channel.close()));
  try {
    return await work((channel) => {
      channels.push(channel);
      return channel;
    });
  } catch (error) {
    const isForPeers = !holdsSecrets || error instanceof ProtocolError;
    const reason = isForPeers ? (error as Error).message : SHOWN_ELSEWHERE;
    await Promise.allSettled(channels.map((channel) => channel.abort(reason)));
    throw error;
  }
}

/** A party's way to the dealer: its channel, once the peer has come there too. */
export async function meetAtDealer(
  peer: FramedChannel,
  connectToDealer: () => Promise<FramedChannel>,
): Promise<FramedChannel> {
  const come = async () => {
    const dealer = await connectToDealer();
    await peer.send(MEETING_TAG, NOTHING);
    return dealer;
  };
  const [dealer] = await Promise.all([come(), peer.receive(MEETING_TAG, NOTHING)]);
  await dealer.send(MEETING_TAG, NOTHING);
  return dealer;
}

/** The dealer's end: one server and one client, in either order. */
export async function awaitParties(
  accept: () => Promise<FramedChannel>,
): Promise<{ server: FramedChannel; client: FramedChannel }> {
  const acceptRole = async (...roles: string[]) => {
    const channel = await accept();
    if (roles.includes(channel.peer)) return channel;
    throw new Error(`the dealer awaits a ${roles.join(" or a ")}, there came a ${channel.peer}`);
  };
  const first = await acceptRole("server", "client");
  const other = first.peer === "server" ? "client" : "server";
  const [second] = await Promise.all([acceptRole(other), first.receive(MEETING_TAG, NOTHING)]);
  await second.receive(MEETING_TAG, NOTHING);
  return other === "client" ? { server: first, client: second } : { server: second, client: first };
}
