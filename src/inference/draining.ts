/** How a role that is to end stops between two pieces of work: what runs goes on, nothing further begins. */
import { ProtocolError } from "../network/channel.ts";

/** `next`, unless `draining` comes first: then a failure that tells the peer to come again. */
export async function unlessDraining<T>(
  next: Promise<T>,
  role: string,
  draining: AbortSignal | undefined,
): Promise<T> {
  const ended = Promise.withResolvers<never>();
  const end = () => ended.reject(new ProtocolError(`the ${role} ends; try again later`, { mayPass: true }));
  if (draining?.aborted) end();
  draining?.addEventListener("abort", end);
  try {
    return await Promise.race([ended.promise, next]);
  } finally {
    draining?.removeEventListener("abort", end);
  }
}
