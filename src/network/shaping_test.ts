import { assert, assertAlmostEquals, assertEquals, assertGreaterOrEqual, assertRejects } from "@std/assert";
import { it } from "@std/testing/bdd";
import type { FramedChannel } from "./framed_channel.ts";
import { Lane } from "./lane.ts";
import { networkProfile } from "./profiles.ts";
import { ReadAhead } from "./read_ahead.ts";
import { LinkShaper, waitUntil } from "./shaping.ts";
import { connect, listen } from "./tcp.ts";
import { busyFactor } from "./testdata/busy_machine.ts";

async function withShapedPair(
  profileName: string,
  use: (server: FramedChannel, client: FramedChannel) => Promise<void>,
): Promise<void> {
  const options = { host: "127.0.0.1", profile: networkProfile(profileName) };
  const listener = await listen({ ...options, port: 0, role: "server" });
  const [server, client] = await Promise.all([
    listener.accept(),
    connect({ ...options, port: listener.port, role: "client" }),
  ]);
  try {
    await use(server, client);
  } finally {
    for (const end of [server, client, listener]) end.close();
  }
}

/** The fastest of some attempts, so that a busy machine does not decide. */
async function fastestMs(work: () => Promise<unknown>, attempts = 3): Promise<number> {
  let fastest = Infinity;
  for (let i = 0; i < attempts; i++) {
    const startMs = performance.now();
    await work();
    fastest = Math.min(fastest, performance.now() - startMs);
  }
  return fastest;
}

/** Never early, and late by less than another reading of the profile would be. */
function assertBetween(ms: number, least: number, most: number): void {
  if (least <= ms && ms <= most) return;
  const allowed = least + (most - least) * busyFactor();
  assert(least <= ms && ms <= allowed, `${ms} ms is not between ${least} and ${allowed} ms`);
}

it("LinkShaper carries one frame at a time and adds half the round trip", () => {
  const shaper = new LinkShaper(networkProfile("wan-100mbit"), 1000);
  const first = shaper.depart(12_500); // 1 ms at 100 Mbit/s
  const second = shaper.depart(25_000);
  const third = shaper.depart(12_500);
  assertAlmostEquals(second, first + 1, 1e-6);
  assertAlmostEquals(third, second + 2, 1e-6);
  assertAlmostEquals(shaper.arrival(third, 12_500), third + 1000 + 1 + 40, 1e-6);
});

it("a message takes one one-way delay, an exchange does too", async () => {
  await withShapedPair("rtt:40", async (server, client) => {
    const byte = new Uint8Array(1);
    const message = await fastestMs(() => Promise.all([client.send(1, byte), server.receive(1, byte)]));
    assertBetween(message, 20, 30);
    const exchange = await fastestMs(() =>
      Promise.all([client.exchange(1, byte, new Uint8Array(1)), server.exchange(1, byte, new Uint8Array(1))])
    );
    assertBetween(exchange, 20, 30);
  });
});

it("messages queue for the bandwidth, directions do not share it", async () => {
  await withShapedPair("wan-100mbit", async (server, client) => {
    const bytes = 375_000; // 30 ms
    const [up, down, target] = [new Uint8Array(bytes), new Uint8Array(bytes), new Uint8Array(bytes)];
    const twoMessages = await fastestMs(async () => {
      await client.send(1, up);
      await client.send(2, up);
      await server.receive(1, target);
      await server.receive(2, target);
    });
    assertBetween(twoMessages, 40 + 60, 40 + 75);
    const exchange = await fastestMs(() =>
      Promise.all([client.exchange(1, up, target), server.exchange(1, down, new Uint8Array(bytes))])
    );
    assertBetween(exchange, 40 + 30, 40 + 45);
  });
});

it("a message that was due long ago is handed over at once", async () => {
  await withShapedPair("rtt:20", async (server, client) => {
    const byte = new Uint8Array(1);
    let again = Infinity;
    const late = await fastestMs(async () => {
      await client.send(1, byte);
      await new Promise((resolve) => setTimeout(resolve, 15));
      const startMs = performance.now();
      await server.receive(1, byte);
      again = Math.min(again, performance.now() - startMs);
    });
    assertGreaterOrEqual(late, 10);
    assertBetween(again, 0, 5);
  });
});

it("closing a channel ends the wait for a message that is still on its way", async () => {
  await withShapedPair("rtt:10000", async (server, client) => {
    const startMs = performance.now();
    await client.send(1, new Uint8Array(1));
    const received = server.receive(1, new Uint8Array(1));
    received.catch(() => {});
    setTimeout(() => server.close(), 50);
    await assertRejects(() => received, Error, "this end closed the channel to client");
    await server.settled();
    assert(performance.now() - startMs < 4000);
  });
});

it("waitUntil() is exact to a tenth of a millisecond", async () => {
  const idle = new Lane();
  for (const waitMs of [0.1, 1, 6]) {
    const lateMs = await fastestMs(() => waitUntil(performance.now() + waitMs, idle), 10) - waitMs;
    assertBetween(lateMs, 0, 0.1);
  }
});

it("waitUntil() leaves the thread free while a write is under way", async () => {
  const writing = new Lane();
  const write = writing.run(() => new Promise((resolve) => setTimeout(resolve, 10)));
  const startMs = performance.now();
  let timerMs = Infinity;
  const timer = new Promise<void>((resolve) =>
    setTimeout(() => {
      timerMs = performance.now() - startMs;
      resolve();
    }, 1)
  );
  await waitUntil(startMs + 4, writing); // would block at once otherwise
  assertGreaterOrEqual(performance.now(), startMs + 4);
  assert(timerMs <= performance.now() - startMs, "the timer could not fire");
  await Promise.all([timer, write]);
});

it("ReadAhead keeps the bytes in order whatever the sizes of reads", async () => {
  const total = 2_000_000;
  let produced = 0;
  const stream = new ReadAhead({
    read(into) {
      if (produced === total) return Promise.resolve(null);
      const count = Math.min(into.length, 1 + produced % 100_000, total - produced);
      for (let i = 0; i < count; i++) into[i] = (produced + i) % 251;
      produced += count;
      return Promise.resolve(count);
    },
    write: (bytes) => Promise.resolve(bytes.length),
    close: () => {},
  });
  const into = new Uint8Array(777_777);
  let consumed = 0;
  let wrong = 0;
  for (
    let count: number | null;
    (count = await stream.read(into.subarray(0, 1 + consumed % 700_000))) !== null;
  ) {
    for (let i = 0; i < count; i++) if (into[i] !== (consumed + i) % 251) wrong++;
    consumed += count;
  }
  assertEquals([consumed, wrong], [total, 0]);
});

it("ReadAhead stops at 256 MiB and goes on when there is room", async () => {
  let reads = 0;
  const stream = new ReadAhead({
    // Claims to have filled the memory without touching it.
    read: (into) => Promise.resolve(++reads && into.length),
    write: (bytes) => Promise.resolve(bytes.length),
    close: () => {},
  });
  await new Promise((resolve) => setTimeout(resolve, 0));
  const full = reads;
  const first = new Uint8Array(2 ** 18);
  assertEquals(await stream.read(first), first.length);
  await new Promise((resolve) => setTimeout(resolve, 0));
  assertEquals([full, reads], [1024, 1025]);
});
