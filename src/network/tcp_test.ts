import nodeTls from "node:tls";
import {
  assert,
  assertEquals,
  assertGreater,
  assertInstanceOf,
  assertLess,
  assertRejects,
  assertStringIncludes,
} from "@std/assert";
import { it } from "@std/testing/bdd";
import { certifyRoles } from "./authority.ts";
import { ProtocolError } from "./channel.ts";
import { encodeHeader, FrameKind, HEADER_BYTES } from "./frame.ts";
import type { FramedChannel } from "./framed_channel.ts";
import { FrameLink } from "./frame_link.ts";
import { memoryPair, memoryStreams } from "./memory_pair.ts";
import { networkProfile } from "./profiles.ts";
import { admit, MOST_PENDING } from "./reception.ts";
import { connect, type ConnectOptions, listen, type ListenOptions } from "./tcp.ts";

const LOOPBACK = { host: "127.0.0.1", port: 0 };

/** Opens both ends and closes what was opened; the result tells how each fared, the server by what its log says. */
async function meet(
  listening: Partial<ListenOptions>,
  connecting: Partial<ConnectOptions>,
  use: (server: FramedChannel, client: FramedChannel) => Promise<void> = () => Promise.resolve(),
): Promise<{ server?: string; client?: Error }> {
  const dropped = Promise.withResolvers<string>();
  const listener = await listen({
    ...LOOPBACK,
    role: "server",
    timeoutMs: 5000,
    onDropped: (address, reason) => dropped.resolve(`${address}: ${reason}`),
    ...listening,
  });
  const { port } = listener, accepted = listener.accept();
  accepted.catch(() => {});
  try {
    const options = { ...LOOPBACK, port, role: "client", timeoutMs: 5000, expectedPeer: "server" };
    const client = await connect({ ...options, ...connecting });
    try {
      const server = await Promise.race([accepted, dropped.promise]);
      if (typeof server === "string") {
        // With TLS 1.3 a client hears only by its first message that its certificate was refused.
        return { server, client: await client.receive(0, new Uint8Array(1)).catch((error) => error) };
      }
      await use(server, client);
      server.close();
      return {};
    } finally {
      client.close();
    }
  } catch (error) {
    return { server: await dropped.promise, client: error as Error };
  } finally {
    listener.close();
  }
}

/** Somebody who connects to `port` and says `bytes`. */
async function stranger(port: number, bytes: Uint8Array<ArrayBuffer>): Promise<Deno.TcpConn> {
  const connection = await Deno.connect({ hostname: "127.0.0.1", port });
  await connection.write(bytes);
  return connection;
}

/** A listener and the lines of its log. */
async function logging(options: Partial<ListenOptions> = {}) {
  const lines: string[] = [];
  const listener = await listen({
    ...LOOPBACK,
    role: "server",
    onDropped: (address, reason) => lines.push(`${address}: ${reason}`),
    ...options,
  });
  const line = async () => {
    while (lines.length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    return lines.shift()!;
  };
  return { listener, port: listener.port, lines, line };
}

function assertRefused(error: Error | undefined, sentence: string): void {
  assertInstanceOf(error, ProtocolError);
  assertStringIncludes(error.message, sentence);
}

const roles = ["server", "client", "dealer"] as const;
const [identities, others] = await Promise.all([certifyRoles(roles, 1), certifyRoles(roles, 1)]);

async function pingAndBulk(server: FramedChannel, client: FramedChannel): Promise<void> {
  const bytes = 3_000_001;
  const up = new Uint8Array(bytes).fill(1);
  const down = new Uint8Array(bytes).fill(2);
  const atServer = new Uint8Array(bytes);
  const atClient = new Uint8Array(bytes);
  await Promise.all([client.exchange(1, up, atClient), server.exchange(1, down, atServer)]);
  assertEquals([atServer.indexOf(2), atServer.indexOf(0), atClient.indexOf(1)], [-1, -1, -1]);
}

it("connect() and listen() learn each other's roles", async () => {
  await meet({}, {}, (server, client) => {
    assertEquals([server.peer, client.peer], ["client", "server"]);
    return Promise.resolve();
  });
});

it("connect() waits for a peer that listens later", async () => {
  const reserved = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = reserved.addr;
  reserved.close();
  const connecting = connect({ ...LOOPBACK, port, role: "client" });
  await new Promise((resolve) => setTimeout(resolve, 50));
  const listener = await listen({ ...LOOPBACK, port, role: "server" });
  const server = await listener.accept();
  (await connecting).close();
  server.close();
  listener.close();
});

it("connect() ends with its signal, while nobody listens and while who listens says nothing", async () => {
  using mute = Deno.listen(LOOPBACK);
  const free = Deno.listen(LOOPBACK), nobody = free.addr.port, tls = identities.client;
  free.close();
  for (const [port, more] of [[nobody, {}], [mute.addr.port, {}], [mute.addr.port, { tls }]] as const) {
    const over = new AbortController(), begin = performance.now();
    const options = { ...LOOPBACK, port, role: "client", expectedPeer: "server", timeoutMs: 60_000, ...more };
    const attempt = connect({ ...options, signal: over.signal });
    setTimeout(() => over.abort(), 50);
    await assertRejects(() => attempt, Error);
    assertLess(performance.now() - begin, 10_000);
    await assertRejects(
      () => connect({ ...options, signal: over.signal }),
      Error,
      undefined,
      "aborted before",
    );
    if (port === nobody) continue;
    // Nothing stays open: the other end sees its end.
    using taken = await mute.accept();
    const buffer = new Uint8Array(4096);
    while (await taken.read(buffer).catch(() => null) !== null);
  }
});

it("connect() may be given up while a TLS session that the other end cut off is ending", async () => {
  for (const pauseMs of [0, 10, 20, 40]) {
    using rude = Deno.listen(LOOPBACK);
    const over = new AbortController(), { port } = rude.addr;
    const attempt = connect({
      ...{ ...LOOPBACK, port, role: "client", expectedPeer: "server" },
      ...{ tls: identities.client, signal: over.signal },
    });
    const taken = await rude.accept();
    await taken.read(new Uint8Array(4096));
    taken.close();
    setTimeout(() => over.abort(), pauseMs);
    // What the listener of the signal threw would end this process.
    await assertRejects(() => attempt, Error);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
});

it("close() is well where whoever handed the stream over has closed it", () => {
  const [stream] = memoryStreams();
  const close = () => {
    throw new Deno.errors.BadResource("closed before");
  };
  new FrameLink({ ...stream, close }, "server", "client", {}).close();
});

it("exchange() reads memory of its caller no longer once it has failed", async () => {
  for (const tls of [false, true]) {
    const payload = new Uint8Array(16 << 20).fill(1), heard = new Uint8Array(payload.length);
    const [listening, connecting] = tls ? [{ tls: identities.server }, { tls: identities.client }] : [{}, {}];
    await meet(listening, connecting, async (server, client) => {
      const failed = server.exchange(1, payload, new Uint8Array(1)).catch(() => payload.fill(2));
      await client.send(7, new Uint8Array(1));
      // Long enough for the other end to see that this was not what it awaited, while it still has most to send.
      await new Promise((resolve) => setTimeout(resolve, 200));
      await Promise.all([client.receive(1, heard).catch(() => {}), failed]);
    });
    assertEquals(
      [payload.indexOf(1), heard.indexOf(2)],
      [-1, -1],
      "what its caller wrote after the failure was sent",
    );
  }
});

it("connect() gives up when nobody listens", async () => {
  const reserved = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = reserved.addr;
  reserved.close();
  const said: string[] = [], onWaiting = (sentence: string) => void said.push(sentence);
  for (const timeoutMs of [100, 1300]) {
    await assertRejects(
      () => connect({ ...LOOPBACK, port, role: "client", expectedPeer: "dealer", timeoutMs, onWaiting }),
      ProtocolError,
      `dealer at 127.0.0.1:${port} does not accept connections`,
    );
  }
  assertEquals(said, [`dealer at 127.0.0.1:${port} does not answer yet; waiting for up to 1.3 s`]);
});

for (const over of ["TCP", "TLS"] as const) {
  const identityOf = (role: (typeof roles)[number]) => over === "TCP" ? {} : { tls: identities[role] };
  const asServer = identityOf("server");
  const asClient = { ...LOOPBACK, role: "client", expectedPeer: "server", ...identityOf("client") };

  it(`listen() over ${over} says that a port is in use`, async () => {
    const first = await listen({ ...LOOPBACK, role: "server", ...asServer });
    await assertRejects(
      () => listen({ ...LOOPBACK, port: first.port, role: "server", ...asServer }),
      Error,
      `127.0.0.1:${first.port} is in use by another program`,
    );
    first.close();
  });

  it(`listen() over ${over}: close() ends accept()`, async () => {
    const listener = await listen({ ...LOOPBACK, role: "server", ...asServer });
    const pending = assertRejects(() => listener.accept(), Error, "the listener is closed");
    listener.close();
    listener.close();
    await pending;
    await assertRejects(() => listener.accept(), Error, "the listener is closed");
  });

  const strangers: Readonly<Record<string, (port: number) => Promise<Deno.TcpConn>>> = {
    "closes at once": async (port) => {
      const connection = await stranger(port, new Uint8Array(0));
      await connection.closeWrite();
      return connection;
    },
    "speaks HTTP": (port) =>
      stranger(port, new TextEncoder().encode(`GET / HTTP/1.1\r\n${"x".repeat(200)}\r\n`)),
    "says nothing": (port) => stranger(port, new Uint8Array(0)),
    "drips": async (port) => {
      const connection = await stranger(port, new Uint8Array(0));
      const header = new Uint8Array(HEADER_BYTES);
      const greeting = { kind: FrameKind.hello, tag: 0, sequence: 0, length: 72, departureMs: 0, delays: 0 };
      encodeHeader(greeting, new DataView(header.buffer));
      const drip = (at: number) => {
        connection.write(header.subarray(at, at + 1)).then(() => setTimeout(drip, 20, at + 1), () => {});
      };
      drip(0);
      return connection;
    },
  };
  for (const [does, come] of Object.entries(strangers)) {
    it(`listen() over ${over}: a stranger that ${does} holds up nobody and is a line of the log`, async () => {
      const { listener, port, line } = await logging({ ...asServer, handshakeMs: 300 });
      const first = await come(port);
      const [server, client] = await Promise.all([
        listener.accept(),
        connect({ ...asClient, port }),
      ]);
      await Promise.all([
        client.exchange(1, new Uint8Array(3), new Uint8Array(3)),
        server.exchange(1, new Uint8Array(3), new Uint8Array(3)),
      ]);
      const { hostname, port: from } = first.localAddr;
      assertStringIncludes(await line(), `${hostname}:${from}: `);
      for (const end of [server, client, listener, first]) end.close();
    });
  }

  it(`listen() over ${over} hears a peer behind ${3 * MOST_PENDING} that say nothing`, async () => {
    const { listener, port, lines } = await logging(asServer);
    const silent = await Promise.all(
      Array.from({ length: 3 * MOST_PENDING }, () => stranger(port, new Uint8Array(0))),
    );
    const [server, client] = await Promise.all([listener.accept(), connect({ ...asClient, port })]);
    assert(lines.length >= 2 * MOST_PENDING, `${lines.length} dropped`);
    for (const end of [server, client, listener, ...silent]) end.close();
  });
}

it("listen() says which address is none of this machine", async () => {
  await assertRejects(
    () => listen({ host: "192.0.2.1", port: 0, role: "server", tls: identities.server }),
    Error,
    "this machine cannot listen on 192.0.2.1:0: ",
  );
});

it("plain TCP stays on loopback", async () => {
  await assertRejects(() => listen({ host: "0.0.0.0", port: 0, role: "server" }), RangeError, "unencrypted");
  await assertRejects(
    () => connect({ host: "localhost.example.org", port: 1, role: "client" }),
    RangeError,
    "plain TCP to localhost.example.org would leave this machine",
  );
});

const TOKEN = "00112233445566778899aabbccddeeff", OTHER_TOKEN = TOKEN.replace("00", "ff");
const DIFFERENT = "do not have the same token, connection refused";

it("both ends must have the same token for one another", async () => {
  assertEquals(await meet({ tokens: { client: TOKEN } }, { tokens: { server: TOKEN } }), {});
  for (const wrong of [{ server: OTHER_TOKEN }, { dealer: TOKEN }, undefined]) {
    const { server, client } = await meet(
      { tokens: { client: TOKEN, dealer: OTHER_TOKEN } },
      wrong === undefined ? {} : { tokens: wrong },
    );
    assertStringIncludes(server!, DIFFERENT);
    assertRefused(client, DIFFERENT);
  }
});

it("a role cannot take the name of another one whose token it does not have", async () => {
  const { server } = await meet(
    { role: "dealer", tokens: { client: TOKEN, server: OTHER_TOKEN } },
    { role: "server", expectedPeer: "dealer", tokens: { dealer: TOKEN } },
  );
  assertStringIncludes(server!, `dealer and server ${DIFFERENT}`);
  // Nor one for which nobody has a token.
  const other = await meet({ role: "dealer", tokens: { client: TOKEN } }, {
    role: "other",
    expectedPeer: "dealer",
  });
  assertStringIncludes(other.server!, `dealer and other ${DIFFERENT}`);
});

it("a listener says nothing of its token before the other end has proved that it has it", async () => {
  const { listener, port } = await logging({ tokens: { client: TOKEN } });
  const guesser = await stranger(port, hello("client"));
  const said = new Uint8Array(1000);
  // The greeting, which holds no secret, and then nothing.
  let count = 0;
  while (count < HEADER_BYTES + 72) count += (await guesser.read(said.subarray(count)))!;
  assertEquals(count, HEADER_BYTES + 72);
  const wrongProof = new Uint8Array(HEADER_BYTES + 32);
  const header = { kind: FrameKind.proof, tag: 0, sequence: 1, length: 32, departureMs: 0, delays: 0 };
  encodeHeader(header, new DataView(wrongProof.buffer));
  await guesser.write(wrongProof);
  count = (await guesser.read(said))!;
  assertStringIncludes(new TextDecoder().decode(said.subarray(HEADER_BYTES, count)), DIFFERENT);
  for (const end of [guesser, listener]) end.close();
});

it("a recorded proof of the token opens no second session", async () => {
  // The thief repeats everything that the client sent in a session that it could read.
  const { listener, port, line } = await logging({ tokens: { client: TOKEN } });
  const tap = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const recorded: number[] = [];
  const forward = async (from: Deno.Conn, to: Deno.Conn, record: boolean) => {
    const bytes = new Uint8Array(1000);
    for (let count; (count = await from.read(bytes).catch(() => null)) !== null;) {
      if (record) recorded.push(...bytes.subarray(0, count));
      await to.write(bytes.subarray(0, count)).catch(() => {});
    }
  };
  const relaying = (async () => {
    const near = await tap.accept();
    const far = await Deno.connect({ hostname: "127.0.0.1", port });
    await Promise.all([
      forward(near, far, true).then(() => far.close()),
      forward(far, near, false).then(() => near.close()),
    ]);
  })();
  const [server, client] = await Promise.all([
    listener.accept(),
    connect({ ...LOOPBACK, tokens: { server: TOKEN }, port: tap.addr.port, role: "client" }),
  ]);
  client.close();
  server.close();
  await relaying;

  const thief = await stranger(port, Uint8Array.from(recorded));
  assertStringIncludes(await line(), DIFFERENT);
  for (const end of [thief, tap, listener]) end.close();
});

it("the handshake refuses another role and another network profile", async () => {
  const role = await meet({ expectedPeer: "dealer" }, {});
  assertStringIncludes(role.server!, "server expected a dealer at the other end, there is a client");
  assertRefused(role.client, "server expected a dealer at the other end, there is a client");
  const profile = await meet({ profile: networkProfile("wan-1gbit") }, { profile: networkProfile("lan") });
  assertStringIncludes(profile.server!, "(round trip 100 ms, 1000000000 bit/s), client on another one");
  assertRefused(profile.client, 'server runs on the network profile "wan-1gbit"');
});

/** A greeting on the profile `none`. */
function hello(role: string): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(HEADER_BYTES + 72);
  const header = { kind: FrameKind.hello, tag: 0, sequence: 0, length: 72, departureMs: 0, delays: 0 };
  encodeHeader(header, new DataView(bytes.buffer));
  new TextEncoder().encodeInto(role, bytes.subarray(HEADER_BYTES + 48));
  return bytes;
}

it("the handshake refuses a role that would not be safe to print", async () => {
  const { listener, port, line } = await logging();
  const connection = await stranger(port, hello("\x1b[2J"));
  assertStringIncludes(await line(), "gave a role that is no name");
  const noProfile = hello("client");
  new DataView(noProfile.buffer).setFloat64(HEADER_BYTES + 32, NaN, true);
  (await stranger(port, noProfile)).close();
  assertStringIncludes(await line(), "gave a network profile that is none");
  connection.close();
  listener.close();
});

it("TLS carries messages when the authority and the roles are right", async () => {
  assertEquals(await meet({ tls: identities.server }, { tls: identities.client }, pingAndBulk), {});
});

it("TLS does not wait for delayed acknowledgements", async () => {
  // Nagle's algorithm at either end costs these 20 round trips 0.8 s.
  await meet({ tls: identities.server }, { tls: identities.client }, async (server, client) => {
    const atServer = new Uint8Array(70_000);
    const atClient = new Uint8Array(70_000);
    const startMs = performance.now();
    for (let i = 0; i < 20; i++) {
      await Promise.all([client.send(i, atClient), server.receive(i, atServer)]);
      await Promise.all([server.send(i, atServer), client.receive(i, atClient)]);
    }
    assertLess(performance.now() - startMs, 600);
  });
});

it("TLS refuses a certificate of another authority at either end, whatever the public ones say", async () => {
  const atClient = await meet({ tls: identities.server }, {
    tls: { ...identities.client, ca: others.client.ca },
  });
  assertRefused(atClient.client, "no TLS session with server at 127.0.0.1:");
  assertStringIncludes(atClient.server!, "no TLS session");
  const atServer = await meet({ tls: identities.server }, {
    tls: { ...others.client, ca: identities.client.ca },
  });
  assertInstanceOf(atServer.client, ProtocolError);
  assertStringIncludes(atServer.server!, "no TLS session");
});

it("TLS refuses the certificate of another role, and a name that is not that of the certificate", async () => {
  const dealer = await meet({ tls: identities.dealer }, { tls: identities.client });
  assertRefused(dealer.client, "no TLS session with server at 127.0.0.1:");
  const other = await meet({ tls: identities.server }, { tls: identities.dealer });
  assertStringIncludes(other.server!, "calls itself client and has the certificate of a dealer");
});

it("TLS refuses a peer without a certificate", async () => {
  const { listener, port, line } = await logging({ tls: identities.server });
  const connection = nodeTls.connect({
    host: "127.0.0.1",
    port,
    ca: identities.client.ca,
    servername: "server.private-inference",
  });
  connection.on("error", () => {});
  assertStringIncludes(await line(), "no TLS session with a certificate that this role accepts");
  connection.destroy();
  listener.close();
});

it("abort() reaches the peer over TLS in both directions", async () => {
  for (const fromServer of [true, false]) {
    await meet({ tls: identities.server }, { tls: identities.client }, async (server, client) => {
      const [one, other] = fromServer ? [server, client] : [client, server];
      const waiting = assertRejects(
        () => other.receive(1, new Uint8Array(8)),
        ProtocolError,
        "stopped: out of memory",
      );
      await one.abort("out of memory");
      await waiting;
    });
  }
});

it("close() ends a pending receive over TLS in both directions", async () => {
  for (const atServer of [true, false]) {
    await meet({ tls: identities.server }, { tls: identities.client }, async (server, client) => {
      const end = atServer ? server : client;
      const pending = assertRejects(
        () => end.receive(1, new Uint8Array(8)),
        Error,
        "this end closed the channel",
      );
      end.close();
      await pending;
    });
  }
});

it("connect() gives up on a TLS peer that does not answer", async () => {
  const silent = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = silent.addr;
  await assertRejects(
    () =>
      connect({
        ...LOOPBACK,
        port,
        role: "client",
        timeoutMs: 100,
        expectedPeer: "server",
        tls: identities.client,
      }),
    ProtocolError,
    "no TLS session with server at 127.0.0.1:",
  );
  silent.close();
});

for (const over of ["TCP", "TLS"] as const) {
  const identityOf = (role: (typeof roles)[number]) => over === "TCP" ? {} : { tls: identities[role] };
  const length = 64 * 2 ** 20;

  it(`send() over ${over} is held back by a peer that reads nothing, gives up on it, and says how far it came`, async () => {
    await meet(identityOf("server"), { ...identityOf("client"), timeoutMs: 300 }, async (_server, client) => {
      const { message } = await assertRejects(() => client.send(1, new Uint8Array(length)), ProtocolError);
      const [, sent] =
        /^server accepted nothing for 0.3 s while tag 1 was sent, (\d+) of 67108864 bytes sent$/.exec(
          message,
        )!;
      // What fits into the buffers of the system.
      assertGreater(Number(sent), 0);
      assertLess(Number(sent), length / 4);
    });
  });

  it(`send() over ${over} does not give up on a peer that reads slowly`, async () => {
    await meet(identityOf("server"), { ...identityOf("client"), timeoutMs: 300 }, async (server, client) => {
      // Each piece longer than the buffers of the system, so that the sender waits in each.
      const message = new Uint8Array(length / 4);
      const sending = (async () => {
        for (let i = 0; i < 4; i++) await client.send(1, message);
      })();
      for (let i = 0; i < 4; i++) {
        await new Promise((resolve) => setTimeout(resolve, 150));
        await server.receive(1, message);
      }
      await sending;
    });
  });

  it(`connect() over ${over} says of a peer that hangs up that another attempt may do`, async () => {
    const hangingUp = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const accepting = (async () => {
      for await (const connection of hangingUp) connection.close();
    })();
    const options = { ...LOOPBACK, port: hangingUp.addr.port, role: "client", expectedPeer: "server" };
    const error = await assertRejects(
      () => connect({ ...options, ...identityOf("client"), timeoutMs: 1000 }),
      ProtocolError,
    );
    assertEquals(error.mayPass, true, error.message);
    hangingUp.close();
    await accepting;
  });
}

it("a stranger is dropped who sends more than a TLS handshake takes", async () => {
  const { listener, port, line } = await logging({ tls: identities.server });
  // Records of a hello that never ends.
  const record = new Uint8Array(5 + 16383);
  record.set([0x16, 3, 1, 0x3f, 0xff, 1, 0, 0xff, 0xf0]);
  const endless = await stranger(port, record);
  let sent = record.length;
  const sending = (async () => {
    for (; sent < 64 * 2 ** 20; sent += record.length) await endless.write(record);
  })().catch(() => {}); // it is hung up on
  assertStringIncludes(await line(), "no TLS session");
  await sending;
  assertLess(sent, 16 * 2 ** 20);
  for (const end of [endless, listener]) end.close();
});

it("a pause between two pieces of work may last as long as the end that connected shows that it is there", async () => {
  const timeoutMs = 160;
  await meet({ timeoutMs }, { timeoutMs }, async (server, client) => {
    const exchanged = (tag: number) =>
      Promise.all([client.send(tag, new Uint8Array(3)), server.receive(tag, new Uint8Array(3))]);
    await exchanged(1);
    const next = server.receiveAfterPause(2, new Uint8Array(3));
    await new Promise((resolve) => setTimeout(resolve, 5 * timeoutMs));
    await client.send(2, new Uint8Array(3));
    await next;
    // Whatever signs of life have come before, a message that is awaited now must begin in time.
    await new Promise((resolve) => setTimeout(resolve, timeoutMs));
    await exchanged(3);
    assertEquals([server.received, server.exchanges, client.sent.bytes], [{ bytes: 9, messages: 3 }, 3, 9]);
    await assertRejects(
      () => server.receive(4, new Uint8Array(3)),
      ProtocolError,
      "client sent nothing for 0.16 s while tag 4 was awaited",
    );
  });
});

it("a pause ends when the other end shows no longer that it is there", async () => {
  const [server] = memoryPair({ timeoutMs: 100 });
  await assertRejects(
    () => server.receiveAfterPause(1, new Uint8Array(3)),
    ProtocolError,
    "client sent nothing for 0.1 s while tag 1 was awaited",
  );
});

it("one byte from time to time is no message that begins", async () => {
  const [near, far] = memoryStreams();
  const link = new FrameLink(near, "server", "client", { timeoutMs: 100 });
  let dripped = 0;
  const drip = setInterval(() => far.write(new Uint8Array(1)).then(() => dripped++, () => {}), 20);
  await assertRejects(
    () => link.receive(FrameKind.data, 1, new Uint8Array(8)),
    ProtocolError,
    "client sent nothing for 0.1 s while tag 1 was awaited",
  );
  clearInterval(drip);
  assert(dripped > 1 && dripped < HEADER_BYTES, `${dripped} bytes came`);
});

it("connections that were reset while they waited keep nobody waiting", async () => {
  const { listener, lines } = await logging();
  try {
    const reset = `import net from "node:net";
      for (let i = 0; i < 200; i++) {
        const socket = net.connect(${listener.port}, "127.0.0.1", () => socket.resetAndDestroy());
        await new Promise((resolve) => socket.once("close", resolve));
      }`;
    // Nothing is accepted while this thread waits.
    assert(new Deno.Command(Deno.execPath(), { args: ["eval", reset] }).outputSync().success);
    const begun = performance.now(), accepted = listener.accept();
    const client = await connect({ ...LOOPBACK, port: listener.port, role: "client", timeoutMs: 30_000 });
    (await accepted).close();
    client.close();
    assertLess(performance.now() - begun, 2000);
    assertEquals(lines.filter((line) => line.includes("not accepted")), []);
  } finally {
    listener.close();
  }
});

it("a peer whose signs of life come without end is cut off", async () => {
  const [near, far] = memoryStreams(), link = new FrameLink(near, "dealer", "client", { timeoutMs: 5000 });
  const sign = new Uint8Array(HEADER_BYTES), header = new DataView(sign.buffer);
  const flood = async () => {
    for (let sequence = 0; sequence < 10_000; sequence++) {
      encodeHeader({ kind: FrameKind.alive, tag: 0, sequence, length: 0, departureMs: 0, delays: 0 }, header);
      await far.write(sign);
    }
  };
  const flooding = flood().catch(() => {});
  await assertRejects(
    () => link.receive(FrameKind.data, 0, new Uint8Array(1), true),
    ProtocolError,
    "its signs of life come without end",
  );
  link.close();
  await flooding;
});

it("one caller too many throws out one of the machine that has the most, not whoever has waited longest", async () => {
  const addresses = ["10.0.0.2:1", ...Array.from({ length: MOST_PENDING }, (_, i) => `10.0.0.1:${i}`)];
  const dropped = Promise.withResolvers<string>(), over = Promise.withResolvers<never>();
  over.promise.catch(() => {});
  let came = 0;
  const listener = admit({
    port: 0,
    next() {
      const address = addresses[came++];
      if (address === undefined) return over.promise;
      const gone = Promise.withResolvers<never>();
      return Promise.resolve({
        address,
        opened: gone.promise,
        drop: () => gone.reject(new Error("dropped")),
      });
    },
    close: () => over.reject(new Error("closed")),
  }, {
    open: () => Promise.reject(new Error("nobody gets here")),
    onDropped: (address, reason) => dropped.resolve(`${address} ${reason}`),
  });
  assertEquals(await dropped.promise, "10.0.0.1:0 gave its place to a later one");
  listener.close();
});
