/** What every transport must do, run over the in-memory pair and over TCP on loopback. */
import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertLess,
  assertRejects,
  assertStringIncludes,
} from "@std/assert";
import { it } from "@std/testing/bdd";
import type { ByteStream } from "./byte_stream.ts";
import { type AbortableChannel, type ChannelOptions, ProtocolError } from "./channel.ts";
import { encodeHeader, FrameKind, HEADER_BYTES } from "./frame.ts";
import { FrameLink } from "./frame_link.ts";
import { FramedChannel } from "./framed_channel.ts";
import { memoryPair, memoryStreams } from "./memory_pair.ts";
import { connect, listen } from "./tcp.ts";

interface Transport {
  readonly name: string;
  /** A server's and a client's end. */
  channels(options?: ChannelOptions): Promise<[AbortableChannel, AbortableChannel]>;
  /** The same without frames, for peers that misbehave. */
  streams(): Promise<[ByteStream, ByteStream]>;
}

const memory: Transport = {
  name: "memoryPair",
  channels: (options) => Promise.resolve(memoryPair(options)),
  streams: () => Promise.resolve(memoryStreams()),
};

const tcp: Transport = {
  name: "TCP",
  async channels(options = {}) {
    const listener = await listen({ host: "127.0.0.1", port: 0, role: "server", ...options });
    const { port } = listener;
    const ends = await Promise.all([
      listener.accept(),
      connect({ host: "127.0.0.1", port, role: "client", ...options }),
    ]);
    listener.close();
    return ends;
  },
  async streams() {
    const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const ends = await Promise.all([listener.accept(), Deno.connect({ port: listener.addr.port })]);
    listener.close();
    return ends;
  },
};

const STEPS = ["input", "relu1", "relu2", "logits"];
const describeTag = (tag: number) => STEPS[tag];

/** Words that differ from place to place and fill no repeating page. */
function pattern(bytes: number, seed: number): Uint8Array<ArrayBuffer> {
  const words = new Uint32Array(Math.ceil(bytes / 4));
  for (let i = 0; i < words.length; i++) words[i] = Math.imul(i + seed, 0x9e3779b1);
  return new Uint8Array(words.buffer, 0, bytes);
}

function assertSameBytes(actual: Uint8Array, expected: Uint8Array) {
  assertEquals(actual.length, expected.length);
  // For megabytes, assertEquals and findIndex take seconds.
  let first = 0;
  while (first < actual.length && actual[first] === expected[first]) first++;
  assertEquals(first, actual.length, "first difference at this byte");
}

// Shared by the transports: on some machines the first touch of memory takes longer than the test.
const LARGE_BYTES = 64 * 2 ** 20;
const large = pattern(LARGE_BYTES + 4096, 1);
const largeTargets = [new Uint8Array(LARGE_BYTES), new Uint8Array(LARGE_BYTES)] as const;

function header(tag: number, sequence: number, length: number, kind: number = FrameKind.data) {
  const bytes = new Uint8Array(HEADER_BYTES);
  encodeHeader({ kind, tag, sequence, length, departureMs: 0, delays: 0 }, new DataView(bytes.buffer));
  return bytes;
}

async function failure(work: Promise<unknown>): Promise<Error> {
  return await assertRejects(() => work, Error) as Error;
}

async function protocolError(work: Promise<unknown>): Promise<string> {
  const error = await failure(work);
  assertInstanceOf(error, ProtocolError);
  return error.message;
}

function testChannelContract({ name, channels, streams }: Transport): void {
  const test = (
    what: string,
    body: (server: AbortableChannel, client: AbortableChannel) => Promise<void>,
    options: ChannelOptions = {},
  ) =>
    it(`${name} ${what}`, async () => {
      const [server, client] = await channels({ describeTag, ...options });
      try {
        await body(server, client);
      } finally {
        server.close();
        client.close();
      }
    });

  /** The client is a bare stream that may send anything. */
  const testAgainstStream = (
    what: string,
    body: (server: FramedChannel, client: ByteStream, hangUp: () => void) => Promise<void>,
  ) =>
    it(`${name} ${what}`, async () => {
      const [stream, client] = await streams();
      let open = true;
      const hangUp = () => {
        if (open) client.close();
        open = false;
      };
      const server = new FramedChannel(new FrameLink(stream, "server", "client", { describeTag }));
      try {
        await body(server, client, hangUp);
      } finally {
        server.close();
        hangUp();
      }
    });

  test("keeps the order of messages of every size, empty ones included", async (server, client) => {
    // Around the size up to which header and payload share a write.
    const sizes = [0, 1, 31, 65_535, 65_536, 65_537, 0, 300_000, 2];
    const payloads = sizes.map((size, i) => pattern(size, i));
    const sends = payloads.map((payload, i) => client.send(i, payload));
    const targets = sizes.map((size) => new Uint8Array(size));
    // Posted at once, as a protocol may that knows what will come.
    await Promise.all(targets.map((target, i) => server.receive(i, target)));
    await Promise.all(sends);
    targets.forEach((target, i) => assertSameBytes(target, payloads[i]));
  });

  test("names its peer", (server, client) => {
    assertEquals([server.peer, client.peer], ["client", "server"]);
    return Promise.resolve();
  });

  test("lets the sender reuse its memory", async (server, client) => {
    const payload = new Uint8Array(100).fill(7);
    await client.send(1, payload);
    payload.fill(9);
    const into = new Uint8Array(100);
    await server.receive(1, into);
    assertEquals(into, new Uint8Array(100).fill(7));
  });

  test("receives straight into WebAssembly memory", async (server, client) => {
    const { buffer } = new WebAssembly.Memory({ initial: 4 });
    const payload = pattern(100_000, 5);
    await Promise.all([client.send(1, payload), server.receive(1, new Uint8Array(buffer, 1000, 100_000))]);
    assertSameBytes(new Uint8Array(buffer, 1000, 100_000), payload);
    assertSameBytes(new Uint8Array(buffer, 101_000), new Uint8Array(4 * 65_536 - 101_000));
  });

  test("fails when WebAssembly memory grows under a pending receive", async (server, client) => {
    const memory = new WebAssembly.Memory({ initial: 4 });
    const pending = failure(server.receive(1, new Uint8Array(memory.buffer, 0, 100_000)));
    memory.grow(1);
    await client.send(1, new Uint8Array(100_000));
    assertStringIncludes((await pending).message, "moved");
    assertEquals(await failure(server.receive(2, new Uint8Array(0))), await pending);
  });

  test("counts payload, messages and one-way delays", async (server, client) => {
    const before = client.sent;
    await Promise.all([client.send(1, new Uint8Array(10)), server.receive(1, new Uint8Array(10))]);
    await Promise.all([
      client.exchange(2, new Uint8Array(7), new Uint8Array(100_000)),
      server.exchange(2, new Uint8Array(100_000), new Uint8Array(7)),
    ]);
    assertEquals(before, { bytes: 0, messages: 0 });
    assertEquals(client.sent, { bytes: 17, messages: 2 });
    assertEquals(client.received, { bytes: 100_000, messages: 1 });
    assertEquals(server.sent, client.received);
    assertEquals(server.received, client.sent);
    assertEquals([server.exchanges, client.exchanges], [2, 2]);
  });

  test("exchanges 64 MiB both ways at once", async (server, client) => {
    const fromClient = large.subarray(0, LARGE_BYTES);
    const fromServer = large.subarray(4096);
    const [atServer, atClient] = largeTargets;
    atServer.fill(0);
    atClient.fill(0);
    await Promise.all([
      client.exchange(1, fromClient, atClient),
      server.exchange(1, fromServer, atServer),
    ]);
    assertSameBytes(atServer, fromClient);
    assertSameBytes(atClient, fromServer);
  });

  test("sends while a receive is pending", async (server, client) => {
    const into = new Uint8Array(1);
    const pending = client.receive(2, into);
    await client.send(1, Uint8Array.of(20));
    const question = new Uint8Array(1);
    await server.receive(1, question);
    await server.send(2, Uint8Array.of(question[0] + 1));
    await pending;
    assertEquals(into[0], 21);
  });

  test("refuses another tag and names both steps", async (server, client) => {
    await client.send(2, new Uint8Array(8));
    const first = await protocolError(server.receive(1, new Uint8Array(8)));
    assertStringIncludes(first, "from client to server: expected relu1 (tag 1) with 8 bytes as message");
    assertStringIncludes(first, "came relu2 (tag 2) with 8 bytes as message");
    // What follows on a broken channel repeats its first fault.
    assertEquals(await protocolError(server.receive(2, new Uint8Array(8))), first);
    assertEquals(await protocolError(server.send(2, new Uint8Array(8))), first);
  });

  test("refuses another length and leaves the memory alone", async (server, client) => {
    await client.send(99, new Uint8Array(9).fill(1));
    const into = new Uint8Array(8);
    const message = await protocolError(server.receive(99, into));
    assertStringIncludes(message, "expected tag 99 with 8 bytes");
    assertStringIncludes(message, "came tag 99 with 9 bytes");
    assertEquals(into, new Uint8Array(8));
  });

  testAgainstStream("refuses a claimed length of 2^40", async (server, client) => {
    await client.write(header(1, 0, 2 ** 40));
    const message = await protocolError(server.receive(1, new Uint8Array(1000)));
    assertStringIncludes(
      message,
      "with 1000 bytes as message 0, came relu1 (tag 1) with 1099511627776 bytes",
    );
  });

  testAgainstStream("refuses a repeated message", async (server, client) => {
    const repeated = header(1, 0, 0);
    await client.write(repeated);
    await client.write(repeated);
    await server.receive(1, new Uint8Array(0));
    const message = await protocolError(server.receive(1, new Uint8Array(0)));
    assertStringIncludes(message, "as message 1, came relu1 (tag 1) with 0 bytes as message 0");
  });

  testAgainstStream("refuses a handshake in the middle of a session", async (server, client) => {
    await client.write(header(1, 0, 0, FrameKind.hello));
    assertStringIncludes(await protocolError(server.receive(1, new Uint8Array(0))), "came the greeting");
  });

  testAgainstStream("refuses bytes that are no message", async (server, client) => {
    await client.write(new TextEncoder().encode("GET / HTTP/1.1\r\nHost: server\r\nAccept: */*\r\n\r\n"));
    const message = await protocolError(server.receive(1, new Uint8Array(1000)));
    assertStringIncludes(message, "relu1 (tag 1) was awaited, but what came starts no message");
  });

  testAgainstStream("refuses another format version", async (server, client) => {
    const bytes = header(1, 0, 0);
    bytes[4] = 9;
    await client.write(bytes);
    assertStringIncludes(await protocolError(server.receive(1, new Uint8Array(0))), "format version 9");
  });

  testAgainstStream("takes a message in pieces", async (server, client) => {
    const payload = pattern(70_000, 3);
    const first = header(1, 0, payload.length);
    const receiving = Promise.all([
      server.receive(1, new Uint8Array(payload.length)),
      server.receive(2, new Uint8Array(3)),
    ]);
    for (
      const piece of [first.subarray(0, 5), first.subarray(5), payload.subarray(0, 1), payload.subarray(1)]
    ) {
      for (let done = 0; done < piece.length;) done += await client.write(piece.subarray(done));
    }
    await client.write(header(2, 1, 3));
    await client.write(Uint8Array.of(1, 2, 3));
    await receiving;
    assertEquals(server.received, { bytes: 70_003, messages: 2 });
  });

  testAgainstStream("says how much had come when the peer closed", async (server, client, hangUp) => {
    await client.write(header(3, 0, 100));
    await client.write(new Uint8Array(40));
    hangUp();
    assertEquals(
      await protocolError(server.receive(3, new Uint8Array(100))),
      "client closed the connection during logits (tag 3), 40 of 100 bytes received",
    );
  });

  testAgainstStream(
    "shows an abort reason of a peer as one line without control characters",
    async (server, client) => {
      const reason = new TextEncoder().encode("no\x1b[2J\nmemory");
      await client.write(header(0, 0, reason.length, FrameKind.abort));
      await client.write(reason);
      assertEquals(
        await protocolError(server.receive(3, new Uint8Array(4))),
        "client stopped: no [2J memory",
      );
    },
  );

  testAgainstStream("refuses an abort reason above 512 bytes", async (server, client) => {
    await client.write(header(0, 0, 2 ** 31, FrameKind.abort));
    assertStringIncludes(await protocolError(server.receive(3, new Uint8Array(4))), "2147483648 bytes");
  });

  test("gives up on a silent peer and tells it", async (server, client) => {
    const startMs = performance.now();
    const message = await protocolError(server.receive(1, new Uint8Array(8)));
    assertEquals(
      message,
      "client sent nothing for 0.2 s while relu1 (tag 1) was awaited, 0 of 8 bytes received",
    );
    assertLess(performance.now() - startMs, 2000);
    assertStringIncludes(
      await protocolError(client.receive(1, new Uint8Array(8))),
      "server stopped: server gave up: client sent nothing for 0.2 s while relu1",
    );
  }, { timeoutMs: 200 });

  test("abort gives its reason to a peer that waits", async (server, client) => {
    const waiting = protocolError(client.receive(1, new Uint8Array(8)));
    await server.abort("weights of conv3 are missing");
    assertEquals(await waiting, "server stopped: weights of conv3 are missing");
    const { message } = await failure(server.send(1, new Uint8Array(8)));
    assertStringIncludes(message, "weights of conv3 are missing");
  });

  test(
    "abort gives its reason to a peer that is in the middle of a large message",
    async (server, client) => {
      const sending = (async () => {
        await client.send(1, new Uint8Array(32 * 2 ** 20));
        await client.receive(2, new Uint8Array(8));
      })();
      const heard = protocolError(sending);
      await server.abort("é".repeat(1000));
      assertEquals(await heard, `server stopped: ${"é".repeat(256)}`);
    },
  );

  test("close ends a pending receive here and the next one there", async (server, client) => {
    const pending = failure(server.receive(1, new Uint8Array(8)));
    server.close();
    server.close();
    const own = await pending;
    assert(!(own instanceof ProtocolError));
    assertStringIncludes(own.message, "this end closed the channel to client");
    assertStringIncludes(
      await protocolError(client.receive(1, new Uint8Array(8))),
      "server closed the connection",
    );
  });

  test("delivers what was sent before close", async (server, client) => {
    const payload = pattern(50_000, 2);
    await server.send(1, payload);
    server.close();
    const into = new Uint8Array(50_000);
    await client.receive(1, into);
    assertSameBytes(into, payload);
  });
}

testChannelContract(memory);
testChannelContract(tcp);
