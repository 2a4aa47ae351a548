/** What a plan costs, by the closed formulas of its steps: folds over the lists of messages and correlations. Equal to what the transport counts. */
import { dealtBytes } from "../correlations/correlation.ts";
import type { Message } from "../protocols/protocol.ts";
import type { Plan, Step } from "./plan.ts";

/** Bytes that the parties send. */
export interface Bytes {
  readonly bytesServer: number;
  readonly bytesClient: number;
}

/** Online cost of steps and what is dealt for them. */
export interface Cost extends Bytes {
  /** Messages and exchanges. */
  readonly exchanges: number;
  /** Bytes that the dealer sends to the server (the client expands a seed). */
  readonly dealtBytes: number;
}

/** Cost of a plan by kind of step. */
export interface PlanCost {
  /** Linear layers and the re-masking of what they read. */
  readonly linear: Cost;
  /** Activations and max pooling. */
  readonly activation: Cost;
  /** With the opening of the logits to the client. */
  readonly total: Cost;
  /** Between the parties for one query, before its image is known. */
  readonly offline: Bytes;
  readonly setUp: Bytes;
  /** One-way delays on the critical path at the client, from the first message to the logits. */
  readonly oneWayDelays: number;
  /** Exchanges if every linear layer opened its own input, as the paper counts them; max pooling included, opening not. */
  readonly paperExchanges: number;
}

const messagesOf = ({ messages }: Step, phase: Message["phase"]): readonly Message[] =>
  messages.filter((message) => message.phase === phase);

const bytesOf = (messages: readonly Message[]): Bytes => {
  const from = (role: Message["from"]) =>
    messages.reduce((sum, message) => message.from === role ? sum + message.bytes : sum, 0);
  return { bytesServer: from("server") + from("both"), bytesClient: from("client") + from("both") };
};

const costOfSteps = (steps: readonly Step[]): Cost => {
  const online = steps.flatMap((step) => messagesOf(step, "online"));
  return {
    exchanges: online.length,
    ...bytesOf(online),
    dealtBytes: steps.reduce((sum, { query }) => sum + dealtBytes(query), 0),
  };
};

export function costOf({ steps }: Plan): PlanCost {
  const ofKind = (...kinds: Step["kind"][]) => steps.filter(({ kind }) => kinds.includes(kind));
  const all = (phase: Message["phase"]) => steps.flatMap((step) => messagesOf(step, phase));
  const nonLinear = ofKind("activation", "maxPool");
  return {
    linear: costOfSteps(ofKind("linear", "re-masking")),
    activation: costOfSteps(nonLinear),
    total: costOfSteps(steps),
    offline: bytesOf(all("offline")),
    setUp: bytesOf(all("session")),
    oneWayDelays: criticalPath(all("online")),
    paperExchanges: ofKind("linear").reduce((sum, { writes }) => sum + writes.length, 0) +
      nonLinear.flatMap((step) => messagesOf(step, "online")).filter(({ remasks }) => !remasks).length,
  };
}

/**
 * Logical time at the client in one-way delays. The server is prepared one delay before the client hears of it, and what it sends
 * first may be under way by then; a party that only sends goes on at once. So two messages in a row cost less than two delays where
 * they overlap.
 */
function criticalPath(messages: readonly Message[]): number {
  let client = 0, server = -1;
  for (const { from } of messages) {
    const [atClient, atServer] = [client, server];
    if (from !== "client") client = Math.max(client, atServer + 1);
    if (from !== "server") server = Math.max(server, atClient + 1);
  }
  return client;
}
